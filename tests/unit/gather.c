// SPDX-License-Identifier: Apache-2.0
/* gather: what is appended to the log stays in memory until its sync, and never longer. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/sqlite/gather.h"

#define PAGE 4096
#define FRAME (24 + PAGE)
#define MANY 100 /* frames: more than are kept at once */

struct world {
    char dir[64];
    char path[80];
    sqlite3_vfs *vfs;
    sqlite3_file *file;
    char *frames;
};

static int
set_up(void **state)
{
    struct world *w = MEM_NEW(NULL, struct world);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;

    support_make_dir(w->dir);
    (void)snprintf(w->path, sizeof(w->path), "%s/x", w->dir);
    assert_int_equal(mknod(w->path, S_IFREG | 0600, 0), 0); /* whose mode the log gets */
    (void)snprintf(w->path, sizeof(w->path), "%s/x-wal", w->dir);
    w->vfs = sqlite3_vfs_find(gather_vfs());
    assert_non_null(w->vfs);
    w->file = talloc_zero_size(w, w->vfs->szOsFile);
    assert_int_equal(w->vfs->xOpen(w->vfs, w->path, w->file, flags, NULL), SQLITE_OK);
    w->frames = talloc_size(w, (size_t)MANY * FRAME);
    for (size_t i = 0; i < (size_t)MANY * FRAME; i++)
        w->frames[i] = (char)(i * 2654435761u >> 24);
    *state = w;
    return 0;
}

static int
tear_down(void **state)
{
    struct world *w = *state;

    if (w->file->pMethods)
        (void)w->file->pMethods->xClose(w->file);
    support_remove_dir(w->dir);
    (void)talloc_free(w);
    return 0;
}

/* As SQLite writes them: a header, then the page. */
static int
append(struct world *w, int from, int n)
{
    int code = SQLITE_OK;

    for (int i = from; i < from + n && code == SQLITE_OK; i++) {
        const char *frame = w->frames + (size_t)i * FRAME;

        code = w->file->pMethods->xWrite(w->file, frame, 24, (sqlite3_int64)i * FRAME);
        if (code == SQLITE_OK)
            code =
                w->file->pMethods->xWrite(w->file, frame + 24, PAGE, (sqlite3_int64)i * FRAME + 24);
    }
    return code;
}

static int
sync_log(struct world *w)
{
    return w->file->pMethods->xSync(w->file, SQLITE_SYNC_NORMAL);
}

static int64_t
size_on_disk(const struct world *w)
{
    struct stat st;

    assert_int_equal(stat(w->path, &st), 0);
    return st.st_size;
}

static void
assert_on_disk(const struct world *w, int n)
{
    char *bytes = talloc_size(w, (size_t)n * FRAME);
    int fd = open(w->path, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, (size_t)n * FRAME, 0), n * FRAME);
    assert_memory_equal(bytes, w->frames, (size_t)n * FRAME);
    (void)close(fd);
    (void)talloc_free(bytes);
}

static void
test_kept_until_synced(void **state)
{
    struct world *w = *state;

    assert_int_equal(append(w, 0, 3), SQLITE_OK);
    assert_int_equal(size_on_disk(w), 0);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_on_disk(w, 3);
    assert_int_equal(append(w, 3, 1), SQLITE_OK);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_on_disk(w, 4);
}

static void
test_many(void **state)
{
    struct world *w = *state;

    assert_int_equal(append(w, 0, MANY), SQLITE_OK);
    assert_true(size_on_disk(w) > 0);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_int_equal(size_on_disk(w), (int64_t)MANY * FRAME);
    assert_on_disk(w, MANY);
}

