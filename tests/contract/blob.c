// SPDX-License-Identifier: Apache-2.0
/* blob.h's contract: the same cases on every driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "blob/blob_driver.h"

#define WORKSPACE 42
#define THREADS 8
#define EACH_THREAD 100

/* One driver under test, and the directory of its present case. */
struct subject {
    const char *name;
    enum rc (*open)(const char *dir, struct blob_store **ret, struct err *err);
    const char *needs; /* a variable of the environment, or NULL */
    bool share;        /* as a server has it: small blobs are rows of one file */
    char dir[64];
    struct blob_store *store;
};

static enum rc
open_mem(const char *dir, struct blob_store **ret, struct err *err)
{
    (void)dir;
    return blob_store_open_mem(ret, err);
}

/* A prefix of its own in the bucket that DOSSIER_TEST_S3 names: as the directory is called. */
static enum rc
open_s3(const char *dir, struct blob_store **ret, struct err *err)
{
    const char *bucket = getenv("DOSSIER_TEST_S3"), *options = strchr(bucket, '?');
    char url[1024];

    (void)snprintf(url, sizeof(url), "%.*s%s%s", (int)strcspn(bucket, "?"), bucket, dir,
                   options ? options : "");
    return blob_store_open_s3(url, dir, ret, err);
}

static struct subject subjects[] = {
    {.name = "fs", .open = blob_store_open_fs},
    {.name = "fs, named", .open = blob_store_open_fs_named},
    {.name = "fs, shared", .open = blob_store_open_fs, .share = true},
    {.name = "mem", .open = open_mem},
    {.name = "s3", .open = open_s3, .needs = "DOSSIER_TEST_S3"},
};

static int
set_up(void **state)
{
    struct subject *s = *state;
    struct err err;

    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/contract_blob.XXXXXX");
    if (!mkdtemp(s->dir))
        return -1;
    if (s->open(s->dir, &s->store, &err) || (s->share && blob_store_share_syncs(s->store, &err))) {
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

static enum rc
delete_one(void *arg, const struct blob_key *key, int64_t size, int64_t mtime, struct err *err)
{
    (void)size;
    (void)mtime;
    return blob_delete(arg, key, err);
}

static int
tear_down(void **state)
{
    struct subject *s = *state;
    struct err err;

    if (s->needs && blob_each(s->store, delete_one, NULL, s->store, &err))
        return -1;
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

/* Fails the test unless the blob holds exactly these bytes. */
static void
check_bytes(struct blob_store *store, const struct blob_key *key, const char *bytes, size_t len)
{
    SCOPED(blob_reader) r = NULL;
    struct err err;
    char got[256];
    size_t n = 0;

    assert_true(len < sizeof(got));
    assert_int_equal(blob_read_open(store, key, &r, &err), RC_OK);
    assert_int_equal(blob_reader_size(r), len);
    assert_int_equal(blob_read(r, 0, got, sizeof(got), &n, &err), RC_OK);
    assert_int_equal(n, len);
    if (len > 0)
        assert_memory_equal(got, bytes, len);
}

static enum rc
count_blob(void *arg, const struct blob_key *key, int64_t size, int64_t mtime, struct err *err)
{
    (void)key;
    (void)size;
    (void)mtime;
    (void)err;
    ++*(size_t *)arg;
    return RC_OK;
}

static size_t
count_all(struct blob_store *store)
{
    struct err err;
    size_t n = 0;

    assert_int_equal(blob_each(store, count_blob, NULL, &n, &err), RC_OK);
    return n;
}

static void
lives_and_dies(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    struct blob_key other = {.workspace = WORKSPACE + 1, .id = key.id};
    SCOPED(blob_reader) r = NULL;
    struct err err;
    int64_t size = -1;

    assert_int_equal(blob_stat(s->store, &key, &size, &err), RC_NOT_FOUND);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_NOT_FOUND);
    assert_null(r);
    assert_int_equal(put(s->store, &key, "hello", 5), RC_OK);
    assert_int_equal(blob_stat(s->store, &key, &size, &err), RC_OK);
    assert_int_equal(size, 5);
    check_bytes(s->store, &key, "hello", 5);
    assert_int_equal(blob_stat(s->store, &other, &size, &err), RC_NOT_FOUND);
    assert_int_equal(blob_delete(s->store, &other, &err), RC_OK);
    check_bytes(s->store, &key, "hello", 5);
    assert_int_equal(blob_delete(s->store, &key, &err), RC_OK);
    assert_int_equal(blob_stat(s->store, &key, &size, &err), RC_NOT_FOUND);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_NOT_FOUND);
    assert_int_equal(count_all(s->store), 0);
    assert_true(blob_store_free_bytes(s->store) > 0);
}

static void
is_invisible_until_finished(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    struct err err;
    int64_t size;

    assert_int_equal(blob_write_open(s->store, &key, &w, &err), RC_OK);
    assert_int_equal(blob_write(w, "abc", 3, &err), RC_OK);
    assert_int_equal(blob_writer_size(w), 3);
    assert_int_equal(blob_stat(s->store, &key, &size, &err), RC_NOT_FOUND);
    assert_int_equal(count_all(s->store), 0);
    assert_int_equal(blob_write_finish(w, &info, &err), RC_OK);
    assert_int_equal(info.size, 3);
    assert_int_equal(count_all(s->store), 1);
    blob_writer_free(&w);
    assert_null(w);
    blob_writer_free(&w);
    check_bytes(s->store, &key, "abc", 3);
}

static void
discarding_leaves_nothing(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_writer) w = NULL;
    struct err err;
    int64_t size;

    assert_int_equal(blob_write_open(s->store, &key, &w, &err), RC_OK);
    assert_int_equal(blob_write(w, "abc", 3, &err), RC_OK);
    blob_writer_free(&w);
    assert_null(w);
    assert_int_equal(blob_stat(s->store, &key, &size, &err), RC_NOT_FOUND);
    assert_int_equal(count_all(s->store), 0);
}

