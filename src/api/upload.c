// SPDX-License-Identifier: Apache-2.0
/* The upload dialect: one request, one or more files, all of them or none. */
#include "api/api.h"
#include "base/js.h"
#include "base/text.h"
#include "core/library.h"
#include "http/multipart.h"

#define SNIFF_BYTES 4096 /* what type detection looks at */
#define NAME_MAX_CHARS 255
#define EXTENSION_MAX 16 /* bytes with the dot: a longer one is no extension */

/* One file of the request. */
struct file {
    struct blob_key key; /* its id is the document's, too */
    struct blob_writer *writer;
    struct blob_info info;
    bool visible;
    char *name;
    char *mime_type; /* NULL: to be detected, by a thread that may take its time */
    char *head;      /* the first bytes for that; NULL: the client said the type */
    size_t head_len;
    struct file *next;
};

struct uploading {
    struct app *app;
    TALLOC_CTX *pool;
    int64_t workspace;
    struct multipart *parser;
    struct file *first, *last;
    struct file *current; /* NULL: the part at hand is no file of ours */
    int64_t received;
};

/* The longest part of `text` that is valid and has at most `max` characters. */
static size_t
fitting(const char *text, size_t max)
{
    size_t len = strlen(text), chars;

    /* never in the middle of a character: a cut one fails the check */
    while (len > 0 && (!text_check(text, len, TEXT_BIDI, &chars) || chars > max))
        len--;
    return len;
}

/* The file name as a display name: its last segment, cut before its extension if too long. */
static char *
display_name(TALLOC_CTX *pool, const char *filename)
{
    const char *base = strrchr(filename, '/'), *dot;
    size_t chars, len;
    char *name;

    base = base ? base + 1 : filename;
    if (strrchr(base, '\\'))
        base = strrchr(base, '\\') + 1;
    dot = strrchr(base, '.');
    if (!dot || dot == base || strlen(dot) > EXTENSION_MAX)
        dot = base + strlen(base);
    len = fitting(base, NAME_MAX_CHARS);
    if (base[len])
        len = fitting(base, NAME_MAX_CHARS - strlen(dot));
    name = base[len] ? mem_printf(pool, "%.*s%s", (int)len, base, dot) : mem_strdup(pool, base);
    if (!*name || !text_check(name, strlen(name), 0, &chars))
        return mem_strdup(pool, "unnamed");
    return name;
}

static enum rc
on_part(void *arg, const struct multipart_part *part, struct err *err)
{
    struct uploading *u = arg;
    struct file *f;
    char *type;
    enum rc rc;

    u->current = NULL;
    if (!streq(part->name, "files"))
        return RC_OK; /* other fields are ignored */
    if (!part->filename)
        return err_set(err, RC_MALFORMED, "a part `files` that is no file");
    f = MEM_NEW(u->pool, struct file);
    f->key = (struct blob_key){u->workspace, id_new()};
    f->name = display_name(u->pool, part->filename);
    if (part->content_type && media_type_normalise(u->pool, part->content_type, &type) &&
        !streq(type, MEDIA_TYPE_UNKNOWN))
        f->mime_type = type;
    else
        f->head = mem_zalloc(u->pool, SNIFF_BYTES);
    rc = blob_write_open(u->app->blobs, &f->key, &f->writer, err);
    if (rc)
        return rc;
    if (u->last)
        u->last->next = f;
    else
        u->first = f;
    u->last = u->current = f;
    return RC_OK;
}

static enum rc
on_data(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct uploading *u = arg;
    struct file *f = u->current;
    size_t n;

    if (!f)
        return RC_OK;
    if (blob_writer_size(f->writer) + (int64_t)len > u->app->settings.max_upload_file)
        return err_set(err, RC_TOO_LARGE, "a file over the cap");
    if (f->head && f->head_len < SNIFF_BYTES) {
        n = SNIFF_BYTES - f->head_len < len ? SNIFF_BYTES - f->head_len : len;
        memcpy(f->head + f->head_len, bytes, n);
        f->head_len += n;
    }
    metric_add(&u->app->metrics, METRIC_BYTES_IN, (int64_t)len);
    return blob_write(f->writer, bytes, len, err);
}

