// SPDX-License-Identifier: Apache-2.0
/* Transactions; https://www.postgresql.org/docs/15/protocol-flow.html for pipelines of them. */
#include "base/clock.h"
#include "db/pg/pg.h"

static const struct sql begin_read = SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
static const struct sql begin_write = SQL("BEGIN ISOLATION LEVEL READ COMMITTED");
static const struct sql limit_statements = SQL("SELECT set_config('statement_timeout', $1, true)");
static const struct sql commit = SQL("COMMIT");
static const struct sql rollback = SQL("ROLLBACK");
static const struct sql savepoint = SQL("SAVEPOINT work");
static const struct sql savepoint_release = SQL("RELEASE work");
static const struct sql savepoint_rollback = SQL("ROLLBACK TO work");

static void
send(struct pg_conn *c, enum pg_kind kind, const struct sql *sql)
{
    pg_pipe_send(c, kind, sql, NULL, DB_NO_ARGS, NULL);
}

/* With a deadline the server ends a statement itself, so that the connection can be kept. */
static void
send_begin(struct pg_conn *c)
{
    int64_t left = c->deadline_ms - clock_mono_ms();
    char text[24];

    send(c, PG_STATEMENT, c->tx_writes ? &begin_write : &begin_read);
    if (c->deadline_ms) {
        (void)snprintf(text, sizeof(text), "%lld", (long long)(left > 0 ? left : 1));
        pg_pipe_send(c, PG_STATEMENT, &limit_statements, NULL, DB_ARGS(db_text(text)), NULL);
    }
    c->tx = PG_TX_OPEN;
}

enum rc
pg_tx_enter(struct pg_conn *c, struct err *err)
{
    enum rc rc = RC_OK;

    if (c->tx == PG_TX_SPOILT) {
        *err = c->cause;
        /* whoever takes a conflict for an answer has to go back to a savepoint first */
        return c->cause.code == RC_CONFLICT
                   ? err_set(err, RC_INTERNAL, "a statement after %.200s", c->cause.detail)
                   : err->code;
    }
    if (c->deadline_ms && clock_mono_ms() > c->deadline_ms) {
        (void)err_set(err, RC_BUSY, "the query took too long");
        return pg_pipe_spoil(c, err);
    }
    if (c->tx == PG_TX_NONE)
        rc = pg_pipe_alive(c, err);
    if (!rc && c->tx == PG_TX_WANTED)
        send_begin(c);
    return rc;
}

enum rc
pg_tx_begin(struct db_conn *conn, bool write, struct err *err)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    enum rc rc;

    BUG_ON(c->tx != PG_TX_NONE);
    rc = pg_pipe_alive(c, err);
    if (rc)
        return rc;
    c->tx = PG_TX_WANTED;
    c->tx_writes = write;
    return RC_OK;
}

void
pg_tx_rollback(struct db_conn *conn)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    bool sent = c->tx == PG_TX_OPEN || c->tx == PG_TX_SPOILT;

    c->tx = PG_TX_NONE;
    if (!sent || !c->link)
        return;
    c->deadline_ms = 0; /* it is never too late to end one */
    pg_pipe_forget(c);
    send(c, PG_ROLLBACK, &rollback);
    pg_pipe_push(c);
}

static enum rc
outcome(struct pg_conn *c, struct err *err)
{
    if (c->committed && !c->warned)
        return RC_OK;
    if (c->warned) {
        *err = c->cause;
        return err->code;
    }
    return err_set(err, RC_RERUN, "postgres: COMMIT was answered with ROLLBACK");
}

enum rc
pg_tx_commit(struct db_conn *conn, struct err *err)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    enum rc rc;

    BUG_ON(c->tx == PG_TX_NONE);
    if (c->tx == PG_TX_WANTED) {
        c->tx = PG_TX_NONE; /* nothing was asked for */
        return RC_OK;
    }
    if (c->tx == PG_TX_OPEN && !pg_pipe_seems_alive(c)) {
        /* known to be lost before COMMIT is sent: it is undone */
        (void)err_set(err, RC_UNAVAILABLE, "postgres: the connection was lost");
        pg_pipe_drop(c);
        (void)pg_pipe_spoil(c, err);
    }
    if (c->tx == PG_TX_SPOILT) {
        *err = c->cause;
        pg_tx_rollback(conn);
        return err->code;
    }
    c->commit_sent = true;
    c->committed = c->warned = false;
    send(c, PG_COMMIT, &commit);
    rc = pg_pipe_wait(c, err);
    c->commit_sent = false;
    if (rc && !c->committed) {
        pg_tx_rollback(conn);
        return rc;
    }
    c->tx = PG_TX_NONE; /* though the connection may have been lost behind the answer */
    return outcome(c, err);
}

