// SPDX-License-Identifier: Apache-2.0
#include "core/tier.h"

static const char *const names[] = {
    [TIER_STANDARD] = "standard", [TIER_HIGH] = "high", [TIER_UNMETERED] = "unmetered"};

const char *
tier_name(enum tier tier)
{
    BUG_ON(tier >= TIER_MAX_);
    return names[tier];
}

bool
tier_parse(const char *name, enum tier *ret)
{
    for (enum tier t = TIER_STANDARD; t < TIER_MAX_; t++) {
        if (streq(name, names[t])) {
            *ret = t;
            return true;
        }
    }
    return false;
}
