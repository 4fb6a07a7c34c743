// SPDX-License-Identifier: Apache-2.0
#include "db/pg/pg.h"

#include <endian.h>

#include "base/clock.h"

#define LATER_MAX 256 /* queued statements, after which the server is asked how it goes */

/* https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/catalog/pg_type.dat */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_VARCHAR = 1043,
};

/* A result, or the part of it that was fetched last. */
struct pg_cursor {
    struct db_cursor base;
    struct pg_conn *conn;
    PGresult *res;
    bool asked;      /* its statement is queued or sent, and nobody has waited for the result yet */
    int row;         /* -1 before the first */
    unsigned number; /* of the server-side cursor; 0: `res` is all */
    bool more;       /* the server-side cursor may have more */
};

static const struct db_driver driver;

static void
pg_free(struct db *db)
{
    struct pg *pg = (struct pg *)db;

    BUG_ON(pthread_mutex_destroy(&pg->lock));
    (void)talloc_free(pg);
}

static void
conn_free(struct db_conn *conn)
{
    struct pg_conn *c = (struct pg_conn *)conn;

    pg_pipe_drop(c);
    (void)talloc_free(c);
}

static enum rc
connect_new(struct db *db, enum db_mode mode, struct db_conn **ret, struct err *err)
{
    struct pg_conn *c = MEM_NEW(NULL, struct pg_conn);
    enum rc rc;

    c->base.driver = &driver;
    c->pg = (struct pg *)db;
    c->mode = mode;
    rc = pg_connect(c, err);
    if (rc) {
        (void)talloc_free(c);
        return rc;
    }
    *ret = &c->base;
    return RC_OK;
}

static enum rc
backup(struct db *db, const char *path, struct err *err)
{
    (void)db;
    (void)path;
    return err_set(err, RC_INVALID, "use pg_dump or pg_basebackup for a PostgreSQL database");
}

static void
deadline(struct db_conn *conn, int64_t mono_ms)
{
    ((struct pg_conn *)conn)->deadline_ms = mono_ms;
}

/* PostgreSQL looks after its log itself. */
static enum rc
checkpoint(struct db_conn *conn, struct err *err)
{
    (void)conn;
    (void)err;
    return RC_OK;
}

/* ---- results ---- */

static bool
type_known(Oid type)
{
    static const Oid known[] = {OID_BOOL, OID_BYTEA, OID_NAME, OID_INT8,
                                OID_INT2, OID_INT4,  OID_TEXT, OID_VARCHAR};

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (type == known[i])
            return true;
    }
    return false;
}

/* A statement of ours that does not cast what it computes, a sum for example. */
static void
check_types(const PGresult *res)
{
    for (int i = 0; i < PQnfields(res); i++) {
        char text[128];

        if (type_known(PQftype(res, i)))
            continue;
        (void)snprintf(text, sizeof(text), "column %s has the type %u; cast it in the statement",
                       PQfname(res, i), PQftype(res, i));
        base_bug(__FILE__, __LINE__, text);
    }
}

static void
send_fetch(struct pg_conn *c, unsigned number, PGresult **into)
{
    char text[48];

    (void)snprintf(text, sizeof(text), "FETCH %d FROM c%u", PG_FETCH_ROWS, number);
    pg_pipe_send(c, PG_STATEMENT, NULL, text, DB_NO_ARGS, into);
}

static void
send_large(struct pg_conn *c, const struct sql *sql, const struct db_value *values, size_t n,
           PGresult **into)
{
    SCOPED_POOL(pool);

    pg_pipe_send(c, PG_STATEMENT, NULL,
                 mem_printf(pool, "DECLARE c%u NO SCROLL CURSOR FOR %s", ++c->cursors, sql->pg),
                 values, n, NULL);
    send_fetch(c, c->cursors, into);
}

/* Waits for what was asked, unless another wait has brought it. */
static enum rc
settle(struct pg_cursor *cur, struct err *err)
{
    struct pg_conn *c = cur->conn;
    enum rc rc = RC_OK;

    if (!cur->res)
        rc = pg_pipe_wait(c, err);
    if (rc)
        return rc;
    BUG_ON(!cur->res);
    check_types(cur->res);
    cur->asked = false;
    cur->row = -1;
    cur->more = cur->number && PQntuples(cur->res) == PG_FETCH_ROWS;
    c->changed = strtoll(PQcmdTuples(cur->res), NULL, 10);
    return RC_OK;
}

static void
cursor_free(struct db_cursor *cursor)
{
    struct pg_cursor *cur = (struct pg_cursor *)cursor;

    if (cur->asked && !cur->res)
        pg_pipe_disown(cur->conn, &cur->res);
    PQclear(cur->res); /* one on the server ends with its transaction */
    (void)talloc_free(cur);
}

static enum rc
query(struct db_conn *conn, const struct sql *sql, const char *built, const struct db_value *values,
      size_t n, struct db_cursor **ret, struct err *err)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    struct pg_cursor *cur;
    enum rc rc = pg_tx_enter(c, err);

    if (rc)
        return rc;
    cur = MEM_NEW(NULL, struct pg_cursor);
    cur->base.driver = &driver;
    cur->conn = c;
    cur->asked = true;
    if (sql && sql->large && c->tx == PG_TX_OPEN) {
        send_large(c, sql, values, n, &cur->res);
        cur->number = c->cursors;
    } else {
        pg_pipe_send(c, PG_STATEMENT, sql, built, values, n, &cur->res);
    }
    if (c->tx == PG_TX_NONE)
        rc = settle(cur, err); /* nothing that comes later would wait for it */
    if (rc)
        cursor_free(&cur->base);
    else
        *ret = &cur->base;
    return rc;
}