static void
a_key_is_written_once(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    struct err err;

    assert_int_equal(put(s->store, &key, "first", 5), RC_OK);
    assert_int_equal(blob_write_open(s->store, &key, &w, &err), RC_OK);
    assert_int_equal(blob_write(w, "second", 6, &err), RC_OK);
    assert_int_equal(blob_write_finish(w, &info, &err), RC_CONFLICT);
    assert_int_equal(blob_write(w, "more", 4, &err), RC_CONFLICT);
    assert_int_equal(blob_write_finish(w, &info, &err), RC_CONFLICT);
    blob_writer_free(&w);
    check_bytes(s->store, &key, "first", 5);
    assert_int_equal(count_all(s->store), 1);
    assert_int_equal(blob_delete(s->store, &key, &err), RC_OK);
    assert_int_equal(put(s->store, &key, "third", 5), RC_OK);
    check_bytes(s->store, &key, "third", 5);
}

static void
deleting_what_is_absent_succeeds(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    struct err err;

    assert_int_equal(blob_delete(s->store, &key, &err), RC_OK);
    assert_int_equal(put(s->store, &key, "x", 1), RC_OK);
    assert_int_equal(blob_delete(s->store, &key, &err), RC_OK);
    assert_int_equal(blob_delete(s->store, &key, &err), RC_OK);
}

static void
zero_bytes_are_a_blob(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    uint8_t empty[SHA256_LEN];
    struct err err;

    crypto_sha256("", 0, empty);
    assert_int_equal(blob_write_open(s->store, &key, &w, &err), RC_OK);
    assert_int_equal(blob_write(w, NULL, 0, &err), RC_OK);
    assert_int_equal(blob_write_finish(w, &info, &err), RC_OK);
    assert_int_equal(info.size, 0);
    assert_memory_equal(info.sha256, empty, SHA256_LEN);
    check_bytes(s->store, &key, "", 0);
}

