// SPDX-License-Identifier: Apache-2.0
#include "http/exchange.h"

#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/js.h"
#include "base/log.h"
#include "base/text.h"
#include "http/answer.h"
#include "http/guard.h"
#include "http/replay.h"

#define DRAIN_MAX KIB(256) /* what is read and thrown away to keep a connection after an error */
#define DRAIN_STREAM_MAX MIB(64)
#define POOL_BYTES 16384 /* what a usual request needs */

struct exchange {
    struct service *service;
    void (*wake)(void *arg);
    void *wake_arg;

    struct request rq;
    struct framing framing;
    enum http_method method;
    bool options; /* answered without a handler */
    struct route_match match;

    struct buf body;
    int64_t received;
    bool stream_kept;

    struct replay replay;
    struct reply reply;
    struct budget_state budget;
    bool has_budget;
    bool finished;
    enum rc rc; /* of the whole exchange so far */
    struct err err;

    struct work work;
    struct job job;
};

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

void
exchange_free(struct exchange **ret)
{
    struct exchange *ex = *ret;
    TALLOC_CTX *pool;

    if (!ex)
        return;
    if (ex->rq.stream)
        ex->rq.route->stream->free(ex->rq.stream, ex->stream_kept);
    json_decref(ex->rq.json);
    reply_clear(&ex->reply);
    pool = ex->rq.pool;
    base_pool_free(&pool);
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
    return auth_identify(ex->service->auth, &ex->rq, err);
}

static enum rc
step_rate(struct exchange *ex, struct err *err)
{
    if (ex->rq.route->access != ACCESS_KEY)
        return RC_OK;
    ex->has_budget = true;
    return budgets_draw(ex->service->budgets, &ex->rq.caller, ex->rq.now_ms, &ex->budget, err);
}

/* The permission this request needs: the route's, or a stronger one that its query asks for. */
static uint32_t
permission_needed(const struct request *rq)
{
    for (size_t i = 0; i < rq->n_params && rq->route->elevated.query; i++) {
        bool yes = false;

        if (streq(rq->params[i].name, rq->route->elevated.query) &&
            text_bool(rq->params[i].value, &yes) && yes)
            return rq->route->elevated.permission;
    }
    return rq->route->permission;
}

