// SPDX-License-Identifier: Apache-2.0
/* The register of entities, and the documents of one. */
#include "api/api.h"
#include "api/rules.h"
#include "base/js.h"
#include "core/linking.h"

struct entity_in {
    struct value name;
};
const struct field entity_body[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,
     .min = 1,
     .max = 255,
     .offset = offsetof(struct entity_in, name),
     .help = "Display name",
     .example = "\"Acme GmbH\""},
    {0},
};
const size_t entity_body_size = sizeof(struct entity_in);

struct batch_item {
    struct value entity_type, entity_id, name;
};
struct batch_in {
    struct value entities;
};

static const struct field batch_members[] = {
    FIELD_ENTITY_TYPE(struct batch_item, "deal"),
    FIELD_ENTITY_ID(struct batch_item, "deal_01HY1"),
    {.name = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,
     .min = 1,
     .max = 255,
     .offset = offsetof(struct batch_item, name),
     .help = "Display name",
     .example = "\"Acme merger\""},
    {0},
};
const struct field entity_batch_body[] = {
    {.name = "entities",
     .type = FIELD_OBJECTS,
     .flags = FIELD_REQUIRED,
     .max_items = 1000,
     .offset = offsetof(struct batch_in, entities),
     .members = batch_members,
     .item_size = sizeof(struct batch_item),
     .help = "Entities to register or rename",
     .example = "[{\"entity_type\":\"deal\",\"entity_id\":\"deal_01HY1\"}]"},
    {0},
};
const size_t entity_batch_body_size = sizeof(struct batch_in);

struct documents_query {
    struct value page, per_page, role;
};
const struct field entity_documents_query[] = {
    FIELD_PAGE(struct documents_query),
    FIELD_PER_PAGE(struct documents_query, 100, 25),
    {.name = "role",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct documents_query, role),
     .help = "Linked in exactly this role",
     .example = "\"signed\""},
    {0},
};
const size_t entity_documents_query_size = sizeof(struct documents_query);

static json_t *
entity_json(const struct entity *e)
{
    json_t *j = json_object();

    js_set(j, "entity_type", js_text(entity_type_name(e->type)));
    js_set(j, "entity_id", js_text(e->id));
    js_set(j, "name", js_text(e->name));
    js_set(j, "created_at", js_time(e->created_ms));
    js_set(j, "updated_at", js_time(e->updated_ms));
    return j;
}

/* Type and id of the path; an entity that cannot exist is one that does not. */
static enum rc
path_entity(const struct request *rq, enum entity_type *ret, struct err *err)
{
    if (entity_type_parse(rq->args[0], ret) && linking_id_valid(rq->args[1]))
        return RC_OK;
    return err_set(err, RC_NOT_FOUND, "no such type, or no id");
}

enum rc
api_entity_put(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct entity_in *in = rq->body;
    struct entity e = {.id = rq->args[1], .name = in->name.text};
    bool is_new = false;
    enum rc rc = path_entity(rq, &e.type, err);

    if (!rc)
        rc = linking_put_entity(tx, &rq->caller, &e, in->name.given, &is_new, err);
    if (!rc)
        reply_data(rp, is_new ? 201 : 200, entity_json(&e));
    return rc;
}

enum rc
api_entity_get(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    enum entity_type type;
    struct entity e;
    enum rc rc = path_entity(rq, &type, err);

    if (!rc)
        rc = entity_read(tx, rq->caller.workspace.number, type, rq->args[1], &e, err);
    if (!rc)
        reply_data(rp, 200, entity_json(&e));
    return rc;
}

enum rc
api_entity_delete(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    enum entity_type type;
    enum rc rc = path_entity(rq, &type, err);

    if (!rc)
        rc = linking_delete_entity(tx, &rq->caller, type, rq->args[1], err);
    if (!rc)
        reply_empty(rp, 204);
    return rc;
}

enum rc
api_entity_batch(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct batch_in *in = rq->body;
    const struct batch_item *items = in->entities.items;
    int64_t created = 0, updated = 0;
    enum rc rc = RC_OK;
    json_t *data;

    for (size_t i = 0; i < in->entities.n && !rc; i++) {
        struct entity e = {.id = items[i].entity_id.text, .name = items[i].name.text};
        bool is_new = false;

        BUG_ON(!entity_type_parse(items[i].entity_type.text, &e.type));
        rc = linking_put_entity(tx, &rq->caller, &e, items[i].name.given, &is_new, err);
        created += is_new;
        updated += !is_new;
    }
    if (rc)
        return rc;
    data = json_object();
    js_set(data, "created", json_integer(created));
    js_set(data, "updated", json_integer(updated));
    reply_data(rp, 200, data);
    return RC_OK;
}

static json_t *
linked_json(const struct request *rq, const struct linked_document *l)
{
    static const char *const shown[] = {"id", "name", "mime_type", "size_bytes", "folder", "tags"};
    json_auto_t *all = api_document_json(rq, &l->document);
    json_t *j = json_object();

    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        (void)json_object_set_nocheck(j, shown[i], json_object_get(all, shown[i]));
    js_set(j, "role", js_text(l->role));
    js_set(j, "linked_at", js_time(id_time_ms(&l->link_id)));
    (void)json_object_set_nocheck(j, "created_at", json_object_get(all, "created_at"));
    return j;
}

static enum rc
entity_documents(struct request *rq, struct tx *tx, enum entity_type type, struct reply *rp,
                 struct err *err)
{
    const struct documents_query *q = rq->query;
    int64_t page = value_number(&q->page, 1), per_page = value_number(&q->per_page, 25), total;
    struct linked_document *docs;
    json_t *list;
    size_t n;
    enum rc rc;

    if (!linking_id_valid(rq->args[0]))
        return err_set(err, RC_NOT_FOUND, "no such entity");
    rc = linking_entity_exists(tx, &rq->caller, type, rq->args[0], err);
    if (!rc)
        rc = link_documents(tx, rq->caller.workspace.number, type, rq->args[0], q->role.text,
                            per_page, (page - 1) * per_page, &docs, &n, &total, err);
    if (rc)
        return rc;
    list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, linked_json(rq, &docs[i]));
    reply_list(rp, "documents", list, reply_page_meta(page, per_page, total));
    return RC_OK;
}

#define DOCUMENTS_OF(name, type)                                                                   \
    enum rc name(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)             \
    {                                                                                              \
        return entity_documents(rq, tx, type, rp, err);                                            \
    }
DOCUMENTS_OF(api_contact_documents, ENTITY_CONTACT)
DOCUMENTS_OF(api_company_documents, ENTITY_COMPANY)
DOCUMENTS_OF(api_deal_documents, ENTITY_DEAL)
DOCUMENTS_OF(api_event_documents, ENTITY_EVENT)
DOCUMENTS_OF(api_matter_documents, ENTITY_MATTER)
DOCUMENTS_OF(api_task_documents, ENTITY_TASK)
