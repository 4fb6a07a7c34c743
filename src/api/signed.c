// SPDX-License-Identifier: Apache-2.0
/* Signed URLs: asking for an upload, the upload itself, the download. */
#include "api/api.h"
#include "api/rules.h"
#include "base/clock.h"
#include "base/js.h"
#include "core/library.h"
#include "http/disposition.h"
#include "http/range.h"
#include "store/incoming.h"

#define CLOCKS_DIFFER_MS 60000 /* a clock that is put right by less does no harm */

struct upload_url_in {
    struct value name, mime_type, size_bytes, sha256, storage_path;
};

const struct field upload_url_body[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,
     .min = 1,
     .max = 255,
     .offset = offsetof(struct upload_url_in, name),
     .help = "File name; gives a made-up storage_path its extension",
     .example = "\"Acme-NDA-2026.pdf\""},
    {.name = "mime_type",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,
     .min = 1,
     .max = 512,
     .offset = offsetof(struct upload_url_in, mime_type),
     .rule = rule_media_type,
     .help = "The upload must be of this type",
     .example = "\"application/pdf\""},
    {.name = "size_bytes",
     .type = FIELD_INT,
     .flags = FIELD_NULLABLE,
     .min = 0,
     .max = ((int64_t)1 << 53) - 1,
     .offset = offsetof(struct upload_url_in, size_bytes),
     .help = "The upload must have this size",
     .example = "183204"},
    {.name = "sha256",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,

     .offset = offsetof(struct upload_url_in, sha256),
     .rule = rule_sha256,
     .help = "The upload must have this SHA-256 (hexadecimal)",
     .example = "null"},
    {.name = "storage_path",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,
     .min = 1,
     .max = 1024,
     .offset = offsetof(struct upload_url_in, storage_path),
     .rule = rule_storage_path,
     .help = "Where the bytes go; made up when absent",
     .example = "\"workspaces/ws_123/documents/new-upload.pdf\""},
    {0},
};
const size_t upload_url_body_size = sizeof(struct upload_url_in);

/* A URL of this server. */
static enum rc
ask_us(const struct request *rq, const struct upload_token *t, const char **ret_url,
       json_t **ret_headers)
{
    *ret_headers = json_object();
    if (t->mime_type)
        js_set(*ret_headers, "Content-Type", js_text(t->mime_type));
    *ret_url = api_signed_url(rq, "upload", signing_upload(rq->pool, &rq->app->secret, t));
    return RC_OK;
}

/* One of the store itself, which takes no bytes but those that were declared. */
static enum rc
ask_store(const struct request *rq, struct tx *tx, const struct upload_token *t,
          const char **ret_url, json_t **ret_headers, struct err *err)
{
    const struct blob_key key = {t->workspace, t->id};
    const struct blob_demand demand = {.ttl_s = rq->app->settings.url_life_ms / 1000,
                                       .size = t->size_bytes,
                                       .media_type = t->mime_type,
                                       .sha256 = t->has_sha256 ? t->sha256 : NULL};
    struct incoming in = {.workspace = t->workspace,
                          .storage_path = t->storage_path,
                          .upload_id = t->id,
                          .has_sha256 = t->has_sha256,
                          .expires_ms = t->expires_ms,
                          .key_id = t->key_id,
                          .user_id = t->user_id};
    struct blob_presigned url;
    enum rc rc = blob_presign_put(rq->app->blobs, rq->pool, &key, &demand, &url, err);

    if (rc)
        return rc;
    memcpy(in.sha256, t->sha256, SHA256_LEN);
    *ret_url = url.url;
    *ret_headers = json_object();
    for (size_t i = 0; i < url.n_headers; i++)
        js_set(*ret_headers, url.headers[i].name, js_text(url.headers[i].value));
    return incoming_insert(tx, &in, err);
}

