// SPDX-License-Identifier: Apache-2.0
/* blob/fs/recover: the journals that a crash of an older program left become files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blob/blob_driver.h"
#include "blob/fs/fs.h"
#include "blob/fs/record.h"

#define WORKSPACE 7
#define JOURNAL_MAX ((size_t)MIB(1))

/* A store that is closed, and a journal as the older program wrote it. */
struct world {
    char dir[64];
    struct blob_store *store;
    uint8_t number[RECORD_NUMBER_LEN];
    uint8_t *bytes;
    size_t len;
};

enum kind { BEGIN = 1, BLOB = 2, ERASED = 3 };

static uint8_t *
next_sector(struct world *w, enum kind kind)
{
    uint8_t *sector = w->bytes + w->len;

    assert_true(w->len + RECORD_SECTOR <= JOURNAL_MAX);
    memset(sector, 0, RECORD_SECTOR);
    memcpy(sector, "DossJrn1", 8);
    sector[8] = (uint8_t)kind;
    memcpy(sector + 16, w->number, sizeof(w->number));
    w->len += RECORD_SECTOR;
    return sector;
}

static void
seal(uint8_t *sector)
{
    crypto_sha256(sector, RECORD_SECTOR - SHA256_LEN, sector + RECORD_SECTOR - SHA256_LEN);
}

/* An empty journal of a filling of its own. */
static void
begin(struct world *w)
{
    struct id number = id_new();

    memcpy(w->number, number.b, sizeof(w->number));
    memset(w->bytes, 0, JOURNAL_MAX);
    w->len = 0;
    seal(next_sector(w, BEGIN));
}

static void
add(struct world *w, enum kind kind, const struct blob_key *key, const void *bytes, size_t len)
{
    uint64_t workspace = htole64((uint64_t)key->workspace), size = htole64(len);
    uint8_t *sector = next_sector(w, kind);

    memcpy(sector + 32, &workspace, sizeof(workspace));
    memcpy(sector + 40, key->id.b, sizeof(key->id.b));
    memcpy(sector + 56, &size, sizeof(size));
    if (kind == BLOB)
        crypto_sha256(bytes, len, sector + 64);
    seal(sector);
    assert_true(w->len + len + RECORD_SECTOR <= JOURNAL_MAX);
    if (kind == BLOB)
        memcpy(w->bytes + w->len, bytes, len);
    w->len += record_room((int64_t)len) - RECORD_SECTOR;
}

static const char *
path_of(const struct world *w, const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    return path;
}

static const char *
path_of_blob(const struct world *w, const struct blob_key *key)
{
    char leaf[5], name[NAME_HEX + 1], relative[128];

    crypto_hex(key->id.b + 14, 2, leaf);
    name_of(key, name);
    (void)snprintf(relative, sizeof(relative), "objects/%.2s/%s/%s", leaf, leaf + 2, name);
    return path_of(w, relative);
}

static void
write_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(close(fd), 0);
}

static void
leave(struct world *w, const char *name)
{
    write_file(path_of(w, name), w->bytes, w->len);
}

static bool
exists(const struct world *w, const char *name)
{
    return access(path_of(w, name), F_OK) == 0;
}

static void
start(struct world *w)
{
    struct err err;

    blob_store_free(&w->store);
    assert_int_equal(blob_store_open_fs(w->dir, &w->store, &err), RC_OK);
}

static void
assert_replayed(struct world *w)
{
    start(w);
    assert_false(exists(w, "journal-0"));
    assert_false(exists(w, "journal-1"));
}

