// SPDX-License-Identifier: Apache-2.0
#include "core/keys.h"

#include "base/crash.h"

static enum rc
audit_key(struct tx *tx, const struct caller *caller, const char *action, const struct id *id,
          struct err *err)
{
    char text[ID_TEXT_LEN];

    id_format(id, ID_KEY, ID_RECORDS, text);
    return caller_audit(tx, caller, action, "api_keys", text, NULL, NULL, err);
}

enum rc
keys_create(struct tx *tx, const struct caller *caller, const struct secret *secret,
            uint32_t may_grant, struct api_key *k, struct key_text *ret_text, struct err *err)
{
    enum rc rc;

    if (k->permissions & ~may_grant)
        return err_set(err, RC_FORBIDDEN, "grants what its maker does not hold");
    key_text_make(ret_text);
    k->workspace = caller->workspace.number;
    k->id = id_new();
    k->user_id = caller->user_id;
    k->prefix = mem_strndup(tx->pool, ret_text->text, KEY_PREFIX_LEN - 1);
    k->revoked_ms = k->last_used_ms = -1;
    key_text_mac(secret->key_pepper, ret_text, k->secret_mac);
    CRASH_POINT("key.before-insert");
    rc = api_key_insert(tx, k, ret_text->handle, err);
    CRASH_POINT("key.after-insert");
    return rc ? rc : audit_key(tx, caller, "create", &k->id, err);
}

enum rc
keys_revoke(struct tx *tx, const struct caller *caller, const struct id *id, bool by_operator,
            struct err *err)
{
    int64_t ws = caller->workspace.number, active;
    struct api_key k;
    enum rc rc;
    bool in_force;

    rc = api_key_read(tx, ws, id, &k, err);
    if (rc || k.revoked_ms >= 0)
        return rc;
    in_force = k.expires_ms < 0 || k.expires_ms > tx->now_ms;
    if (in_force && (k.permissions & PERM_ADMIN_API_KEYS) && !by_operator) {
        rc = api_key_count_active(tx, ws, PERM_ADMIN_API_KEYS, &active, err);
        if (!rc && active <= 1)
            rc = err_say(err, RC_FORBIDDEN,
                         "The last active key with admin:api_keys cannot be revoked");
    }
    if (!rc)
        rc = api_key_revoke(tx, ws, id, err);
    return rc ? rc : audit_key(tx, caller, "delete", id, err);
}
