// SPDX-License-Identifier: Apache-2.0
/*
 * importing: how far an import into this database has come, noted in it.
 *
 *  I1  While it is noted, the library is not whole: nobody may serve it.
 *  I2  A step forward and what it brought are one transaction, so an import that was killed goes on
 *      behind its last one.
 *  I3  One import at a time: each takes the note over from the one before, which then fails.
 */
#ifndef STORE_IMPORTING_H
#define STORE_IMPORTING_H
#include "base/crypto.h"
#include "db/db.h"

struct importing {
    uint8_t export[SHA256_LEN]; /* which one, by the hash of its manifest */
    int64_t step;               /* 0: no row is in yet */
    int64_t at;                 /* how far in it */
};

/* Whether an import is noted. */
MUST_CHECK enum rc importing_noted(struct tx *tx, bool *ret, struct err *err);

/*
 * Whether no other process is connected to the database, as far as it can tell: a node that serves
 * it would take the bytes that come first for orphans.
 */
MUST_CHECK enum rc importing_alone(struct tx *tx, bool *ret, struct err *err);

/* Takes note of one, at step 0. */
MUST_CHECK enum rc importing_begin(struct tx *tx, const uint8_t export[SHA256_LEN],
                                   struct err *err);

/* Makes it `owner`'s. */
MUST_CHECK enum rc importing_take(struct tx *tx, const struct id *owner, struct err *err);

/* How far it is; nobody else moves it before this transaction ends. CONFLICT: another has it. */
MUST_CHECK enum rc importing_read(struct tx *tx, const struct id *owner, struct importing *ret,
                                  struct err *err);

MUST_CHECK enum rc importing_write(struct tx *tx, const struct importing *im, struct err *err);

/* It is done. */
MUST_CHECK enum rc importing_end(struct tx *tx, struct err *err);

#endif
