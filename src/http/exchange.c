// SPDX-License-Identifier: Apache-2.0
#include "http/exchange_parts.h"

#include <strings.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/js.h"
#include "base/log.h"
#include "base/text.h"
#include "http/answer.h"

#define DRAIN_MAX KIB(256) /* what is read and thrown away to keep a connection after an error */
#define DRAIN_STREAM_MAX MIB(64)
#define POOL_BYTES 16384 /* what a usual request needs */

struct exchange *
exchange_new(struct service *sv, void (*wake)(void *arg))
{
    TALLOC_CTX *pool = base_pool_sized(POOL_BYTES);
    struct exchange *ex = MEM_NEW(pool, struct exchange);

    ex->service = sv;
    ex->wake = wake;
    ex->rq.pool = pool;
    ex->rq.app = sv->app;
    reply_init(&ex->reply, pool);
    return ex;
}

void
exchange_own(struct exchange *ex, void *wake_arg)
{
    ex->wake_arg = wake_arg;
}

static void
destroy(void *arg)
{
    struct exchange *ex = arg;
    TALLOC_CTX *pool = ex->rq.pool;

    if (ex->rq.stream)
        ex->rq.route->stream->free(ex->rq.stream, ex->stream_kept);
    json_decref(ex->rq.json);
    reply_clear(&ex->reply);
    base_pool_free(&pool);
}

void
exchange_free(struct exchange **ret)
{
    struct exchange *ex = *ret;

    if (ex && (!ex->intake || intake_leave(ex->intake)))
        destroy(ex);
    *ret = NULL;
}

TALLOC_CTX *
exchange_pool(struct exchange *ex)
{
    return ex->rq.pool;
}

/* ---- steps before the body ---- */

/* Operations are served on an address of their own when there is one. */
static bool
elsewhere(const struct service *sv, const struct route *r)
{
    return r->access == ACCESS_PUBLIC ? sv->no_operations : sv->only_operations;
}

/* Looks the path up; *ret_query is what follows its '?', NULL when there is none. */
static void
find_route(struct exchange *ex, const char *target, const char **ret_query)
{
    const char *question = strchr(target, '?');
    size_t len = question ? (size_t)(question - target) : strlen(target);

    *ret_query = question ? question + 1 : NULL;
    route_find(ex->rq.pool, ex->method, target, len, &ex->match);
    if (ex->match.any && elsewhere(ex->service, ex->match.any))
        ex->match = (struct route_match){0};
    if (ex->match.any) {
        ex->rq.dialect = ex->match.any->dialect;
        ex->rq.signed_path = ex->match.any->access == ACCESS_SIGNED;
    }
}

static enum rc
step_framing(struct exchange *ex, struct err *err)
{
    enum rc rc = guard_check(ex->rq.wire, &ex->framing, err);
    const char *query;

    if (rc && ex->rq.wire->target[0] == '/')
        find_route(ex, ex->rq.wire->target, &query); /* so that the error is worded as there */
    if (rc)
        return rc;
    ex->method = http_method_parse(ex->rq.wire->method);
    return RC_OK;
}

static enum rc
step_route(struct exchange *ex, struct err *err)
{
    const char *target = guard_path(ex->rq.wire), *query;

    find_route(ex, target, &query);
    ex->rq.route = ex->match.route;
    memcpy(ex->rq.args, ex->match.args, sizeof(ex->rq.args));
    if (ex->method == HTTP_OPTIONS && (ex->match.any || streq(target, "*"))) {
        ex->options = true;
        return RC_OK;
    }
    if (!ex->match.any)
        return err_set(err, RC_NOT_FOUND, "no such route");
    if (!ex->match.route)
        return err_set(err, RC_METHOD, "no such method here");
    return query ? request_read_query(&ex->rq, query, err) : RC_OK;
}

static enum rc
step_key(struct exchange *ex, struct err *err)
{
    if (ex->rq.route->access != ACCESS_KEY)
        return RC_OK;
    return auth_identify(ex->service->auth, &ex->rq, ex->may_wait, err);
}

