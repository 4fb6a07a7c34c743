// SPDX-License-Identifier: Apache-2.0
/*
 * audit_chain: what holds the lines of a workspace's audit trail together.
 *
 *  I1  Lines of a chain are numbered 1, 2, 3 … Each holds SHA-256 over itself and the hash of the
 *      one before.
 *  I2  The state of the chain is sealed: an HMAC under tx->audit_key, which is not in the database.
 *      So whoever can write the database alone can neither make lines up nor cut the last ones off.
 *  I3  A broken seal stays broken: nothing that is written later mends it.
 *  I4  A workspace has one chain where one writes, and several where many do: each writer adds to
 *      the one of its slot, so that they need not wait for one row. How many there are never
 *      changes while the workspace is in a database, and is sealed in each.
 *
 * Not promised: an old copy of the whole database is as good as it was. Heads that were signed
 * (audit_head.h) and kept elsewhere tell that.
 */
#ifndef STORE_AUDIT_CHAIN_H
#define STORE_AUDIT_CHAIN_H
#include "store/audit.h"

struct audit_chain {
    int64_t chain;            /* from 0 */
    int64_t chains;           /* how many the workspace has; 1 when it has none, as I4 wants */
    uint8_t head[SHA256_LEN]; /* hash of the last line */
    uint8_t base[SHA256_LEN]; /* hash of the last line that retention has removed */
    int64_t lines;            /* ever written: the number of the last one */
    int64_t removed;          /* the number of the last one that retention has removed */
    int64_t keep_days;        /* how long a line is kept, 0: for ever; never changes */
    bool sealed;
};

/* The state before the first line of a new workspace, whose lines are kept for `keep_days`. */
MUST_CHECK enum rc audit_chain_begin(struct tx *tx, int64_t workspace, int64_t keep_days,
                                     struct err *err);

/* One that is not there is empty and not sealed. */
MUST_CHECK enum rc audit_chain_read(struct tx *tx, int64_t workspace, int64_t chain,
                                    struct audit_chain *ret, struct err *err);

/* The same, and no other transaction writes to it before this one has ended. */
MUST_CHECK enum rc audit_chain_lock(struct tx *tx, int64_t workspace, int64_t chain,
                                    struct audit_chain *ret, struct err *err);

/* The chain of this writer, or the first where it has none: locked. */
MUST_CHECK enum rc audit_chain_own(struct tx *tx, int64_t workspace, struct audit_chain *ret,
                                   struct err *err);

/* The same in two steps, between which other questions can be asked. */
MUST_CHECK enum rc audit_chain_ask_own(struct tx *tx, int64_t workspace, struct db_cursor **ret,
                                       struct err *err);
MUST_CHECK enum rc audit_chain_answer(struct tx *tx, int64_t workspace, struct db_cursor *asked,
                                      struct audit_chain *ret, struct err *err);

/* Locks all chains of a workspace, in order; *ret is the writer's own. */
MUST_CHECK enum rc audit_chain_lock_all(struct tx *tx, int64_t workspace, struct audit_chain *ret,
                                        struct err *err);
MUST_CHECK enum rc audit_chain_write(struct tx *tx, int64_t workspace,
                                     const struct audit_chain *chain, struct err *err);

/* Seals all chains as they are: for the migration that brings seals. */
MUST_CHECK enum rc audit_chain_seal_all(struct tx *tx, struct err *err);

/* ---- for moving a library between engines (dump.h) ---- */

struct audit_chain_at {
    int64_t workspace;
    struct audit_chain chain;
};

/* Up to `max` chains of all workspaces behind one of them, in order, in tx->pool. */
MUST_CHECK enum rc audit_chain_page(struct tx *tx, int64_t workspace, int64_t chain, int64_t max,
                                    struct audit_chain_at **ret, size_t *ret_n, struct err *err);

/* All chains of the first workspace with a number above `after`; none: *ret_n is 0. */
MUST_CHECK enum rc audit_chain_next_of(struct tx *tx, int64_t after, struct audit_chain_at **ret,
                                       size_t *ret_n, struct err *err);

/* How many a new workspace gets in this database. */
MUST_CHECK enum rc audit_chain_usual(struct tx *tx, int64_t *ret, struct err *err);

/* Adds one as it is, with a seal that fits nothing when it is not `sealed`. */
MUST_CHECK enum rc audit_chain_insert(struct tx *tx, int64_t workspace,
                                      const struct audit_chain *chain, struct err *err);

/* The hash of a line after one with the hash `before`; `l->seq` has no part in it. */
void audit_chain_hash(TALLOC_CTX *pool, const uint8_t before[SHA256_LEN],
                      const struct audit_line *l, uint8_t out[SHA256_LEN]);

/* A column with a hash; all zero when it holds something else. */
void audit_chain_col(struct db_cursor *c, int col, uint8_t out[SHA256_LEN]);

#endif
