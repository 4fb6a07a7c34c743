// SPDX-License-Identifier: Apache-2.0
/* Documents of the records dialect: create, get, change, delete. Lists are in document_list.c. */
#include "api/api.h"
#include "api/rules.h"
#include "base/js.h"
#include "core/arrival.h"
#include "core/library.h"
#include "http/disposition.h"
#include "store/link.h"

#define SIZE_MAX_JSON ((int64_t)1 << 53)

struct document_in {
    struct value name, mime_type, storage_path, size_bytes, description, folder, tags;
};

#define NAME(flag)                                                                                 \
    {                                                                                              \
        .name = "name", .type = FIELD_TEXT, .flags = (flag), .min = 1, .max = 255,                 \
        .offset = offsetof(struct document_in, name), .help = "Display name",                      \
        .example = "\"Acme-NDA-2026.pdf\""                                                         \
    }
#define MIME_TYPE(flag)                                                                            \
    {                                                                                              \
        .name = "mime_type", .type = FIELD_TEXT, .flags = (flag), .min = 1, .max = 512,            \
        .offset = offsetof(struct document_in, mime_type), .rule = rule_media_type,                \
        .help = "Media type (RFC 6838)", .example = "\"application/pdf\""                          \
    }
#define DESCRIPTION                                                                                \
    {                                                                                              \
        .name = "description", .type = FIELD_TEXT, .flags = FIELD_NULLABLE | FIELD_LINES,          \
        .max = 4000, .offset = offsetof(struct document_in, description), .help = "Free text",     \
        .example = "null"                                                                          \
    }
#define FOLDER                                                                                     \
    {                                                                                              \
        .name = "folder", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .min = 1, .max = 1025,      \
        .offset = offsetof(struct document_in, folder), .rule = rule_folder,                       \
        .help = "Absolute folder path; made on demand", .example = "\"/clients/acme/ndas\""        \
    }
#define TAGS                                                                                       \
    {                                                                                              \
        .name = "tags", .type = FIELD_TEXTS, .flags = FIELD_NULLABLE, .min = 1, .max = 64,         \
        .max_items = 50, .offset = offsetof(struct document_in, tags),                             \
        .help = "Tags; the order is kept, repeats are dropped",                                    \
        .example = "[\"nda\",\"confidentiality\"]"                                                 \
    }

const struct field document_create_body[] = {
    NAME(FIELD_REQUIRED),
    MIME_TYPE(FIELD_REQUIRED),
    {.name = "storage_path",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .min = 1,
     .max = 1024,
     .offset = offsetof(struct document_in, storage_path),
     .rule = rule_storage_path,
     .help = "Name of the bytes in the workspace's own name space; unique",
     .example = "\"workspaces/ws_123/documents/new-upload.pdf\""},
    {.name = "size_bytes",
     .type = FIELD_INT,
     .flags = FIELD_NULLABLE,
     .min = 0,
     .max = SIZE_MAX_JSON - 1,
     .offset = offsetof(struct document_in, size_bytes),
     .help = "Size; the real one takes its place when the bytes arrive",
     .example = "183204"},
    DESCRIPTION,
    FOLDER,
    TAGS,
    {0},
};
const size_t document_create_body_size = sizeof(struct document_in);

const struct field document_update_body[] = {
    NAME(FIELD_KEEP), MIME_TYPE(FIELD_KEEP), DESCRIPTION, FOLDER, TAGS, {0},
};
const size_t document_update_body_size = sizeof(struct document_in);

struct get_query {
    struct value download;
};
const struct field document_get_query[] = {
    {.name = "download",
     .type = FIELD_BOOL,
     .offset = offsetof(struct get_query, download),
     .help = "false leaves download_url and download_url_expires_at out",
     .example = "true"},
    {0},
};
const size_t document_get_query_size = sizeof(struct get_query);

struct delete_query {
    struct value hard;
};
const struct field document_delete_query[] = {
    {.name = "hard",
     .type = FIELD_BOOL,
     .offset = offsetof(struct delete_query, hard),
     .help = "true: the bytes are gone before the answer; needs admin:documents",
     .example = "false"},
    {0},
};
const size_t document_delete_query_size = sizeof(struct delete_query);

static json_t *
tags_json(const struct document *d)
{
    json_t *tags = json_array();

    for (size_t i = 0; i < d->n_tags; i++)
        (void)json_array_append_new(tags, js_text(d->tags[i]));
    return tags;
}

