// SPDX-License-Identifier: Apache-2.0
#include "http/replay.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/js.h"

#define KEY_MAX 255
#define HASHED_MAX ((size_t)1 << 20) /* of what the head of a request, far below that, can hold */
#define KEPT_MAX INT32_MAX           /* as much as can be sealed */

enum rc
replay_start(struct replay *r, const struct request *rq, struct err *err)
{
    const char *name = rq->route->dialect->idempotency_header;
    const char *text = request_header(rq, name);
    size_t len = text ? strlen(text) : 0;

    *r = (struct replay){0};
    if (rq->route->no_idempotency || !(rq->route->run == RUN_WRITE || rq->route->run == RUN_STREAM))
        return RC_OK;
    if (!text) {
        if (rq->route->dialect->idempotency_required)
            return err_field(err, RC_MISSING, name, "is required");
        return RC_OK;
    }
    /* a quoted structured-field string means the same key as the bare token */
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text = mem_strndup(rq->pool, text + 1, len - 2);
        len -= 2;
    }
    if (len < 1 || len > KEY_MAX)
        return err_field(err, RC_INVALID, name, "must be 1 to 255 characters long");
    for (const char *p = text; *p; p++) {
        if (*p < 0x21 || *p > 0x7e)
            return err_field(err, RC_INVALID, name, "must be visible ASCII characters");
    }
    r->on = true;
    r->key = text;
    return RC_OK;
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* With its NUL, so that where one ends is no matter of what is in it. */
static void
add_text(struct buf *b, const char *text)
{
    BUG_ON(!buf_append(b, text, strlen(text) + 1));
}

/* Parameters in an order that does not depend on how the client wrote them. */
static void
add_query(const struct request *rq, struct buf *b)
{
    char **pairs;

    if (rq->n_params == 0)
        return;
    pairs = MEM_ARRAY(rq->pool, char *, rq->n_params);
    for (size_t i = 0; i < rq->n_params; i++)
        pairs[i] = mem_printf(rq->pool, "%zu:%s=%s", strlen(rq->params[i].name), rq->params[i].name,
                              rq->params[i].value);
    qsort(pairs, rq->n_params, sizeof(*pairs), by_text);
    for (size_t i = 0; i < rq->n_params; i++)
        add_text(b, pairs[i]);
}

void
replay_fingerprint(struct replay *r, const struct request *rq, const uint8_t body[SHA256_LEN])
{
    const char *family = rq->route->dialect->repeat_conflicts ? "docs" : "";
    struct buf b;

    buf_init(&b, rq->pool, HASHED_MAX);
    add_text(&b, rq->route->op);
    for (int i = 0; i < ROUTE_ARGS_MAX && rq->args[i]; i++)
        add_text(&b, rq->args[i]);
    add_query(rq, &b);
    BUG_ON(!buf_append(&b, body, SHA256_LEN));
    crypto_sha256(b.bytes, b.len, r->fingerprint);
    /* the docs dialect's keys are their own: there a repeated one means a conflict */
    b.len = 0;
    add_text(&b, family);
    buf_puts(&b, r->key);
    crypto_sha256(b.bytes, b.len, r->key_hash);
}

static void
seal_key(const struct replay *r, const struct request *rq, uint8_t out[SHA256_LEN])
{
    crypto_derive(rq->app->secret.idempotency, r->key, strlen(r->key), out);
}

static void
add_header(struct buf *b, const struct reply_header *h, bool first)
{
    buf_puts(b, first ? "[" : ",[");
    js_put_text(b, h->name, strlen(h->name));
    buf_puts(b, ",");
    js_put_text(b, h->value, strlen(h->value));
    buf_puts(b, "]");
}

