// SPDX-License-Identifier: Apache-2.0
/*
 * db: a relational database behind a small table of driver calls.
 *
 *  I1  A connection belongs to one thread at a time; a cursor to its connection.
 *  I2  Text and blobs read from a cursor live until its next step or its end.
 *  I3  A failed COMMIT is never retried (the outcome is unknown until recovery).
 *
 * Statements are `struct sql`: one text for every engine, or a pair side by side where they
 * differ. Parameters are written $1, $2 … in both. Static statements are prepared once a
 * connection; those built at run time go through db_query_built().
 */
#ifndef DB_DB_H
#define DB_DB_H
#include "base/base.h"
#include "base/id.h"

struct db;
struct db_conn;
struct db_cursor;

struct sql {
    const char *sqlite;
    const char *pg;
    bool large; /* its rows may not fit in memory: in a transaction a server sends some at a time */
};
#define SQL(text)                                                                                  \
    {                                                                                              \
        text, text, false                                                                          \
    }
#define SQL_LARGE(text)                                                                            \
    {                                                                                              \
        text, text, true                                                                           \
    }

/* A parameter. Borrowed for the call. Make them with the functions below. */
struct db_value {
    enum { DB_NULL, DB_INT, DB_TEXT, DB_BLOB } type;
    int64_t number;
    const void *bytes;
    size_t len;
};

static inline struct db_value
db_null(void)
{
    return (struct db_value){.type = DB_NULL};
}

static inline struct db_value
db_int(int64_t v)
{
    return (struct db_value){.type = DB_INT, .number = v};
}

/* NULL binds as SQL NULL. */
static inline struct db_value
db_text(const char *s)
{
    return s ? (struct db_value){.type = DB_TEXT, .bytes = s, .len = strlen(s)} : db_null();
}

static inline struct db_value
db_blob(const void *bytes, size_t len)
{
    return bytes ? (struct db_value){.type = DB_BLOB, .bytes = bytes, .len = len} : db_null();
}

/* NULL binds as SQL NULL. */
static inline struct db_value
db_id(const struct id *id)
{
    return db_blob(id, sizeof(*id));
}

/* Expands to the two arguments (values, count) of the calls below. */
#define DB_ARGS(...)                                                                               \
    ((const struct db_value[]){__VA_ARGS__}),                                                      \
        (sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value))
#define DB_NO_ARGS NULL, 0

enum db_mode {
    DB_WRITER, /* the one connection that writes and checkpoints */
    DB_READER, /* read-only; never checkpoints */
};

/* Opens (creating it when absent) the SQLite database file `path`. */
MUST_CHECK enum rc db_open_sqlite(const char *path, struct db **ret, struct err *err);
/*
 * A PostgreSQL server, 14 or newer, by its URL: several hosts and all parameters of libpq
 * (https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING). Connects nowhere yet.
 *  dossier_statement_ms=N  how long one statement, and one round trip, may take (5000)
 *  dossier_relaxed=1       accept a server whose synchronous_commit is off
 *  connect_timeout=S       for each host (2)
 * Errors: INVALID.
 */
MUST_CHECK enum rc db_open_postgres(const char *url, struct db **ret, struct err *err);
void db_free(struct db **db);

enum db_caps {
    DB_EMBEDDED = 1,     /* in this process: a point read takes microseconds and cannot hang */
    DB_MANY_WRITERS = 2, /* connections write side by side, those of other processes too */
};

/* enum db_caps, or'ed. */
unsigned db_caps(const struct db *db);

MUST_CHECK enum rc db_connect(struct db *db, enum db_mode mode, struct db_conn **ret,
                              struct err *err);
void db_conn_free(struct db_conn **conn);

/* Reads that pass `mono_ms` (clock_mono_ms(); 0: none) end with RC_BUSY. */
void db_conn_deadline(struct db_conn *conn, int64_t mono_ms);

/*
 * A read transaction sees one state; a write transaction starts as one (BEGIN IMMEDIATE). With
 * DB_MANY_WRITERS each statement of the latter sees what others have committed by then, and a
 * connection that was lost is made anew here (UNAVAILABLE when that fails), so a struct db_conn can
 * be kept for ever.
 */
MUST_CHECK enum rc db_begin_read(struct db_conn *conn, struct err *err);
MUST_CHECK enum rc db_begin_write(struct db_conn *conn, struct err *err);
/*
 * Makes the transaction durable. STORAGE_FULL: undone, nothing happened; with DB_MANY_WRITERS
 * whatever else fails is undone as well, but for COMMIT_UNKNOWN: it may or may not be on disk. An
 * embedded database's process must stop then and let recovery decide; one of a server may still be
 * committing it, so that only who gets the locks it held can tell.
 */
MUST_CHECK enum rc db_commit(struct db_conn *conn, struct err *err);
void db_rollback(struct db_conn *conn);

/* A part of a write transaction that can be undone alone. They do not nest. */
MUST_CHECK enum rc db_savepoint(struct db_conn *conn, struct err *err);
MUST_CHECK enum rc db_savepoint_release(struct db_conn *conn, struct err *err);
void db_savepoint_rollback(struct db_conn *conn);

/*
 * How many rows were changed through this connection so far, undone or not: when it is the same
 * before and after, nothing was changed between. Not with DB_MANY_WRITERS.
 */
