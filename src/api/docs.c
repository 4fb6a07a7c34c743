// SPDX-License-Identifier: Apache-2.0
/* The docs dialect: Docs objects and their owners. */
#include "api/api.h"
#include "api/rules.h"
#include "base/js.h"
#include "core/docs_library.h"

struct docs_in {
    struct value type, owner_id, owner_external;
};

static const struct field owner_members[] = {
    {.name = "id",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 64,
     .rule = rule_docs_id,
     .offset = offsetof(struct docs_in, owner_id),
     .help = "Id of the user",
     .example = "\"0f5ly1v7p3gqj5ii56e6k6q61x\""},
    {.name = "externalId",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 255,
     .offset = offsetof(struct docs_in, owner_external),
     .help = "The caller's own id of the user; creates it when unknown",
     .example = "\"unique-customer-code\""},
    {0},
};
const struct field docs_body[] = {
    {.name = "type",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .min = 1,
     .max = 64,
     .rule = rule_docs_type,
     .offset = offsetof(struct docs_in, type),
     .help = "Type of Docs object",
     .example = "\"full\""},
    {.name = "owner",
     .type = FIELD_OBJECT,
     .flags = FIELD_REQUIRED,
     .members = owner_members,
     .help = "id or externalId, or both",
     .example = "{\"id\":\"0f5ly1v7p3gqj5ii56e6k6q61x\",\"externalId\":\"unique-customer-code\"}"},
    {0},
};
const size_t docs_body_size = sizeof(struct docs_in);

struct list_query {
    struct value external_id;
};
const struct field docs_list_query[] = {
    {.name = "externalId",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .min = 1,
     .max = 255,
     .offset = offsetof(struct list_query, external_id),
     .help = "The owner's external id",
     .example = "\"unique-customer-code\""},
    {0},
};
const size_t docs_list_query_size = sizeof(struct list_query);

static json_t *
docs_json(const struct request *rq, const struct docs *d, bool with_type)
{
    json_t *j = json_object(), *owner = json_object();

    js_set(owner, "id", js_text(d->owner.id));
    if (with_type)
        js_set(owner, "type", js_text("User"));
    js_set(owner, "externalId", js_text(d->owner.external_id));
    js_set(j, "id", api_id(rq, &d->id, ID_DOCS));
    js_set(j, "status", js_text(d->status));
    js_set(j, "owner", owner);
    return j;
}

enum rc
api_docs_create(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct docs_in *in = rq->body;
    struct docs d = {.type = in->type.text,
                     .owner = {.id = in->owner_id.text, .external_id = in->owner_external.text}};
    enum rc rc;

    if (!d.owner.id && !d.owner.external_id)
        return err_field(err, RC_MISSING, "owner", "needs id or externalId");
    rc = docs_library_create(tx, &rq->caller, &d, err);
    if (!rc)
        reply_json(rp, 201, docs_json(rq, &d, false));
    return rc;
}

enum rc
api_docs_get(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    struct docs d;
    struct id id;
    enum rc rc = api_path_id(rq, 0, ID_DOCS, &id, err);

    if (!rc)
        rc = docs_read(tx, rq->caller.workspace.number, &id, &d, err);
    if (!rc)
        reply_json(rp, 200, docs_json(rq, &d, true));
    return rc;
}

enum rc
api_docs_list(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct list_query *q = rq->query;
    json_t *list = json_array();
    struct docs *docs;
    size_t n = 0;
    enum rc rc =
        docs_of_external(tx, rq->caller.workspace.number, q->external_id.text, &docs, &n, err);

    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, docs_json(rq, &docs[i], true));
    reply_json(rp, 200, list);
    return rc;
}

enum rc
docs_read_patch(const json_t *patch, const char **ret_status, struct err *err)
{
    static const char *const statuses[] = {"active", "pending", "block"};
    const json_t *step = json_array_get(patch, 0);
    const char *op = json_string_value(json_object_get(step, "op"));
    const char *path = json_string_value(json_object_get(step, "path"));
    const json_t *value = json_object_get(step, "value");

    if (!json_is_array(patch) || json_array_size(patch) != 1 || !op || !path || !value)
        return err_set(err, RC_INVALID, "not a patch of one step");
    if (!streq(op, "replace") || !streq(path, "/status"))
        return err_field(err, RC_INVALID, "op", "only replace of /status is possible");
    for (size_t i = 0; i < ARRAY_LEN(statuses) && json_is_string(value); i++) {
        if (streq(json_string_value(value), statuses[i])) {
            *ret_status = statuses[i];
            return RC_OK;
        }
    }
    return err_field(err, RC_UNPROCESSABLE, "value", "must be active, pending or block");
}

enum rc
api_docs_update(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const char *status = NULL;
    struct docs d;
    struct id id;
    enum rc rc = docs_read_patch(rq->json, &status, err);

    if (!rc)
        rc = api_path_id(rq, 0, ID_DOCS, &id, err);
    if (!rc)
        rc = docs_library_set_status(tx, &rq->caller, &id, status, &d, err);
    if (!rc)
        reply_json(rp, 200, docs_json(rq, &d, true));
    return rc;
}
