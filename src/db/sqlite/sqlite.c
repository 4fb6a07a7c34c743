// SPDX-License-Identifier: Apache-2.0
/*
 * The SQLite driver (https://www.sqlite.org/c3ref/intro.html).
 *
 * WAL with synchronous=FULL: a commit is on disk when it returns. Exactly one connection writes
 * and checkpoints; readers are read-only and never checkpoint, which keeps clear of the WAL-reset
 * race of SQLite before 3.51.3 (https://www.sqlite.org/wal.html#walresetbug).
 */
#include <sqlite3.h>

#include "base/clock.h"
#include "db/db_driver.h"
#include "db/sqlite/gather.h"

#define CACHE_SLOTS 512 /* power of two, well above the number of static statements */
#define BUILT_SLOTS 32  /* power of two; of lists that are asked for again and again */
#define MAX_ARGS 48
#define BUSY_MS 5000
#define CHECKPOINT_BUSY_MS 100
#define PROGRESS_STEPS 4000 /* virtual-machine steps between looks at the deadline */

struct lite {
    struct db base;
    char *path;
};

/* A prepared statement; `slot[k]` is SQLite's own number of $k+1. */
struct lite_cursor {
    struct db_cursor base;
    struct lite_conn *conn;
    const struct sql *key; /* NULL: built */
    bool kept;             /* in a slot; else finalised with the cursor */
    sqlite3_stmt *stmt;
    int slot[MAX_ARGS];
    bool busy;
};

struct lite_conn {
    struct db_conn base;
    sqlite3 *db;
    int64_t deadline_ms;
    struct lite_cursor *cache[CACHE_SLOTS];
    struct lite_cursor *built[BUILT_SLOTS]; /* by a hash of the text; the last one stays */
};

static const struct db_driver driver;

static enum rc
fail(struct lite_conn *c, enum rc fallback, struct err *err)
{
    int code = sqlite3_extended_errcode(c->db);
    enum rc rc = fallback;

    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        rc = RC_CONFLICT;
        break;
    case SQLITE_FULL:
        rc = RC_STORAGE_FULL;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT:
        rc = RC_BUSY;
        break;
    default:
        break;
    }
    return err_set(err, rc, "sqlite %d: %s", code, sqlite3_errmsg(c->db));
}

static int
past_deadline(void *arg)
{
    struct lite_conn *c = arg;

    return c->deadline_ms && clock_mono_ms() > c->deadline_ms;
}

static void
lite_free(struct db *db)
{
    (void)talloc_free(db);
}

static enum rc
run_text(struct lite_conn *c, const char *text, struct err *err)
{
    return sqlite3_exec(c->db, text, NULL, NULL, NULL) == SQLITE_OK ? RC_OK : fail(c, RC_IO, err);
}

static const char writer_setup[] = "PRAGMA journal_mode=WAL;"
                                   "PRAGMA synchronous=FULL;"
                                   "PRAGMA wal_autocheckpoint=4000;"
                                   "PRAGMA journal_size_limit=67108864;"
                                   "PRAGMA secure_delete=ON;";
static const char common_setup[] = "PRAGMA temp_store=MEMORY;"
                                   "PRAGMA trusted_schema=OFF;"
                                   "PRAGMA cell_size_check=ON;"
                                   "PRAGMA cache_size=-8192;";
static const char reader_setup[] = "PRAGMA query_only=ON;"
                                   "PRAGMA wal_autocheckpoint=0;";

static void
lite_conn_free(struct db_conn *conn)
{
    struct lite_conn *c = (struct lite_conn *)conn;

    for (int i = 0; i < CACHE_SLOTS; i++) {
        if (c->cache[i])
            (void)sqlite3_finalize(c->cache[i]->stmt);
    }
    for (int i = 0; i < BUILT_SLOTS; i++) {
        if (c->built[i])
            (void)sqlite3_finalize(c->built[i]->stmt);
    }
    (void)sqlite3_close_v2(c->db);
    (void)talloc_free(c);
}

