// SPDX-License-Identifier: Apache-2.0
/*
 * target: the empty library that an import fills.
 *
 *  I1  It is known to be empty, bytes included, before anything is written to it.
 *  I2  From the first byte on the import is noted in its database (store/importing.h), and so that
 *      nobody serves it, until target_finish().
 *  I3  It gets its secret.key after the note, so before that nobody can serve it either.
 *
 * Threads: one.
 */
#ifndef CMD_TARGET_H
#define CMD_TARGET_H
#include "cmd/command.h"
#include "cmd/manifest.h"
#include "store/importing.h"

struct target {
    struct command_env *env;
    const struct conf *conf;
    const char *from; /* the directory of the export */
    const char *home; /* that of --data */
    const struct secret *secret;
    const struct manifest *manifest;
    int lock; /* -1: not held */
    struct db *db;
    struct db_conn *conn;
    struct blob_store *blobs;
    struct id owner; /* of the note */
    bool fresh;      /* it was empty: no import has begun before */
    bool full;       /* it holds a library with this secret.key, perhaps this very one */
};

/*
 * Takes an empty one, or one that an import of this export has begun to fill, or of an earlier
 * export when no row is in yet. *ret: how far it is. One that an import has filled to the end is
 * opened to be compared, nothing is written to it: t->full. The caller ends it with target_close()
 * in any case. INVALID: it is not empty, or its secret.key is another; BUSY: in use. The detail is
 * fit to be shown.
 */
MUST_CHECK enum rc target_open(struct target *t, struct importing *ret, struct err *err);

/* Fills in that the target holds something else. INVALID. */
enum rc target_not_empty(const struct target *t, struct err *err);

/* Called in a transaction with what is noted, which is written back. May be called again. */
typedef enum rc target_step_fn(struct tx *tx, struct importing *im, void *arg, struct err *err);

/* Runs fn() until its transaction is committed, whatever connections are lost meanwhile. */
MUST_CHECK enum rc target_step(struct target *t, target_step_fn *fn, void *arg, struct err *err);

/* All rows are in: the database may take a look at them, to find its way. */
void target_settle(struct target *t);

/* All is there and right: it may be served. */
MUST_CHECK enum rc target_finish(struct target *t, struct err *err);

void target_close(struct target *t);

#endif
