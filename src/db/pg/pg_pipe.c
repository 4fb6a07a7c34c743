// SPDX-License-Identifier: Apache-2.0
/* The queue of one connection: https://www.postgresql.org/docs/15/libpq-pipeline-mode.html */
#include <endian.h>
#include <limits.h>
#include <poll.h>

#include "base/clock.h"
#include "db/pg/pg.h"

enum { OID_INT8 = 20, OID_TEXT = 25, OID_BYTEA = 17 };
#define FORMAT_BINARY 1
#define IDLE_READS                                                                                 \
    8 /* of what a server may say to an idle connection; the end is among the first */

int64_t
pg_pipe_until(const struct pg_conn *c)
{
    int64_t until = c->deadline_ms ? c->deadline_ms : clock_mono_ms() + c->pg->statement_ms;

    return until + PG_GRACE_MS;
}

enum rc
pg_pipe_spoil(struct pg_conn *c, const struct err *err)
{
    if (c->tx == PG_TX_OPEN || c->tx == PG_TX_WANTED) {
        c->tx = PG_TX_SPOILT;
        c->cause = *err;
    }
    return err->code;
}

void
pg_pipe_drop(struct pg_conn *c)
{
    PQfinish(c->link);
    c->link = NULL;
    c->failed = c->drop = false;
    c->head = c->n = c->unsynced = 0;
    for (size_t i = 0; i < PG_CACHE_SLOTS; i++) {
        if (c->cache[i])
            c->cache[i]->prepared = false;
    }
}

/* ---- sending ---- */

static void
push(struct pg_conn *c, const struct pg_item *item)
{
    if (c->n == c->room) {
        c->room = c->room ? 2 * c->room : 32;
        c->items = talloc_realloc(c, c->items, struct pg_item, c->room);
        BUG_ON(!c->items);
    }
    c->items[c->n++] = *item;
    c->unsynced = item->kind == PG_SYNC ? 0 : c->unsynced + 1;
}

/*
 * libpq's calls that only queue fail for lack of memory or on a connection it knows to be bad; the
 * latter shows when the answer is waited for. BUG_ON is for what would be a wrong call.
 */
static void
check_queued(struct pg_conn *c, int ok)
{
    BUG_ON(!ok && PQstatus(c->link) == CONNECTION_OK);
}

/* The parameters of a statement as libpq takes them. */
struct args {
    const char *values[PG_ARGS_MAX];
    int lengths[PG_ARGS_MAX];
    int formats[PG_ARGS_MAX];
    Oid types[PG_ARGS_MAX];
    uint64_t numbers[PG_ARGS_MAX];
};

static void
args_fill(struct args *a, const struct db_value *values, size_t n)
{
    BUG_ON(n > PG_ARGS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct db_value *v = &values[i];

        BUG_ON(v->len > INT_MAX);
        a->values[i] = v->type == DB_NULL ? NULL : v->bytes;
        a->lengths[i] = (int)v->len;
        a->formats[i] = FORMAT_BINARY;
        a->types[i] = v->type == DB_TEXT ? OID_TEXT : v->type == DB_BLOB ? OID_BYTEA : 0;
        if (v->type == DB_INT) {
            a->numbers[i] = htobe64((uint64_t)v->number);
            a->values[i] = (const char *)&a->numbers[i];
            a->lengths[i] = sizeof(a->numbers[i]);
            a->types[i] = OID_INT8;
        }
    }
}

static struct pg_stmt *
stmt_of(struct pg_conn *c, const struct sql *sql, size_t n)
{
    size_t at = ((uintptr_t)sql >> 4) * 2654435761u % PG_CACHE_SLOTS;

    for (size_t tries = 0; c->cache[at]; at = (at + 1) % PG_CACHE_SLOTS) {
        BUG_ON(++tries > PG_CACHE_SLOTS / 2);
        if (c->cache[at]->key == sql) {
            BUG_ON(c->cache[at]->n != n);
            return c->cache[at];
        }
    }
    c->cache[at] = MEM_NEW(c, struct pg_stmt);
    c->cache[at]->key = sql;
    c->cache[at]->n = n;
    c->cache[at]->slot = at;
    return c->cache[at];
}

