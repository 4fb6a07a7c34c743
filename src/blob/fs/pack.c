// SPDX-License-Identifier: Apache-2.0
#include "blob/fs/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "blob/fs/fs.h"
#include "db/db.h"

#define BATCH_MAX 64    /* works of one commit: some MiB at most */
#define READERS_MAX 16  /* connections that are kept */
#define EACH_MAX 256    /* rows of a walk that are read at once */
#define EMPTY_TRIES 10  /* of 100 ms, until whoever reads the log has ended; all wait meanwhile */
#define UNUSED_MIN 1024 /* pages that are kept for what comes, of 4 KiB */
#define UNUSED_PART 4   /* and of the file */

/* https://www.sqlite.org/fileformat2.html#b_tree_pages */
#define PAGE 4096
#define REST_MAX (PAGE - 4)                     /* bytes of a row in a page of its own */
#define LOCAL_MIN ((PAGE - 12) * 32 / 255 - 23) /* and in a page of the table, of a long row */
#define HEAD_MIN 24                             /* no row has fewer before its filler */

/* room can be given back only in a file that was made for it (auto_vacuum 2: when told to) */
static const struct sql can_shrink = SQL("PRAGMA auto_vacuum");
static const struct sql let_shrink = SQL("PRAGMA auto_vacuum=INCREMENTAL; VACUUM");
static const struct sql make =
    SQL("CREATE TABLE IF NOT EXISTS small (number INTEGER PRIMARY KEY, workspace_id INTEGER NOT"
        " NULL, id BLOB NOT NULL, size INTEGER NOT NULL, written_at INTEGER NOT NULL, filler"
        " BLOB NOT NULL, bytes BLOB NOT NULL);"
        "CREATE UNIQUE INDEX IF NOT EXISTS small_key ON small (workspace_id, id)");
static const struct sql made = SQL("SELECT 1 FROM sqlite_schema WHERE name = 'small_key'");
static const struct sql insert =
    SQL("INSERT INTO small (workspace_id, id, size, written_at, filler, bytes)"
        " VALUES ($1, $2, $3, $4, zeroblob($5), $6)");
static const struct sql erase = SQL("DELETE FROM small WHERE workspace_id = $1 AND id = $2");
static const struct sql get = SQL("SELECT bytes FROM small WHERE workspace_id = $1 AND id = $2");
static const struct sql look = SQL("SELECT size FROM small WHERE workspace_id = $1 AND id = $2");
static const struct sql some = SQL("SELECT number, workspace_id, id, size, written_at FROM small"
                                   " WHERE number > $1 ORDER BY number LIMIT $2");

static const struct sql small_cache = SQL("PRAGMA cache_size=-1024");
/* to be emptied it takes as much room again: see ROOM_KEPT in fs.c */
static const struct sql short_log = SQL("PRAGMA wal_autocheckpoint=1000");
static const struct sql page_count = SQL("PRAGMA page_count");
static const struct sql freelist_count = SQL("PRAGMA freelist_count");
static const struct sql give_back = SQL("PRAGMA incremental_vacuum(512)");

/* What one thread waits to have on disk. On its stack, and in the list until it is taken. */
struct item {
    const struct blob_key *key;
    const void *bytes; /* NULL: to be erased */
    size_t len;
    enum rc rc;
    struct err err;
    bool done;
    bool leads; /* it is this thread's turn to do it for all */
    pthread_cond_t woken;
    struct item *next;
};

struct pack {
    struct db *db;
    atomic_bool *broken;
    pthread_mutex_t lock; /* guards all below but the writer, which is the leader's */
    struct db_conn *writer;
    char *log_path;
    struct item *first, **end;
    bool leading;
    size_t erasing; /* items, waiting or under way */
    bool log_tells; /* of something erased, perhaps */
    struct db_conn *readers[READERS_MAX];
    size_t n_readers; /* not in use */
};

#define SCOPED_READER __attribute__((cleanup(reader_leave))) struct reader