static enum rc
step_permission(struct exchange *ex, struct err *err)
{
    uint32_t needed = permission_needed(&ex->rq);

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
step_size(struct exchange *ex, struct err *err)
{
    const struct route *r = ex->rq.route;
    int64_t max;

    if (r->stream) {
        max = r->stream->max_body(&ex->rq.app->settings);
        if (ex->framing.length > max)
            return err_set(err, RC_TOO_LARGE, "%lld bytes", (long long)ex->framing.length);
        if (ex->framing.length < 0 && !ex->framing.chunked)
            return err_set(err, RC_LENGTH_REQUIRED, "no Content-Length");
        return r->stream->open(&ex->rq, &ex->rq.stream, err);
    }
    return r->max_body ? check_json_body(ex, err) : RC_OK;
}

static bool
has_body(const struct exchange *ex)
{
    return ex->framing.chunked || ex->framing.length > 0;
}

static enum rc
run_head_steps(struct exchange *ex, struct err *err)
{
    static enum rc (*const steps[])(struct exchange * ex, struct err * err) = {
        step_framing, step_route, step_key, step_rate, step_permission, step_size,
    };
    enum rc rc = RC_OK;

    for (size_t i = 0; i < ARRAY_LEN(steps) && !rc && !ex->options; i++)
        rc = steps[i](ex, err);
    return rc;
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
    ex->rc = run_head_steps(ex, &ex->err);
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
        ex->rc = r->stream->data(ex->rq.stream, bytes, len, &ex->err);
    else if (r->max_body && !buf_append(&ex->body, bytes, len))
        ex->rc = err_set(&ex->err, RC_TOO_LARGE, "more than Content-Length");
    return EXCHANGE_READ;
}

/* ---- steps after the body ---- */

static enum rc
faults_to_error(struct exchange *ex, struct faults *f, struct err *err)
{
    const struct dialect *d = ex->rq.route->dialect;
    enum rc rc = f->missing ? d->missing : d->invalid;

    ex->reply.details = json_pack("{s:O}", "fields", f->fields);
    return err_set(err, rc, "%zu faulty fields", json_object_size(f->fields));
}

static enum rc
read_json(struct exchange *ex, struct err *err)
{
    const struct route *r = ex->rq.route;
    enum rc rc;

    if (ex->body.len == 0 && r->body_optional)
        ex->rq.json = json_object();
    else if ((rc = js_read(ex->body.bytes ? ex->body.bytes : "", ex->body.len, &ex->rq.json,
                           err)) != RC_OK)
        return rc;
    if (r->body && !json_is_object(ex->rq.json))
        return err_set(err, RC_MALFORMED, "the body is not an object");
    return RC_OK;
}

/* Query and body are read by the route's tables; all faults come back together. */
static enum rc
step_validate(struct exchange *ex, struct err *err)
{
    const struct route *r = ex->rq.route;
    struct faults f = {.pool = ex->rq.pool};
    enum rc rc = RC_OK;

    if (r->query) {
        void *into = mem_zalloc(ex->rq.pool, *r->query_size);

        field_read_query(r->query, ex->rq.params, ex->rq.n_params, into, &f);
        ex->rq.query = into;
    }
    if (r->max_body)
        rc = read_json(ex, err);
    if (!rc && r->body) {
        ex->rq.body = mem_zalloc(ex->rq.pool, *r->body_size);
        field_read_body(r->body, ex->rq.json, ex->rq.body, &f);
    }
    if (!rc && f.fields)
        rc = faults_to_error(ex, &f, err);
    faults_free(&f);
    return rc;
}

static void
hash_body(struct exchange *ex, uint8_t out[SHA256_LEN])
{
    struct sha256 *h = sha256_new();

    if (ex->rq.stream)
        ex->rq.route->stream->fingerprint(ex->rq.stream, h);
    else if (ex->body.len)
        sha256_add(h, ex->body.bytes, ex->body.len);
    sha256_done(&h, out);
}

/* ---- the work ---- */

static void
finish(struct exchange *ex)
{
    ex->wake(ex->wake_arg);
}

/* The answer may be kept only when the second act is done. */
static enum rc
promise(struct exchange *ex, struct tx *tx, struct err *err)
{
    struct idempotency answer;

    replay_seal(&ex->replay, &ex->rq, tx, &ex->reply, &answer);
    return ex->reply.act->promise(&ex->rq, tx, ex->reply.act_arg, ex->replay.key_hash, &answer,
                                  err);
}

static enum rc
write_fn(struct tx *tx, void *arg, struct err *err)
{
    struct exchange *ex = arg;
    enum rc rc = RC_OK;

    reply_clear(&ex->reply);
    if (ex->replay.on)
        rc = replay_find(&ex->replay, &ex->rq, tx, &ex->reply, err);
    if (rc || ex->replay.replayed)
        return rc;
    rc = ex->rq.route->handler(&ex->rq, tx, &ex->reply, err);
    if (rc || !ex->replay.on)
        return rc;
    return ex->reply.act ? promise(ex, tx, err)
                         : replay_keep(&ex->replay, &ex->rq, tx, &ex->reply, err);
}

/* The second act's own transaction; a twin with the same key may have finished meanwhile. */
static enum rc
after_fn(struct tx *tx, void *arg, struct err *err)
{
    struct exchange *ex = arg;
    struct reply *rp = &ex->reply;
    enum rc rc = RC_OK;

    if (ex->replay.on) {
        struct reply kept;

        reply_init(&kept, rp->pool);
        rc = replay_find(&ex->replay, &ex->rq, tx, &kept, err);
        if (!rc && ex->replay.replayed) {
            reply_clear(rp);
            *rp = kept;
        }
    }
    if (rc || ex->replay.replayed)
        return rc;
    /* first, since what was promised for this key may be put in its place */
    if (ex->replay.on)
        rc = replay_keep(&ex->replay, &ex->rq, tx, rp, err);
    CRASH_POINT("exchange.in-after");
    return rc ? rc : rp->act->after(&ex->rq, tx, rp->act_arg, err);
}

static void
note(struct exchange *ex, enum rc rc, const struct err *err)
{
    ex->rc = rc;
    if (rc)
        ex->err = *err;
}

/*
 * What could not even be queued. After a successful hand-over nothing of *ex may be touched: the
 * other thread may have finished it already.
 */
static void
fail(struct exchange *ex, enum rc rc, const struct err *err)
{
    note(ex, rc, err);
    finish(ex);
}

static void
after_done(void *arg, enum rc rc, const struct err *err)
{
    struct exchange *ex = arg;

    CRASH_POINT("exchange.after-after");
    note(ex, rc, err);
    finish(ex);
}

/* A quota can be kept to the byte only by who sees all others. */
static enum work_turn
turn_of(const struct request *rq)
{
    const struct workspace *w = &rq->caller.workspace;
    bool sole = rq->route->sole || w->quota_bytes >= 0 || w->quota_documents >= 0;

    return sole ? TURN_SOLE : TURN_SHARED;
}

static void
submit(struct exchange *ex, enum rc (*fn)(struct tx *tx, void *arg, struct err *err),
       void (*done)(void *arg, enum rc rc, const struct err *err))
{
    struct err err;
    enum rc rc;

    ex->work = (struct work){.fn = fn,
                             .done = done,
                             .arg = ex,
                             .lane = ex->rq.caller.workspace.number,
                             .turn = turn_of(&ex->rq),
                             .frees_space = ex->rq.route->method == HTTP_DELETE,
                             .pool = ex->rq.pool};
    CRASH_POINT("exchange.before-submit");
    rc = engine_submit(ex->rq.app->engine, &ex->work, &err);
    if (rc)
        fail(ex, rc, &err);
}

/* A directory that could not be synced leaves in doubt what is on the disk: stop (engine I3). */
static void
fail_bytes(struct exchange *ex)
{
    if (ex->rc == RC_COMMIT_UNKNOWN)
        engine_fail(ex->rq.app->engine, &ex->err);
    finish(ex);
}

static void
outside_job(void *arg)
{
    struct exchange *ex = arg;

    CRASH_POINT("exchange.before-outside");
    ex->rc = ex->reply.act->outside(&ex->rq, ex->reply.act_arg, &ex->err);
    CRASH_POINT("exchange.after-outside");
    if (ex->rc)
        fail_bytes(ex);
    else
        submit(ex, after_fn, after_done);
}

/* Hands a job to the threads that may wait for the disk. */
static void
send_outside(struct exchange *ex, void (*fn)(void *arg))
{
    struct err err;
    enum rc rc;

    ex->job = (struct job){.fn = fn, .arg = ex};
    rc = workers_submit(ex->rq.app->blob_workers, &ex->job, &err);
    if (rc)
        fail(ex, rc, &err);
}

static void
write_done(void *arg, enum rc rc, const struct err *err)
{
    struct exchange *ex = arg;

    note(ex, rc, err);
    /* an unknown outcome may turn out as committed: the bytes stay, and the sweep knows better */
    ex->stream_kept = (rc == RC_OK || rc == RC_COMMIT_UNKNOWN || rc == RC_OUTCOME_UNKNOWN) &&
                      !ex->replay.replayed;
    if (!rc && ex->rq.route->changes_keys)
        auth_forget(ex->service->auth);
    if (!rc && ex->reply.act)
        send_outside(ex, outside_job);
    else
        finish(ex);
}

static void
settle_job(void *arg)
{
    struct exchange *ex = arg;
    uint8_t body[SHA256_LEN];

    ex->rc = ex->rq.route->stream->settle(ex->rq.stream, &ex->err);
    CRASH_POINT("exchange.after-settle");
    if (ex->rc) {
        fail_bytes(ex);
        return;
    }
    if (ex->replay.on) {
        hash_body(ex, body);
        replay_fingerprint(&ex->replay, &ex->rq, body);
    }
    submit(ex, write_fn, write_done);
}

static enum rc
read_fn(struct tx *tx, void *arg, struct err *err)
{
    struct exchange *ex = arg;

    return ex->rq.route->handler(&ex->rq, tx, &ex->reply, err);
}

static bool
looks_for_bytes(const struct exchange *ex)
{
    return ex->rq.app->settings.direct_urls && ex->rq.route->look_for_bytes;
}

/* Whether the loop thread can do a read itself: nothing it needs is on another machine. */
static bool
reads_here(const struct exchange *ex)
{
    return engine_reads_here(ex->rq.app->engine) &&
           !(ex->rq.route->reads_bytes && (blob_store_caps(ex->rq.app->blobs) & BLOB_REMOTE));
}

enum exchange_next
exchange_end(struct exchange *ex)
{
    const struct route *r = ex->rq.route;
    uint8_t body[SHA256_LEN];

    if (!ex->rc && ex->rq.stream)
        ex->rc = r->stream->end(ex->rq.stream, &ex->err);
    if (ex->rc && ex->framing.chunked)
        return EXCHANGE_CLOSE; /* the parser underneath is lax about where chunks end */
    if (ex->rc || ex->options)
        return EXCHANGE_REPLY;
    ex->rc = step_validate(ex, &ex->err);
    if (!ex->rc && r->authorise)
        ex->rc = r->authorise(&ex->rq, &ex->err);
    if (!ex->rc)
        ex->rc = replay_start(&ex->replay, &ex->rq, &ex->err);
    if (ex->rc)
        return EXCHANGE_REPLY;
    if (ex->replay.on && !ex->rq.stream) {
        hash_body(ex, body);
        replay_fingerprint(&ex->replay, &ex->rq, body);
    }
    switch (r->run) {
    case RUN_NONE:
        ex->rc = r->handler(&ex->rq, NULL, &ex->reply, &ex->err);
        return EXCHANGE_REPLY;
    case RUN_READ:
        if (looks_for_bytes(ex) || !reads_here(ex))
            break;
        ex->rc = engine_read(ex->rq.app->engine, ex->rq.pool, read_fn, ex, &ex->err);
        return EXCHANGE_REPLY;
    case RUN_QUERY:
    case RUN_WRITE:
    case RUN_STREAM:
        break;
    }
    return EXCHANGE_WAIT;
}

static void
run(struct exchange *ex)
{
    struct err err;
    enum rc rc;

    switch (ex->rq.route->run) {
    case RUN_STREAM:
        send_outside(ex, settle_job);
        return;
    case RUN_READ:
    case RUN_QUERY:
        ex->work = (struct work){.fn = read_fn, .done = after_done, .arg = ex, .pool = ex->rq.pool};
        rc = engine_query(ex->rq.app->engine, &ex->work, &err);
        if (rc)
            fail(ex, rc, &err);
        return;
    default:
        submit(ex, write_fn, write_done);
    }
}

static void
look_job(void *arg)
{
    struct exchange *ex = arg;

    ex->rc = ex->rq.route->look_for_bytes(&ex->rq, &ex->err);
    if (ex->rc)
        finish(ex);
    else
        run(ex);
}

void
exchange_go(struct exchange *ex)
{
    if (looks_for_bytes(ex))
        send_outside(ex, look_job);
    else
        run(ex);
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
