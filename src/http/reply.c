// SPDX-License-Identifier: Apache-2.0
#include "http/reply.h"

#include "base/js.h"

void
reply_init(struct reply *rp, TALLOC_CTX *pool)
{
    *rp = (struct reply){.pool = pool};
}

void
reply_clear(struct reply *rp)
{
    json_decref(rp->json);
    json_decref(rp->details);
    blob_reader_free(&rp->blob);
    reply_init(rp, rp->pool);
}

void
reply_header(struct reply *rp, const char *name, const char *value)
{
    BUG_ON(rp->n_headers == REPLY_HEADERS_MAX);
    rp->headers[rp->n_headers++] = (struct reply_header){name, value};
}

void
reply_json(struct reply *rp, int status, json_t *json)
{
    rp->status = status;
    rp->json = json;
}

void
reply_data(struct reply *rp, int status, json_t *json)
{
    json_t *body = json_object();

    (void)json_object_set_new_nocheck(body, "data", json);
    reply_json(rp, status, body);
}

void
reply_list(struct reply *rp, const char *list, json_t *items, json_t *meta)
{
    json_t *data = json_object();

    (void)json_object_set_new_nocheck(data, list, items);
    reply_data(rp, 200, data);
    (void)json_object_set_new_nocheck(rp->json, "meta", meta);
}

void
reply_empty(struct reply *rp, int status)
{
    rp->status = status;
}

void
reply_text(struct reply *rp, int status, const char *media_type, const char *text, size_t len)
{
    rp->status = status;
    rp->media_type = media_type;
    rp->text = text;
    rp->text_len = len;
}

json_t *
reply_page_meta(int64_t page, int64_t per_page, int64_t total)
{
    json_t *meta = json_object();

    (void)json_object_set_new_nocheck(meta, "page", json_integer(page));
    (void)json_object_set_new_nocheck(meta, "per_page", json_integer(per_page));
    (void)json_object_set_new_nocheck(meta, "total", json_integer(total));
    return meta;
}

void
reply_render(struct reply *rp)
{
    if (rp->json && !rp->text) {
        rp->text = js_write(rp->pool, rp->json, &rp->text_len);
        json_decref(rp->json);
        rp->json = NULL;
    }
}