struct reader {
    struct pack *pack;
    struct db_conn *conn;
};

/* There may be many, and rows are hardly ever read twice by one of them: 1 MiB each. */
static enum rc
connect_to(struct pack *p, enum db_mode mode, struct db_conn **ret, struct err *err)
{
    enum rc rc = db_connect(p->db, mode, ret, err);

    if (!rc)
        rc = db_script(*ret, &small_cache, err);
    if (!rc && mode == DB_WRITER)
        rc = db_script(*ret, &short_log, err);
    return rc;
}

/* --- reading --- */

static enum rc
reader_take(struct pack *p, struct reader *ret, struct err *err)
{
    ret->pack = p;
    pthread_mutex_lock(&p->lock);
    ret->conn = p->n_readers > 0 ? p->readers[--p->n_readers] : NULL;
    pthread_mutex_unlock(&p->lock);
    if (!ret->conn && connect_to(p, DB_READER, &ret->conn, err))
        return err->code = RC_UNAVAILABLE; /* no descriptor or memory: later there may be */
    return RC_OK;
}

static void
reader_leave(struct reader *r)
{
    if (!r->conn)
        return;
    pthread_mutex_lock(&r->pack->lock);
    if (r->pack->n_readers < READERS_MAX) {
        r->pack->readers[r->pack->n_readers++] = r->conn;
        r->conn = NULL;
    }
    pthread_mutex_unlock(&r->pack->lock);
    db_conn_free(&r->conn);
}

/* Somebody else's lock on the file is no fault of the store. */
static enum rc
told(enum rc rc, struct err *err)
{
    return rc == RC_BUSY ? err_set(err, RC_UNAVAILABLE, "the file of small blobs is locked") : rc;
}

static enum rc
find(struct reader *r, const struct sql *sql, const struct blob_key *key, struct db_cursor **ret,
     struct err *err)
{
    enum rc rc =
        db_query_one(r->conn, sql, DB_ARGS(db_int(key->workspace), db_id(&key->id)), ret, err);

    return told(rc, err);
}

enum rc
pack_get(struct pack *p, const struct blob_key *key, TALLOC_CTX *pool, const uint8_t **ret,
         int64_t *ret_size, struct err *err)
{
    SCOPED_READER r = {0};
    SCOPED(db_cursor) c = NULL;
    const void *bytes;
    size_t len = 0;
    enum rc rc = reader_take(p, &r, err);

    if (!rc)
        rc = find(&r, &get, key, &c, err);
    if (rc)
        return rc;
    bytes = db_col_blob(c, 0, &len);
    *ret = talloc_memdup(pool, len ? bytes : "", len ? len : 1);
    BUG_ON(!*ret);
    *ret_size = (int64_t)len;
    return RC_OK;
}

enum rc
pack_stat(struct pack *p, const struct blob_key *key, int64_t *ret_size, struct err *err)
{
    SCOPED_READER r = {0};
    SCOPED(db_cursor) c = NULL;
    enum rc rc = reader_take(p, &r, err);

    if (!rc)
        rc = find(&r, &look, key, &c, err);
    if (!rc)
        *ret_size = db_col_int(c, 0);
    return rc;
}

struct seen {
    int64_t number;
    struct blob_key key;
    int64_t size;
    int64_t written_ms;
};

/* The next ones of a walk; *ret_n is 0 at the end. */
static enum rc
read_some(struct pack *p, int64_t after, struct seen ret[EACH_MAX], size_t *ret_n, struct err *err)
{
    SCOPED_READER r = {0};
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc = reader_take(p, &r, err);

    *ret_n = 0;
    if (!rc)
        rc = db_query(r.conn, &some, DB_ARGS(db_int(after), db_int(EACH_MAX)), &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        struct seen *s = &ret[(*ret_n)++];

        s->number = db_col_int(c, 0);
        s->key.workspace = db_col_int(c, 1);
        if (!db_col_id(c, 2, &s->key.id))
            return err_set(err, RC_IO, "a small blob without a key");
        s->size = db_col_int(c, 3);
        s->written_ms = db_col_int(c, 4);
    }
    return told(rc, err);
}

