// SPDX-License-Identifier: Apache-2.0
/* blob/fs/journal: what small blobs leave there, and what the next start makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob/blob_driver.h"
#include "blob/fs/fs.h"
#include "blob/fs/journal.h"

#define WORKSPACE 7
#define COPY_MAX MIB(33)

/* A store that shares syncs, and the bytes of its journals as a crash would find them. */
struct world {
    char dir[64];
    struct blob_store *store;
    uint8_t *bytes[JOURNALS];
    size_t len[JOURNALS];
};

static void
open_store(struct world *w, bool share)
{
    struct err err;

    assert_int_equal(blob_store_open_fs(w->dir, &w->store, &err), RC_OK);
    if (share)
        assert_int_equal(blob_store_share_syncs(w->store, &err), RC_OK);
}

static int
set_up(void **state)
{
    struct world *w = MEM_NEW(NULL, struct world);

    (void)snprintf(w->dir, sizeof(w->dir), "/var/tmp/unit_journal.XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    open_store(w, true);
    assert_non_null(((struct fs_store *)w->store)->journal);
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

static enum rc
put(struct world *w, const struct blob_key *key, const void *bytes, size_t len)
{
    SCOPED(blob_writer) writer = NULL;
    struct blob_info info;
    struct err err;

    assert_int_equal(blob_write_open(w->store, key, &writer, &err), RC_OK);
    assert_int_equal(blob_write(writer, bytes, len, &err), RC_OK);
    return blob_write_finish(writer, &info, &err);
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
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(close(fd), 0);
}

/* Notes what the journals hold now. */
static void
note(struct world *w)
{
    for (unsigned i = 0; i < JOURNALS; i++) {
        int fd = open(path_of(w, journal_name(i)), O_RDONLY);
        ssize_t n;

        w->bytes[i] = mem_zalloc(w, (size_t)COPY_MAX);
        n = read(fd, w->bytes[i], (size_t)COPY_MAX);
        assert_true(n >= 0);
        w->len[i] = (size_t)n;
        (void)close(fd);
    }
}

/* Ends the store, and starts it with the journals as they were noted. */
static void
crash(struct world *w)
{
    blob_store_free(&w->store);
    for (unsigned i = 0; i < JOURNALS; i++)
        write_file(path_of(w, journal_name(i)), w->bytes[i], w->len[i]);
    open_store(w, false);
}

/* Whether the blob holds exactly these bytes; false: there is none. */
static bool
holds(struct world *w, const struct blob_key *key, const char *text)
{
    SCOPED(blob_reader) r = NULL;
    struct err err;
    char got[64];
    size_t n;
    enum rc rc = blob_read_open(w->store, key, &r, &err);

    if (rc == RC_NOT_FOUND)
        return false;
    assert_int_equal(rc, RC_OK);
    assert_int_equal(blob_read(r, 0, got, sizeof(got), &n, &err), RC_OK);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
    return true;
}

static int64_t
size_of(const struct world *w, unsigned journal)
{
    struct stat info;

    assert_int_equal(stat(path_of(w, journal_name(journal)), &info), 0);
    return info.st_size;
}

static bool
journals_hold(struct world *w, const char *text)
{
    note(w);
    for (unsigned i = 0; i < JOURNALS; i++)
        if (memmem(w->bytes[i], w->len[i], text, strlen(text)))
            return true;
    return false;
}

static void
a_lost_or_spoilt_file_is_written_again(void **state)
{
    struct world *w = *state;
    struct blob_key lost = new_key(), empty = new_key(), other = new_key(), fine = new_key();
    struct stat before, after;

    assert_int_equal(put(w, &lost, "lost", 4), RC_OK);
    assert_int_equal(put(w, &empty, "empty", 5), RC_OK);
    assert_int_equal(put(w, &other, "other", 5), RC_OK);
    assert_int_equal(put(w, &fine, "fine", 4), RC_OK);
    note(w);
    assert_int_equal(unlink(path_of_blob(w, &lost)), 0);
    write_file(path_of_blob(w, &empty), "", 0);
    write_file(path_of_blob(w, &other), "OTHER", 5);
    assert_int_equal(stat(path_of_blob(w, &fine), &before), 0);
    crash(w);
    assert_true(holds(w, &lost, "lost"));
    assert_true(holds(w, &empty, "empty"));
    assert_true(holds(w, &other, "other"));
    assert_true(holds(w, &fine, "fine"));
    assert_int_equal(stat(path_of_blob(w, &fine), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(size_of(w, 0) + size_of(w, 1), 0);
}

static void
a_clean_end_leaves_them_empty(void **state)
{
    struct world *w = *state;
    struct blob_key key = new_key();

    assert_int_equal(put(w, &key, "bytes", 5), RC_OK);
    assert_true(size_of(w, 0) > 0);
    blob_store_free(&w->store);
    assert_int_equal(size_of(w, 0) + size_of(w, 1), 0);
    open_store(w, true);
    assert_true(holds(w, &key, "bytes"));
}

static void
a_deleted_blob_does_not_come_back(void **state)
{
    struct world *w = *state;
    struct blob_key first = new_key(), gone = new_key(), last = new_key();
    struct err err;

    assert_int_equal(put(w, &first, "first", 5), RC_OK);
    assert_int_equal(put(w, &gone, "delete me", 9), RC_OK);
    assert_int_equal(put(w, &last, "last", 4), RC_OK);
    assert_true(journals_hold(w, "delete me"));
    assert_int_equal(blob_delete(w->store, &gone, &err), RC_OK);
    assert_false(journals_hold(w, "delete me"));
    assert_int_equal(unlink(path_of_blob(w, &first)), 0);
    assert_int_equal(unlink(path_of_blob(w, &last)), 0);
    crash(w);
    assert_false(holds(w, &gone, "delete me"));
    assert_true(holds(w, &first, "first")); /* it takes nothing with it */
    assert_true(holds(w, &last, "last"));
}

static void
the_other_takes_over(void **state)
{
    struct world *w = *state;
    struct blob_key first = new_key(), second = new_key(), gone = new_key();
    struct err err;

    assert_int_equal(put(w, &first, "first", 5), RC_OK);
    journal_settle(((struct fs_store *)w->store)->journal);
    assert_int_equal(size_of(w, 0) + size_of(w, 1), 0);
    assert_int_equal(put(w, &second, "second", 6), RC_OK);
    assert_int_equal(size_of(w, 0), 0);
    assert_true(size_of(w, 1) > 0);
    assert_int_equal(blob_delete(w->store, &first, &err), RC_OK); /* no record is left of it */
    assert_int_equal(put(w, &gone, "gone", 4), RC_OK);
    assert_int_equal(blob_delete(w->store, &gone, &err), RC_OK);
    note(w);
    assert_int_equal(unlink(path_of_blob(w, &second)), 0);
    crash(w);
    assert_false(holds(w, &first, "first"));
    assert_true(holds(w, &second, "second"));
    assert_false(holds(w, &gone, "gone"));
}

/* More than both journals take: all are stored, by one way or the other. */
static void
full_journals_are_no_limit(void **state)
{
    SCOPED_POOL(pool);
    struct world *w = *state;
    const size_t len = (size_t)KIB(60);
    uint8_t *bytes = mem_zalloc(pool, len);
    struct blob_key keys[1400];
    struct err err;
    int64_t size = 0;

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        keys[i] = new_key();
        assert_int_equal(put(w, &keys[i], bytes, len), RC_OK);
        assert_true(size_of(w, 0) <= MIB(32) && size_of(w, 1) <= MIB(32));
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        assert_int_equal(blob_stat(w->store, &keys[i], &size, &err), RC_OK);
        assert_int_equal(size, len);
    }
}

/* Whatever a byte of a journal turns into: what was before it is there, and nothing is made up. */
static void
damage_loses_nothing_before_it(void **state)
{
    struct world *w = *state;
    struct blob_key keys[3];
    const char *texts[3] = {"one", "two", "three"};
    uint32_t x = 1;

    for (int i = 0; i < 3; i++) {
        keys[i] = new_key();
        assert_int_equal(put(w, &keys[i], texts[i], strlen(texts[i])), RC_OK);
    }
    note(w);
    assert_int_equal(w->len[0], RECORD_SECTOR * 7);
    for (int round = 0; round < 300; round++) {
        size_t at = (x = x * 1664525U + 1013904223U) / 7 % w->len[0], cut = w->len[0];
        uint8_t was = w->bytes[0][at];
        int whole = at < RECORD_SECTOR ? 0 : (int)((at - RECORD_SECTOR) / (2 * RECORD_SECTOR));

        for (int i = 0; i < 3; i++)
            (void)unlink(path_of_blob(w, &keys[i]));
        w->bytes[0][at] ^= (uint8_t)(1U << (x >> 29));
        if (round % 3 == 0)
            w->len[0] = at; /* torn off instead */
        crash(w);
        for (int i = 0; i < whole; i++)
            assert_true(holds(w, &keys[i], texts[i]));
        for (int i = whole; i < 3; i++)
            (void)holds(w, &keys[i], texts[i]); /* not there, or right */
        w->bytes[0][at] = was;
        w->len[0] = cut;
    }
}

/* A record of an earlier filling in the blocks of the file is none of this one. */
static void
another_filling_is_not_taken_for_this(void **state)
{
    struct world *w = *state;
    struct blob_key old = new_key(), new = new_key();
    uint8_t *earlier;

    assert_int_equal(put(w, &old, "first", 5), RC_OK);
    assert_int_equal(put(w, &old, "again", 5), RC_CONFLICT);
    note(w);
    earlier = w->bytes[0];
    crash(w);
    blob_store_free(&w->store);
    open_store(w, true);
    assert_int_equal(unlink(path_of_blob(w, &old)), 0);
    assert_int_equal(put(w, &new, "new", 3), RC_OK);
    note(w);
    memcpy(w->bytes[0] + w->len[0], earlier + RECORD_SECTOR, 2 * RECORD_SECTOR);
    w->len[0] += 2 * RECORD_SECTOR;
    crash(w);
    assert_true(holds(w, &new, "new"));
    assert_false(holds(w, &old, "first"));
}

static void
a_full_disk_leaves_nothing(void **state)
{
    SCOPED_POOL(pool);
    struct world *w = *state;
    struct blob_key first = new_key(), big = new_key(), last = new_key();
    struct rlimit no_limit, limit;
    uint8_t *bytes = mem_zalloc(pool, (size_t)KIB(40));
    struct err err;
    int64_t size;

    assert_int_equal(put(w, &first, "first", 5), RC_OK);
    assert_int_equal(signal(SIGXFSZ, SIG_IGN) == SIG_ERR, 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &no_limit), 0);
    limit = no_limit;
    limit.rlim_cur = (rlim_t)KIB(40); /* the file fits, the journal does not */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(put(w, &big, bytes, (size_t)KIB(40)), RC_IO); /* it is EFBIG here */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &no_limit), 0);
    assert_int_equal(blob_stat(w->store, &big, &size, &err), RC_NOT_FOUND);
    assert_int_equal(put(w, &last, "last", 4), RC_OK);
    note(w);
    assert_int_equal(w->len[0], RECORD_SECTOR * 5); /* taken back */
    assert_int_equal(unlink(path_of_blob(w, &last)), 0);
    crash(w);
    assert_true(holds(w, &last, "last"));
    assert_int_equal(blob_stat(w->store, &big, &size, &err), RC_NOT_FOUND);
}

