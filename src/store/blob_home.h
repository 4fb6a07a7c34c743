// SPDX-License-Identifier: Apache-2.0
/*
 * blob_home: which store the bytes of this database are in.
 *
 * A node that was given another one would serve documents without bytes, and sweep the bytes of
 * others as ones that no row names. So a store has an id, and one database that made it.
 *
 *  I1  The id is noted here before a store gets it, and settled once one has it: so a store that
 *      has another id is another database's, whenever a process ended in between.
 */
#ifndef STORE_BLOB_HOME_H
#define STORE_BLOB_HOME_H
#include "db/db.h"

struct blob_home {
    struct id id;
    bool settled;
};

/* NOT_FOUND when none was noted yet. */
MUST_CHECK enum rc blob_home_read(struct tx *tx, struct blob_home *ret, struct err *err);

/* The same; whoever else is at it waits for the end of this transaction. */
MUST_CHECK enum rc blob_home_lock(struct tx *tx, struct blob_home *ret, struct err *err);

/* Notes an id that no store has yet, unless one was noted. */
MUST_CHECK enum rc blob_home_note(struct tx *tx, const struct id *id, struct err *err);

/* A store has it now. */
MUST_CHECK enum rc blob_home_settle(struct tx *tx, struct err *err);

/* Notes another one, which a store has: the bytes were moved to it. */
MUST_CHECK enum rc blob_home_move(struct tx *tx, const struct id *id, struct err *err);

#endif