/* Writes `size` bytes of `bytes` in chunks of odd sizes. */
static void
put_in_chunks(struct blob_store *store, const struct blob_key *key, const uint8_t *bytes,
              size_t size, struct blob_info *info)
{
    SCOPED(blob_writer) w = NULL;
    size_t chunk = 1;
    struct err err;

    assert_int_equal(blob_write_open(store, key, &w, &err), RC_OK);
    for (size_t at = 0; at < size; at += chunk) {
        chunk = (chunk * 3 + 7) % 65537 + 1;
        if (chunk > size - at)
            chunk = size - at;
        assert_int_equal(blob_write(w, bytes + at, chunk, &err), RC_OK);
    }
    assert_int_equal(blob_writer_size(w), size);
    assert_int_equal(blob_write_finish(w, info, &err), RC_OK);
}

static uint8_t *
pattern(TALLOC_CTX *pool, size_t size)
{
    uint8_t *bytes = mem_zalloc(pool, size);
    uint32_t x = 12345;

    for (size_t i = 0; i < size; i++) {
        x = x * 1664525U + 1013904223U;
        bytes[i] = (uint8_t)(x >> 24);
    }
    return bytes;
}

static void
hashes_what_comes_in_chunks(void **state)
{
    SCOPED_POOL(pool);
    struct subject *s = *state;
    const size_t sizes[] = {(size_t)MIB(5), (size_t)MIB(20) + 1};
    uint8_t *bytes = pattern(pool, sizes[1]), *got = mem_zalloc(pool, sizes[1]);
    uint8_t want[SHA256_LEN];
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct blob_key key = new_key();
        SCOPED(blob_reader) r = NULL;
        struct blob_info info;
        size_t n = 0;

        put_in_chunks(s->store, &key, bytes, sizes[i], &info);
        crypto_sha256(bytes, sizes[i], want);
        assert_int_equal(info.size, sizes[i]);
        assert_memory_equal(info.sha256, want, SHA256_LEN);
        assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_OK);
        assert_int_equal(blob_read(r, 0, got, sizes[1], &n, &err), RC_OK);
        assert_int_equal(n, sizes[i]);
        assert_int_equal(memcmp(got, bytes, n), 0);
    }
}

static void
reads_from_any_offset(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_reader) r = NULL;
    struct err err;
    char got[8];
    size_t n = 99;

    assert_int_equal(put(s->store, &key, "0123456789", 10), RC_OK);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_OK);
    assert_int_equal(blob_read(r, 3, got, 4, &n, &err), RC_OK);
    assert_int_equal(n, 4);
    assert_memory_equal(got, "3456", 4);
    assert_int_equal(blob_read(r, 8, got, 8, &n, &err), RC_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(got, "89", 2);
    assert_int_equal(blob_read(r, 10, got, 8, &n, &err), RC_OK);
    assert_int_equal(n, 0);
    assert_int_equal(blob_read(r, INT64_MAX, got, 8, &n, &err), RC_OK);
    assert_int_equal(n, 0);
    assert_int_equal(blob_read(r, 0, got, 0, &n, &err), RC_OK);
    assert_int_equal(n, 0);
    /* A reader outlives its blob. */
    assert_int_equal(blob_delete(s->store, &key, &err), RC_OK);
    assert_int_equal(blob_read(r, 0, got, 3, &n, &err), RC_OK);
    assert_memory_equal(got, "012", 3);
}