int64_t db_conn_changes(struct db_conn *conn);

/*
 * Runs a statement that returns no rows; `ret_changed` (may be NULL) gets the rows it changed.
 * Errors: CONFLICT (a unique key), STORAGE_FULL, BUSY, IO; with DB_MANY_WRITERS also RERUN (another
 * transaction came first: the whole of this one has to be run again) and UNAVAILABLE (the server
 * cannot be reached). With DB_MANY_WRITERS a failed statement spoils its transaction.
 */
MUST_CHECK enum rc db_exec(struct db_conn *conn, const struct sql *sql,
                           const struct db_value *values, size_t n, int64_t *ret_changed,
                           struct err *err);

/*
 * The same where the outcome is not needed yet: it runs at the latest with the next statement that
 * is waited for, or with the commit, and an error comes out there. Saves a round trip to a server.
 */
MUST_CHECK enum rc db_exec_later(struct db_conn *conn, const struct sql *sql,
                                 const struct db_value *values, size_t n, struct err *err);

/*
 * The same for an INSERT whose unique key may be taken: then the error is `taken`, and with
 * DB_MANY_WRITERS the transaction is spoilt.
 */
MUST_CHECK enum rc db_insert_later(struct db_conn *conn, const struct sql *sql,
                                   const struct db_value *values, size_t n, enum rc taken,
                                   struct err *err);

/* Runs a whole script of statements without parameters; a NULL text is an empty one. */
MUST_CHECK enum rc db_script(struct db_conn *conn, const struct sql *script, struct err *err);

/*
 * Starts a statement that returns rows; end the cursor with db_cursor_free(). In a transaction it
 * may run, and fail, as late as db_next(): questions asked one after the other before the first
 * answer is looked at share a round trip to a server.
 */
MUST_CHECK enum rc db_query(struct db_conn *conn, const struct sql *sql,
                            const struct db_value *values, size_t n, struct db_cursor **ret,
                            struct err *err);
/* The same for a text built for this call from our own fragments. */
MUST_CHECK enum rc db_query_built(struct db_conn *conn, const char *text,
                                  const struct db_value *values, size_t n, struct db_cursor **ret,
                                  struct err *err);
/* The text of a fragment for such a one, where engines differ. */
const char *db_piece(struct db_conn *conn, const struct sql *sql);
/* Moves to the first row, or NOT_FOUND. */
MUST_CHECK enum rc db_first(struct db_cursor *cursor, struct err *err);
/* The first row of a statement, or NOT_FOUND; end the cursor with db_cursor_free(). */
MUST_CHECK enum rc db_query_one(struct db_conn *conn, const struct sql *sql,
                                const struct db_value *values, size_t n, struct db_cursor **ret,
                                struct err *err);

/* Whether the statement gives any row. */
MUST_CHECK enum rc db_exists(struct db_conn *conn, const struct sql *sql,
                             const struct db_value *values, size_t n, bool *ret, struct err *err);

/* Moves to the next row; *ret_row is false after the last. */
MUST_CHECK enum rc db_next(struct db_cursor *cursor, bool *ret_row, struct err *err);
void db_cursor_free(struct db_cursor **cursor);

/* Columns of the current row, from 0. Text is NUL-terminated; NULL for SQL NULL. */
bool db_col_null(struct db_cursor *cursor, int col);
int64_t db_col_int(struct db_cursor *cursor, int col);
const char *db_col_text(struct db_cursor *cursor, int col);
const void *db_col_blob(struct db_cursor *cursor, int col, size_t *ret_len);
/* A copy of the text in `pool`; NULL for SQL NULL. */
char *db_col_strdup(struct db_cursor *cursor, int col, TALLOC_CTX *pool);
/* An id column; false for SQL NULL, with *ret all zero. */
bool db_col_id(struct db_cursor *cursor, int col, struct id *ret);

/* Copies a consistent state of the whole database into the new file `path`, beside writers. The
 * file is not synced. */
MUST_CHECK enum rc db_backup(struct db *db, const char *path, struct err *err);

/*
 * Whether the database is sound in itself: its pages and rows; with `indexes` also that each index
 * agrees with its table, which takes longer. Errors: IO, the detail says what is wrong first.
 */
MUST_CHECK enum rc db_verify(struct db_conn *conn, bool indexes, struct err *err);

/* Moves the write-ahead log into the database and truncates it, so that deleted content is gone. */
MUST_CHECK enum rc db_checkpoint(struct db_conn *conn, struct err *err);

/*
 * What a function of the store works with: a transaction under way. `now_ms` is one wall time
 * for all that happens in it; results go to `pool`.
 */
struct tx {
    struct db_conn *conn;
    TALLOC_CTX *pool;
    int64_t now_ms;
    const uint8_t *audit_key; /* what the audit trail is sealed with (store/audit_chain.h) */
    unsigned slot;            /* of the writer: picks among rows that a workspace has many of */
    struct audit_turn *turn;  /* the chain that is held all along (store/turn.h), NULL: none */
    struct tx_mark *mark;     /* what tells afterwards whether it was committed, NULL: not asked */
    bool deferred;            /* something was done that the end of the turn will write */
};

/* An audit line of the transaction. */
struct tx_mark {
    bool set;
    int64_t workspace;
    int64_t chain;
    int64_t seq;
    struct id id;
};

#endif