/* No statement is under way while visit() runs: it may erase what it sees, and take its time. */
enum rc
pack_each(struct pack *p, blob_visit_fn *visit, void *arg, struct err *err)
{
    SCOPED_POOL(pool);
    struct seen *list = MEM_ARRAY(pool, struct seen, EACH_MAX);
    int64_t after = 0;
    size_t n = 1;
    enum rc rc = RC_OK;

    while (!rc && n > 0) {
        rc = read_some(p, after, list, &n, err);
        for (size_t i = 0; i < n && !rc; i++) {
            rc = visit(arg, &list[i].key, list[i].size, list[i].written_ms, err);
            after = list[i].number;
        }
    }
    return rc;
}

/* --- writing --- */

/*
 * How many zeros stand before the bytes of a row, so that none of these are in a page of the table.
 *
 * When rows go to a neighbour page, SQLite leaves copies of them between the rows that stay, and
 * secure_delete knows nothing of those. Pages that hold the rest of one row are never shared, and
 * are overwritten when they are freed. Of a row too long for a page of the table LOCAL_MIN bytes
 * stand there, and so many more that the pages for its rest are full: so the rest, of whole pages,
 * has to begin at or before the bytes.
 */
static int64_t
filler_of(int64_t len)
{
    int64_t rest = (len + REST_MAX - 1) / REST_MAX * REST_MAX;

    return LOCAL_MIN - HEAD_MIN + rest - len;
}

/* One item. What is not its own mistake undoes the others, too. */
static enum rc
apply(struct db_conn *conn, struct item *it, struct err *err)
{
    const struct blob_key *key = it->key;

    if (!it->bytes)
        return db_exec(conn, &erase, DB_ARGS(db_int(key->workspace), db_id(&key->id)), NULL, err);
    it->rc = db_exec(conn, &insert,
                     DB_ARGS(db_int(key->workspace), db_id(&key->id), db_int((int64_t)it->len),
                             db_int(clock_wall_ms()), db_int(filler_of((int64_t)it->len)),
                             db_blob(it->bytes, it->len)),
                     NULL, &it->err);
    if (!it->rc || it->rc == RC_CONFLICT)
        return RC_OK;
    *err = it->err;
    return it->rc;
}

static enum rc
commit(struct pack *p, struct item *const *items, size_t n, struct err *err)
{
    enum rc rc = p->writer ? RC_OK : connect_to(p, DB_WRITER, &p->writer, err);

    if (!rc)
        rc = db_begin_write(p->writer, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n && !rc; i++)
        rc = apply(p->writer, items[i], err);
    if (rc) {
        db_rollback(p->writer);
        return rc;
    }
    CRASH_POINT("pack.before-commit");
    rc = db_commit(p->writer, err);
    CRASH_POINT("pack.after-commit");
    return rc;
}

static enum rc
read_number(struct db_conn *conn, const struct sql *sql, int64_t *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(conn, sql, DB_NO_ARGS, &c, err);

    if (!rc)
        *ret = db_col_int(c, 0);
    return rc;
}

/* Gives room back to the file system, some at a time, when much of the file is unused. */
static enum rc
shrink(struct pack *p, struct err *err)
{
    int64_t pages = 0, unused = 0;
    enum rc rc = read_number(p->writer, &page_count, &pages, err);

    if (!rc)
        rc = read_number(p->writer, &freelist_count, &unused, err);
    if (rc || unused < UNUSED_MIN || unused < pages / UNUSED_PART)
        return rc;
    rc = db_begin_write(p->writer, err);
    if (rc)
        return rc;
    rc = db_script(p->writer, &give_back, err);
    if (!rc)
        return db_commit(p->writer, err);
    db_rollback(p->writer);
    return rc;
}