static void
lends_a_descriptor(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_reader) r = NULL;
    char bytes[KIB(65)] = "abcd", got[4]; /* a small one may be no file of its own */
    struct err err;

    assert_int_equal(put(s->store, &key, bytes, sizeof(bytes)), RC_OK);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_OK);
    if (!(blob_store_caps(s->store) & BLOB_HAS_FD)) {
        assert_int_equal(blob_reader_fd(r), -1);
        return;
    }
    assert_true(blob_reader_fd(r) >= 0);
    assert_int_equal(pread(blob_reader_fd(r), got, 4, 0), 4);
    assert_memory_equal(got, "abcd", 4);
    assert_true(fcntl(blob_reader_fd(r), F_GETFD) & FD_CLOEXEC);
}

/* What a walk is expected to find; it deletes each blob as it comes by. */
struct expected {
    struct blob_store *store;
    struct blob_key keys[3];
    bool seen[3];
    int visits, stop_after;
};

static enum rc
visit_and_delete(void *arg, const struct blob_key *key, int64_t size, int64_t mtime,
                 struct err *err)
{
    struct expected *e = arg;

    for (int i = 0; i < 3; i++) {
        if (id_equal(&key->id, &e->keys[i].id) && key->workspace == e->keys[i].workspace) {
            assert_int_equal(size, i + 1);
            assert_false(e->seen[i]);
            e->seen[i] = true;
        }
    }
    assert_in_range(mtime, clock_wall_ms() - 60000, clock_wall_ms() + 1000);
    if (++e->visits == e->stop_after)
        return err_set(err, RC_BUSY, "enough");
    return blob_delete(e->store, key, err);
}

static void
walks_all_blobs(void **state)
{
    struct subject *s = *state;
    struct expected e = {.store = s->store, .stop_after = 1};
    struct err err;

    for (int i = 0; i < 3; i++) {
        e.keys[i] = new_key();
        e.keys[i].workspace = i == 0 ? 0 : INT64_MAX - i;
        assert_int_equal(put(s->store, &e.keys[i], "xyz", (size_t)i + 1), RC_OK);
    }
    assert_int_equal(blob_each(s->store, visit_and_delete, NULL, &e, &err), RC_BUSY);
    assert_int_equal(e.visits, 1);
    memset(e.seen, 0, sizeof(e.seen));
    e.stop_after = -1;
    assert_int_equal(blob_each(s->store, visit_and_delete, NULL, &e, &err), RC_OK);
    assert_int_equal(e.visits, 4);
    assert_true(e.seen[0] && e.seen[1] && e.seen[2]);
    assert_int_equal(count_all(s->store), 0);
}

static void
sweeping_a_live_store_is_harmless(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    size_t removed = 99;
    struct err err;

    assert_int_equal(blob_write_open(s->store, &key, &w, &err), RC_OK);
    assert_int_equal(blob_write(w, "live", 4, &err), RC_OK);
    assert_int_equal(blob_sweep_temporary(s->store, clock_wall_ms() - 60000, &removed, &err),
                     RC_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(blob_write_finish(w, &info, &err), RC_OK);
    check_bytes(s->store, &key, "live", 4);
}

static void
compares_with_the_hash(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    SCOPED(blob_reader) r = NULL;
    uint8_t sha256[SHA256_LEN];
    struct err err;
    char got[16];
    size_t n = 99;

    assert_int_equal(put(s->store, &key, "0123456789", 10), RC_OK);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_OK);
    crypto_sha256("0123456789", 10, sha256);
    blob_reader_expect(r, sha256);
    assert_int_equal(blob_read(r, 0, got, 4, &n, &err), RC_OK);
    assert_int_equal(blob_read(r, 4, got, 16, &n, &err), RC_OK);
    assert_int_equal(n, 6);
    crypto_sha256("012345678?", 10, sha256);
    blob_reader_expect(r, sha256);
    assert_int_equal(blob_read(r, 0, got, 4, &n, &err), RC_OK);
    assert_int_equal(blob_read(r, 2, got, 2, &n, &err), RC_OK); /* again: not counted twice */
    assert_int_equal(blob_read(r, 4, got, 16, &n, &err), RC_IO);
    /* a part alone cannot be compared */
    blob_reader_expect(r, sha256);
    assert_int_equal(blob_read(r, 4, got, 16, &n, &err), RC_OK);
    assert_int_equal(blob_read(r, 0, got, 10, &n, &err), RC_OK);
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool ready;
};

