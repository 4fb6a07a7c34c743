// SPDX-License-Identifier: Apache-2.0
/*
 * audit_head: signed statements of how far a chain of audit lines has come.
 *
 * A head says "line number `lines` of this chain has this hash". It is signed with Ed25519, so
 * that anybody with the public key can check it, also far from here: a head that is kept elsewhere
 * tells whether the trail that is here is still the one it was.
 *
 * What is signed are these lines, each with a line feed behind it:
 *     dossier audit head 1
 *     the public id of the workspace
 *     the number of the line
 *     its hash, 64 hexadecimal digits
 *     the time, RFC 3339
 * Of another chain than the first (audit_chain.h, I4), the first line ends in 2, and the number of
 * the chain stands behind the id.
 */
#ifndef STORE_AUDIT_HEAD_H
#define STORE_AUDIT_HEAD_H
#include "store/audit_chain.h"
#include "store/workspace.h"

struct audit_head {
    int64_t chain;
    int64_t lines;
    uint8_t hash[SHA256_LEN];
    int64_t signed_ms;
    uint8_t signature[ED25519_LEN];
};

/*
 * Signs the chain as it ends now, with the key of `seed`, and keeps the head; *ret_new is false
 * when there is nothing new: then *ret is the last one, of 0 lines when there is none. A chain
 * whose seal is broken is not signed (CONFLICT).
 */
MUST_CHECK enum rc audit_head_sign(struct tx *tx, const struct workspace *w, int64_t chain,
                                   const uint8_t seed[SHA256_LEN], struct audit_head *ret,
                                   bool *ret_new, struct err *err);

/* "LINES:HASH", or "CHAIN/LINES:HASH" of another chain than the first; in `pool`. */
char *audit_head_text(TALLOC_CTX *pool, const struct audit_head *head);

/* All heads of a chain, the oldest first, in tx->pool. */
MUST_CHECK enum rc audit_head_list(struct tx *tx, int64_t workspace, int64_t chain,
                                   struct audit_head **ret, size_t *ret_n, struct err *err);

/* Whether the head was signed with the key whose public half is `key`. */
MUST_CHECK bool audit_head_good(const struct audit_head *head, const char *public_id,
                                const uint8_t key[ED25519_PUBLIC_LEN]);

/* Forgets the heads of lines that retention has removed. */
MUST_CHECK enum rc audit_head_trim(struct tx *tx, int64_t workspace, int64_t chain,
                                   struct err *err);

#endif
