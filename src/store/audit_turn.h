// SPDX-License-Identifier: Apache-2.0
/*
 * audit_turn: how writers of one workspace keep out of each other's way in a database with many.
 *
 *  I1  A transaction that has taken its turn holds the chain of audit lines of its slot. So those
 *      with different chains run side by side, and what they do must not interfere otherwise.
 *  I2  The sole one holds all chains: no other is under way, and it sees what those before it did.
 */
#ifndef STORE_AUDIT_TURN_H
#define STORE_AUDIT_TURN_H
#include "store/audit_chain.h"

struct audit_turn {
    int64_t workspace;
    struct audit_chain chain;
};

/* First of all in a write transaction on a database with DB_MANY_WRITERS; sets tx->turn. */
MUST_CHECK enum rc audit_turn_take(struct tx *tx, int64_t workspace, bool sole, struct err *err);

#endif