/* A pipe takes no record, and cannot be cut. That a sync fails is tried in tests/fault. */
static void
what_cannot_be_taken_back_ends_it(void **state)
{
    struct world *w = *state;
    struct blob_key key = new_key(), other = new_key();
    int ends[2], journal = -1;
    char link[64], target[256];
    struct err err;
    ssize_t n;

    assert_int_equal(put(w, &key, "key", 3), RC_OK);
    for (int fd = 3; fd < 256 && journal < 0; fd++) {
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (streq(target, path_of(w, journal_name(0))))
            journal = fd;
    }
    assert_true(journal >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], journal), journal);
    assert_true(put(w, &other, "other", 5) != RC_OK);
    assert_int_equal(put(w, &other, "other", 5), RC_UNAVAILABLE);
    assert_int_equal(blob_delete(w->store, &key, &err), RC_UNAVAILABLE);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* A backup beside a server opens the same directory. */
static void
a_second_process_leaves_them_alone(void **state)
{
    struct world *w = *state;
    SCOPED(blob_store) other = NULL;
    struct blob_key key = new_key();
    struct err err;

    assert_int_equal(put(w, &key, "bytes", 5), RC_OK);
    assert_int_equal(blob_store_open_fs(w->dir, &other, &err), RC_OK);
    assert_true(size_of(w, 0) > 0);
    assert_int_equal(blob_store_share_syncs(other, &err), RC_UNAVAILABLE);
}

