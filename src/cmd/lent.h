// SPDX-License-Identifier: Apache-2.0
/*
 * lent: a copy of the rows that a server makes for the process that asked for it.
 *
 * A server may write nowhere but in its directory and is the only one that opens its database file.
 * So backup and export beside it get DIR/snapshot-ID.db, take it away, and do the rest themselves.
 *
 * Threads: any.
 */
#ifndef CMD_LENT_H
#define CMD_LENT_H
#include "cmd/command.h"

/* The server's part: makes the copy, and *ret, which names it. */
MUST_CHECK enum rc lent_make(struct command_env *env, json_t **ret, struct err *err);

/* The other process's. */
struct lent {
    struct command_env *env;
    const struct conf *conf;
    char *path; /* of a copy that nobody has fetched yet; NULL: none */
};

/*
 * Takes note of what the server has lent (env->lent): nothing when its rows are on a server of
 * their own. The caller ends it with lent_end() in any case. INVALID: its database is another than
 * conf says. IO: it is of another version.
 */
MUST_CHECK enum rc lent_begin(struct lent *l, struct command_env *env, const struct conf *conf,
                              struct err *err);

/* Moves the copy to the file `to`; from the second time on asks the server for one first. */
MUST_CHECK enum rc lent_fetch(struct lent *l, const char *to, struct err *err);

void lent_end(struct lent *l);

/* Removes a copy of a database with all that stands beside it; it may be absent. */
MUST_CHECK enum rc lent_remove(TALLOC_CTX *pool, const char *file, struct err *err);

/* Removes those that nobody fetched. The caller holds the lock of the data directory `dir`. */
void lent_sweep(const char *dir);

#endif