static enum rc
fetch(struct pg_cursor *cur, struct err *err)
{
    PQclear(cur->res);
    cur->res = NULL;
    cur->asked = true;
    send_fetch(cur->conn, cur->number, &cur->res);
    return settle(cur, err);
}

static enum rc
next(struct db_cursor *cursor, bool *ret_row, struct err *err)
{
    struct pg_cursor *cur = (struct pg_cursor *)cursor;
    bool last = !cur->asked && cur->more && cur->row + 1 == PQntuples(cur->res);
    enum rc rc = RC_OK;

    if (cur->asked || last) {
        rc = pg_tx_enter(cur->conn, err);
        BUG_ON(!rc && cur->conn->tx != PG_TX_OPEN); /* it ended with its transaction */
    }
    if (!rc && last)
        rc = fetch(cur, err);
    else if (!rc && cur->asked)
        rc = settle(cur, err);
    if (rc)
        return rc;
    if (cur->row < PQntuples(cur->res))
        cur->row++;
    *ret_row = cur->row < PQntuples(cur->res);
    return RC_OK;
}

static int64_t
changed(struct db_conn *conn)
{
    return ((struct pg_conn *)conn)->changed;
}

static enum rc
exec_later(struct db_conn *conn, const struct sql *sql, const struct db_value *values, size_t n,
           enum rc taken, struct err *err)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    enum rc rc = pg_tx_enter(c, err);

    if (rc)
        return rc;
    pg_pipe_send(c, PG_STATEMENT, sql, NULL, values, n, NULL);
    pg_pipe_taken(c, taken);
    return c->tx == PG_TX_NONE || c->unsynced > LATER_MAX ? pg_pipe_wait(c, err) : RC_OK;
}

/* ---- columns ---- */

static bool
col_null(struct db_cursor *cursor, int col)
{
    struct pg_cursor *cur = (struct pg_cursor *)cursor;

    return PQgetisnull(cur->res, cur->row, col);
}

static int64_t
col_int(struct db_cursor *cursor, int col)
{
    struct pg_cursor *cur = (struct pg_cursor *)cursor;
    const char *bytes = PQgetvalue(cur->res, cur->row, col);
    uint64_t n8;
    uint32_t n4;
    uint16_t n2;

    if (PQgetisnull(cur->res, cur->row, col))
        return 0;
    switch (PQftype(cur->res, col)) {
    case OID_BOOL:
        return *bytes != 0;
    case OID_INT2:
        memcpy(&n2, bytes, sizeof(n2));
        return (int16_t)be16toh(n2);
    case OID_INT4:
        memcpy(&n4, bytes, sizeof(n4));
        return (int32_t)be32toh(n4);
    default:
        BUG_ON(PQftype(cur->res, col) != OID_INT8);
        memcpy(&n8, bytes, sizeof(n8));
        return (int64_t)be64toh(n8);
    }
}

static const char *
col_text(struct db_cursor *cursor, int col)
{
    struct pg_cursor *cur = (struct pg_cursor *)cursor;
    Oid type = PQftype(cur->res, col);

    BUG_ON(type != OID_TEXT && type != OID_VARCHAR && type != OID_NAME);
    return PQgetisnull(cur->res, cur->row, col) ? NULL : PQgetvalue(cur->res, cur->row, col);
}

static const void *
col_blob(struct db_cursor *cursor, int col, size_t *ret_len)
{
    struct pg_cursor *cur = (struct pg_cursor *)cursor;
    Oid type = PQftype(cur->res, col);

    BUG_ON(type != OID_BYTEA && type != OID_TEXT && type != OID_VARCHAR);
    *ret_len = (size_t)PQgetlength(cur->res, cur->row, col);
    return PQgetisnull(cur->res, cur->row, col) ? NULL : PQgetvalue(cur->res, cur->row, col);
}

static const char *
piece(struct db_conn *conn, const struct sql *sql)
{
    (void)conn;
    return sql->pg;
}

static const struct db_driver driver = {
    .name = "postgres",
    .free = pg_free,
    .connect = connect_new,
    .backup = backup,
    .conn_free = conn_free,
    .deadline = deadline,
    .begin = pg_tx_begin,
    .commit = pg_tx_commit,
    .rollback = pg_tx_rollback,
    .savepoint = pg_tx_savepoint,
    .savepoint_release = pg_tx_savepoint_release,
    .savepoint_rollback = pg_tx_savepoint_rollback,
    .script = pg_tx_script,
    .checkpoint = checkpoint,
    .query = query,
    .piece = piece,
    .next = next,
    .cursor_free = cursor_free,
    .changed = changed,
    .exec_later = exec_later,
    .col_null = col_null,
    .col_int = col_int,
    .col_text = col_text,
    .col_blob = col_blob,
};

enum rc
db_open_postgres(const char *url, struct db **ret, struct err *err)
{
    struct pg *pg = MEM_NEW(NULL, struct pg);
    enum rc rc;

    pg->base.driver = &driver;
    pg->base.caps = DB_MANY_WRITERS;
    BUG_ON(pthread_mutex_init(&pg->lock, NULL));
    rc = pg_configure(pg, url, err);
    if (rc) {
        pg_free(&pg->base);
        return rc;
    }
    *ret = &pg->base;
    return RC_OK;
}
