// SPDX-License-Identifier: Apache-2.0
#include "core/docs_library.h"

static const char id_characters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char type_characters[] = "0123456789abcdefghijklmnopqrstuvwxyz_-";

bool
docs_id_valid(const char *text)
{
    size_t len = strlen(text);

    return len >= 20 && len <= 32 && strspn(text, id_characters) == len;
}

bool
docs_type_valid(const char *text)
{
    size_t len = strlen(text);

    return len >= 1 && len <= 64 && text[0] >= 'a' && text[0] <= 'z' &&
           strspn(text, type_characters) == len;
}

/* A look-up for which absence is an answer. */
static enum rc
find_user(struct tx *tx, int64_t workspace, bool external, const char *by, struct docs_user *ret,
          bool *ret_found, struct err *err)
{
    enum rc rc = external ? docs_user_by_external(tx, workspace, by, ret, err)
                          : docs_user_by_id(tx, workspace, by, ret, err);

    *ret_found = rc == RC_OK;
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc
new_owner(struct tx *tx, int64_t workspace, struct docs_user *owner, struct err *err)
{
    char text[ID_TEXT_LEN];
    struct id id;

    if (!owner->external_id)
        return err_field(err, RC_INVALID, "owner.id",
                         "no such user; give owner.externalId to create one");
    if (!owner->id) {
        id = id_new();
        id_format(&id, ID_USER, ID_BASE36, text);
        owner->id = mem_strdup(tx->pool, text);
    }
    return docs_user_insert(tx, workspace, owner, err);
}

/* Finds the owner that is meant, or makes it; fills in what was left out. */
static enum rc
settle_owner(struct tx *tx, int64_t workspace, struct docs_user *owner, struct err *err)
{
    struct docs_user by_id = {0}, by_external = {0};
    bool has_id = false, has_external = false;
    enum rc rc = RC_OK;

    if (owner->id)
        rc = find_user(tx, workspace, false, owner->id, &by_id, &has_id, err);
    if (!rc && owner->external_id)
        rc = find_user(tx, workspace, true, owner->external_id, &by_external, &has_external, err);
    if (rc)
        return rc;
    if (!has_id && !has_external)
        return new_owner(tx, workspace, owner, err);
    /* one found: the other spelling, where given, must mean the same user */
    if ((owner->id && owner->external_id) &&
        (!has_id || !has_external || !streq(by_id.id, by_external.id)))
        return err_field(err, RC_UNPROCESSABLE, "owner",
                         "id and externalId name two different users");
    *owner = has_id ? by_id : by_external;
    return RC_OK;
}

static enum rc
audit_docs(struct tx *tx, const struct caller *caller, const char *action, const struct id *id,
           const char *detail_name, const char *detail_text, struct err *err)
{
    char text[ID_TEXT_LEN];

    id_format(id, ID_DOCS, ID_RECORDS, text);
    return caller_audit(tx, caller, action, "docs", text, detail_name, detail_text, err);
}

enum rc
docs_library_create(struct tx *tx, const struct caller *caller, struct docs *d, struct err *err)
{
    int64_t ws = caller->workspace.number;
    enum rc rc;

    rc = settle_owner(tx, ws, &d->owner, err);
    if (rc)
        return rc;
    d->id = id_new();
    d->status = "created";
    rc = docs_insert(tx, ws, d, err);
    return rc ? rc : audit_docs(tx, caller, "create", &d->id, NULL, NULL, err);
}

enum rc
docs_library_set_status(struct tx *tx, const struct caller *caller, const struct id *id,
                        const char *status, struct docs *ret, struct err *err)
{
    int64_t ws = caller->workspace.number;
    enum rc rc;

    rc = docs_set_status(tx, ws, id, status, err);
    if (!rc)
        rc = docs_read(tx, ws, id, ret, err);
    return rc ? rc : audit_docs(tx, caller, "update", id, "status", status, err);
}