/*
 * That a log is empty is in memory at first: what stood there could be back after a power loss. No
 * descriptor for it (UNAVAILABLE) is no fault of the store: later there may be one.
 */
static enum rc
sync_log(struct pack *p, struct err *err)
{
    SCOPED_FD fd = open(p->log_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return fs_fail(err, "opening an emptied log");
    return fsync(fd) ? err_errno(err, RC_IO, "syncing an emptied log") : RC_OK;
}

/* Until nothing that was erased is left there. */
static enum rc
empty_log(struct pack *p, struct err *err)
{
    enum rc rc = RC_BUSY;

    for (int i = 0; i < EMPTY_TRIES && rc == RC_BUSY; i++)
        rc = db_checkpoint(p->writer, err);
    if (!rc)
        rc = sync_log(p, err);
    CRASH_POINT("pack.after-emptied");
    if (rc == RC_IO) /* a sync that failed would seem to succeed the next time */
        rc = err->code = RC_COMMIT_UNKNOWN;
    return rc;
}

/* All at once, or, when that cannot be, the same error for all. */
static void
run(struct pack *p, struct item *const *items, size_t n)
{
    bool erases = !items[0]->bytes;
    struct err err = {0};
    enum rc rc;

    if (atomic_load(p->broken))
        rc = err_set(&err, RC_UNAVAILABLE, "small blobs could not be synced before");
    else
        rc = commit(p, items, n, &err);
    if (!rc && erases) {
        rc = shrink(p, &err);
        if (rc == RC_STORAGE_FULL) /* it takes room at first; what was erased is so without */
            rc = RC_OK;
    }
    if (!rc && erases)
        rc = empty_log(p, &err);
    rc = told(rc, &err);
    if (rc == RC_COMMIT_UNKNOWN)
        atomic_store(p->broken, true);
    for (size_t i = 0; i < n && rc; i++) {
        items[i]->rc = rc;
        items[i]->err = err;
    }
}

/* All that are of the first one's kind: for erasing, a log has to be emptied. */
static size_t
take(struct pack *p, struct item *ret[BATCH_MAX])
{
    bool erases = !p->first->bytes;
    size_t n = 0;

    for (struct item **at = &p->first; *at && n < BATCH_MAX;) {
        if (!(*at)->bytes == erases) {
            ret[n++] = *at;
            *at = (*at)->next;
        } else {
            at = &(*at)->next;
        }
    }
    for (p->end = &p->first; *p->end;)
        p->end = &(*p->end)->next;
    return n;
}

/* Does what waits, with the lock held but while it waits for the disk. */
static void
lead(struct pack *p)
{
    struct item *items[BATCH_MAX];
    size_t n = take(p, items);
    bool erases;

    BUG_ON(n == 0);
    erases = !items[0]->bytes;
    p->log_tells = p->log_tells || erases;
    pthread_mutex_unlock(&p->lock);
    run(p, items, n);
    pthread_mutex_lock(&p->lock);
    if (erases) {
        p->erasing -= n;
        p->log_tells = items[0]->rc != RC_OK;
    }
    p->leading = p->first != NULL;
    if (p->leading) {
        p->first->leads = true;
        (void)pthread_cond_signal(&p->first->woken);
    }
    for (size_t i = 0; i < n; i++) {
        items[i]->done = true;
        (void)pthread_cond_signal(&items[i]->woken);
    }
}

/* Whoever leads is the first that waits, so what it does is its own, too. */
static enum rc
submit(struct pack *p, struct item *it, struct err *err)
{
    BUG_ON(pthread_cond_init(&it->woken, NULL));
    pthread_mutex_lock(&p->lock);
    *p->end = it;
    p->end = &it->next;
    p->erasing += it->bytes ? 0 : 1;
    it->leads = !p->leading;
    p->leading = true;
    while (!it->done && !it->leads)
        pthread_cond_wait(&it->woken, &p->lock);
    if (!it->done)
        lead(p);
    pthread_mutex_unlock(&p->lock);
    BUG_ON(pthread_cond_destroy(&it->woken));
    if (it->rc)
        *err = it->err;
    return it->rc;
}

enum rc
pack_put(struct pack *p, const struct blob_key *key, const void *bytes, size_t len, struct err *err)
{
    struct item it = {.key = key, .bytes = bytes, .len = len};

    BUG_ON(!bytes); /* it would erase */
    return submit(p, &it, err);
}

enum rc
pack_erase(struct pack *p, const struct blob_key *key, struct err *err)
{
    struct item it = {.key = key};
    int64_t size;
    bool clean;
    enum rc rc = pack_stat(p, key, &size, err);

    if (rc && rc != RC_NOT_FOUND)
        return rc;
    /* looked at afterwards: who erases it may have come as far as the row only */
    pthread_mutex_lock(&p->lock);
    clean = p->erasing == 0 && !p->log_tells;
    pthread_mutex_unlock(&p->lock);
    return rc == RC_NOT_FOUND && clean ? RC_OK : submit(p, &it, err);
}

/* --- beginning and end --- */

/* The writer makes what is absent; that the file has a name is on disk before anything is in it. */
static enum rc
begin(struct pack *p, const char *path, struct err *err)
{
    char *dir = mem_strdup(p, path);
    int64_t mode = 0;
    int fd;
    enum rc rc = connect_to(p, DB_WRITER, &p->writer, err);

    if (!rc)
        rc = read_number(p->writer, &can_shrink, &mode, err);
    if (!rc && mode == 0)
        rc = db_script(p->writer, &let_shrink, err);
    if (!rc)
        rc = db_script(p->writer, &make, err);
    if (rc)
        return told(rc, err);
    *strrchr(dir, '/') = '\0';
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        rc = err_errno(err, RC_IO, "syncing the directory of small blobs");
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

/* NOT_FOUND: whoever began to make the file was cut off, so there is nothing in it. */
static enum rc
check_made(struct pack *p, struct err *err)
{
    SCOPED_READER r = {0};
    SCOPED(db_cursor) c = NULL;
    enum rc rc = reader_take(p, &r, err);

    if (!rc)
        rc = db_query_one(r.conn, &made, DB_NO_ARGS, &c, err);
    return told(rc, err);
}

enum rc
pack_open(const char *path, bool create, atomic_bool *broken, struct pack **ret, struct err *err)
{
    SCOPED(pack) p = NULL;
    struct err cause = {0};
    struct stat info;
    enum rc rc;

    if (!create && lstat(path, &info)) {
        if (errno == ENOENT)
            return err_set(err, RC_NOT_FOUND, "no %s", path);
        return err_errno(err, RC_IO, "looking for the file of small blobs");
    }
    p = MEM_NEW(NULL, struct pack);
    BUG_ON(pthread_mutex_init(&p->lock, NULL));
    p->broken = broken;
    p->end = &p->first;
    p->log_path = talloc_asprintf(p, "%s-wal", path);
    BUG_ON(!p->log_path);
    p->log_tells = true; /* whoever wrote last may have been cut off */
    rc = db_open_sqlite(path, &p->db, &cause);
    if (!rc)
        rc = create ? begin(p, path, &cause) : check_made(p, &cause);
    if (rc) /* SQLite does not say which file it is about */
        return err_set(err, rc, PACK_FILE ": %s", cause.detail);
    *ret = p;
    p = NULL;
    return RC_OK;
}

void
pack_free(struct pack **ret)
{
    struct pack *p = *ret;

    if (!p)
        return;
    while (p->n_readers > 0)
        db_conn_free(&p->readers[--p->n_readers]);
    db_conn_free(&p->writer);
    if (p->db)
        db_free(&p->db);
    BUG_ON(pthread_mutex_destroy(&p->lock));
    (void)talloc_free(p);
    *ret = NULL;
}