static void
wake_waiter(void *arg)
{
    struct waiter *w = arg;

    pthread_mutex_lock(&w->lock);
    w->ready = true;
    (void)pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
}

/* Waits until it is ready, when it is not; says whether it was not. */
static bool
wait_ready(struct blob_reader *r, int64_t offset, struct waiter *w)
{
    w->ready = false;
    if (blob_read_ready(r, offset, wake_waiter, w))
        return false;
    pthread_mutex_lock(&w->lock);
    while (!w->ready)
        pthread_cond_wait(&w->woken, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return true;
}

static void
tells_when_it_is_ready(void **state)
{
    SCOPED_POOL(pool);
    struct subject *s = *state;
    const size_t size = (size_t)MIB(3) + 7;
    uint8_t *bytes = pattern(pool, size), *got = mem_zalloc(pool, size);
    struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct blob_key key = new_key();
    SCOPED(blob_reader) r = NULL;
    struct blob_info info;
    struct err err;
    size_t n = 0;
    int waits = 0;

    put_in_chunks(s->store, &key, bytes, size, &info);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_OK);
    for (size_t at = 0; at < size; at += n) {
        (void)wait_ready(r, (int64_t)at, &w);
        assert_int_equal(blob_read(r, (int64_t)at, got + at, 100000, &n, &err), RC_OK);
    }
    assert_int_equal(memcmp(got, bytes, size), 0);
    for (int64_t at = MIB(2); at > 0; at -= 300000) {
        waits += wait_ready(r, at, &w);
        assert_int_equal(blob_read(r, at, got, 1000, &n, &err), RC_OK);
        assert_int_equal(memcmp(got, bytes + at, n), 0);
    }
    assert_int_equal(waits > 0, (blob_store_caps(s->store) & BLOB_REMOTE) != 0);
    assert_true(blob_read_ready(r, (int64_t)size, wake_waiter, &w));
    /* one that is freed while it waits is not told */
    (void)!blob_read_ready(r, MIB(1), wake_waiter, &w);
}

static void
has_an_identity(void **state)
{
    struct subject *s = *state;
    const uint8_t first[BLOB_IDENTITY_LEN] = {1, 2}, second[BLOB_IDENTITY_LEN] = {3};
    uint8_t again[BLOB_IDENTITY_LEN] = {0};
    struct err err;

    assert_int_equal(blob_store_identity(s->store, again, &err), RC_NOT_FOUND);
    assert_int_equal(blob_store_identify(s->store, first, &err), RC_OK);
    assert_int_equal(blob_store_identify(s->store, second, &err), RC_OK);
    assert_int_equal(blob_store_identity(s->store, again, &err), RC_OK);
    assert_memory_equal(first, again, sizeof(first));
    if (!(blob_store_caps(s->store) & BLOB_DURABLE))
        return;
    blob_store_free(&s->store);
    assert_int_equal(s->open(s->dir, &s->store, &err), RC_OK);
    assert_int_equal(blob_store_identity(s->store, again, &err), RC_OK);
    assert_memory_equal(first, again, sizeof(first));
    assert_int_equal(count_all(s->store), 0);
}

struct swarm {
    struct blob_store *store;
    const struct blob_key *shared; /* all threads try to write this one */
    atomic_int won, failures;
};

static void
swarm_one(struct swarm *sw, int i)
{
    struct blob_key key = new_key();
    char bytes[64];
    struct err err;
    int64_t size = -1;

    memset(bytes, i, sizeof(bytes));
    if (put(sw->store, &key, bytes, sizeof(bytes)) || blob_stat(sw->store, &key, &size, &err) ||
        size != sizeof(bytes) || (i % 2 && blob_delete(sw->store, &key, &err)))
        atomic_fetch_add(&sw->failures, 1);
}

