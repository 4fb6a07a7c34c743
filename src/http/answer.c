// SPDX-License-Identifier: Apache-2.0
#include "http/answer.h"

#include "base/js.h"

const char *
answer_base_url(const struct request *rq)
{
    const char *host = request_header(rq, "Host");

    if (rq->app->settings.public_url)
        return rq->app->settings.public_url;
    if (!host || !*host)
        return ""; /* HTTP/1.0: URLs are relative */
    return mem_printf(rq->pool, "%s://%s", rq->wire->https ? "https" : "http", host);
}

void
answer_error(struct reply *rp, const struct request *rq, enum rc rc, const struct err *err)
{
    const struct rc_info *info = rc_info(rc);
    const char *message = err->hint[0] && !err->field[0] ? err->hint : info->message;
    json_t *details = json_incref(rp->details);
    struct reply_header kept[REPLY_HEADERS_MAX];
    size_t n_kept = rp->n_headers;

    /* what a handler had built is void, but not the headers it set for the error itself */
    memcpy(kept, rp->headers, sizeof(kept));
    reply_clear(rp);
    memcpy(rp->headers, kept, sizeof(kept));
    rp->n_headers = info->http == 416 ? n_kept : 0;
    if (err->field[0]) {
        json_decref(details);
        details = json_pack("{s:{s:s}}", "fields", err->field, err->hint);
    }
    reply_json(rp, info->http, rq->dialect->error(rc, message, details));
    json_decref(details);
    if (rc == RC_BAD_KEY)
        reply_header(rp, "WWW-Authenticate", "Bearer");
    if (info->retryable && rc != RC_RATE_LIMITED)
        reply_header(rp, "Retry-After", "1");
}

static const char *
number(TALLOC_CTX *pool, int64_t n)
{
    return mem_printf(pool, "%lld", (long long)n);
}

void
answer_finish(struct reply *rp, const struct request *rq, const struct budget_state *budget)
{
    const char *origin = rq->app->settings.cors_origin;

    if (rp->text && rp->text_len > 0)
        reply_header(rp, "Content-Type", rp->media_type ? rp->media_type : "application/json");
    reply_header(rp, "X-Request-ID", rq->request_id);
    reply_header(rp, "X-Content-Type-Options", "nosniff");
    reply_header(rp, "Cache-Control", "no-store");
    if (rq->signed_path) {
        reply_header(rp, "Content-Security-Policy", "default-src 'none'; sandbox");
        reply_header(rp, "Cross-Origin-Resource-Policy", "same-origin");
        reply_header(rp, "Referrer-Policy", "no-referrer");
    }
    if (origin) {
        reply_header(rp, "Access-Control-Allow-Origin", origin);
        reply_header(rp, "Access-Control-Expose-Headers",
                     "X-Request-ID, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset,"
                     " Retry-After, Location, Idempotent-Replayed, ETag, Content-Range,"
                     " Content-Disposition");
    }
    if (origin && streq(rq->wire->method, "OPTIONS")) {
        reply_header(rp, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
        reply_header(rp, "Access-Control-Allow-Headers",
                     "Authorization, Content-Type, Idempotency-Key, X-API-Key, Docs-Entity-ID,"
                     " X-Idempotency-Key, Range");
        reply_header(rp, "Access-Control-Max-Age", "600");
    }
    if (!budget)
        return;
    reply_header(rp, "X-RateLimit-Limit", number(rp->pool, budget->limit));
    reply_header(rp, "X-RateLimit-Remaining", number(rp->pool, budget->remaining));
    reply_header(rp, "X-RateLimit-Reset", number(rp->pool, budget->reset_s));
    if (budget->retry_after_s)
        reply_header(rp, "Retry-After", number(rp->pool, budget->retry_after_s));
}