/* What is kept: {"status", "headers": [[name, value]…], "body"}. */
static void
pack(const struct reply *rp, struct buf *b)
{
    buf_printf(b, "{\"status\":%d,\"headers\":[", rp->status);
    for (size_t i = 0; i < rp->n_headers; i++)
        add_header(b, &rp->headers[i], i == 0);
    buf_puts(b, "]");
    if (rp->text) {
        buf_puts(b, ",\"body\":");
        js_put_text(b, rp->text, rp->text_len);
    }
    buf_puts(b, "}");
}

static void
unpack(const json_t *kept, TALLOC_CTX *pool, struct reply *rp)
{
    const json_t *body = json_object_get(kept, "body");
    const json_t *headers = json_object_get(kept, "headers");

    rp->status = (int)json_integer_value(json_object_get(kept, "status"));
    for (size_t i = 0; i < json_array_size(headers); i++) {
        const json_t *pair = json_array_get(headers, i);

        reply_header(rp, mem_strdup(pool, json_string_value(json_array_get(pair, 0))),
                     mem_strdup(pool, json_string_value(json_array_get(pair, 1))));
    }
    if (body)
        reply_text(rp, rp->status, NULL, mem_strdup(pool, json_string_value(body)),
                   json_string_length(body));
    reply_header(rp, "Idempotent-Replayed", "true");
}

static enum rc
conflict(const json_t *kept, struct reply *rp, struct err *err)
{
    const json_t *body = json_object_get(kept, "body");
    json_auto_t *answer = json_loads(body ? json_string_value(body) : "{}", 0, NULL);
    json_t *id = json_object_get(answer, "id");

    if (id)
        rp->details = json_pack("{s:O}", "id", id);
    return err_set(err, RC_DUPLICATE, "the idempotency key was used");
}

enum rc
replay_find(struct replay *r, const struct request *rq, struct tx *tx, struct reply *rp,
            struct err *err)
{
    int64_t keep_ms = rq->app->settings.idempotency_ms;
    uint8_t key[SHA256_LEN], *plain;
    struct idempotency kept;
    json_t *answer = NULL;
    size_t len;
    enum rc rc;

    r->replayed = false;
    r->expired_ms = tx->now_ms - keep_ms - clock_lead_ms(keep_ms);
    rc = idempotency_read(tx, rq->caller.workspace.number, r->key_hash, r->expired_ms, &kept, err);
    r->replaces = kept.replaces;
    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    seal_key(r, rq, key);
    if (!crypto_open(rq->pool, key, kept.answer, kept.answer_len, &plain, &len) ||
        js_read((char *)plain, len, &answer, err))
        return err_set(err, RC_INTERNAL, "a kept answer cannot be opened");
    if (rq->route->dialect->repeat_conflicts)
        rc = conflict(answer, rp, err);
    else if (!crypto_equal(kept.fingerprint, r->fingerprint, SHA256_LEN))
        rc = err_set(err, RC_MISMATCH, "another request with this key");
    else
        unpack(answer, rq->pool, rp);
    json_decref(answer);
    r->replayed = rc == RC_OK;
    return rc;
}

void
replay_seal(const struct replay *r, const struct request *rq, struct tx *tx, struct reply *rp,
            struct idempotency *ret)
{
    uint8_t key[SHA256_LEN], *sealed;
    struct buf text;

    reply_render(rp);
    buf_init(&text, rq->pool, KEPT_MAX);
    pack(rp, &text);
    seal_key(r, rq, key);
    crypto_seal(rq->pool, key, text.bytes, text.len, &sealed, &ret->answer_len);
    ret->answer = sealed;
    ret->completed_ms = tx->now_ms;
    ret->replaces = r->replaces;
    memcpy(ret->fingerprint, r->fingerprint, SHA256_LEN);
}

enum rc
replay_keep(const struct replay *r, const struct request *rq, struct tx *tx, struct reply *rp,
            struct err *err)
{
    struct idempotency kept;

    replay_seal(r, rq, tx, rp, &kept);
    return idempotency_write(tx, rq->caller.workspace.number, r->key_hash, &kept, r->expired_ms,
                             err);
}
