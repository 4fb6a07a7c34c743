// SPDX-License-Identifier: Apache-2.0
#include "db/fault/fault.h"

#include <pthread.h>

#include "db/db_driver.h"

struct fault_db {
    struct db base;
    struct db *inner;
    pthread_mutex_t lock; /* guards what follows */
    struct db_fault plan;
    unsigned calls;
    unsigned hits;
};

struct fault_conn {
    struct db_conn base;
    struct fault_db *of;
    struct db_conn *inner;
};

struct fault_cursor {
    struct db_cursor base;
    struct fault_db *of;
    struct db_cursor *inner;
};

static const struct db_driver driver;

static struct db_conn *
inner_conn(struct db_conn *conn)
{
    return ((struct fault_conn *)conn)->inner;
}

static struct db_cursor *
inner_cursor(struct db_cursor *cursor)
{
    return ((struct fault_cursor *)cursor)->inner;
}

/* Counts a call; RC_OK when it may go on to the wrapped database. *ret_after: see the plan. */
static enum rc
cue(struct fault_db *f, enum db_fault_slot slot, bool *ret_after, struct err *err)
{
    const struct db_fault *plan = &f->plan;
    enum rc rc = RC_OK;

    pthread_mutex_lock(&f->lock);
    *ret_after = plan->after;
    if (plan->slot == DB_FAULT_ANY || plan->slot == slot) {
        f->calls++;
        if (plan->nth > 0 && (f->calls == plan->nth || (plan->for_ever && f->calls > plan->nth))) {
            f->hits++;
            rc = plan->rc;
        }
    }
    pthread_mutex_unlock(&f->lock);
    if (slot == DB_FAULT_COMMIT && rc && rc != RC_STORAGE_FULL &&
        !(f->base.caps & DB_MANY_WRITERS && (rc == RC_RERUN || rc == RC_UNAVAILABLE)))
        rc = RC_COMMIT_UNKNOWN;
    else if (slot != DB_FAULT_COMMIT && rc == RC_COMMIT_UNKNOWN)
        rc = RC_IO;
    return rc ? err_set(err, rc, "a planned fault of the database") : RC_OK;
}

static enum rc
conn_cue(struct db_conn *conn, enum db_fault_slot slot, struct err *err)
{
    bool after;

    return cue(((struct fault_conn *)conn)->of, slot, &after, err);
}

static void
fault_free(struct db *db)
{
    struct fault_db *f = (struct fault_db *)db;

    db_free(&f->inner);
    BUG_ON(pthread_mutex_destroy(&f->lock));
    (void)talloc_free(f);
}

static enum rc
fault_connect(struct db *db, enum db_mode mode, struct db_conn **ret, struct err *err)
{
    struct fault_db *f = (struct fault_db *)db;
    struct db_conn *inner = NULL;
    struct fault_conn *c;
    bool after;
    enum rc rc = cue(f, DB_FAULT_CONNECT, &after, err);

    if (!rc)
        rc = db_connect(f->inner, mode, &inner, err);
    if (rc)
        return rc;
    c = MEM_NEW(NULL, struct fault_conn);
    c->base.driver = &driver;
    c->of = f;
    c->inner = inner;
    *ret = &c->base;
    return RC_OK;
}

static enum rc
fault_backup(struct db *db, const char *path, struct err *err)
{
    struct fault_db *f = (struct fault_db *)db;
    bool after;
    enum rc rc = cue(f, DB_FAULT_BACKUP, &after, err);

    return rc ? rc : db_backup(f->inner, path, err);
}

static void
fault_conn_free(struct db_conn *conn)
{
    struct fault_conn *c = (struct fault_conn *)conn;

    db_conn_free(&c->inner);
    (void)talloc_free(c);
}

static void
fault_deadline(struct db_conn *conn, int64_t mono_ms)
{
    db_conn_deadline(inner_conn(conn), mono_ms);
}

static enum rc
fault_begin(struct db_conn *conn, bool write, struct err *err)
{
    enum rc rc = conn_cue(conn, DB_FAULT_BEGIN, err);

    if (rc)
        return rc;
    return write ? db_begin_write(inner_conn(conn), err) : db_begin_read(inner_conn(conn), err);
}

static enum rc
fault_commit(struct db_conn *conn, struct err *err)
{
    struct err real;
    bool after;
    enum rc rc = cue(((struct fault_conn *)conn)->of, DB_FAULT_COMMIT, &after, err), inner;

    if (!rc)
        return db_commit(inner_conn(conn), err);
    if (rc == RC_COMMIT_UNKNOWN && after) {
        inner = db_commit(inner_conn(conn), &real);
        if (inner)
            *err = real;
        return inner ? inner : rc;
    }
    db_rollback(inner_conn(conn));
    return rc;
}

static void
fault_rollback(struct db_conn *conn)
{
    db_rollback(inner_conn(conn));
}

static enum rc
fault_savepoint(struct db_conn *conn, struct err *err)
{
    enum rc rc = conn_cue(conn, DB_FAULT_SAVEPOINT, err);

    return rc ? rc : db_savepoint(inner_conn(conn), err);
}

static enum rc
fault_savepoint_release(struct db_conn *conn, struct err *err)
{
    enum rc rc = conn_cue(conn, DB_FAULT_SAVEPOINT_RELEASE, err);

    return rc ? rc : db_savepoint_release(inner_conn(conn), err);
}