/* The next name: whether the server knows the last one is not clear, or it has other types. */
static void
stmt_renew(struct pg_stmt *s)
{
    s->prepared = false;
    s->version++;
}

/*
 * A parameter that was NULL so far has the type which the server guessed, and that may have another
 * size on the wire: with its first value the statement is prepared anew.
 */
static void
prepare(struct pg_conn *c, struct pg_stmt *s, const struct args *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        BUG_ON(a->types[i] && s->types[i] && a->types[i] != s->types[i]);
        if (a->types[i] && !s->types[i]) {
            s->types[i] = a->types[i];
            stmt_renew(s);
        }
    }
    if (s->prepared)
        return;
    (void)snprintf(s->name, sizeof(s->name), "s%zu_%u", s->slot, s->version);
    check_queued(c, PQsendPrepare(c->link, s->name, s->key->pg, (int)n, s->types));
    push(c, &(struct pg_item){.kind = PG_PREPARE, .stmt = s});
    s->prepared = true;
}

void
pg_pipe_send(struct pg_conn *c, enum pg_kind kind, const struct sql *sql, const char *built,
             const struct db_value *values, size_t n, PGresult **into)
{
    struct pg_stmt *s;
    struct args a;
    int ok;

    args_fill(&a, values, n);
    if (sql) {
        s = stmt_of(c, sql, n);
        prepare(c, s, &a, n);
        ok = PQsendQueryPrepared(c->link, s->name, (int)n, a.values, a.lengths, a.formats,
                                 FORMAT_BINARY);
    } else {
        ok = PQsendQueryParams(c->link, built, (int)n, a.types, a.values, a.lengths, a.formats,
                               FORMAT_BINARY);
    }
    check_queued(c, ok);
    push(c, &(struct pg_item){.kind = kind, .into = into});
}

void
pg_pipe_taken(struct pg_conn *c, enum rc code)
{
    c->items[c->n - 1].taken = code;
}

void
pg_pipe_disown(struct pg_conn *c, PGresult **into)
{
    for (unsigned i = c->head; i < c->n; i++) {
        if (c->items[i].into == into)
            c->items[i].into = NULL;
    }
}

static void
sync_queue(struct pg_conn *c)
{
    check_queued(c, PQpipelineSync(c->link));
    push(c, &(struct pg_item){.kind = PG_SYNC});
}

void
pg_pipe_forget(struct pg_conn *c)
{
    if (c->unsynced > 0)
        sync_queue(c);
    for (unsigned i = c->head; i < c->n; i++) {
        c->items[i].stale = true;
        if (c->items[i].stmt)
            stmt_renew(c->items[i].stmt);
        c->items[i].stmt = NULL;
    }
    c->failed = c->drop = false;
}

void
pg_pipe_push(struct pg_conn *c)
{
    int64_t until = pg_pipe_until(c), left;
    int code;

    sync_queue(c);
    for (unsigned i = c->head; i < c->n; i++)
        c->items[i].stale = true;
    for (;;) {
        struct pollfd fd = {.fd = PQsocket(c->link), .events = POLLIN | POLLOUT};

        code = PQflush(c->link);
        left = until - clock_mono_ms();
        if (code != 1 || left <= 0)
            break;
        (void)poll(&fd, 1, (int)left);
        if (fd.revents & POLLIN && !PQconsumeInput(c->link))
            break;
    }
    if (code != 0)
        pg_pipe_drop(c);
}

/* ---- reading ---- */

/* The first error counts; those of items that nobody asks about do not. */
static void
note(struct pg_conn *c, const struct pg_item *item, const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    bool open = state && (streq(state, "40003") || streq(state, "08007"));
    enum rc code;

    if (item->stmt)
        item->stmt->prepared = false;
    if (item->stale || c->failed)
        return;
    c->failed = true;
    code = pg_error_code(res, &c->drop);
    (void)pg_error_take(res, code == RC_CONFLICT && item->taken ? item->taken : code, &c->first);
    c->sure = !pg_error_fatal(res) && !open;
}