json_t *
api_document_json(const struct request *rq, const struct document *d)
{
    json_t *j = json_object();

    js_set(j, "id", api_id(rq, &d->id, ID_DOCUMENT));
    js_set(j, "name", js_text(d->name));
    js_set(j, "description", js_text(d->description));
    js_set(j, "mime_type", js_text(d->mime_type));
    js_set(j, "size_bytes", js_number(d->size_bytes));
    js_set(j, "storage_path", js_text(d->storage_path));
    js_set(j, "folder", js_text(d->folder));
    js_set(j, "tags", tags_json(d));
    js_set(j, "created_by", api_id(rq, &d->created_by, ID_USER));
    js_set(j, "created_at", js_time(id_time_ms(&d->id)));
    js_set(j, "updated_at", js_time(d->updated_ms));
    return j;
}

/* What a record that is about to be made may find at its path. */
enum rc
api_document_create_look(struct request *rq, struct err *err)
{
    const struct document_in *in = rq->body;

    return arrival_look(rq->app, rq->pool, &rq->caller.workspace, in->storage_path.text, err);
}

enum rc
api_document_create(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct document_in *in = rq->body;
    struct document d = {
        .name = in->name.text,
        .description = in->description.text,
        .mime_type = in->mime_type.text,
        .size_bytes = value_number(&in->size_bytes, -1),
        .storage_path = in->storage_path.text,
        .folder = in->folder.text,
        .tags = in->tags.texts,
        .n_tags = in->tags.n,
    };
    char text[ID_TEXT_LEN];
    enum rc rc = library_register(tx, &rq->caller, &d, err);

    if (rc)
        return rc;
    id_format(&d.id, ID_DOCUMENT, ID_RECORDS, text);
    reply_header(rp, "Location", mem_printf(rp->pool, "/v1/documents/%s", text));
    reply_data(rp, 201, api_document_json(rq, &d));
    return RC_OK;
}

static enum rc
set_links(struct tx *tx, int64_t workspace, const struct document *d, struct db_cursor *asked,
          json_t *j, struct err *err)
{
    json_t *list = json_array();
    struct link *links;
    size_t n = 0;
    enum rc rc = link_answer_shown(tx, workspace, &d->id, asked, &links, &n, err);

    for (size_t i = 0; i < n; i++) {
        json_t *item = json_object();

        js_set(item, "entity_type", js_text(entity_type_name(links[i].entity_type)));
        js_set(item, "entity_id", js_text(links[i].entity_id));
        js_set(item, "role", js_text(links[i].role));
        (void)json_array_append_new(list, item);
    }
    js_set(j, "linked_entities", list);
    return rc;
}

/* A URL of the store itself. */
static enum rc
url_of_store(const struct request *rq, const struct document *d, const char **ret, struct err *err)
{
    const struct blob_key key = {rq->caller.workspace.number, d->blob_id};
    const struct blob_offer offer = {.ttl_s = rq->app->settings.url_life_ms / 1000,
                                     .media_type = media_type_served(d->mime_type),
                                     .disposition = disposition_attachment(rq->pool, d->name)};
    struct blob_presigned url;
    enum rc rc = blob_presign_get(rq->app->blobs, rq->pool, &key, &offer, &url, err);

    if (!rc)
        *ret = url.url;
    return rc;
}

static enum rc
set_download(const struct request *rq, const struct document *d, json_t *j, struct err *err)
{
    struct download_token t = {
        .workspace = rq->caller.workspace.number,
        .document_id = d->id,
        /* in whole seconds, as it is shown */
        .expires_ms = (rq->now_ms + rq->app->settings.url_life_ms) / 1000 * 1000,
    };
    const char *url = NULL;
    enum rc rc = RC_OK;

    if (d->has_blob && rq->app->settings.direct_urls)
        rc = url_of_store(rq, d, &url, err);
    else if (d->has_blob)
        url = api_signed_url(rq, "download", signing_download(rq->pool, &rq->app->secret, &t));
    js_set(j, "download_url", js_text(url));
    js_set(j, "download_url_expires_at", js_time(url ? t.expires_ms : -1));
    return rc;
}

struct look {
    const struct request *rq;
    struct id id;
    struct document d;
};

static enum rc
read_record(struct tx *tx, void *arg, struct err *err)
{
    struct look *l = arg;

    return document_read(tx, l->rq->caller.workspace.number, &l->id, &l->d, err);
}

/* Bytes that a record waits for may have come. Who may not see it learns so from the handler. */
enum rc
api_document_get_look(struct request *rq, struct err *err)
{
    struct look l = {.rq = rq};
    enum rc rc = api_path_id(rq, 0, ID_DOCUMENT, &l.id, err);

    if (!rc)
        rc = engine_read(rq->app->engine, rq->pool, read_record, &l, err);
    if (rc == RC_NOT_FOUND || (!rc && l.d.has_blob))
        return RC_OK;
    if (rc)
        return rc;
    rc = arrival_look(rq->app, rq->pool, &rq->caller.workspace, l.d.storage_path, err);
    /* what became of an upload that cannot be taken in is no matter of who reads */
    return rc == RC_QUOTA || rc == RC_STORAGE_CONFLICT || rc == RC_TOO_LARGE ? RC_OK : rc;
}