static enum rc
lite_connect(struct db *db, enum db_mode mode, struct db_conn **ret, struct err *err)
{
    struct lite *lite = (struct lite *)db;
    struct lite_conn *c = MEM_NEW(NULL, struct lite_conn);
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_READWRITE |
                (mode == DB_WRITER ? SQLITE_OPEN_CREATE : 0);
    enum rc rc = RC_OK;

    c->base.driver = &driver;
    if (sqlite3_open_v2(lite->path, &c->db, flags, mode == DB_WRITER ? gather_vfs() : NULL) !=
        SQLITE_OK)
        rc = fail(c, RC_IO, err);
    if (!rc) {
        (void)sqlite3_extended_result_codes(c->db, 1);
        (void)sqlite3_busy_timeout(c->db, BUSY_MS);
        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_progress_handler(c->db, PROGRESS_STEPS, past_deadline, c);
        rc = run_text(c, common_setup, err);
    }
    if (!rc)
        rc = run_text(c, mode == DB_WRITER ? writer_setup : reader_setup, err);
    if (rc) {
        lite_conn_free(&c->base);
        return rc;
    }
    *ret = &c->base;
    return RC_OK;
}

static enum rc
lite_backup(struct db *db, const char *path, struct err *err)
{
    struct lite_conn *from, *to;
    struct db_conn *a = NULL, *b = NULL;
    struct lite target = {.base.driver = &driver};
    sqlite3_backup *copy;
    enum rc rc;

    rc = lite_connect(db, DB_READER, &a, err);
    if (rc)
        return rc;
    target.path = mem_strdup(NULL, path);
    rc = lite_connect(&target.base, DB_WRITER, &b, err);
    (void)talloc_free(target.path);
    if (rc) {
        lite_conn_free(a);
        return rc;
    }
    from = (struct lite_conn *)a;
    to = (struct lite_conn *)b;
    (void)sqlite3_exec(to->db, "PRAGMA synchronous=OFF", NULL, NULL, NULL); /* only for speed */
    copy = sqlite3_backup_init(to->db, "main", from->db, "main");
    /* all pages in one step: one read transaction, so one point in time */
    if (copy)
        (void)sqlite3_backup_step(copy, -1); /* what goes wrong is told by the end */
    if (!copy || sqlite3_backup_finish(copy) != SQLITE_OK)
        rc = fail(to, RC_IO, err);
    lite_conn_free(a);
    lite_conn_free(b);
    return rc;
}

static void
lite_deadline(struct db_conn *conn, int64_t mono_ms)
{
    ((struct lite_conn *)conn)->deadline_ms = mono_ms;
}

static enum rc
prepare(struct lite_conn *c, const char *text, bool keep, struct lite_cursor **ret, struct err *err)
{
    struct lite_cursor *cur = MEM_NEW(c, struct lite_cursor);
    char name[16];

    cur->base.driver = &driver;
    cur->conn = c;
    if (sqlite3_prepare_v3(c->db, text, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0, &cur->stmt,
                           NULL) != SQLITE_OK) {
        enum rc rc = fail(c, RC_IO, err);

        (void)talloc_free(cur);
        return rc;
    }
    /* SQLite takes $1 as a name, numbered by first appearance */
    for (int i = 0; i < MAX_ARGS; i++) {
        (void)snprintf(name, sizeof(name), "$%d", i + 1);
        cur->slot[i] = sqlite3_bind_parameter_index(cur->stmt, name);
    }
    *ret = cur;
    return RC_OK;
}

static enum rc
cached(struct lite_conn *c, const struct sql *sql, struct lite_cursor **ret, struct err *err)
{
    size_t at = ((uintptr_t)sql >> 4) * 2654435761u % CACHE_SLOTS;
    enum rc rc;

    for (size_t tries = 0; c->cache[at]; at = (at + 1) % CACHE_SLOTS) {
        BUG_ON(++tries > CACHE_SLOTS / 2);
        if (c->cache[at]->key == sql) {
            *ret = c->cache[at];
            return RC_OK;
        }
    }
    rc = prepare(c, sql->sqlite, true, &c->cache[at], err);
    if (rc)
        return rc;
    c->cache[at]->key = sql;
    c->cache[at]->kept = true;
    *ret = c->cache[at];
    return RC_OK;
}