static void
fault_savepoint_rollback(struct db_conn *conn)
{
    db_savepoint_rollback(inner_conn(conn));
}

static int64_t
fault_changes(struct db_conn *conn)
{
    return db_conn_changes(inner_conn(conn));
}

static enum rc
fault_script(struct db_conn *conn, const struct sql *script, struct err *err)
{
    enum rc rc = conn_cue(conn, DB_FAULT_SCRIPT, err);

    return rc ? rc : db_script(inner_conn(conn), script, err);
}

static enum rc
fault_checkpoint(struct db_conn *conn, struct err *err)
{
    enum rc rc = conn_cue(conn, DB_FAULT_CHECKPOINT, err);

    return rc ? rc : db_checkpoint(inner_conn(conn), err);
}

static enum rc
fault_query(struct db_conn *conn, const struct sql *sql, const char *built,
            const struct db_value *values, size_t n, struct db_cursor **ret, struct err *err)
{
    struct db_conn *to = inner_conn(conn);
    struct db_cursor *inner = NULL;
    struct fault_cursor *cur;
    enum rc rc = conn_cue(conn, DB_FAULT_QUERY, err);

    if (!rc)
        rc = sql ? db_query(to, sql, values, n, &inner, err)
                 : db_query_built(to, built, values, n, &inner, err);
    if (rc)
        return rc;
    cur = MEM_NEW(NULL, struct fault_cursor);
    cur->base.driver = &driver;
    cur->of = ((struct fault_conn *)conn)->of;
    cur->inner = inner;
    *ret = &cur->base;
    return RC_OK;
}

static enum rc
fault_next(struct db_cursor *cursor, bool *ret_row, struct err *err)
{
    bool after;
    enum rc rc = cue(((struct fault_cursor *)cursor)->of, DB_FAULT_NEXT, &after, err);

    return rc ? rc : db_next(inner_cursor(cursor), ret_row, err);
}

static void
fault_cursor_free(struct db_cursor *cursor)
{
    struct fault_cursor *cur = (struct fault_cursor *)cursor;

    db_cursor_free(&cur->inner);
    (void)talloc_free(cur);
}

static int64_t
fault_changed(struct db_conn *conn)
{
    struct db_conn *inner = inner_conn(conn);

    return inner->driver->changed(inner);
}

static bool
fault_col_null(struct db_cursor *cursor, int col)
{
    return db_col_null(inner_cursor(cursor), col);
}

static int64_t
fault_col_int(struct db_cursor *cursor, int col)
{
    return db_col_int(inner_cursor(cursor), col);
}

static const char *
fault_col_text(struct db_cursor *cursor, int col)
{
    return db_col_text(inner_cursor(cursor), col);
}

static const void *
fault_col_blob(struct db_cursor *cursor, int col, size_t *ret_len)
{
    return db_col_blob(inner_cursor(cursor), col, ret_len);
}

static const char *
fault_piece(struct db_conn *conn, const struct sql *sql)
{
    return db_piece(inner_conn(conn), sql);
}

static const struct db_driver driver = {
    .name = "fault",
    .free = fault_free,
    .connect = fault_connect,
    .backup = fault_backup,
    .conn_free = fault_conn_free,
    .deadline = fault_deadline,
    .begin = fault_begin,
    .commit = fault_commit,
    .rollback = fault_rollback,
    .savepoint = fault_savepoint,
    .savepoint_release = fault_savepoint_release,
    .savepoint_rollback = fault_savepoint_rollback,
    .changes = fault_changes,
    .script = fault_script,
    .checkpoint = fault_checkpoint,
    .query = fault_query,
    .piece = fault_piece,
    .next = fault_next,
    .cursor_free = fault_cursor_free,
    .changed = fault_changed,
    .col_null = fault_col_null,
    .col_int = fault_col_int,
    .col_text = fault_col_text,
    .col_blob = fault_col_blob,
};

enum rc
db_open_fault(struct db *inner, const struct db_fault *plan, struct db **ret, struct err *err)
{
    struct fault_db *f = MEM_NEW(NULL, struct fault_db);

    (void)err;
    f->base.driver = &driver;
    f->base.caps = inner->caps;
    f->inner = inner;
    f->plan = *plan;
    BUG_ON(pthread_mutex_init(&f->lock, NULL));
    *ret = &f->base;
    return RC_OK;
}

void
db_fault_arm(struct db *db, const struct db_fault *plan)
{
    struct fault_db *f = (struct fault_db *)db;

    BUG_ON(db->driver != &driver);
    pthread_mutex_lock(&f->lock);
    f->plan = *plan;
    f->calls = f->hits = 0;
    pthread_mutex_unlock(&f->lock);
}

unsigned
db_fault_calls(struct db *db)
{
    struct fault_db *f = (struct fault_db *)db;
    unsigned n;

    BUG_ON(db->driver != &driver);
    pthread_mutex_lock(&f->lock);
    n = f->calls;
    pthread_mutex_unlock(&f->lock);
    return n;
}

unsigned
db_fault_hits(struct db *db)
{
    struct fault_db *f = (struct fault_db *)db;
    unsigned n;

    BUG_ON(db->driver != &driver);
    pthread_mutex_lock(&f->lock);
    n = f->hits;
    pthread_mutex_unlock(&f->lock);
    return n;
}
