// SPDX-License-Identifier: Apache-2.0
/*
 * dump: all rows of a library, in a form that depends on no engine, out and in again.
 *
 *  I1  dump_tables and dump_left_out name every table there is, and the former every column that is
 *      not of one engine or moment only. tests/contract/dump.c compares them with the schema.
 *  I2  Rows come in the order of their key, whose columns are the first ones, so two databases with
 *      the same library give the same rows in the same order.
 *  I3  Chains of audit lines that hold nothing yet are of the engine, and stay out; how a chain is
 *      sealed depends on how many there are, so that its seal was good comes in its place. What is
 *      broken, or gone, comes as broken.
 *
 * Threads: as the connection.
 */
#ifndef STORE_DUMP_H
#define STORE_DUMP_H
#include "db/db.h"

#define DUMP_KEYS_MAX 4
#define DUMP_COLUMNS_MAX 16
#define DUMP_PAGE 256 /* rows read at a time */

enum dump_type { DUMP_INT, DUMP_TEXT, DUMP_BLOB };

struct dump_column {
    const char *name;
    enum dump_type type;
    const char *computed; /* what is read in its place; NULL: the column */
};

struct dump_table {
    const char *name;
    const struct dump_column *columns;
    size_t n;
    size_t keys; /* how many of them make the key */
    const char
        *group; /* how rows are put together, "" when they are not; NULL: not read row by row */
};

#define DUMP_TABLES 21
extern const struct dump_table dump_tables[DUMP_TABLES];

/* Of one engine or moment: the state of nodes, and what is made anew. Ends with NULL. */
extern const char *const dump_left_out[];

/* The table of this name; NULL when there is none. */
const struct dump_table *dump_table_find(const char *name);
/* The place of a column, which there is. */
size_t dump_column_find(const struct dump_table *t, const char *name);

/* Where a walk over a table is. */
struct dump_walk {
    const struct dump_table *table;
    TALLOC_CTX *pool;
    bool begun, ended;
    struct db_value after[DUMP_KEYS_MAX];
    TALLOC_CTX *after_pool;
    /* in the chains of one workspace: what the first of them says */
    int64_t workspace, chains, next, keep_days;
};

/* `pool` lives as long as the walk. */
void dump_begin(TALLOC_CTX *pool, const struct dump_table *table, struct dump_walk *ret);

/* The next rows, n columns each, in tx->pool; *ret_n is 0 after the last. */
MUST_CHECK enum rc dump_next(struct tx *tx, struct dump_walk *walk, struct db_value **ret,
                             size_t *ret_n, struct err *err);

/* Whether no table holds anything of a library. */
MUST_CHECK enum rc dump_empty(struct tx *tx, bool *ret, struct err *err);

/* The statements by which rows go in; prepared once a connection, which has to end first. */
struct dump_inserts;
struct dump_inserts *dump_inserts_new(TALLOC_CTX *pool);

/* Puts a row in; that it worked is known with the commit (db_exec_later()). */
MUST_CHECK enum rc dump_put(struct tx *tx, const struct dump_inserts *inserts,
                            const struct dump_table *table, const struct db_value *row,
                            struct err *err);

/*
 * Afterwards: gives the workspaces after the number *after, some at a time, the chains of this
 * engine; *after is 0 when all have theirs.
 */
MUST_CHECK enum rc dump_seal_some(struct tx *tx, int64_t *after, struct err *err);

#endif
