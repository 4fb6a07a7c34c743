// SPDX-License-Identifier: Apache-2.0
/*
 * audit_turn: how writers of one workspace keep out of each other's way in a database with many.
 *
 *  I1  A transaction that has taken its turn holds the chain of audit lines of its slot. So those
 *      with different chains run side by side, and what they do must not interfere otherwise.
 *  I2  The sole one holds all chains: no other is under way, and it sees what those before it did.
 *  I3  Both rows of a slot, the state of its chain and the slot's part of the totals, are written
 *      once, at the end of the turn, however much happened in it.
 */
#ifndef STORE_AUDIT_TURN_H
#define STORE_AUDIT_TURN_H
#include "store/audit_chain.h"

struct audit_turn {
    int64_t workspace;
    int64_t documents; /* what has to be added to the totals */
    int64_t bytes;
    struct audit_chain chain; /* see audit_turn_read() */
    bool changed;             /* it has to be written */

    struct db_cursor *asked_; /* private: the answer with the chain, not read yet */
};

/* First of all in a write transaction on a database with DB_MANY_WRITERS; sets tx->turn. */
MUST_CHECK enum rc audit_turn_take(struct tx *tx, int64_t workspace, bool sole, struct err *err);

/* The turn of the transaction if it is one of this workspace, with its chain read; else NULL. */
MUST_CHECK enum rc audit_turn_read(struct tx *tx, int64_t workspace, struct audit_turn **ret,
                                   struct err *err);

/* Last of all before the commit. */
MUST_CHECK enum rc audit_turn_end(struct tx *tx, struct err *err);

#endif
