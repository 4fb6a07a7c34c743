// SPDX-License-Identifier: Apache-2.0
/* From the end of the body to the commit: what a request is checked for last, and where it runs. */
#include "base/crash.h"
#include "base/js.h"
#include "http/exchange_parts.h"

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
    struct sha256 *h;

    if (!ex->rq.stream) {
        crypto_sha256(ex->body.len ? ex->body.bytes : "", ex->body.len, out);
        return;
    }
    h = sha256_new();
    ex->rq.route->stream->fingerprint(ex->rq.stream, h);
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

/* That a request came before tells its sender that it was done. So this, too, is told only after a
 * commit: only then is what was read sure to be on a standby (engine.h, I1). */
static enum rc
write_fn(struct tx *tx, void *arg, struct err *err)
{
    struct exchange *ex = arg;
    enum rc rc = RC_OK;

    reply_clear(&ex->reply);
    if (ex->replay.on)
        rc = replay_find(&ex->replay, &ex->rq, tx, &ex->reply, err);
    ex->duplicate = rc == RC_DUPLICATE;
    if (ex->duplicate) {
        ex->err = *err;
        return RC_OK;
    }
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
                             /* with a key: the work of a twin may have been in its way */
                             .twice = ex->replay.on,
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

enum place { TO_DATABASE, TO_BYTES };

/* Hands a job to the threads that may wait for one of these. */
static void
hand_over(struct exchange *ex, enum place place, void (*fn)(void *arg))
{
    struct err err;
    enum rc rc;

    ex->job = (struct job){.fn = fn, .arg = ex};
    rc = place == TO_BYTES ? workers_submit(ex->rq.app->blob_workers, &ex->job, &err)
                           : engine_elsewhere(ex->rq.app->engine, &ex->job, &err);
    if (rc)
        fail(ex, rc, &err);
}

static void
write_done(void *arg, enum rc rc, const struct err *err)
{
    struct exchange *ex = arg;

    if (!rc && ex->duplicate) {
        rc = RC_DUPLICATE;
        err = &ex->err;
    }
    note(ex, rc, err);
    /* an unknown outcome may turn out as committed: the bytes stay, and the sweep knows better */
    ex->stream_kept = (rc == RC_OK || rc == RC_COMMIT_UNKNOWN || rc == RC_OUTCOME_UNKNOWN) &&
                      !ex->replay.replayed;
    if (!rc && ex->rq.route->changes_keys)
        auth_forget(ex->service->auth);
    if (!rc && ex->reply.act)
        hand_over(ex, TO_BYTES, outside_job);
    else
        finish(ex);
}

/* What is checked when all of the request is there. */
static enum rc
check_whole(struct exchange *ex, struct err *err)
{
    const struct route *r = ex->rq.route;
    enum rc rc = step_validate(ex, err);

    if (!rc && r->authorise)
        rc = r->authorise(&ex->rq, err);
    return rc ? rc : replay_start(&ex->replay, &ex->rq, err);
}

static enum rc
end_stream(struct exchange *ex, struct err *err)
{
    enum rc rc = intake_rest(ex->intake, err);

    if (!rc)
        rc = ex->rq.route->stream->end(ex->rq.stream, err);
    ex->closes = rc && ex->framing.chunked; /* see exchange_end() */
    return rc ? rc : check_whole(ex, err);
}

static void
settle_job(void *arg)
{
    struct exchange *ex = arg;
    uint8_t body[SHA256_LEN];

    ex->rc = end_stream(ex, &ex->err);
    if (!ex->rc)
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

/* The answer is written out here too: for a list that takes longer than its rows, and on the loop
 * thread all other connections would wait for it. */
static enum rc
read_fn(struct tx *tx, void *arg, struct err *err)
{
    struct exchange *ex = arg;
    enum rc rc;

    reply_clear(&ex->reply);
    rc = ex->rq.route->handler(&ex->rq, tx, &ex->reply, err);
    if (!rc)
        reply_render(&ex->reply);
    return rc;
}

static bool
looks_for_bytes(const struct exchange *ex)
{
    return ex->rq.app->settings.direct_urls && ex->rq.route->look_for_bytes;
}

static bool
reads_bytes_elsewhere(const struct exchange *ex)
{
    return ex->rq.route->reads_bytes && (blob_store_caps(ex->rq.app->blobs) & BLOB_REMOTE);
}

/* Whether the loop thread can do a read itself: nothing it needs is on another machine. */
static bool
reads_here(const struct exchange *ex)
{
    return engine_reads_here(ex->rq.app->engine) && !reads_bytes_elsewhere(ex);
}

enum exchange_next
exchange_end(struct exchange *ex)
{
    const struct route *r = ex->rq.route;
    uint8_t body[SHA256_LEN];

    if (ex->rc && ex->framing.chunked)
        return EXCHANGE_CLOSE; /* the parser underneath is lax about where chunks end */
    if (ex->rc || ex->options)
        return EXCHANGE_REPLY;
    if (ex->intake)
        return EXCHANGE_WAIT;
    ex->rc = check_whole(ex, &ex->err);
    if (ex->rc)
        return EXCHANGE_REPLY;
    if (ex->replay.on) {
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
head_job(void *arg)
{
    struct exchange *ex = arg;

    ex->may_wait = true;
    exchange_take_head(ex);
    finish(ex);
}

static void
read_job(void *arg)
{
    struct exchange *ex = arg;

    ex->rc = engine_read(ex->rq.app->engine, ex->rq.pool, read_fn, ex, &ex->err);
    finish(ex);
}

static void
stream_taken(void *arg)
{
    hand_over(arg, TO_BYTES, settle_job);
}

static void
run(struct exchange *ex)
{
    struct err err;
    enum rc rc;

    switch (ex->rq.route->run) {
    case RUN_STREAM:
        intake_end(ex->intake, stream_taken);
        return;
    case RUN_READ:
        hand_over(ex, reads_bytes_elsewhere(ex) ? TO_BYTES : TO_DATABASE, read_job);
        return;
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
    if (ex->asks)
        hand_over(ex, TO_DATABASE, head_job);
    else if (looks_for_bytes(ex))
        hand_over(ex, TO_BYTES, look_job);
    else
        run(ex);
}