/* Takes one result for the item at the head. False: the connection is of no more use. */
static bool
take(struct pg_conn *c, PGresult *res)
{
    struct pg_item *item = &c->items[c->head];
    ExecStatusType status = PQresultStatus(res);
    bool good = true;

    switch (status) {
    case PGRES_PIPELINE_SYNC:
        good = item->kind == PG_SYNC;
        c->head++;
        break;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        if (item->kind == PG_COMMIT)
            c->committed = streq(PQcmdStatus(res), "COMMIT");
        if (item->into) {
            *item->into = res;
            res = NULL;
        }
        break;
    case PGRES_PIPELINE_ABORTED:
        if (item->stmt)
            item->stmt->prepared = false;
        good = item->kind != PG_ROLLBACK;
        break;
    default:
        note(c, item, res);
        good = item->kind != PG_ROLLBACK; /* what comes next would be part of the transaction */
        break;
    }
    PQclear(res);
    return good && PQstatus(c->link) == CONNECTION_OK;
}

enum reading { READ_ALL, READ_LATE, READ_LOST };

/* Reads the answers to all that was sent, as far as they come until then. */
static enum reading
read_items(struct pg_conn *c, int64_t until_ms)
{
    unsigned nothing = 0;

    while (c->head < c->n) {
        PGresult *res;

        if (!pg_ready(c->link, until_ms))
            return READ_LATE;
        res = PQgetResult(c->link);
        nothing = res ? 0 : nothing + 1;
        if (!res && c->items[c->head].kind != PG_SYNC)
            c->head++; /* the end of the results of one statement */
        if (PQstatus(c->link) != CONNECTION_OK && !res)
            return READ_LOST;
        if ((res && !take(c, res)) || nothing > 2)
            return READ_LOST;
    }
    c->head = c->n = 0;
    return READ_ALL;
}

bool
pg_pipe_seems_alive(struct pg_conn *c)
{
    struct pollfd fd = {.fd = PQsocket(c->link), .events = POLLIN};

    if (read_items(c, 0) == READ_LOST)
        return false;
    for (int i = 0; i < IDLE_READS && poll(&fd, 1, 0) > 0; i++) {
        if (!PQconsumeInput(c->link))
            return false;
        (void)PQisBusy(c->link); /* looks at what was read */
    }
    return PQstatus(c->link) == CONNECTION_OK;
}

enum rc
pg_pipe_alive(struct pg_conn *c, struct err *err)
{
    if (c->link && !pg_pipe_seems_alive(c))
        pg_pipe_drop(c);
    return c->link ? RC_OK : pg_connect(c, err);
}

/* Why the answers did not come; then the connection is gone. */
static enum rc
lose(struct pg_conn *c, enum reading how, struct err *err)
{
    if (how == READ_LATE && c->deadline_ms)
        (void)err_set(err, RC_BUSY, "the query took too long");
    else if (how == READ_LATE)
        (void)err_set(err, RC_UNAVAILABLE, "postgres: no answer within %lld ms",
                      (long long)(c->pg->statement_ms + PG_GRACE_MS));
    else
        (void)pg_error_link(c->link, RC_UNAVAILABLE, err);
    pg_pipe_drop(c);
    return err->code;
}

enum rc
pg_pipe_wait(struct pg_conn *c, struct err *err)
{
    bool own = c->tx == PG_TX_NONE && c->mode == DB_WRITER && !c->deadline_ms;
    enum reading how;

    sync_queue(c);
    c->round_trips++;
    how = read_items(c, pg_pipe_until(c));
    if (how == READ_ALL && !c->failed)
        return RC_OK;
    if (how != READ_ALL && !c->failed) {
        (void)lose(c, how, &c->first);
        c->sure = false;
    }
    if (c->link && (how != READ_ALL || c->drop))
        pg_pipe_drop(c);
    *err = c->first;
    if (!c->sure && (c->commit_sent || own))
        err->code = RC_COMMIT_UNKNOWN;
    c->failed = c->drop = false;
    return pg_pipe_spoil(c, err);
}
