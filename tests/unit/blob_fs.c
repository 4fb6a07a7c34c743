// SPDX-License-Identifier: Apache-2.0
/* blob/fs: what shows in its directory, with files that have no name at first and that have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "blob/blob_driver.h"

#define WORKSPACE 42

/* One way of the driver, and the directory of its present case. */
struct subject {
    const char *name;
    enum rc (*open)(const char *dir, struct blob_store **ret, struct err *err);
    char dir[64];
    struct blob_store *store;
};

static struct subject subjects[] = {
    {.name = "fs", .open = blob_store_open_fs},
    {.name = "fs, named", .open = blob_store_open_fs_named},
};

static int
set_up(void **state)
{
    struct subject *s = *state;
    struct err err;

    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/unit_blob_fs.XXXXXX");
    if (!mkdtemp(s->dir))
        return -1;
    if (s->open(s->dir, &s->store, &err)) {
        print_error("%s\n", err.detail);
        return -1;
    }
    return 0;
}

static int
remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static int
tear_down(void **state)
{
    struct subject *s = *state;

    blob_store_free(&s->store);
    return nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct blob_key
new_key(void)
{
    return (struct blob_key){.workspace = WORKSPACE, .id = id_new()};
}

static enum rc
put(struct blob_store *store, const struct blob_key *key, const void *bytes, size_t len)
{
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    struct err err;
    enum rc rc;

    rc = blob_write_open(store, key, &w, &err);
    if (!rc)
        rc = blob_write(w, bytes, len, &err);
    if (!rc)
        rc = blob_write_finish(w, &info, &err);
    if (rc)
        print_error("%s\n", err.detail);
    return rc;
}

/* How many entries the directory `below` the store's holds. */
static int
entries_of(const char *dir, const char *below)
{
    char path[128];
    int n = -2; /* "." and ".." */
    DIR *list;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, below);
    list = opendir(path);
    assert_non_null(list);
    while (readdir(list))
        n++;
    (void)closedir(list);
    return n;
}

/* The path of a blob relative to the store's directory. */
static void
path_of(const struct blob_key *key, char out[80])
{
    char id[33];

    crypto_hex(key->id.b, 16, id);
    (void)snprintf(out, 80, "objects/%.2s/%.2s/%016llx-%s", id + 28, id + 30,
                   (unsigned long long)key->workspace, id);
}

static void
files_are_private_and_named_by_us(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    struct stat info;
    char relative[80];
    char path[240];

    assert_int_equal(put(s->store, &key, "abc", 3), RC_OK);
    path_of(&key, relative);
    (void)snprintf(path, sizeof(path), "%s/%s", s->dir, relative);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode, S_IFREG | 0600);
    assert_int_equal(info.st_nlink, 1);
    for (int i = 0; i < 3; i++) {
        *strrchr(path, '/') = '\0';
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode, S_IFDIR | 0700);
    }
    assert_int_equal(entries_of(s->dir, "tmp"), 0);
}

static void
make_file(const struct subject *s, const char *relative)
{
    char path[256];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", s->dir, relative);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "junk", 4), 4);
    assert_int_equal(close(fd), 0);
}

static void
set_age(const struct subject *s, const char *relative, int64_t age_ms)
{
    int64_t ms = clock_wall_ms() - age_ms;
    struct timespec when[2] = {{.tv_sec = ms / 1000}, {.tv_sec = ms / 1000}};
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", s->dir, relative);
    assert_int_equal(utimensat(AT_FDCWD, path, when, 0), 0);
}