/* Wherever a read begins, and however much of it is on disk. */
static void
test_read(void **state)
{
    struct world *w = *state;
    char *bytes = talloc_size(w, (size_t)2 * FRAME);

    assert_int_equal(append(w, 0, 2), SQLITE_OK);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_int_equal(append(w, 2, 2), SQLITE_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(w->file->pMethods->xRead(w->file, bytes, PAGE, i * FRAME + 24), SQLITE_OK);
        assert_memory_equal(bytes, w->frames + (size_t)i * FRAME + 24, PAGE);
    }
    assert_int_equal(size_on_disk(w), 2 * FRAME);
    assert_int_equal(w->file->pMethods->xRead(w->file, bytes, 2 * FRAME, FRAME), SQLITE_OK);
    assert_memory_equal(bytes, w->frames + FRAME, (size_t)2 * FRAME);
}

/* A page that stands in the log already is written over. */
static void
test_elsewhere(void **state)
{
    struct world *w = *state;

    assert_int_equal(append(w, 0, 5), SQLITE_OK);
    memset(w->frames + FRAME + 24, 'x', PAGE);
    assert_int_equal(w->file->pMethods->xWrite(w->file, w->frames + FRAME + 24, PAGE, FRAME + 24),
                     SQLITE_OK);
    assert_int_equal(append(w, 5, 2), SQLITE_OK);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_on_disk(w, 7);
}

static void
test_size_and_truncate(void **state)
{
    struct world *w = *state;
    sqlite3_int64 size = 0;

    assert_int_equal(append(w, 0, 3), SQLITE_OK);
    assert_int_equal(w->file->pMethods->xFileSize(w->file, &size), SQLITE_OK);
    assert_int_equal(size, 3 * FRAME);
    assert_int_equal(append(w, 3, 1), SQLITE_OK);
    assert_int_equal(w->file->pMethods->xTruncate(w->file, 2 * FRAME), SQLITE_OK);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_int_equal(size_on_disk(w), 2 * FRAME);
}

static void
test_close_writes(void **state)
{
    struct world *w = *state;

    assert_int_equal(append(w, 0, 3), SQLITE_OK);
    assert_int_equal(w->file->pMethods->xClose(w->file), SQLITE_OK);
    w->file->pMethods = NULL;
    assert_on_disk(w, 3);
}

/* The sync tells, once; what comes then is not held up by what was lost. */
static void
test_failed_write(void **state)
{
    struct world *w = *state;
    struct rlimit before, small = {.rlim_cur = 2 * FRAME};

    assert_int_equal(append(w, 0, 2), SQLITE_OK);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(append(w, 2, 2), SQLITE_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_not_equal(sync_log(w), SQLITE_OK);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_int_equal(append(w, 1, 1), SQLITE_OK);
    assert_int_equal(sync_log(w), SQLITE_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(size_on_disk(w), 2 * FRAME);
    assert_on_disk(w, 2);
}

/* Transactions larger than the cache put pages into the log before they end. */
static void
test_database(void **state)
{
    struct world *w = *state;
    char *path = talloc_asprintf(w, "%s/y", w->dir);
    sqlite3 *db = NULL;
    char *wrong = NULL;

    assert_int_equal(
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, gather_vfs()),
        SQLITE_OK);
    (void)sqlite3_exec(db,
                       "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=10;"
                       "CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB) STRICT;"
                       "CREATE TABLE wrong (n INTEGER CHECK (n = 0)) STRICT;"
                       "BEGIN; WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE"
                       " i < 2000) INSERT INTO t SELECT i, zeroblob(900) FROM c; ROLLBACK;"
                       "BEGIN; WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE"
                       " i < 2000) INSERT INTO t SELECT i, randomblob(900) FROM c;"
                       "UPDATE t SET x = zeroblob(i + 1) FROM (SELECT 7 AS i) WHERE n % 3 = 0;"
                       "INSERT INTO wrong SELECT count(*) - 2000 FROM t; COMMIT;"
                       "INSERT INTO wrong SELECT count(*) - 666 FROM t WHERE length(x) = 8;"
                       "INSERT INTO wrong SELECT integrity_check <> 'ok' FROM"
                       " pragma_integrity_check;",
                       NULL, NULL, &wrong);
    assert_null(wrong);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    (void)talloc_free(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_until_synced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_size_and_truncate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_database, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
