// SPDX-License-Identifier: Apache-2.0
/*
 * audit_verify: whether the audit trail of a workspace is whole and the one that was written.
 *
 * Finds a line that was changed, taken out, put in or moved, lines cut off at the end, a state
 * that was written without the secret, and heads (audit_head.h) that are not ours or say otherwise.
 */
#ifndef STORE_AUDIT_VERIFY_H
#define STORE_AUDIT_VERIFY_H
#include "store/audit_head.h"

enum audit_fault {
    AUDIT_INTACT,
    AUDIT_SEAL,      /* the state of the chain was not written by us */
    AUDIT_LINE,      /* a line does not follow from the one before */
    AUDIT_END,       /* the lines end elsewhere than the state says */
    AUDIT_SIGNATURE, /* a head is not signed with our key */
    AUDIT_HEAD, /* a head says otherwise than the lines, or speaks of lines that are not there */
};

/* What the caller knows from elsewhere: line `lines` had this hash. lines 0: nothing. */
struct audit_claim {
    int64_t chain;
    int64_t lines;
    uint8_t hash[SHA256_LEN];
};

struct audit_report {
    int64_t lines; /* checked */
    int64_t heads; /* checked */
    enum audit_fault fault;
    struct id broken_at; /* the last line looked at, when not intact; all zero: none */
};

/* A word for a fault: "line", "end" …; NULL when intact. */
const char *audit_fault_name(enum audit_fault fault);

/*
 * Walks the chains and recomputes them. `key`: the public half of the key that signs
 * heads. A claim about a line that retention has removed cannot be checked: INVALID.
 */
MUST_CHECK enum rc audit_verify(struct tx *tx, const struct workspace *w,
                                const uint8_t key[ED25519_PUBLIC_LEN],
                                const struct audit_claim *claim, struct audit_report *ret,
                                struct err *err);

#endif
