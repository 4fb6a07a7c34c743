// SPDX-License-Identifier: Apache-2.0
/* What the tests of blob/fs/pack share. */
#ifndef TESTS_UNIT_PACK_H
#define TESTS_UNIT_PACK_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "blob/blob_driver.h"
#include "blob/fs/fs.h"
#include "blob/fs/pack.h"
#include "db/db.h"

#define WORKSPACE 7
#define THREADS 32
#define SMALL_MAX ((size_t)KIB(64))
#define MARK_LEN 16 /* a blob of these tests repeats it, so that any piece of it can be found */

static const char *const names[] = {PACK_FILE, PACK_FILE "-wal", PACK_FILE "-shm"};

/* A store as a server has it, and its files: to close one meanwhile would drop SQLite's locks. */
struct world {
    char dir[64];
    char path[128];
    struct blob_store *store;
    struct pack *pack; /* the store's */
    int files[ARRAY_LEN(names)];
};

static inline void
open_store(struct world *w)
{
    struct err err;

    assert_int_equal(blob_store_open_fs(w->dir, &w->store, &err), RC_OK);
    assert_int_equal(blob_store_share_syncs(w->store, &err), RC_OK);
    w->pack = ((struct fs_store *)w->store)->pack;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[160];

        (void)snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        w->files[i] = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(w->files[i] >= 0);
    }
}

static inline void
close_store(struct world *w)
{
    blob_store_free(&w->store);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        fd_close(&w->files[i]);
}

static inline int
set_up(void **state)
{
    struct world *w = MEM_NEW(NULL, struct world);

    (void)snprintf(w->dir, sizeof(w->dir), "/var/tmp/unit_pack.XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    (void)snprintf(w->path, sizeof(w->path), "%s/" PACK_FILE, w->dir);
    open_store(w);
    *state = w;
    return 0;
}

static inline int
remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline int
tear_down(void **state)
{
    struct world *w = *state;
    int failed;

    close_store(w);
    failed = nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    (void)talloc_free(w);
    return failed;
}

static inline struct blob_key
new_key(void)
{
    return (struct blob_key){.workspace = WORKSPACE, .id = id_new()};
}

/* Bytes of a blob that tell whose they are: its id again and again. */
static inline void
fill(const struct blob_key *key, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = key->id.b[i % MARK_LEN] ^ 0xa5; /* the id itself stands in the index */
}

static inline enum rc
put(struct world *w, const struct blob_key *key, size_t len)
{
    uint8_t bytes[SMALL_MAX];
    struct err err;

    fill(key, bytes, len);
    return pack_put(w->pack, key, bytes, len, &err);
}

static inline enum rc
put_in(struct blob_store *store, const struct blob_key *key, const void *bytes, size_t len)
{
    SCOPED(blob_writer) writer = NULL;
    struct blob_info info;
    struct err err;

    assert_int_equal(blob_write_open(store, key, &writer, &err), RC_OK);
    assert_int_equal(blob_write(writer, bytes, len, &err), RC_OK);
    return blob_write_finish(writer, &info, &err);
}

static inline enum rc
erase(struct world *w, const struct blob_key *key)
{
    struct err err;

    return pack_erase(w->pack, key, &err);
}

/* NOT_FOUND, or RC_OK: what is there is right. For any thread, so without an assertion. */
static inline enum rc
get(struct pack *p, const struct blob_key *key, size_t len)
{
    SCOPED_POOL(pool);
    uint8_t want[SMALL_MAX];
    const uint8_t *bytes;
    int64_t size;
    struct err err;
    enum rc rc = pack_get(p, key, pool, &bytes, &size, &err);

    fill(key, want, len);
    if (!rc && ((size_t)size != len || memcmp(bytes, want, len) != 0))
        return RC_INTERNAL;
    return rc;
}

/* Whether a piece of the blob is in a file; of 16 bytes from anywhere in it. */
static inline bool
fd_holds(int fd, const struct blob_key *key)
{
    uint8_t bytes[KIB(64)], mark[MARK_LEN];
    bool found = false;
    off_t at = 0;
    ssize_t n;

    fill(key, mark, sizeof(mark));
    while (!found && (n = pread(fd, bytes, sizeof(bytes), at)) > 0) {
        found = memmem(bytes, (size_t)n, mark, sizeof(mark)) != NULL;
        at += n >= MARK_LEN ? n - MARK_LEN + 1 : n;
    }
    return found;
}

static inline bool
is_anywhere(const struct world *w, const struct blob_key *key)
{
    bool found = false;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        found = found || fd_holds(w->files[i], key);
    return found;
}

static inline int64_t
size_of(const struct world *w, size_t file)
{
    struct stat info;

    assert_int_equal(fstat(w->files[file], &info), 0);
    return info.st_size;
}

/* On THREADS threads. */
static inline void
run_threads(void *(*run)(void *), void *arg)
{
    pthread_t threads[THREADS];

    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, arg), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

#define PACK_CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