struct swarm {
    struct world *w;
    atomic_int failures;
    atomic_int written;
};

static void *
swarm_run(void *arg)
{
    struct swarm *s = arg;
    struct err err;

    for (int i = 0; i < 60; i++) {
        struct blob_key key = new_key();

        if (put(s->w, &key, &i, sizeof(i)) || (i % 2 && blob_delete(s->w->store, &key, &err)))
            atomic_fetch_add(&s->failures, 1);
        if (atomic_fetch_add(&s->written, 1) % 200 == 0)
            journal_settle(((struct fs_store *)s->w->store)->journal);
    }
    return NULL;
}

static void
many_write_and_delete_while_it_is_emptied(void **state)
{
    struct world *w = *state;
    struct swarm s = {.w = w};
    pthread_t threads[16];

    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, swarm_run, &s), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&s.failures), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_lost_or_spoilt_file_is_written_again),
        CASE(a_clean_end_leaves_them_empty),
        CASE(a_deleted_blob_does_not_come_back),
        CASE(the_other_takes_over),
        CASE(full_journals_are_no_limit),
        CASE(damage_loses_nothing_before_it),
        CASE(another_filling_is_not_taken_for_this),
        CASE(a_full_disk_leaves_nothing),
        CASE(what_cannot_be_taken_back_ends_it),
        CASE(a_second_process_leaves_them_alone),
        CASE(many_write_and_delete_while_it_is_emptied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