static enum rc
on_part_end(void *arg, struct err *err)
{
    struct uploading *u = arg;

    (void)err;
    u->current = NULL;
    return RC_OK;
}

static const struct multipart_events events = {
    .part_begin = on_part, .part_data = on_data, .part_end = on_part_end};

static enum rc
uploading_open(struct request *rq, void **ret_state, struct err *err)
{
    struct uploading *u = MEM_NEW(rq->pool, struct uploading);
    struct multipart_limits limits = {.parts = (size_t)rq->app->settings.max_upload_parts};
    const char *type = request_header(rq, "Content-Type");
    enum rc rc;

    u->app = rq->app;
    u->pool = rq->pool;
    u->workspace = rq->caller.workspace.number;
    if (request_header(rq, "Content-Encoding"))
        return err_set(err, RC_MALFORMED, "encoded upload");
    rc = multipart_new(rq->pool, type ? type : "", &limits, &events, u, &u->parser, err);
    if (!rc)
        *ret_state = u;
    return rc;
}

static enum rc
uploading_data(void *state, const char *bytes, size_t len, struct err *err)
{
    struct uploading *u = state;

    u->received += (int64_t)len;
    if (u->received > u->app->settings.max_upload_request)
        return err_set(err, RC_TOO_LARGE, "a request over the cap");
    return multipart_feed(u->parser, bytes, len, err);
}

static enum rc
uploading_end(void *state, struct err *err)
{
    struct uploading *u = state;
    enum rc rc = multipart_end(u->parser, err);

    if (!rc && !u->first)
        rc = err_set(err, RC_MALFORMED, "no part `files`");
    return rc;
}

static enum rc
uploading_settle(void *state, struct err *err)
{
    struct uploading *u = state;
    enum rc rc = RC_OK;

    for (struct file *f = u->first; f && !rc; f = f->next) {
        if (f->head)
            f->mime_type = media_type_detect(u->app->detector, u->pool, f->head, f->head_len);
        rc = blob_write_finish(f->writer, &f->info, err);
        f->visible = rc == RC_OK;
    }
    return rc;
}

static void
uploading_fingerprint(void *state, struct sha256 *hash)
{
    struct uploading *u = state;

    for (struct file *f = u->first; f; f = f->next) {
        sha256_add(hash, f->name, strlen(f->name) + 1);
        sha256_add(hash, f->mime_type, strlen(f->mime_type) + 1);
        sha256_add(hash, &f->info.size, sizeof(f->info.size));
        sha256_add(hash, f->info.sha256, SHA256_LEN);
    }
}

static void
uploading_free(void *state, bool kept)
{
    struct uploading *u = state;
    struct err err;

    for (struct file *f = u->first; f; f = f->next) {
        blob_writer_free(&f->writer);
        if (f->visible && !kept && app_erase(u->app, &f->key, &err) == RC_COMMIT_UNKNOWN)
            engine_fail(u->app->engine, &err); /* after other failures the sweep finds it */
    }
}

static int64_t
uploading_max(const struct settings *settings)
{
    return settings->max_upload_request;
}

const struct stream upload_stream = {
    .open = uploading_open,
    .data = uploading_data,
    .end = uploading_end,
    .settle = uploading_settle,
    .fingerprint = uploading_fingerprint,
    .free = uploading_free,
    .max_body = uploading_max,
};

enum rc
api_upload_create(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    struct uploading *u = rq->stream;
    json_t *ids = json_array();
    enum rc rc = RC_OK;

    reply_json(rp, 200, ids);
    for (struct file *f = u->first; f && !rc; f = f->next) {
        struct document d = {
            .id = f->key.id,
            .name = f->name,
            .mime_type = f->mime_type,
            .size_bytes = f->info.size,
            .storage_path =
                library_make_path(rq->pool, &rq->caller, &f->key.id, f->name, f->mime_type),
            .has_blob = true,
            .blob_id = f->key.id,
        };

        memcpy(d.sha256, f->info.sha256, SHA256_LEN);
        rc = library_store(tx, &rq->caller, &d, err);
        (void)json_array_append_new(ids, api_id(rq, &d.id, ID_DOCUMENT));
    }
    return rc;
}
