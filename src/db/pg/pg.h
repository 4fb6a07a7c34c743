// SPDX-License-Identifier: Apache-2.0
/*
 * pg: what the files of the PostgreSQL driver share; nothing outside this folder includes it but
 * its tests. Pages: https://www.postgresql.org/docs/15/libpq.html, …/protocol-flow.html.
 *
 *  I1  A connection is in libpq's pipeline mode except while a script runs. What was sent is a
 *      queue of items, in order; pg_pipe_wait() ends it with one sync and reads all of it: one
 *      round trip. An error skips the rest of the queue up to the sync, so the first one wins.
 *  I2  In a transaction a statement is queued, and waited for when its first row is asked for.
 *      BEGIN goes out with the first one, COMMIT with what is queued before it; a rollback is sent
 *      and its answer read when the connection is used next.
 *  I3  Nothing waits for ever. A wait ends at the deadline of the connection (plus PG_GRACE_MS, so
 *      that the server's own statement_timeout comes first and the connection survives), else after
 *      `dossier_statement_ms`; then the connection is closed. Only a script may take its time, and
 *      libpq resolves host names in PQconnectStart, as long as the resolver takes (a name with
 *      several addresses has the time of one). PQcancel is not used: it has no limit in time. The
 *      server notices a closed connection within a second (client_connection_check_interval) and
 *      ends what ran there, one that vanished by its keepalives, and a writer that does nothing in
 *      a transaction for 12 times the limit.
 *  I4  A connection that was lost is closed at once (`link` is NULL) and its transaction spoilt;
 *      the next transaction, or statement outside one, connects again. One that was cut while
 *      idle is noticed there, too, and replaced before anything is sent on it.
 *  I5  The breaker: after a connect that failed, all connections of the struct db fail at once
 *      until the next try is due, at most PG_RETRY_MAX_MS later, and one of them makes that try.
 *  I6  COMMIT_UNKNOWN: COMMIT was sent, and the server neither answered it with its own tag and
 *      without a warning (that the standby may not have it), nor said with an error of the severity
 *      ERROR that the transaction is undone. A statement outside a transaction on a writer's
 *      connection is its own COMMIT.
 *  I7  A result is read whole before its first row is seen, so that any other statement may run in
 *      between. Only that of a `large` statement in a transaction comes in parts, of PG_FETCH_ROWS.
 *
 * Threads: a struct pg is shared, a struct pg_conn belongs to one thread at a time.
 */
#ifndef DB_PG_PG_H
#define DB_PG_PG_H
#include <libpq-fe.h>
#include <pthread.h>

#include "db/db_driver.h"

#define PG_ARGS_MAX 48
#define PG_CACHE_SLOTS 512 /* power of two, well above the number of static statements */
#define PG_GRACE_MS 1000
#define PG_FETCH_ROWS 256
#define PG_HOSTS_MAX 8
#define PG_RETRY_MAX_MS 500

struct pg_host {
    const char *host, *hostaddr, *port; /* NULL: libpq's default */
};

struct pg {
    struct db base;
    const char **words, **texts; /* libpq's parameters but for the host; words end with NULL */
    size_t words_n;
    struct pg_host hosts[PG_HOSTS_MAX];
    size_t hosts_n;
    int64_t connect_ms;   /* for one host */
    int64_t statement_ms; /* for one statement, and for one round trip */
    bool relaxed;         /* synchronous_commit may be off */

    pthread_mutex_t lock; /* guards what follows */
    size_t first_host;    /* where to try first: it answered last */
    unsigned failures;    /* connects that failed since one worked */
    int64_t next_try_ms;
    bool trying;
    struct err why;
};

/* A statement as one connection knows it. */
struct pg_stmt {
    const struct sql *key;
    size_t slot; /* its place in the cache */
    size_t n;
    Oid types[PG_ARGS_MAX]; /* 0: always NULL so far, the server guesses */
    unsigned version;       /* counts the names it had */
    bool prepared;          /* or on its way; false again when that failed */
    char name[32];
};

enum pg_kind { PG_STATEMENT, PG_PREPARE, PG_COMMIT, PG_ROLLBACK, PG_SYNC };

/* What an answer is due for. */
struct pg_item {
    enum pg_kind kind;
    bool stale;           /* whatever comes, nobody wants to know any more */
    struct pg_stmt *stmt; /* PG_PREPARE; NULL: given up */
    PGresult **into;      /* takes the result; NULL: only whether it worked */
    enum rc taken;        /* what a unique key that is taken means; RC_OK: CONFLICT */
};

enum pg_tx {
    PG_TX_NONE,
    PG_TX_WANTED, /* BEGIN was not sent yet */
    PG_TX_OPEN,
    PG_TX_SPOILT, /* `cause` is the first error; only a rollback helps */
};

