// SPDX-License-Identifier: Apache-2.0
/* API keys: make, list, revoke. */
#include "api/api.h"
#include "api/rules.h"
#include "base/js.h"
#include "base/text.h"
#include "core/keys.h"

struct key_in {
    struct value name, permissions, description, tier, expires_at;
};

static const char *
rule_permission(TALLOC_CTX *pool, const char *in, const char **ret)
{
    (void)pool;
    *ret = in;
    return permission_parse(in) ? NULL : "holds an unknown permission";
}

const struct field api_key_body[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .min = 1,
     .max = 120,
     .offset = offsetof(struct key_in, name),
     .help = "Name of the key",
     .example = "\"Import job\""},
    {.name = "permissions",
     .type = FIELD_TEXTS,
     .flags = FIELD_REQUIRED,
     .min = 1,
     .max = 64,
     .max_items = 50,
     .rule = rule_permission,
     .offset = offsetof(struct key_in, permissions),
     .help = "What the key may do; at most what the calling key may",
     .example = "[\"read:documents\"]"},
    {.name = "description",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE | FIELD_LINES,
     .max = 1000,
     .offset = offsetof(struct key_in, description),
     .help = "Free text",
     .example = "null"},
    {.name = "rate_limit_tier",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,
     .choices = rule_tiers,
     .offset = offsetof(struct key_in, tier),
     .help = "Rate budget; standard by default",
     .example = "\"standard\""},
    {.name = "expires_at",
     .type = FIELD_TIME,
     .flags = FIELD_NULLABLE,
     .offset = offsetof(struct key_in, expires_at),
     .help = "When the key ends; never by default",
     .example = "null"},
    {0},
};
const size_t api_key_body_size = sizeof(struct key_in);

struct list_query {
    struct value page, per_page, include_revoked, search;
};
const struct field api_key_list_query[] = {
    FIELD_PAGE(struct list_query),
    FIELD_PER_PAGE(struct list_query, 100, 25),
    {.name = "include_revoked",
     .type = FIELD_BOOL,
     .offset = offsetof(struct list_query, include_revoked),
     .help = "Show revoked keys too",
     .example = "false"},
    {.name = "search",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct list_query, search),
     .help = "Name or description contains this",
     .example = "\"import\""},
    {0},
};
const size_t api_key_list_query_size = sizeof(struct list_query);

static json_t *
permissions_json(uint32_t set)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < PERMISSION_COUNT; i++) {
        if (set & 1u << i)
            (void)json_array_append_new(list, js_text(permission_name(i)));
    }
    return list;
}

static json_t *
key_json(const struct request *rq, const struct api_key *k, const char *text)
{
    json_t *j = json_object();

    js_set(j, "id", api_id(rq, &k->id, ID_KEY));
    if (text)
        js_set(j, "key", js_text(text));
    js_set(j, "prefix", js_text(k->prefix));
    js_set(j, "name", js_text(k->name));
    js_set(j, "description", js_text(k->description));
    js_set(j, "permissions", permissions_json(k->permissions));
    js_set(j, "rate_limit_tier", js_text(tier_name((enum tier)k->tier)));
    js_set(j, "expires_at", js_time(k->expires_ms));
    js_set(j, "created_at", js_time(id_time_ms(&k->id)));
    return j;
}

static uint32_t
wanted_permissions(const struct key_in *in)
{
    uint32_t set = 0;

    for (size_t i = 0; i < in->permissions.n; i++)
        set |= permission_parse(in->permissions.texts[i]);
    return set;
}

static enum tier
wanted_tier(const struct key_in *in)
{
    enum tier tier = TIER_STANDARD;

    if (in->tier.text)
        BUG_ON(!tier_parse(in->tier.text, &tier));
    return tier;
}

enum rc
api_key_authorise(struct request *rq, struct err *err)
{
    const struct key_in *in = rq->body;

    if (wanted_permissions(in) & ~rq->caller.permissions)
        return err_say(err, RC_FORBIDDEN, "A key cannot grant a permission it does not hold");
    if (wanted_tier(in) > rq->caller.tier)
        return err_say(err, RC_FORBIDDEN, "A key cannot grant a wider rate budget than its own");
    return RC_OK;
}

enum rc
api_api_key_create(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct key_in *in = rq->body;
    struct api_key k = {.name = in->name.text,
                        .description = in->description.text,
                        .permissions = wanted_permissions(in),
                        .tier = (int)wanted_tier(in),
                        .expires_ms = value_number(&in->expires_at, -1)};
    struct key_text text;
    enum rc rc;

    if (in->expires_at.given && !in->expires_at.null && k.expires_ms <= tx->now_ms)
        return err_field(err, RC_INVALID, "expires_at", "must be in the future");
    rc = keys_create(tx, &rq->caller, &rq->app->secret, rq->caller.permissions, &k, &text, err);
    if (!rc)
        reply_data(rp, 201, key_json(rq, &k, text.text));
    explicit_bzero(&text, sizeof(text));
    return rc;
}

enum rc
api_api_key_list(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct list_query *q = rq->query;
    int64_t page = value_number(&q->page, 1), per_page = value_number(&q->per_page, 25), total;
    const char *search =
        q->search.text && *q->search.text ? text_fold(rq->pool, q->search.text) : NULL;
    struct api_key *keys;
    json_t *list;
    size_t n;
    enum rc rc;

    rc = api_key_list(tx, rq->caller.workspace.number, value_number(&q->include_revoked, 0) != 0,
                      search, per_page, (page - 1) * per_page, &keys, &n, &total, err);
    if (rc)
        return rc;
    list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *j = key_json(rq, &keys[i], NULL);

        js_set(j, "created_by", api_id(rq, &keys[i].user_id, ID_USER));
        js_set(j, "last_used_at", js_time(keys[i].last_used_ms));
        js_set(j, "revoked_at", js_time(keys[i].revoked_ms));
        (void)json_array_append_new(list, j);
    }
    reply_list(rp, "api_keys", list, reply_page_meta(page, per_page, total));
    return RC_OK;
}

enum rc
api_api_key_revoke(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    struct id id;
    enum rc rc = api_path_id(rq, 0, ID_KEY, &id, err);

    if (!rc)
        rc = keys_revoke(tx, &rq->caller, &id, false, err);
    if (!rc)
        reply_empty(rp, 204);
    return rc;
}
