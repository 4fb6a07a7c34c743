// SPDX-License-Identifier: Apache-2.0
/* caller: on whose behalf something happens. Valid for one request; texts are borrowed from it. */
#ifndef CORE_CALLER_H
#define CORE_CALLER_H
#include "core/permission.h"
#include "core/tier.h"
#include "store/audit.h"
#include "store/workspace.h"

struct caller {
    struct workspace workspace;
    bool has_key; /* false: a signed URL, a Docs entity alone, or the service itself */
    struct id key_id;
    struct id user_id;
    uint32_t permissions;
    enum tier tier;
    struct id subject; /* whose rate budget is drawn on */
    const char *request_id;
    const char *address;
};

/*
 * Writes the audit line of an effect of this caller. `detail_name` NULL: no details; else
 * {"name": "text"}, or {"name": true} when `detail_text` is NULL.
 */
MUST_CHECK enum rc caller_audit(struct tx *tx, const struct caller *caller, const char *action,
                                const char *resource_type, const char *resource_id,
                                const char *detail_name, const char *detail_text, struct err *err);

#endif
