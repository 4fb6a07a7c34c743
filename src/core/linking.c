// SPDX-License-Identifier: Apache-2.0
#include "core/linking.h"

static const char id_characters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";

bool
linking_id_valid(const char *text)
{
    size_t len = strlen(text);

    return len >= 1 && len <= 128 && strspn(text, id_characters) == len;
}

enum rc
linking_entity_exists(struct tx *tx, const struct caller *caller, enum entity_type type,
                      const char *id, struct err *err)
{
    struct entity e;

    if (caller->workspace.open_entities)
        return RC_OK;
    return entity_read(tx, caller->workspace.number, type, id, &e, err);
}

static enum rc
audit_link(struct tx *tx, const struct caller *caller, const char *action,
           const struct id *document_id, const struct id *link_id, struct err *err)
{
    char document[ID_TEXT_LEN], link[ID_TEXT_LEN];

    id_format(document_id, ID_DOCUMENT, ID_RECORDS, document);
    id_format(link_id, ID_LINK, ID_RECORDS, link);
    return caller_audit(tx, caller, action, "documents", document, "link_id", link, err);
}

enum rc
linking_link(struct tx *tx, const struct caller *caller, struct link *l, bool *ret_new,
             struct err *err)
{
    SCOPED(db_cursor) record = NULL;
    SCOPED(db_cursor) entity = NULL;
    SCOPED(db_cursor) link = NULL;
    int64_t ws = caller->workspace.number;
    struct document d;
    struct entity e;
    enum rc rc;

    rc = document_ask(tx, ws, &l->document_id, DOCUMENT_KEPT, &record, err);
    if (!rc && !caller->workspace.open_entities)
        rc = entity_ask(tx, ws, l->entity_type, l->entity_id, &entity, err);
    if (!rc)
        rc = link_ask(tx, ws, l, &link, err);
    if (!rc)
        rc = document_answer(tx, record, &d, err);
    if (!rc && entity)
        rc = entity_answer(tx, l->entity_type, l->entity_id, entity, &e, err);
    if (rc)
        return rc;
    l->id = id_new();
    rc = link_ensure(tx, ws, l, link, ret_new, err);
    if (rc || !*ret_new)
        return rc;
    return audit_link(tx, caller, "link", &l->document_id, &l->id, err);
}

enum rc
linking_unlink(struct tx *tx, const struct caller *caller, const struct id *document_id,
               const struct id *link_id, struct err *err)
{
    enum rc rc = link_delete(tx, caller->workspace.number, document_id, link_id, err);

    return rc ? rc : audit_link(tx, caller, "unlink", document_id, link_id, err);
}

static enum rc
audit_entity(struct tx *tx, const struct caller *caller, const char *action, enum entity_type type,
             const char *id, struct err *err)
{
    return caller_audit(tx, caller, action, "entities",
                        mem_printf(tx->pool, "%s/%s", entity_type_name(type), id), NULL, NULL, err);
}

enum rc
linking_put_entity(struct tx *tx, const struct caller *caller, struct entity *e, bool rename,
                   bool *ret_new, struct err *err)
{
    enum rc rc = entity_put(tx, caller->workspace.number, e, rename, ret_new, err);

    if (rc || (!*ret_new && !rename))
        return rc;
    return audit_entity(tx, caller, *ret_new ? "create" : "update", e->type, e->id, err);
}

enum rc
linking_delete_entity(struct tx *tx, const struct caller *caller, enum entity_type type,
                      const char *id, struct err *err)
{
    enum rc rc = entity_delete(tx, caller->workspace.number, type, id, err);

    if (!rc)
        rc = link_detach_entity(tx, caller->workspace.number, type, id, NULL, err);
    return rc ? rc : audit_entity(tx, caller, "delete", type, id, err);
}

enum rc
linking_set_reference(struct tx *tx, const struct caller *caller, const struct id *document_id,
                      enum reference_type type, const char *ref_id, bool present, struct err *err)
{
    int64_t ws = caller->workspace.number;
    SCOPED(db_cursor) record = NULL;
    char text[ID_TEXT_LEN];
    struct document d;
    bool changed = false;
    enum rc rc;

    rc = document_ask(tx, ws, document_id, DOCUMENT_KEPT, &record, err);
    if (!rc)
        rc = document_answer(tx, record, &d, err);
    if (!rc && present)
        rc = reference_put(tx, ws, document_id, type, ref_id, &changed, err);
    else if (!rc)
        rc = reference_delete(tx, ws, document_id, type, ref_id, &changed, err);
    if (rc || !changed)
        return rc;
    id_format(document_id, ID_DOCUMENT, ID_RECORDS, text);
    return caller_audit(tx, caller, "update", "documents", text,
                        present ? "reference_added" : "reference_removed",
                        mem_printf(tx->pool, "%s/%s", reference_type_name(type), ref_id), err);
}
