// SPDX-License-Identifier: Apache-2.0
/*
 * budget: what a key or a Docs entity has used of its UTC day, kept over restarts.
 *
 * Each node adds what it has counted since it last did, so the row is the sum over all nodes.
 */
#ifndef STORE_BUDGET_H
#define STORE_BUDGET_H
#include "db/db.h"

struct budget {
    int64_t workspace;
    struct id subject; /* the key, or the Docs entity */
    int64_t day;       /* days since 1970 */
    int64_t used;
    int64_t last_used_ms;
};

/* What has been used; NOT_FOUND when nothing is known of the subject. */
MUST_CHECK enum rc budget_read(struct tx *tx, int64_t workspace, const struct id *subject,
                               struct budget *ret, struct err *err);

/*
 * Adds what has been used since the last time; *ret is the sum that this makes. A later day than
 * the row's begins anew, an earlier one changes nothing but may be told a later day. A row written
 * by a clock that was ahead of the present one is replaced.
 */
MUST_CHECK enum rc budget_add(struct tx *tx, const struct budget *added, struct budget *ret,
                              struct err *err);

#endif