static void *
swarm_run(void *arg)
{
    SCOPED(blob_writer) w = NULL;
    struct swarm *sw = arg;
    struct blob_info info;
    struct err err;

    for (int i = 0; i < EACH_THREAD; i++)
        swarm_one(sw, i);
    if (blob_write_open(sw->store, sw->shared, &w, &err))
        return NULL;
    if (blob_write_finish(w, &info, &err) == RC_OK)
        atomic_fetch_add(&sw->won, 1);
    return NULL;
}

static void
many_threads_write(void **state)
{
    struct subject *s = *state;
    struct blob_key shared = new_key();
    struct swarm sw = {.store = s->store, .shared = &shared};
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, swarm_run, &sw), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&sw.failures), 0);
    assert_int_equal(atomic_load(&sw.won), 1);
    assert_int_equal(count_all(s->store), THREADS * EACH_THREAD / 2 + 1);
}

static void
durable_stores_open_again(void **state)
{
    struct subject *s = *state;
    struct blob_key key = new_key();
    struct err err;

    if (!(blob_store_caps(s->store) & BLOB_DURABLE))
        return;
    assert_int_equal(put(s->store, &key, "stay", 4), RC_OK);
    blob_store_free(&s->store);
    assert_int_equal(s->open(s->dir, &s->store, &err), RC_OK);
    check_bytes(s->store, &key, "stay", 4);
    assert_int_equal(blob_delete(s->store, &key, &err), RC_OK);
}

static const struct CMUnitTest every_driver[] = {
    cmocka_unit_test_setup_teardown(lives_and_dies, set_up, tear_down),
    cmocka_unit_test_setup_teardown(is_invisible_until_finished, set_up, tear_down),
    cmocka_unit_test_setup_teardown(discarding_leaves_nothing, set_up, tear_down),
    cmocka_unit_test_setup_teardown(a_key_is_written_once, set_up, tear_down),
    cmocka_unit_test_setup_teardown(deleting_what_is_absent_succeeds, set_up, tear_down),
    cmocka_unit_test_setup_teardown(zero_bytes_are_a_blob, set_up, tear_down),
    cmocka_unit_test_setup_teardown(hashes_what_comes_in_chunks, set_up, tear_down),
    cmocka_unit_test_setup_teardown(reads_from_any_offset, set_up, tear_down),
    cmocka_unit_test_setup_teardown(lends_a_descriptor, set_up, tear_down),
    cmocka_unit_test_setup_teardown(compares_with_the_hash, set_up, tear_down),
    cmocka_unit_test_setup_teardown(tells_when_it_is_ready, set_up, tear_down),
    cmocka_unit_test_setup_teardown(has_an_identity, set_up, tear_down),
    cmocka_unit_test_setup_teardown(walks_all_blobs, set_up, tear_down),
    cmocka_unit_test_setup_teardown(sweeping_a_live_store_is_harmless, set_up, tear_down),
    cmocka_unit_test_setup_teardown(many_threads_write, set_up, tear_down),
    cmocka_unit_test_setup_teardown(durable_stores_open_again, set_up, tear_down),
};

/* Runs all cases on one subject; returns how many failed. */
static int
run_on(struct subject *s)
{
    struct CMUnitTest tests[ARRAY_LEN(every_driver)];

    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        tests[i] = every_driver[i];
        tests[i].initial_state = s;
    }
    return cmocka_run_group_tests_name(s->name, tests, NULL, NULL);
}

int
main(void)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
        if (subjects[i].needs && !getenv(subjects[i].needs))
            print_message("left out: %s, which needs %s\n", subjects[i].name, subjects[i].needs);
        else
            failed += run_on(&subjects[i]);
    }
    return failed != 0;
}