enum rc
api_upload_url_create(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct upload_url_in *in = rq->body;
    struct upload_token t = {
        .workspace = rq->caller.workspace.number,
        .id = id_new(),
        .expires_ms = (tx->now_ms + rq->app->settings.url_life_ms) / 1000 * 1000,
        .key_id = rq->caller.key_id,
        .user_id = rq->caller.user_id,
        .size_bytes = value_number(&in->size_bytes, -1),
        .has_sha256 = in->sha256.text != NULL,
        .mime_type = in->mime_type.text,
        .storage_path = in->storage_path.text,
    };
    json_t *data, *headers = NULL;
    const char *url;
    enum rc rc;
    if (t.has_sha256)
        BUG_ON(!crypto_unhex(in->sha256.text, t.sha256, SHA256_LEN));
    if (t.size_bytes > rq->app->settings.max_upload_file)
        return err_set(err, RC_TOO_LARGE, "declares %lld bytes", (long long)t.size_bytes);
    if (!t.storage_path)
        t.storage_path =
            library_make_path(rq->pool, &rq->caller, &t.id, in->name.text, in->mime_type.text);
    rc = rq->app->settings.direct_urls ? ask_store(rq, tx, &t, &url, &headers, err)
                                       : ask_us(rq, &t, &url, &headers);
    if (rc)
        return rc;
    data = json_object();
    js_set(data, "upload_url", js_text(url));
    js_set(data, "method", js_text("PUT"));
    js_set(data, "headers", headers);
    js_set(data, "storage_path", js_text(t.storage_path));
    js_set(data, "expires_at", js_time(t.expires_ms));
    reply_data(rp, 201, data);
    return RC_OK;
}

/* No URL is good for so long: it was made while the clock was ahead, and would outlive its time. */
static enum rc
refuse_far(const struct request *rq, int64_t expires_ms, struct err *err)
{
    if (expires_ms <= rq->now_ms + rq->app->settings.url_life_ms + CLOCKS_DIFFER_MS)
        return RC_OK;
    return err_set(err, RC_BAD_SIGNATURE, "made while the clock was ahead");
}

/* ---- the upload ---- */

struct receiving {
    struct app *app;
    struct upload_token token;
    struct blob_key key;
    struct blob_writer *writer;
    struct blob_info info;
    bool visible; /* the blob is on disk under its key */
};

/* Whoever holds the URL acts for the key that asked for it. */
static enum rc
become_holder(struct tx *tx, void *arg, struct err *err)
{
    struct request *rq = arg;
    enum rc rc = workspace_by_number(tx, rq->caller.workspace.number, &rq->caller.workspace, err);

    return rc == RC_NOT_FOUND ? err_set(err, RC_BAD_SIGNATURE, "no such workspace") : rc;
}

static enum rc
refuse_query(const struct request *rq, struct err *err)
{
    return rq->n_params ? err_set(err, RC_MALFORMED, "a signed URL takes no parameters") : RC_OK;
}

static enum rc
check_declared(const struct request *rq, const struct receiving *r, struct err *err)
{
    const char *type = request_header(rq, "Content-Type");
    const char *length = request_header(rq, "Content-Length");
    const char *encoding = request_header(rq, "Content-Encoding");
    const struct upload_token *t = &r->token;

    if (encoding)
        return err_set(err, RC_MEDIA_TYPE, "encoded upload");
    if (t->mime_type && (!type || !media_type_is(type, t->mime_type)))
        return err_field(err, RC_INVALID, "Content-Type", "is not the type this URL was made for");
    if (t->size_bytes >= 0 && length && strtoll(length, NULL, 10) != t->size_bytes)
        return err_field(err, strtoll(length, NULL, 10) > t->size_bytes ? RC_TOO_LARGE : RC_INVALID,
                         "Content-Length", "is not the size this URL was made for");
    return RC_OK;
}

static void
receiving_free(void *state, bool kept)
{
    struct receiving *r = state;
    struct err err;

    blob_writer_free(&r->writer);
    if (r->visible && !kept && app_erase(r->app, &r->key, &err) == RC_COMMIT_UNKNOWN)
        engine_fail(r->app->engine, &err); /* after other failures the sweep finds it */
}