static void
sweeps_what_a_crash_left(void **state)
{
    static const char stale[] = "tmp/0123456789abcdef0123456789abcdef";
    static const char young[] = "tmp/0123456789abcdef0123456789abcdee";
    static const char foreign[] = "tmp/not-ours";
    struct subject *s = *state;
    size_t removed = 0;
    struct err err;

    make_file(s, stale);
    make_file(s, young);
    make_file(s, foreign);
    set_age(s, stale, 7200000);
    set_age(s, foreign, 7200000);
    assert_int_equal(blob_sweep_temporary(s->store, clock_wall_ms() - 3600000, &removed, &err),
                     RC_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(entries_of(s->dir, "tmp"), 2);
    assert_int_equal(blob_sweep_temporary(s->store, clock_wall_ms() + 60000, &removed, &err),
                     RC_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(entries_of(s->dir, "tmp"), 1);
}

struct strangers {
    int count;
    int blobs;
    char expected[7][160];
};

static void
note_stranger(void *arg, const char *relative_path)
{
    struct strangers *st = arg;

    for (size_t i = 0; i < ARRAY_LEN(st->expected); i++) {
        if (streq(st->expected[i], relative_path)) {
            st->count++;
            return;
        }
    }
    fail_msg("unexpected stranger %s", relative_path);
}

static enum rc
note_blob(void *arg, const struct blob_key *key, int64_t size, int64_t mtime, struct err *err)
{
    (void)key;
    (void)size;
    (void)mtime;
    (void)err;
    ((struct strangers *)arg)->blobs++;
    return RC_OK;
}

static void
tells_of_strangers(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    struct strangers st = {0};
    char leaf[80];
    char path[240];
    struct err err;

    assert_int_equal(put(s->store, &key, "abc", 3), RC_OK);
    path_of(&key, leaf);
    *strrchr(leaf, '/') = '\0';
    (void)snprintf(st.expected[0], 160, "objects/README");
    (void)snprintf(st.expected[1], 160, "objects/%.2s/note", leaf + 8);
    (void)snprintf(st.expected[2], 160, "%s/x", leaf);
    /* A right name in the wrong place, and upper case, would be second names of a key. */
    (void)snprintf(st.expected[3], 160, "%s/000000000000002a-%028x%02x%02x", leaf, 0,
                   key.id.b[14] ^ 1U, key.id.b[15]);
    (void)snprintf(st.expected[4], 160, "%s/000000000000002A-%028x%02x%02x", leaf, 0, key.id.b[14],
                   key.id.b[15]);
    (void)snprintf(st.expected[5], 160, "%s/ffffffffffffffff-%028x%02x%02x", leaf, 0, key.id.b[14],
                   key.id.b[15]);
    for (int i = 0; i < 6; i++)
        make_file(s, st.expected[i]);
    (void)snprintf(st.expected[6], 160, "objects/%02x", key.id.b[14] ^ 1U);
    (void)snprintf(path, sizeof(path), "%s/%s", s->dir, st.expected[6]);
    assert_int_equal(symlink("/", path), 0);
    assert_int_equal(blob_each(s->store, note_blob, note_stranger, &st, &err), RC_OK);
    assert_int_equal(st.count, 7);
    assert_int_equal(st.blobs, 1);
    assert_int_equal(blob_each(s->store, note_blob, NULL, &st, &err), RC_OK);
    assert_int_equal(st.blobs, 2);
}

static void
follows_no_symbolic_link(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    struct blob_key twin = key;
    SCOPED(blob_reader) r = NULL;
    char relative[80];
    char path[240];
    struct err err;
    int64_t size;

    twin.workspace++;
    assert_int_equal(put(s->store, &twin, "abc", 3), RC_OK);
    path_of(&key, relative);
    (void)snprintf(path, sizeof(path), "%s/%s", s->dir, relative);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_IO);
    assert_int_equal(blob_stat(s->store, &key, &size, &err), RC_IO);
    assert_int_equal(blob_delete(s->store, &key, &err), RC_OK);
    assert_int_equal(blob_stat(s->store, &key, &size, &err), RC_NOT_FOUND);
}

static void
a_blob_cut_short_is_an_error(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_reader) r = NULL;
    char relative[80];
    char path[240];
    char got[8];
    size_t n = 99;
    struct err err;

    assert_int_equal(put(s->store, &key, "abcdef", 6), RC_OK);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_OK);
    path_of(&key, relative);
    (void)snprintf(path, sizeof(path), "%s/%s", s->dir, relative);
    assert_int_equal(truncate(path, 2), 0);
    assert_int_equal(blob_read(r, 0, got, sizeof(got), &n, &err), RC_IO);
    assert_int_equal(n, 99);
}

static void
says_when_it_cannot_open(void **state)
{
    struct subject *s = *state;
    SCOPED(blob_store) store = NULL;
    char path[240];
    struct err err;

    (void)snprintf(path, sizeof(path), "%s/absent/store", s->dir);
    assert_int_equal(s->open(path, &store, &err), RC_IO);
    assert_null(store);
    (void)snprintf(path, sizeof(path), "%s/file", s->dir);
    make_file(s, "file");
    assert_int_equal(s->open(path, &store, &err), RC_IO);
    (void)snprintf(path, sizeof(path), "%s/made", s->dir);
    assert_int_equal(s->open(path, &store, &err), RC_OK);
    assert_string_equal(blob_store_name(store), "fs");
}

static void
leaves_nothing_in_tmp(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    struct err err;

    assert_int_equal(blob_write_open(s->store, &key, &w, &err), RC_OK);
    assert_int_equal(blob_write(w, "abc", 3, &err), RC_OK);
    blob_writer_free(&w);
    assert_int_equal(entries_of(s->dir, "tmp"), 0);
    assert_int_equal(entries_of(s->dir, "objects"), 0);
    assert_int_equal(put(s->store, &key, "first", 5), RC_OK);
    assert_int_equal(blob_write_open(s->store, &key, &w, &err), RC_OK);
    assert_int_equal(blob_write_finish(w, &info, &err), RC_CONFLICT);
    blob_writer_free(&w);
    assert_int_equal(entries_of(s->dir, "tmp"), 0);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown(files_are_private_and_named_by_us, set_up, tear_down),
    cmocka_unit_test_setup_teardown(leaves_nothing_in_tmp, set_up, tear_down),
    cmocka_unit_test_setup_teardown(sweeps_what_a_crash_left, set_up, tear_down),
    cmocka_unit_test_setup_teardown(tells_of_strangers, set_up, tear_down),
    cmocka_unit_test_setup_teardown(follows_no_symbolic_link, set_up, tear_down),
    cmocka_unit_test_setup_teardown(a_blob_cut_short_is_an_error, set_up, tear_down),
    cmocka_unit_test_setup_teardown(says_when_it_cannot_open, set_up, tear_down),
};

/* Runs all cases on one subject; returns how many failed. */
static int
run_on(struct subject *s)
{
    struct CMUnitTest tests[ARRAY_LEN(cases)];

    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        tests[i] = cases[i];
        tests[i].initial_state = s;
    }
    return cmocka_run_group_tests_name(s->name, tests, NULL, NULL);
}

int
main(void)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
        failed += run_on(&subjects[i]);
    return failed != 0;
}