/* What is queued has its own errors first: they are not those of the part that begins here. */
enum rc
pg_tx_savepoint(struct db_conn *conn, struct err *err)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    bool queued = c->unsynced > 0;
    enum rc rc = pg_tx_enter(c, err);

    if (!rc && queued)
        rc = pg_pipe_wait(c, err);
    if (!rc)
        send(c, PG_STATEMENT, &savepoint);
    return rc;
}

/* Waits: what fails now can still be undone alone. */
enum rc
pg_tx_savepoint_release(struct db_conn *conn, struct err *err)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    enum rc rc = pg_tx_enter(c, err);

    if (rc)
        return rc;
    send(c, PG_STATEMENT, &savepoint_release);
    return pg_pipe_wait(c, err);
}

void
pg_tx_savepoint_rollback(struct db_conn *conn)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    struct err err, cause = c->cause;
    bool spoilt = c->tx == PG_TX_SPOILT;

    if (!c->link || c->tx == PG_TX_NONE || c->tx == PG_TX_WANTED)
        return;
    pg_pipe_forget(c);
    send(c, PG_STATEMENT, &savepoint_rollback);
    send(c, PG_STATEMENT, &savepoint_release);
    c->tx = PG_TX_OPEN;
    /* with no savepoint to go to, the first error remains the reason */
    if (pg_pipe_wait(c, &err) && spoilt)
        c->cause = cause;
}

/* ---- scripts ---- */

/* One simple query, without a limit in time. *ret_lost: the connection is. */
static enum rc
simple(struct pg_conn *c, const char *text, bool *ret_lost, struct err *err)
{
    enum rc rc = RC_OK;
    PGresult *res;

    *ret_lost = !PQsendQuery(c->link, text);
    if (*ret_lost)
        return pg_error_link(c->link, RC_UNAVAILABLE, err);
    c->round_trips++;
    while (pg_ready(c->link, -1) && (res = PQgetResult(c->link)) != NULL) {
        ExecStatusType status = PQresultStatus(res);
        bool good =
            status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;

        if (!good) {
            rc = pg_error_take(res, pg_error_code(res, &c->drop), err);
            *ret_lost = pg_error_fatal(res);
        }
        PQclear(res);
        BUG_ON(!good && status != PGRES_FATAL_ERROR); /* COPY */
        if (PQstatus(c->link) == CONNECTION_BAD)
            break;
    }
    return rc;
}

/* Where it fails, the settings that come with it are undone together with it. */
static enum rc
run_script(struct pg_conn *c, const char *text, struct err *err)
{
    SCOPED_POOL(pool);
    const char *all =
        mem_printf(pool, "SET statement_timeout = 0; %s\n; SET statement_timeout = %lld", text,
                   (long long)c->pg->statement_ms);
    bool lost;
    enum rc rc;

    BUG_ON(!PQexitPipelineMode(c->link)); /* all answers were read */
    rc = simple(c, all, &lost, err);
    if (lost && c->tx == PG_TX_NONE && c->mode == DB_WRITER)
        err->code = rc = RC_COMMIT_UNKNOWN; /* outside a transaction it is one: see I6 */
    if (lost || c->drop || !PQenterPipelineMode(c->link))
        pg_pipe_drop(c);
    return rc;
}

enum rc
pg_tx_script(struct db_conn *conn, const struct sql *script, struct err *err)
{
    struct pg_conn *c = (struct pg_conn *)conn;
    enum rc rc = script->pg ? pg_tx_enter(c, err) : RC_OK;

    if (rc || !script->pg)
        return rc;
    rc = pg_pipe_wait(c, err);
    if (rc)
        return rc;
    rc = run_script(c, script->pg, err);
    return rc ? pg_pipe_spoil(c, err) : RC_OK;
}