static enum rc
receiving_open(struct request *rq, void **ret_state, struct err *err)
{
    struct receiving *r = MEM_NEW(rq->pool, struct receiving);
    enum rc rc;

    r->app = rq->app;
    rc = signing_read_upload(rq->pool, &rq->app->secret, rq->args[0], rq->now_ms, &r->token, err);
    if (!rc)
        rc = refuse_far(rq, r->token.expires_ms, err);
    if (rc)
        return rc;
    rq->caller.workspace.number = r->token.workspace;
    rq->caller.has_key = true;
    rq->caller.key_id = r->token.key_id;
    rq->caller.user_id = r->token.user_id;
    rc = engine_read(rq->app->engine, rq->pool, become_holder, rq, err);
    if (!rc)
        rc = refuse_query(rq, err);
    if (!rc)
        rc = check_declared(rq, r, err);
    r->key = (struct blob_key){r->token.workspace, id_new()};
    if (!rc)
        rc = blob_write_open(rq->app->blobs, &r->key, &r->writer, err);
    if (!rc)
        *ret_state = r;
    return rc;
}

static int64_t
receiving_limit(const struct receiving *r)
{
    int64_t cap = r->app->settings.max_upload_file;

    return r->token.size_bytes >= 0 && r->token.size_bytes < cap ? r->token.size_bytes : cap;
}

static enum rc
receiving_data(void *state, const char *bytes, size_t len, struct err *err)
{
    struct receiving *r = state;

    if (blob_writer_size(r->writer) + (int64_t)len > receiving_limit(r))
        return err_set(err, RC_TOO_LARGE, "more than this URL allows");
    metric_add(&r->app->metrics, METRIC_BYTES_IN, (int64_t)len);
    return blob_write(r->writer, bytes, len, err);
}

static enum rc
receiving_end(void *state, struct err *err)
{
    struct receiving *r = state;

    if (r->token.size_bytes >= 0 && blob_writer_size(r->writer) != r->token.size_bytes)
        return err_field(err, RC_INVALID, "size_bytes", "fewer bytes came than were declared");
    return RC_OK;
}

static enum rc
receiving_settle(void *state, struct err *err)
{
    struct receiving *r = state;
    enum rc rc = blob_write_finish(r->writer, &r->info, err);

    if (rc)
        return rc;
    r->visible = true;
    if (r->token.has_sha256 && memcmp(r->token.sha256, r->info.sha256, SHA256_LEN) != 0)
        return err_field(err, RC_INVALID, "sha256", "the bytes do not have the declared hash");
    return RC_OK;
}

static void
receiving_fingerprint(void *state, struct sha256 *hash)
{
    struct receiving *r = state;

    sha256_add(hash, r->info.sha256, SHA256_LEN);
}

static int64_t
receiving_max(const struct settings *settings)
{
    return settings->max_upload_file;
}

const struct stream signed_upload_stream = {
    .open = receiving_open,
    .data = receiving_data,
    .end = receiving_end,
    .settle = receiving_settle,
    .fingerprint = receiving_fingerprint,
    .free = receiving_free,
    .max_body = receiving_max,
};

enum rc
api_signed_upload(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    struct receiving *r = rq->stream;
    struct object o = {.storage_path = r->token.storage_path,
                       .blob_id = r->key.id,
                       .size_bytes = r->info.size,
                       .created_ms = tx->now_ms};
    char hex[SHA256_HEX_LEN];
    json_t *data;
    enum rc rc;

    memcpy(o.sha256, r->info.sha256, SHA256_LEN);
    rc = library_receive(tx, &rq->caller, &r->token, &o, err);
    if (rc)
        return rc;
    crypto_hex(o.sha256, SHA256_LEN, hex);
    data = json_object();
    js_set(data, "storage_path", js_text(o.storage_path));
    js_set(data, "size_bytes", json_integer(o.size_bytes));
    js_set(data, "sha256", js_text(hex));
    reply_data(rp, 200, data);
    return RC_OK;
}

/* ---- the download ---- */

