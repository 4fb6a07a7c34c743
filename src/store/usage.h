// SPDX-License-Identifier: Apache-2.0
/* usage: how many documents and bytes a workspace holds, for its quota. */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H
#include "store/workspace.h"

struct usage {
    int64_t documents;
    int64_t bytes; /* of documents and of objects not yet registered; declared where not here */
    int64_t pending_purge_bytes;
};

MUST_CHECK enum rc usage_read(struct tx *tx, int64_t workspace, struct usage *ret, struct err *err);

/* The same without pending_purge_bytes, which takes the longer the more is pending. */
MUST_CHECK enum rc usage_totals(struct tx *tx, int64_t workspace, struct usage *ret,
                                struct err *err);

/* Changes the totals by the given amounts (negative: less). */
MUST_CHECK enum rc usage_add(struct tx *tx, int64_t workspace, int64_t documents, int64_t bytes,
                             struct err *err);

/* Writes what usage_add() left for the end of the turn (audit_turn_end()). */
MUST_CHECK enum rc usage_settle(struct tx *tx, int64_t workspace, struct err *err);

/* As usage_add(), but QUOTA when a limit of `w` (-1: none) would be passed by growing. */
MUST_CHECK enum rc usage_claim(struct tx *tx, const struct workspace *w, int64_t documents,
                               int64_t bytes, struct err *err);

#endif
