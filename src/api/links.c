// SPDX-License-Identifier: Apache-2.0
/* Links between documents and entities, and the references that keep a document from deletion. */
#include "api/api.h"
#include "api/rules.h"
#include "base/js.h"
#include "core/linking.h"

struct link_in {
    struct value entity_type, entity_id, role;
};

const struct field link_body[] = {
    FIELD_ENTITY_TYPE(struct link_in, "contact"),
    FIELD_ENTITY_ID(struct link_in, "123e4567-e89b-12d3-a456-426614174000"),
    {.name = "role",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,
     .max = 64,
     .offset = offsetof(struct link_in, role),
     .help = "What the document is to the entity",
     .example = "\"signed\""},
    {0},
};
const size_t link_body_size = sizeof(struct link_in);

struct link_query {
    struct value page, per_page;
};
const struct field link_list_query[] = {
    FIELD_PAGE(struct link_query),
    FIELD_PER_PAGE(struct link_query, LINKS_SHOWN_MAX, 1000),
    {0},
};
const size_t link_list_query_size = sizeof(struct link_query);

static json_t *
link_json(const struct request *rq, const struct link *l)
{
    json_t *j = json_object();

    js_set(j, "link_id", api_id(rq, &l->id, ID_LINK));
    js_set(j, "document_id", api_id(rq, &l->document_id, ID_DOCUMENT));
    js_set(j, "entity_type", js_text(entity_type_name(l->entity_type)));
    js_set(j, "entity_id", js_text(l->entity_id));
    js_set(j, "role", js_text(l->role));
    js_set(j, "created_at", js_time(id_time_ms(&l->id)));
    return j;
}

enum rc
api_link_create(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct link_in *in = rq->body;
    struct link l = {.entity_id = in->entity_id.text, .role = in->role.text};
    bool is_new = false;
    enum rc rc;

    BUG_ON(!entity_type_parse(in->entity_type.text, &l.entity_type)); /* one of the choices */
    rc = api_path_id(rq, 0, ID_DOCUMENT, &l.document_id, err);
    if (!rc)
        rc = linking_link(tx, &rq->caller, &l, &is_new, err);
    if (!rc)
        reply_data(rp, is_new ? 201 : 200, link_json(rq, &l));
    return rc;
}

enum rc
api_link_list(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct link_query *q = rq->query;
    int64_t per_page = value_number(&q->per_page, LINKS_SHOWN_MAX);
    json_t *list, *data;
    struct document d;
    struct link *links;
    size_t n;
    enum rc rc;

    rc = api_path_id(rq, 0, ID_DOCUMENT, &d.id, err);
    if (!rc)
        rc = document_read(tx, rq->caller.workspace.number, &d.id, &d, err);
    if (!rc)
        rc = link_of_document(tx, rq->caller.workspace.number, &d.id, per_page,
                              (value_number(&q->page, 1) - 1) * per_page, &links, &n, err);
    if (rc)
        return rc;
    list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, link_json(rq, &links[i]));
    data = json_object();
    js_set(data, "links", list);
    reply_data(rp, 200, data);
    return RC_OK;
}

enum rc
api_link_delete(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    struct id document_id, link_id;
    enum rc rc;

    rc = api_path_id(rq, 0, ID_DOCUMENT, &document_id, err);
    if (!rc)
        rc = api_path_id(rq, 1, ID_LINK, &link_id, err);
    if (!rc)
        rc = linking_unlink(tx, &rq->caller, &document_id, &link_id, err);
    if (!rc)
        reply_empty(rp, 204);
    return rc;
}

static enum rc
set_reference(struct request *rq, struct tx *tx, bool present, struct reply *rp, struct err *err)
{
    enum reference_type type;
    struct id id;
    enum rc rc = api_path_id(rq, 0, ID_DOCUMENT, &id, err);

    if (rc)
        return rc;
    if (!reference_type_parse(rq->args[1], &type) || !linking_id_valid(rq->args[2]))
        return err_set(err, RC_NOT_FOUND, "no such kind of reference, or no id");
    rc = linking_set_reference(tx, &rq->caller, &id, type, rq->args[2], present, err);
    if (!rc)
        reply_empty(rp, 204);
    return rc;
}

enum rc
api_reference_put(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    return set_reference(rq, tx, true, rp, err);
}

enum rc
api_reference_delete(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    return set_reference(rq, tx, false, rp, err);
}

enum rc
api_reference_list(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    struct reference *refs;
    json_t *list, *data;
    struct document d;
    size_t n;
    enum rc rc;

    rc = api_path_id(rq, 0, ID_DOCUMENT, &d.id, err);
    if (!rc)
        rc = document_read(tx, rq->caller.workspace.number, &d.id, &d, err);
    if (!rc)
        rc = reference_list(tx, rq->caller.workspace.number, &d.id, 0, &refs, &n, err);
    if (rc)
        return rc;
    list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *item = json_object();

        js_set(item, "type", js_text(reference_type_name(refs[i].type)));
        js_set(item, "id", js_text(refs[i].ref_id));
        js_set(item, "created_at", js_time(refs[i].created_ms));
        (void)json_array_append_new(list, item);
    }
    data = json_object();
    js_set(data, "references", list);
    reply_data(rp, 200, data);
    return RC_OK;
}