static enum rc
step_rate(struct exchange *ex, struct err *err)
{
    enum rc rc;

    if (ex->rq.route->access != ACCESS_KEY)
        return RC_OK;
    rc = budgets_draw(ex->service->budgets, &ex->rq.caller, ex->rq.now_ms, ex->may_wait,
                      &ex->budget, err);
    ex->has_budget = rc == RC_OK || rc == RC_RATE_LIMITED;
    return rc;
}

static enum rc
step_permission(struct exchange *ex, struct err *err)
{
    uint32_t needed = request_permission(&ex->rq);

    if (needed & ~ex->rq.caller.permissions)
        return err_set(err, RC_FORBIDDEN, "needs permission 0x%x", needed);
    return RC_OK;
}

static enum rc
check_json_body(struct exchange *ex, struct err *err)
{
    const char *type = request_header(&ex->rq, "Content-Type");
    const char *encoding = request_header(&ex->rq, "Content-Encoding");
    bool optional = ex->rq.route->body_optional;

    if (ex->framing.chunked || (ex->framing.length < 0 && !optional))
        return err_set(err, RC_LENGTH_REQUIRED, "no Content-Length");
    if (ex->framing.length > ex->rq.route->max_body)
        return err_set(err, RC_TOO_LARGE, "%lld bytes", (long long)ex->framing.length);
    if (ex->framing.length <= 0 && optional)
        return RC_OK;
    if ((type && !media_type_is_json(type)) || (encoding && strcasecmp(encoding, "identity") != 0))
        return err_set(err, RC_MEDIA_TYPE, "not JSON");
    return RC_OK;
}

static enum rc
take_bytes(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct exchange *ex = arg;

    return ex->rq.route->stream->data(ex->rq.stream, bytes, len, err);
}

static void
wake_for_more(void *arg)
{
    struct exchange *ex = arg;

    ex->wake(ex->wake_arg);
}

static enum rc
open_stream(struct exchange *ex, struct err *err)
{
    struct intake_owner owner = {
        .take = take_bytes, .wake = wake_for_more, .gone = destroy, .arg = ex};
    enum rc rc = ex->rq.route->stream->open(&ex->rq, &ex->rq.stream, err);

    if (!rc)
        ex->intake = intake_new(ex->rq.pool, ex->rq.app->body_workers, &owner);
    return rc;
}

static enum rc
step_size(struct exchange *ex, struct err *err)
{
    const struct route *r = ex->rq.route;
    int64_t max;

    if (r->stream) {
        if (!ex->may_wait && r->access == ACCESS_SIGNED)
            return err_set(err, RC_BUSY, "the workspace has to be looked up");
        max = r->stream->max_body(&ex->rq.app->settings);
        if (ex->framing.length > max)
            return err_set(err, RC_TOO_LARGE, "%lld bytes", (long long)ex->framing.length);
        if (ex->framing.length < 0 && !ex->framing.chunked)
            return err_set(err, RC_LENGTH_REQUIRED, "no Content-Length");
        return open_stream(ex, err);
    }
    return r->max_body ? check_json_body(ex, err) : RC_OK;
}

static bool
has_body(const struct exchange *ex)
{
    return ex->framing.chunked || ex->framing.length > 0;
}

void
exchange_take_head(struct exchange *ex)
{
    static enum rc (*const steps[])(struct exchange * ex, struct err * err) = {
        step_framing, step_route, step_key, step_rate, step_permission, step_size,
    };

    for (; ex->step < ARRAY_LEN(steps) && !ex->rc && !ex->options; ex->step++) {
        ex->rc = steps[ex->step](ex, &ex->err);
        ex->asks = ex->rc == RC_BUSY && !ex->may_wait;
        if (ex->asks) {
            ex->rc = RC_OK;
            return;
        }
    }
}

/* The framing itself is in doubt: what follows on this connection must not be read. */
static bool
must_close(enum rc rc)
{
    return rc == RC_MALFORMED || rc == RC_HEADERS_LARGE || rc == RC_URI_TOO_LONG ||
           rc == RC_HTTP_VERSION;
}

