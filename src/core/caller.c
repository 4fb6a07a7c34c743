// SPDX-License-Identifier: Apache-2.0
#include "core/caller.h"

#include "base/js.h"

enum rc
caller_audit(struct tx *tx, const struct caller *caller, const char *action,
             const char *resource_type, const char *resource_id, const char *detail_name,
             const char *detail_text, struct err *err)
{
    struct audit_line line = {
        .action = action,
        .resource_type = resource_type,
        .resource_id = resource_id,
        .key_id = caller->has_key ? &caller->key_id : NULL,
        .user_id = caller->has_key ? &caller->user_id : NULL,
        .request_id = caller->request_id,
        .address = caller->address,
        .details = detail_name ? js_member(tx->pool, detail_name, detail_text) : NULL,
    };

    return audit_append(tx, caller->workspace.number, &line, err);
}
