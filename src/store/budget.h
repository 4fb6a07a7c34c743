// SPDX-License-Identifier: Apache-2.0
/* budget: what a key or a Docs entity has used of its UTC day, kept over restarts. */
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
MUST_CHECK enum rc budget_write(struct tx *tx, const struct budget *b, struct err *err);

#endif
