// SPDX-License-Identifier: Apache-2.0
/* tier: the rate budgets a key can have. */
#ifndef CORE_TIER_H
#define CORE_TIER_H
#include "base/base.h"

#define TIER_UNMETERED_LIMIT 2147483647 /* what the headers show when nothing is counted */

/* Stored as these numbers: append only. */
enum tier { TIER_STANDARD, TIER_HIGH, TIER_UNMETERED, TIER_MAX_ };

struct tier_limits {
    int64_t per_minute; /* 0: not counted */
    int64_t per_day;
};

const char *tier_name(enum tier tier);
bool tier_parse(const char *name, enum tier *ret);

#endif