struct pg_conn {
    struct db_conn base;
    struct pg *pg;
    enum db_mode mode;
    PGconn *link; /* NULL: none, see I4 */
    int64_t deadline_ms;
    int64_t changed;
    enum pg_tx tx;
    bool tx_writes;
    struct err cause;

    struct pg_item *items;
    unsigned head, n, room;
    unsigned unsynced; /* items after the last PG_SYNC */

    bool failed;      /* an item failed since the last wait ended; the first error is `first` */
    bool sure;        /* `first` says that its transaction cannot have been committed */
    bool drop;        /* `first` makes the connection useless */
    bool commit_sent; /* COMMIT is among the items */
    bool committed;   /* it was answered with its own tag */
    bool warned;      /* a warning came with it, which is `cause` */
    struct err first;

    unsigned cursors;     /* counts the names of server-side cursors */
    unsigned round_trips; /* how often the server was waited for */
    struct pg_stmt *cache[PG_CACHE_SLOTS];
};

/* ---- pg_error.c ---- */

/* What a result that is an error means; *ret_drop: the connection is of no more use. */
enum rc pg_error_code(const PGresult *res, bool *ret_drop);
/* Fills *err from a result that is an error, with its SQLSTATE. Returns the code. */
enum rc pg_error_take(const PGresult *res, enum rc code, struct err *err);
/* libpq's own words on the connection, without line ends. */
enum rc pg_error_link(PGconn *link, enum rc code, struct err *err);
/* Whether the server ended the connection with this error. */
bool pg_error_fatal(const PGresult *res);

/* ---- pg_connect.c ---- */

/* Reads the URL. INVALID. */
MUST_CHECK enum rc pg_configure(struct pg *pg, const char *url, struct err *err);
/* Connects c->link, which must be NULL, unless the breaker forbids it. UNAVAILABLE; INTERNAL: a
 * setting of the server has to be changed first. */
MUST_CHECK enum rc pg_connect(struct pg_conn *c, struct err *err);
/* Waits until PQgetResult() does not block, or the connection is bad. False: `until_ms` passed
 * (clock_mono_ms(); 0: do not wait at all; -1: no limit). */
MUST_CHECK bool pg_ready(PGconn *link, int64_t until_ms);

/* ---- pg_pipe.c ---- */

/* Makes sure that there is a connection which, as far as can be told without asking, works. */
MUST_CHECK enum rc pg_pipe_alive(struct pg_conn *c, struct err *err);
/* Whether the server has not hung up, as far as can be told without asking. */
bool pg_pipe_seems_alive(struct pg_conn *c);
/* Queues a statement: `sql` by its prepared name, else the text `built`. */
void pg_pipe_send(struct pg_conn *c, enum pg_kind kind, const struct sql *sql, const char *built,
                  const struct db_value *values, size_t n, PGresult **into);
/* What it means when a unique key of the statement queued last is taken. */
void pg_pipe_taken(struct pg_conn *c, enum rc code);
/* Nobody waits for this result any more. */
void pg_pipe_disown(struct pg_conn *c, PGresult **into);
/* Sends the queue and reads the answers to all of it; the first error spoils the transaction. */
MUST_CHECK enum rc pg_pipe_wait(struct pg_conn *c, struct err *err);
/* Nobody asks any more what became of the queue, and what is sent next does not depend on it. */
void pg_pipe_forget(struct pg_conn *c);
/* Sends the queue, whose answers nobody asks about. The connection is dropped when it cannot. */
void pg_pipe_push(struct pg_conn *c);
/* Closes the connection and forgets what was under way on it. */
void pg_pipe_drop(struct pg_conn *c);
/* Marks the transaction, if one is open, as spoilt by *err. Returns its code. */
enum rc pg_pipe_spoil(struct pg_conn *c, const struct err *err);
/* Until when to wait for one round trip. */
int64_t pg_pipe_until(const struct pg_conn *c);

/* ---- pg_tx.c: slots of the driver ---- */

/* What each statement begins with: a connection, and BEGIN where it is due. */
MUST_CHECK enum rc pg_tx_enter(struct pg_conn *c, struct err *err);
MUST_CHECK enum rc pg_tx_begin(struct db_conn *conn, bool write, struct err *err);
MUST_CHECK enum rc pg_tx_commit(struct db_conn *conn, struct err *err);
void pg_tx_rollback(struct db_conn *conn);
MUST_CHECK enum rc pg_tx_savepoint(struct db_conn *conn, struct err *err);
MUST_CHECK enum rc pg_tx_savepoint_release(struct db_conn *conn, struct err *err);
void pg_tx_savepoint_rollback(struct db_conn *conn);
MUST_CHECK enum rc pg_tx_script(struct db_conn *conn, const struct sql *script, struct err *err);

#endif