enum rc
api_document_get(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    SCOPED(db_cursor) record = NULL;
    SCOPED(db_cursor) links = NULL;
    const struct get_query *q = rq->query;
    int64_t ws = rq->caller.workspace.number;
    struct document d;
    struct id id;
    json_t *j;
    enum rc rc;

    rc = api_path_id(rq, 0, ID_DOCUMENT, &id, err);
    if (!rc)
        rc = document_ask(tx, ws, &id, DOCUMENT_FREE, &record, err);
    if (!rc)
        rc = link_ask_shown(tx, ws, &id, &links, err);
    if (!rc)
        rc = document_answer(tx, record, &d, err);
    if (rc)
        return rc;
    j = api_document_json(rq, &d);
    reply_data(rp, 200, j);
    rc = set_links(tx, ws, &d, links, j, err);
    if (!rc && value_number(&q->download, 1))
        rc = set_download(rq, &d, j, err);
    return rc;
}

enum rc
api_document_update(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct document_in *in = rq->body;
    struct document before, after;
    struct id id;
    enum rc rc;

    rc = api_path_id(rq, 0, ID_DOCUMENT, &id, err);
    if (!rc)
        rc = document_lock(tx, rq->caller.workspace.number, &id, &before, err);
    if (rc)
        return rc;
    after = before;
    if (in->name.given)
        after.name = in->name.text;
    if (in->mime_type.given)
        after.mime_type = in->mime_type.text;
    if (in->description.given)
        after.description = in->description.text;
    if (in->folder.given)
        after.folder = in->folder.text;
    if (in->tags.given) {
        after.tags = in->tags.texts;
        after.n_tags = in->tags.n;
    }
    rc = library_update(tx, &rq->caller, &before, &after, err);
    if (!rc)
        reply_data(rp, 200, api_document_json(rq, &after));
    return rc;
}

static enum rc
erase_outside(struct request *rq, void *arg, struct err *err)
{
    const struct library_removal *removal = arg;
    struct blob_key key = {rq->caller.workspace.number, removal->purge.blob_id};
    enum rc rc = app_erase(rq->app, &key, err);

    if (rc == RC_COMMIT_UNKNOWN)
        return rc;
    /* the purge job goes on trying; the client may, too */
    return rc ? err_set(err, RC_UNAVAILABLE, "the bytes could not be erased") : RC_OK;
}

static enum rc
erase_after(struct request *rq, struct tx *tx, void *arg, struct err *err)
{
    const struct library_removal *removal = arg;

    return library_purged(tx, &rq->caller, &removal->purge, err);
}

static enum rc
erase_promise(struct request *rq, struct tx *tx, void *arg, const uint8_t key_hash[SHA256_LEN],
              const struct idempotency *answer, struct err *err)
{
    const struct library_removal *removal = arg;

    return purge_promise(tx, rq->caller.workspace.number, &removal->purge.blob_id, key_hash, answer,
                         err);
}

static const struct second_act erase_act = {
    .promise = erase_promise, .outside = erase_outside, .after = erase_after};

static json_t *
references_json(const struct library_removal *removal)
{
    json_t *list = json_array();

    for (size_t i = 0; i < removal->n_references; i++) {
        json_t *item = json_object();

        js_set(item, "type", js_text(reference_type_name(removal->references[i].type)));
        js_set(item, "id", js_text(removal->references[i].ref_id));
        (void)json_array_append_new(list, item);
    }
    return list;
}

enum rc
api_document_delete(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct delete_query *q = rq->query;
    struct library_removal *removal = MEM_NEW(rp->pool, struct library_removal);
    struct id id;
    enum rc rc;

    rc = api_path_id(rq, 0, ID_DOCUMENT, &id, err);
    if (!rc)
        rc = library_delete(tx, &rq->caller, &id, value_number(&q->hard, 0) != 0,
                            rq->app->settings.purge_after_ms, removal, err);
    if (rc == RC_IN_USE) {
        rp->details = json_object();
        js_set(rp->details, "references", references_json(removal));
    }
    if (rc)
        return rc;
    reply_empty(rp, 204);
    if (removal->erase) {
        rp->act = &erase_act;
        rp->act_arg = removal;
    }
    return RC_OK;
}
