// SPDX-License-Identifier: Apache-2.0
#include "db/db.h"

#include "db/db_driver.h"

void
db_free(struct db **db)
{
    if (*db)
        (*db)->driver->free(*db);
    *db = NULL;
}

unsigned
db_caps(const struct db *db)
{
    return db->caps;
}

enum rc
db_connect(struct db *db, enum db_mode mode, struct db_conn **ret, struct err *err)
{
    return db->driver->connect(db, mode, ret, err);
}

enum rc
db_backup(struct db *db, const char *path, struct err *err)
{
    return db->driver->backup(db, path, err);
}

void
db_conn_free(struct db_conn **conn)
{
    if (*conn)
        (*conn)->driver->conn_free(*conn);
    *conn = NULL;
}

void
db_conn_deadline(struct db_conn *conn, int64_t mono_ms)
{
    conn->driver->deadline(conn, mono_ms);
}

enum rc
db_begin_read(struct db_conn *conn, struct err *err)
{
    return conn->driver->begin(conn, false, err);
}

enum rc
db_begin_write(struct db_conn *conn, struct err *err)
{
    return conn->driver->begin(conn, true, err);
}

enum rc
db_commit(struct db_conn *conn, struct err *err)
{
    return conn->driver->commit(conn, err);
}

void
db_rollback(struct db_conn *conn)
{
    conn->driver->rollback(conn);
}

enum rc
db_savepoint(struct db_conn *conn, struct err *err)
{
    return conn->driver->savepoint(conn, err);
}

enum rc
db_savepoint_release(struct db_conn *conn, struct err *err)
{
    return conn->driver->savepoint_release(conn, err);
}

void
db_savepoint_rollback(struct db_conn *conn)
{
    conn->driver->savepoint_rollback(conn);
}

int64_t
db_conn_changes(struct db_conn *conn)
{
    return conn->driver->changes(conn);
}

enum rc
db_script(struct db_conn *conn, const struct sql *script, struct err *err)
{
    return conn->driver->script(conn, script, err);
}

enum rc
db_checkpoint(struct db_conn *conn, struct err *err)
{
    return conn->driver->checkpoint(conn, err);
}

enum rc
db_query(struct db_conn *conn, const struct sql *sql, const struct db_value *values, size_t n,
         struct db_cursor **ret, struct err *err)
{
    return conn->driver->query(conn, sql, NULL, values, n, ret, err);
}

enum rc
db_query_built(struct db_conn *conn, const char *text, const struct db_value *values, size_t n,
               struct db_cursor **ret, struct err *err)
{
    return conn->driver->query(conn, NULL, text, values, n, ret, err);
}

const char *
db_piece(struct db_conn *conn, const struct sql *sql)
{
    return conn->driver->piece(conn, sql);
}

enum rc
db_exec(struct db_conn *conn, const struct sql *sql, const struct db_value *values, size_t n,
        int64_t *ret_changed, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc;

    if (conn->driver->exec)
        return conn->driver->exec(conn, sql, values, n, ret_changed, err);
    rc = db_query(conn, sql, values, n, &c, err);
    while (!rc && row)
        rc = db_next(c, &row, err);
    if (!rc && ret_changed)
        *ret_changed = conn->driver->changed(conn);
    return rc;
}

enum rc
db_exec_later(struct db_conn *conn, const struct sql *sql, const struct db_value *values, size_t n,
              struct err *err)
{
    return conn->driver->exec_later ? conn->driver->exec_later(conn, sql, values, n, RC_OK, err)
                                    : db_exec(conn, sql, values, n, NULL, err);
}

enum rc
db_insert_later(struct db_conn *conn, const struct sql *sql, const struct db_value *values,
                size_t n, enum rc taken, struct err *err)
{
    enum rc rc;

    if (conn->driver->exec_later)
        return conn->driver->exec_later(conn, sql, values, n, taken, err);
    rc = db_exec(conn, sql, values, n, NULL, err);
    if (rc == RC_CONFLICT)
        err->code = rc = taken;
    return rc;
}

enum rc
db_first(struct db_cursor *cursor, struct err *err)
{
    bool row = false;
    enum rc rc = db_next(cursor, &row, err);

    return rc || row ? rc : err_set(err, RC_NOT_FOUND, "no row");
}

enum rc
db_query_one(struct db_conn *conn, const struct sql *sql, const struct db_value *values, size_t n,
             struct db_cursor **ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query(conn, sql, values, n, &c, err);

    if (!rc)
        rc = db_first(c, err);
    if (rc)
        return rc;
    *ret = c;
    c = NULL;
    return RC_OK;
}

enum rc
db_exists(struct db_conn *conn, const struct sql *sql, const struct db_value *values, size_t n,
          bool *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(conn, sql, values, n, &c, err);

    *ret = rc == RC_OK;
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc
db_next(struct db_cursor *cursor, bool *ret_row, struct err *err)
{
    return cursor->driver->next(cursor, ret_row, err);
}

void
db_cursor_free(struct db_cursor **cursor)
{
    if (*cursor)
        (*cursor)->driver->cursor_free(*cursor);
    *cursor = NULL;
}

bool
db_col_null(struct db_cursor *cursor, int col)
{
    return cursor->driver->col_null(cursor, col);
}

int64_t
db_col_int(struct db_cursor *cursor, int col)
{
    return cursor->driver->col_int(cursor, col);
}

const char *
db_col_text(struct db_cursor *cursor, int col)
{
    return cursor->driver->col_text(cursor, col);
}

const void *
db_col_blob(struct db_cursor *cursor, int col, size_t *ret_len)
{
    return cursor->driver->col_blob(cursor, col, ret_len);
}

char *
db_col_strdup(struct db_cursor *cursor, int col, TALLOC_CTX *pool)
{
    const char *s = db_col_text(cursor, col);

    return s ? mem_strdup(pool, s) : NULL;
}

bool
db_col_id(struct db_cursor *cursor, int col, struct id *ret)
{
    size_t len = 0;
    const void *p = db_col_blob(cursor, col, &len);

    memset(ret, 0, sizeof(*ret));
    if (!p || len != sizeof(*ret))
        return false;
    memcpy(ret, p, sizeof(*ret));
    return true;
}

/* A server of its own looks after its pages itself. */
static const struct sql verify_rows = {.sqlite = "PRAGMA quick_check(1)", .pg = "SELECT 'ok'"};
static const struct sql verify_all = {.sqlite = "PRAGMA integrity_check(1)", .pg = "SELECT 'ok'"};

enum rc
db_verify(struct db_conn *conn, bool indexes, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(conn, indexes ? &verify_all : &verify_rows, DB_NO_ARGS, &c, err);

    if (!rc && !streq(db_col_text(c, 0), "ok"))
        rc = err_set(err, RC_IO, "the database is damaged: %s", db_col_text(c, 0));
    return rc;
}