static int
set_up(void **state)
{
    struct world *w = MEM_NEW(NULL, struct world);

    w->bytes = mem_zalloc(w, JOURNAL_MAX);
    (void)snprintf(w->dir, sizeof(w->dir), "/var/tmp/unit_recover.XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    start(w);
    begin(w);
    *state = w;
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
    struct world *w = *state;
    int failed;

    blob_store_free(&w->store);
    failed = nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    (void)talloc_free(w);
    return failed;
}

static struct blob_key
new_key(void)
{
    return (struct blob_key){.workspace = WORKSPACE, .id = id_new()};
}

/* Whether the blob holds exactly these bytes; false: there is none. */
static bool
holds(struct world *w, const struct blob_key *key, const void *bytes, size_t len)
{
    SCOPED_POOL(pool);
    SCOPED(blob_reader) r = NULL;
    uint8_t *got = mem_zalloc(pool, len + 1);
    struct err err;
    size_t n = 0;
    enum rc rc = blob_read_open(w->store, key, &r, &err);

    if (rc == RC_NOT_FOUND)
        return false;
    assert_int_equal(rc, RC_OK);
    assert_int_equal(blob_read(r, 0, got, len + 1, &n, &err), RC_OK);
    assert_int_equal(n, len);
    assert_memory_equal(got, bytes, len);
    return true;
}

static void
all_of_both_come_back(void **state)
{
    SCOPED_POOL(pool);
    struct world *w = *state;
    static const size_t sizes[] = {0, 1, 511, 512, 513, 4096, 65536};
    struct blob_key keys[ARRAY_LEN(sizes)], other = new_key();
    uint8_t *bytes = mem_zalloc(pool, (size_t)KIB(64));
    struct err err;

    memset(bytes, 'b', (size_t)KIB(64));
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        keys[i] = new_key();
        add(w, BLOB, &keys[i], bytes, sizes[i]);
    }
    leave(w, "journal-1");
    begin(w);
    add(w, BLOB, &other, "other", 5);
    leave(w, "journal-0");
    assert_replayed(w);
    assert_int_equal(blob_store_share_syncs(w->store, &err), RC_OK); /* as a server goes on */
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        assert_true(holds(w, &keys[i], bytes, sizes[i]));
    assert_true(holds(w, &other, "other", 5));
    assert_int_equal(access(path_of_blob(w, &other), F_OK), 0);
}