static void
set_download_headers(struct reply *rp, const struct document *d, const char *etag)
{
    reply_header(rp, "Content-Type", media_type_served(d->mime_type));
    reply_header(rp, "Content-Disposition", disposition_attachment(rp->pool, d->name));
    reply_header(rp, "ETag", etag);
    reply_header(rp, "Accept-Ranges", "bytes");
}

/* Which bytes are asked for (RFC 9110 §13, §14). */
static enum rc
answer_range(const struct request *rq, struct reply *rp, const char *etag, struct err *err)
{
    int64_t size = blob_reader_size(rp->blob);
    const char *range = request_header(rq, "Range");
    struct range part = {0};
    enum range_kind kind = RANGE_WHOLE;

    if (range && range_if_range_matches(request_header(rq, "If-Range"), etag))
        kind = range_parse(range, (uint64_t)size, &part);
    rp->status = 200;
    rp->first = 0;
    rp->length = size;
    if (kind == RANGE_UNSATISFIABLE) {
        reply_header(rp, "Content-Range", mem_printf(rp->pool, "bytes */%lld", (long long)size));
        return err_set(err, RC_RANGE, "beyond %lld bytes", (long long)size);
    }
    if (kind == RANGE_PART) {
        rp->status = 206;
        rp->first = (int64_t)part.first;
        rp->length = (int64_t)(part.last - part.first + 1);
        reply_header(rp, "Content-Range",
                     mem_printf(rp->pool, "bytes %lld-%lld/%lld", (long long)part.first,
                                (long long)part.last, (long long)size));
    }
    return RC_OK;
}

static enum rc
read_again(struct tx *tx, void *arg, struct err *err)
{
    const struct download_token *t = arg;
    struct document d;

    return document_read(tx, t->workspace, &t->document_id, &d, err);
}

/* Bytes that went after our snapshot was taken belong to a document that is gone by now. */
static enum rc
explain_missing(struct request *rq, struct download_token *t, struct err *err)
{
    enum rc rc = engine_read(rq->app->engine, rq->pool, read_again, t, err);

    return rc ? rc : err_set(err, RC_INTERNAL, "bytes of a document are missing");
}

enum rc
api_signed_download(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const char *if_none_match = request_header(rq, "If-None-Match");
    struct download_token t;
    struct blob_key key;
    struct document d;
    char hex[SHA256_HEX_LEN], *etag;
    enum rc rc;

    rc = signing_read_download(rq->pool, &rq->app->secret, rq->args[0], rq->now_ms, &t, err);
    if (!rc)
        rc = refuse_far(rq, t.expires_ms, err);
    if (!rc)
        rc = refuse_query(rq, err);
    if (!rc)
        rc = document_read(tx, t.workspace, &t.document_id, &d, err);
    if (rc)
        return rc;
    if (!d.has_blob)
        return err_set(err, RC_NOT_FOUND, "no bytes");
    /* bytes never change under their id, so that serves as well */
    if (sha256_known(d.sha256))
        crypto_hex(d.sha256, SHA256_LEN, hex);
    else
        crypto_hex(d.blob_id.b, sizeof(d.blob_id), hex);
    etag = mem_printf(rq->pool, "\"%s\"", hex);
    if (if_none_match && etag_list_matches(if_none_match, etag)) {
        reply_header(rp, "ETag", etag);
        reply_empty(rp, 304);
        return RC_OK;
    }
    key = (struct blob_key){t.workspace, d.blob_id};
    rc = blob_read_open(rq->app->blobs, &key, &rp->blob, err);
    if (rc)
        return rc == RC_NOT_FOUND ? explain_missing(rq, &t, err) : rc;
    if (blob_reader_size(rp->blob) != d.size_bytes)
        return err_set(err, RC_INTERNAL, "%lld bytes are there, not %lld",
                       (long long)blob_reader_size(rp->blob), (long long)d.size_bytes);
    rc = answer_range(rq, rp, etag, err);
    if (rc)
        return rc;
    set_download_headers(rp, &d, etag);
    metric_add(&rq->app->metrics, METRIC_BYTES_OUT, rp->length);
    return RC_OK;
}