/* Preparing a list's statement costs more than running it. */
static enum rc
cached_built(struct lite_conn *c, const char *text, struct lite_cursor **ret, struct err *err)
{
    struct lite_cursor **slot;
    uint32_t hash = 2166136261u;
    enum rc rc;

    for (const char *p = text; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    slot = &c->built[hash % BUILT_SLOTS];
    if (*slot && (*slot)->busy)
        return prepare(c, text, false, ret, err);
    if (*slot && streq(sqlite3_sql((*slot)->stmt), text)) {
        *ret = *slot;
        return RC_OK;
    }
    if (*slot) {
        (void)sqlite3_finalize((*slot)->stmt);
        TALLOC_FREE(*slot);
    }
    rc = prepare(c, text, true, slot, err);
    if (rc)
        return rc;
    (*slot)->kept = true;
    *ret = *slot;
    return RC_OK;
}

static void
lite_cursor_free(struct db_cursor *cursor)
{
    struct lite_cursor *cur = (struct lite_cursor *)cursor;

    cur->busy = false;
    if (!cur->kept) {
        (void)sqlite3_finalize(cur->stmt);
        (void)talloc_free(cur);
        return;
    }
    (void)sqlite3_reset(cur->stmt);
    (void)sqlite3_clear_bindings(cur->stmt);
}

/* `keep`: SQLite makes a copy, else it borrows the bytes until the bindings are cleared. */
static int
bind_one(sqlite3_stmt *stmt, int slot, const struct db_value *v, bool keep)
{
    switch (v->type) {
    case DB_NULL:
        return sqlite3_bind_null(stmt, slot);
    case DB_INT:
        return sqlite3_bind_int64(stmt, slot, v->number);
    case DB_TEXT:
        return sqlite3_bind_text64(stmt, slot, v->bytes, v->len,
                                   keep ? SQLITE_TRANSIENT : SQLITE_STATIC, SQLITE_UTF8);
    case DB_BLOB:
        return sqlite3_bind_blob64(stmt, slot, v->bytes, v->len,
                                   keep ? SQLITE_TRANSIENT : SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

/* Takes the statement; on success the caller ends it with lite_cursor_free(). */
static enum rc
begin(struct lite_conn *c, struct lite_cursor *cur, const struct db_value *values, size_t n,
      bool keep, struct err *err)
{
    BUG_ON(cur->busy); /* one cursor a statement at a time: it is the prepared one itself */
    cur->busy = true;
    for (size_t i = 0; i < n; i++) {
        BUG_ON(cur->slot[i] == 0);
        if (bind_one(cur->stmt, cur->slot[i], &values[i], keep) != SQLITE_OK) {
            enum rc rc = fail(c, RC_IO, err);

            lite_cursor_free(&cur->base);
            return rc;
        }
    }
    return RC_OK;
}

static enum rc
lite_query(struct db_conn *conn, const struct sql *sql, const char *built,
           const struct db_value *values, size_t n, struct db_cursor **ret, struct err *err)
{
    struct lite_conn *c = (struct lite_conn *)conn;
    struct lite_cursor *cur = NULL;
    enum rc rc;

    BUG_ON(n > MAX_ARGS);
    rc = sql ? cached(c, sql, &cur, err) : cached_built(c, built, &cur, err);
    if (!rc)
        rc = begin(c, cur, values, n, true, err);
    if (!rc)
        *ret = &cur->base;
    return rc;
}

static enum rc
lite_exec(struct db_conn *conn, const struct sql *sql, const struct db_value *values, size_t n,
          int64_t *ret_changed, struct err *err)
{
    struct lite_conn *c = (struct lite_conn *)conn;
    struct lite_cursor *cur = NULL;
    enum rc rc;
    int code;

    BUG_ON(n > MAX_ARGS);
    rc = cached(c, sql, &cur, err);
    if (!rc)
        rc = begin(c, cur, values, n, false, err);
    if (rc)
        return rc;
    while ((code = sqlite3_step(cur->stmt)) == SQLITE_ROW)
        ;
    if (code != SQLITE_DONE)
        rc = fail(c, RC_IO, err);
    else if (ret_changed)
        *ret_changed = sqlite3_changes64(c->db);
    lite_cursor_free(&cur->base);
    return rc;
}

static enum rc
lite_next(struct db_cursor *cursor, bool *ret_row, struct err *err)
{
    struct lite_cursor *cur = (struct lite_cursor *)cursor;
    int code = sqlite3_step(cur->stmt);

    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return fail(cur->conn, RC_IO, err);
    *ret_row = code == SQLITE_ROW;
    return RC_OK;
}

static const struct sql begin_read = SQL("BEGIN");
static const struct sql begin_write = SQL("BEGIN IMMEDIATE");
static const struct sql commit = SQL("COMMIT");
static const struct sql rollback = SQL("ROLLBACK");
static const struct sql savepoint = SQL("SAVEPOINT work");
static const struct sql savepoint_release = SQL("RELEASE work");
static const struct sql savepoint_rollback = SQL("ROLLBACK TO work");

static enum rc
lite_begin(struct db_conn *conn, bool write, struct err *err)
{
    return db_exec(conn, write ? &begin_write : &begin_read, DB_NO_ARGS, NULL, err);
}

static void
lite_rollback(struct db_conn *conn)
{
    struct lite_conn *c = (struct lite_conn *)conn;
    struct err err;

    /* SQLite may have rolled back by itself already */
    if (sqlite3_get_autocommit(c->db))
        return;
    c->deadline_ms = 0; /* it is never too late to end one */
    (void)!db_exec(conn, &rollback, DB_NO_ARGS, NULL, &err);
    BUG_ON(!sqlite3_get_autocommit(c->db)); /* no memory: what comes next would be part of it */
}

/*
 * Only a full disk is known to leave nothing behind. After any other failure the transaction can
 * come back when the log is recovered, even though this process no longer sees it.
 */
static enum rc
lite_commit(struct db_conn *conn, struct err *err)
{
    enum rc rc = db_exec(conn, &commit, DB_NO_ARGS, NULL, err);

    if (!rc)
        return RC_OK;
    lite_rollback(conn);
    if (rc != RC_STORAGE_FULL)
        err->code = RC_COMMIT_UNKNOWN;
    return err->code;
}

static enum rc
lite_savepoint(struct db_conn *conn, struct err *err)
{
    return db_exec(conn, &savepoint, DB_NO_ARGS, NULL, err);
}

static enum rc
lite_savepoint_release(struct db_conn *conn, struct err *err)
{
    return db_exec(conn, &savepoint_release, DB_NO_ARGS, NULL, err);
}

static void
lite_savepoint_rollback(struct db_conn *conn)
{
    struct lite_conn *c = (struct lite_conn *)conn;
    struct err err;

    /* a full disk rolls the whole transaction back; then there is no savepoint to go to */
    if (sqlite3_get_autocommit(c->db))
        return;
    if (db_exec(conn, &savepoint_rollback, DB_NO_ARGS, NULL, &err) ||
        db_exec(conn, &savepoint_release, DB_NO_ARGS, NULL, &err))
        lite_rollback(conn);
}

static int64_t
lite_changes(struct db_conn *conn)
{
    return sqlite3_total_changes64(((struct lite_conn *)conn)->db);
}

static enum rc
lite_script(struct db_conn *conn, const struct sql *script, struct err *err)
{
    return script->sqlite ? run_text((struct lite_conn *)conn, script->sqlite, err) : RC_OK;
}

static enum rc
lite_checkpoint(struct db_conn *conn, struct err *err)
{
    struct lite_conn *c = (struct lite_conn *)conn;
    int code;

    /* writers wait meanwhile: a long read is not worth that */
    (void)sqlite3_busy_timeout(c->db, CHECKPOINT_BUSY_MS);
    code = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)sqlite3_busy_timeout(c->db, BUSY_MS);
    return code == SQLITE_OK ? RC_OK : fail(c, RC_IO, err);
}

static int64_t
lite_changed(struct db_conn *conn)
{
    return sqlite3_changes64(((struct lite_conn *)conn)->db);
}

static bool
lite_col_null(struct db_cursor *cursor, int col)
{
    return sqlite3_column_type(((struct lite_cursor *)cursor)->stmt, col) == SQLITE_NULL;
}

static int64_t
lite_col_int(struct db_cursor *cursor, int col)
{
    return sqlite3_column_int64(((struct lite_cursor *)cursor)->stmt, col);
}

static const char *
lite_col_text(struct db_cursor *cursor, int col)
{
    sqlite3_stmt *stmt = ((struct lite_cursor *)cursor)->stmt;
    bool null = sqlite3_column_type(stmt, col) == SQLITE_NULL;
    const char *text = (const char *)sqlite3_column_text(stmt, col);

    BUG_ON(!text && !null); /* no memory: not to be taken for SQL NULL */
    return text;
}

static const void *
lite_col_blob(struct db_cursor *cursor, int col, size_t *ret_len)
{
    sqlite3_stmt *stmt = ((struct lite_cursor *)cursor)->stmt;
    const void *p = sqlite3_column_blob(stmt, col);

    *ret_len = (size_t)sqlite3_column_bytes(stmt, col);
    return p;
}

static const char *
lite_piece(struct db_conn *conn, const struct sql *sql)
{
    (void)conn;
    return sql->sqlite;
}

static const struct db_driver driver = {
    .name = "sqlite",
    .free = lite_free,
    .connect = lite_connect,
    .backup = lite_backup,
    .conn_free = lite_conn_free,
    .deadline = lite_deadline,
    .begin = lite_begin,
    .commit = lite_commit,
    .rollback = lite_rollback,
    .savepoint = lite_savepoint,
    .savepoint_release = lite_savepoint_release,
    .savepoint_rollback = lite_savepoint_rollback,
    .changes = lite_changes,
    .script = lite_script,
    .checkpoint = lite_checkpoint,
    .query = lite_query,
    .exec = lite_exec,
    .piece = lite_piece,
    .next = lite_next,
    .cursor_free = lite_cursor_free,
    .changed = lite_changed,
    .col_null = lite_col_null,
    .col_int = lite_col_int,
    .col_text = lite_col_text,
    .col_blob = lite_col_blob,
};

/*
 * `path` with the links of its directory resolved: the file itself may be no link, and SQLite
 * applies that to the whole path.
 */
static char *
resolve_dir(TALLOC_CTX *pool, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir, *real, *out;

    if (!slash || slash == path)
        return mem_strdup(pool, path);
    dir = mem_strndup(pool, path, (size_t)(slash - path));
    real = realpath(dir, NULL);
    out = mem_printf(pool, "%s%s", real ? real : dir, slash);
    free(real);
    return out;
}

enum rc
db_open_sqlite(const char *path, struct db **ret, struct err *err)
{
    struct lite *lite;

    if (sqlite3_threadsafe() == 0)
        return err_set(err, RC_INTERNAL, "this SQLite was built without threads");
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* its counter is a lock on every malloc */
    /* undo journals of savepoints stay in memory, however large: no temporary file to sync */
    (void)sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
    lite = MEM_NEW(NULL, struct lite);
    lite->base.driver = &driver;
    lite->base.caps = DB_EMBEDDED;
    lite->path = resolve_dir(lite, path);
    *ret = &lite->base;
    return RC_OK;
}