enum exchange_next
exchange_head(struct exchange *ex, const struct wire *wire)
{
    struct id id = id_new();

    ex->rq.wire = wire;
    ex->rq.dialect = &dialect_records;
    ex->rq.now_ms = clock_wall_ms();
    id_format(&id, ID_REQUEST, ID_RECORDS, ex->rq.request_id);
    ex->rq.caller.request_id = ex->rq.request_id;
    ex->rq.caller.address = wire->address;
    ex->rq.ready = service_ready(ex->service);
    ex->rq.base_url = answer_base_url(&ex->rq);
    ex->may_wait = engine_reads_here(ex->rq.app->engine);
    exchange_take_head(ex);
    return ex->asks ? EXCHANGE_ASK : exchange_asked(ex);
}

enum exchange_next
exchange_asked(struct exchange *ex)
{
    if (ex->rc && must_close(ex->rc) && !ex->rq.route)
        return EXCHANGE_CLOSE;
    if (!has_body(ex))
        return EXCHANGE_READ;
    if (ex->rc && ex->framing.length > DRAIN_MAX)
        return EXCHANGE_CLOSE; /* too much follows to wait for its end */
    if (!ex->rc && ex->rq.route && ex->rq.route->max_body)
        buf_init(&ex->body, ex->rq.pool, (size_t)ex->rq.route->max_body);
    return EXCHANGE_READ;
}

/* ---- the body ---- */

static enum exchange_next
body_streams(struct exchange *ex, const char *bytes, size_t len)
{
    enum intake_state state = intake_add(ex->intake, bytes, len);

    if (state == INTAKE_FAILED)
        ex->rc = intake_error(ex->intake, &ex->err);
    return state == INTAKE_FULL ? EXCHANGE_FULL : EXCHANGE_READ;
}

enum exchange_next
exchange_body(struct exchange *ex, const char *bytes, size_t len)
{
    const struct route *r = ex->rq.route;

    ex->received += (int64_t)len;
    if (ex->rc)
        return ex->received > DRAIN_STREAM_MAX + ex->framing.length ? EXCHANGE_DROP : EXCHANGE_READ;
    if (!r || ex->options)
        return EXCHANGE_READ;
    if (r->stream)
        return body_streams(ex, bytes, len);
    if (r->max_body && !buf_append(&ex->body, bytes, len))
        ex->rc = err_set(&ex->err, RC_TOO_LARGE, "more than Content-Length");
    return EXCHANGE_READ;
}

/* ---- the answer ---- */

static void
log_exchange(struct exchange *ex)
{
    const char *op = ex->rq.route ? ex->rq.route->op : "-";

    if (ex->rc && rc_info(ex->rc)->http >= 500)
        log_error("%s %s: %s: %s", ex->rq.request_id, op, rc_info(ex->rc)->name, ex->err.detail);
    else if (ex->service->log_requests)
        log_info("%s %s %s %d %lldms%s%s", ex->rq.request_id, ex->rq.wire->address, op,
                 ex->reply.status, (long long)(clock_wall_ms() - ex->rq.now_ms), ex->rc ? " " : "",
                 ex->rc ? ex->err.detail : "");
}

bool
exchange_closes(const struct exchange *ex)
{
    return ex->closes;
}

struct reply *
exchange_reply(struct exchange *ex)
{
    struct reply *rp = &ex->reply;

    if (ex->finished)
        return rp;
    ex->finished = true;
    if (ex->options)
        reply_empty(rp, 204);
    else if (ex->rc)
        answer_error(rp, &ex->rq, ex->rc, &ex->err);
    if (ex->options || ex->rc == RC_METHOD)
        reply_header(rp, "Allow", route_allow(ex->rq.pool, ex->match.methods));
    reply_render(rp);
    answer_finish(rp, &ex->rq, ex->has_budget ? &ex->budget : NULL);
    if (ex->replay.replayed)
        metric_add(&ex->rq.app->metrics, METRIC_REPLAYS, 1);
    metric_add(&ex->rq.app->metrics,
               METRIC_REQUESTS_2XX +
                   (rp->status >= 200 && rp->status < 600 ? rp->status / 100 - 2 : 3),
               1);
    log_exchange(ex);
    return rp;
}
