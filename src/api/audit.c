// SPDX-License-Identifier: Apache-2.0
/* The audit trail and the usage of a workspace. */
#include "api/api.h"
#include "api/rules.h"
#include "base/clock.h"
#include "base/js.h"
#include "store/usage.h"

struct audit_in {
    struct value action, resource_type, resource_id, from_date, to_date, page, per_page;
};

const struct field audit_query[] = {
    {.name = "action",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct audit_in, action),
     .help = "create, update, delete, link, unlink or purge",
     .example = "\"delete\""},
    {.name = "resource_type",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct audit_in, resource_type),
     .help = "documents, entities, api_keys, docs, uploads or workspaces",
     .example = "\"documents\""},
    {.name = "resource_id",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct audit_in, resource_id),
     .help = "Id, in any of its spellings",
     .example = "\"doc_01KA1B2C3D4E5F6G7H8J9KAMNP\""},
    {.name = "from_date",
     .type = FIELD_TIME,
     .offset = offsetof(struct audit_in, from_date),
     .help = "On or after this time",
     .example = "\"2026-01-01\""},
    {.name = "to_date",
     .type = FIELD_TEXT,
     .max = 64,
     .rule = rule_time,
     .offset = offsetof(struct audit_in, to_date),
     .help = "On or before this time; a bare date means the whole day",
     .example = "\"2026-12-31\""},
    FIELD_PAGE(struct audit_in),
    FIELD_PER_PAGE(struct audit_in, 200, 50),
    {0},
};
const size_t audit_query_size = sizeof(struct audit_in);

/* The first millisecond that is not meant any more by "up to `text`"; -1 without a bound. */
static int64_t
read_to(const struct value *v)
{
    int64_t ms;

    if (!v->given || !clock_parse(v->text, &ms))
        return -1;
    if (ms < 0)
        return 0; /* before anything that can have happened */
    return strlen(v->text) == 10 ? clock_next_day_ms(ms) : ms + 1000;
}

/* Lines name documents and keys in the records spelling, whatever the caller uses. */
static const char *
normal_id(TALLOC_CTX *pool, const char *text)
{
    static const enum id_kind kinds[] = {ID_DOCUMENT, ID_KEY, ID_DOCS, ID_UPLOAD};
    char out[ID_TEXT_LEN];
    struct id id;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strchr(text, '_') && id_parse(text, kinds[i], &id))
            return text;
    }
    if (!id_parse(text, ID_DOCUMENT, &id))
        return text;
    id_format(&id, strlen(text) == 26 ? ID_DOCS : ID_DOCUMENT, ID_RECORDS, out);
    return mem_strdup(pool, out);
}

static json_t *
user_json(const struct request *rq, const struct audit_line *l)
{
    json_t *j = json_object();

    js_set(j, "id", l->user_id ? api_id(rq, l->user_id, ID_USER) : json_null());
    js_set(j, "key_id", l->key_id ? api_id(rq, l->key_id, ID_KEY) : json_null());
    js_set(j, "type", js_text(l->key_id ? "api_key" : "system"));
    return j;
}

static json_t *
line_json(const struct request *rq, const struct audit_line *l)
{
    json_t *j = json_object();
    json_t *details = l->details ? json_loads(l->details, 0, NULL) : NULL;

    js_set(j, "id", api_id(rq, &l->id, ID_LOG));
    js_set(j, "timestamp", js_time(id_time_ms(&l->id)));
    js_set(j, "user", user_json(rq, l));
    js_set(j, "action", js_text(l->action));
    js_set(j, "resource_type", js_text(l->resource_type));
    js_set(j, "resource_id", js_text(l->resource_id));
    js_set(j, "details", details ? details : json_object());
    js_set(j, "request_id", js_text(l->request_id));
    js_set(j, "ip_address", js_text(l->address));
    return j;
}

enum rc
api_audit_list(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct audit_in *q = rq->query;
    int64_t page = value_number(&q->page, 1), per_page = value_number(&q->per_page, 50), total;
    struct audit_filter f = {
        .action = q->action.text,
        .resource_type = q->resource_type.text,
        .resource_id = q->resource_id.text ? normal_id(rq->pool, q->resource_id.text) : NULL,
        .from_ms = q->from_date.given ? q->from_date.number : -1,
        .to_ms = read_to(&q->to_date),
        .limit = per_page,
        .offset = (page - 1) * per_page,
    };
    struct audit_line *lines;
    json_t *list;
    size_t n;
    enum rc rc;

    rc = audit_list(tx, rq->caller.workspace.number, &f, &lines, &n, &total, err);
    if (rc)
        return rc;
    list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, line_json(rq, &lines[i]));
    reply_list(rp, "logs", list, reply_page_meta(page, per_page, total));
    return RC_OK;
}

enum rc
api_usage_get(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct workspace *w = &rq->caller.workspace;
    struct usage u;
    json_t *data;
    enum rc rc = usage_read(tx, w->number, &u, err);

    if (rc)
        return rc;
    data = json_object();
    js_set(data, "documents", json_integer(u.documents));
    js_set(data, "bytes", json_integer(u.bytes));
    js_set(data, "quota_documents", js_number(w->quota_documents));
    js_set(data, "quota_bytes", js_number(w->quota_bytes));
    js_set(data, "pending_purge_bytes", json_integer(u.pending_purge_bytes));
    reply_data(rp, 200, data);
    return RC_OK;
}