static void
only_what_is_lost_or_spoilt_is_written(void **state)
{
    struct world *w = *state;
    struct blob_key lost = new_key(), empty = new_key(), other = new_key(), fine = new_key();
    struct stat before, after;

    add(w, BLOB, &lost, "lost", 4);
    add(w, BLOB, &empty, "empty", 5);
    add(w, BLOB, &other, "other", 5);
    add(w, BLOB, &fine, "fine", 4);
    leave(w, "journal-0");
    assert_replayed(w);
    assert_int_equal(unlink(path_of_blob(w, &lost)), 0);
    write_file(path_of_blob(w, &empty), "", 0);
    write_file(path_of_blob(w, &other), "OTHER", 5);
    assert_int_equal(stat(path_of_blob(w, &fine), &before), 0);
    leave(w, "journal-0");
    assert_replayed(w);
    assert_true(holds(w, &lost, "lost", 4));
    assert_true(holds(w, &empty, "empty", 5));
    assert_true(holds(w, &other, "other", 5));
    assert_true(holds(w, &fine, "fine", 4));
    assert_int_equal(stat(path_of_blob(w, &fine), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void
an_erased_one_stays_away(void **state)
{
    struct world *w = *state;
    struct blob_key first = new_key(), gone = new_key(), last = new_key();

    add(w, BLOB, &first, "first", 5);
    add(w, ERASED, &gone, NULL, 700);
    add(w, BLOB, &last, "last", 4);
    leave(w, "journal-0");
    assert_replayed(w);
    assert_true(holds(w, &first, "first", 5));
    assert_false(holds(w, &gone, "", 0));
    assert_true(holds(w, &last, "last", 4)); /* it takes nothing with it */
}

/* Torn in each sector, or with a bit turned: what was before is there, and nothing is made up. */
static void
damage_loses_nothing_before_it(void **state)
{
    struct world *w = *state;
    const char *texts[3] = {"one", "two", "three"};
    struct blob_key keys[3];
    size_t len;

    for (int i = 0; i < 3; i++) {
        keys[i] = new_key();
        add(w, BLOB, &keys[i], texts[i], strlen(texts[i]));
    }
    len = w->len;
    assert_int_equal(len, RECORD_SECTOR * 7);
    for (size_t round = 0; round < 28; round++) {
        size_t at = round / 4 * RECORD_SECTOR + (round % 4 < 2 ? 0 : 2);
        int whole = at < RECORD_SECTOR ? 0 : (int)((at - RECORD_SECTOR) / (2 * RECORD_SECTOR));
        uint8_t was = w->bytes[at];

        if (round % 2)
            w->bytes[at] ^= 0x20;
        else
            w->len = at;
        leave(w, "journal-0");
        assert_replayed(w);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(holds(w, &keys[i], texts[i], strlen(texts[i])), i < whole);
            (void)unlink(path_of_blob(w, &keys[i]));
        }
        w->bytes[at] = was;
        w->len = len;
    }
}

/* A record of an earlier filling that is behind the last one is none of this one. */
static void
another_filling_is_not_taken_for_this(void **state)
{
    struct world *w = *state;
    struct blob_key old = new_key(), new = new_key();
    uint8_t earlier[2 * RECORD_SECTOR];

    add(w, BLOB, &old, "old", 3);
    memcpy(earlier, w->bytes + RECORD_SECTOR, sizeof(earlier));
    begin(w);
    add(w, BLOB, &new, "new", 3);
    memcpy(w->bytes + w->len, earlier, sizeof(earlier));
    w->len += sizeof(earlier);
    leave(w, "journal-0");
    assert_replayed(w);
    assert_true(holds(w, &new, "new", 3));
    assert_false(holds(w, &old, "old", 3));
}

static void
a_size_that_cannot_be_ends_it(void **state)
{
    struct world *w = *state;
    struct blob_key first = new_key(), key = new_key();
    uint64_t sizes[] = {(uint64_t)RECORD_SIZE_MAX + 1, UINT64_MAX, (uint64_t)INT64_MAX};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint64_t size = htole64(sizes[i]);
        uint8_t *sector;

        begin(w);
        add(w, BLOB, &first, "first", 5);
        sector = w->bytes + w->len;
        add(w, BLOB, &key, "key", 3);
        memcpy(sector + 56, &size, sizeof(size));
        seal(sector);
        leave(w, "journal-0");
        assert_replayed(w);
        assert_true(holds(w, &first, "first", 5));
        assert_false(holds(w, &key, "key", 3));
    }
}

static void
nothing_and_junk_are_removed(void **state)
{
    struct world *w = *state;
    struct blob_key key = new_key();

    write_file(path_of(w, "journal-0"), "", 0);
    add(w, BLOB, &key, "key", 3);
    memset(w->bytes, 'j', RECORD_SECTOR);
    leave(w, "journal-1");
    assert_replayed(w);
    assert_false(holds(w, &key, "key", 3));
}

/* Who starts beside a server of the older program leaves it what is its own. */
static void
what_another_process_works_with_stays(void **state)
{
    struct world *w = *state;
    struct blob_key key = new_key();
    int ready[2], end[2], status;
    char c;
    pid_t pid;

    add(w, BLOB, &key, "key", 3);
    leave(w, "journal-0");
    assert_int_equal(pipe(ready) || pipe(end), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(path_of(w, "journal-0"), O_RDWR | O_CLOEXEC);

        (void)close(end[1]);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) || write(ready[1], "r", 1) != 1)
            _exit(1);
        _exit(read(end[0], &c, 1) == 0 ? 0 : 1); /* until the test has seen it */
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    start(w);
    assert_true(exists(w, "journal-0"));
    assert_false(holds(w, &key, "key", 3));
    (void)close(end[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_replayed(w);
    assert_true(holds(w, &key, "key", 3));
    (void)close(ready[0]);
    (void)close(end[0]);
}

/* A link in the place of a journal is not followed, nor is what it shows removed. */
static void
a_link_is_no_journal(void **state)
{
    struct world *w = *state;
    struct blob_store *store = NULL;
    char target[256];
    struct err err;

    (void)snprintf(target, sizeof(target), "%s", path_of(w, "target"));
    write_file(target, w->bytes, w->len);
    assert_int_equal(symlink(target, path_of(w, "journal-0")), 0);
    assert_int_equal(blob_store_open_fs(w->dir, &store, &err), RC_IO);
    assert_null(store);
    assert_true(exists(w, "target"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_of_both_come_back),
        CASE(only_what_is_lost_or_spoilt_is_written),
        CASE(an_erased_one_stays_away),
        CASE(damage_loses_nothing_before_it),
        CASE(another_filling_is_not_taken_for_this),
        CASE(a_size_that_cannot_be_ends_it),
        CASE(nothing_and_junk_are_removed),
        CASE(what_another_process_works_with_stays),
        CASE(a_link_is_no_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
