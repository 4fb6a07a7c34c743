// SPDX-License-Identifier: Apache-2.0
/*
 * expiry: forgets the answers kept for idempotency keys and the used-up upload URLs, and lays the
 * ballast down again.
 *
 *  I1  No answer is forgotten before its time, however the wall clock was set. That a URL was used
 *      is known for a day longer than it was good, lest setting the clock back revives it.
 */
#include <limits.h>

#include "core/arrival.h"
#include "jobs/job.h"
#include "store/idempotency.h"
#include "store/object.h"

#define BATCH 1000
#define BATCHES_MAX 20 /* a run, where one writer is there for the requests first */

#define ARRIVALS 100               /* uploads looked at before the lease is renewed */
#define HOUR_MS ((int64_t)3600000) /* for an upload that began while its URL was good */
#define DAY_MS ((int64_t)86400000)

struct expiry {
    int64_t before_ms;
    int64_t removed; /* by the last batch */
    int64_t left;
    int64_t waited_ms;
};

static enum rc
expire_answers(struct tx *tx, void *arg, struct err *err)
{
    struct expiry *e = arg;
    enum rc rc = idempotency_redate(tx, tx->now_ms + JOB_SLACK_MS, err);

    return rc ? rc : idempotency_expire(tx, e->before_ms, BATCH, &e->removed, err);
}

static enum rc
forget_urls(struct tx *tx, void *arg, struct err *err)
{
    struct expiry *e = arg;

    return object_forget_urls(tx, e->before_ms, BATCH, &e->removed, err);
}

static enum rc
count_left(struct tx *tx, void *arg, struct err *err)
{
    struct expiry *e = arg;
    int64_t oldest_ms = e->before_ms;
    enum rc rc = idempotency_backlog(tx, e->before_ms, &e->left, &oldest_ms, err);

    e->waited_ms = e->before_ms - oldest_ms;
    return rc;
}

static enum rc
repeat(struct jobs *jobs, enum rc (*fn)(struct tx *tx, void *arg, struct err *err),
       struct expiry *e, struct err *err)
{
    struct engine *engine = jobs->service->app->engine;
    /* many writers may bring more in a minute than that */
    int most = engine_is_shared(engine) ? INT_MAX : BATCHES_MAX;
    enum rc rc = RC_OK;

    e->removed = BATCH;
    for (int i = 0; i < most && !rc && e->removed == BATCH && !jobs_stopping(jobs); i++) {
        SCOPED_POOL(pool);

        rc = engine_write(engine, 0, pool, fn, e, err);
        jobs_breathe(jobs);
    }
    return rc;
}

/* Also when URLs lead to the store no more: some may have been given out before. */
static enum rc
look_for_arrivals(struct jobs *jobs, struct err *err)
{
    struct app *app = jobs->service->app;
    int64_t n = ARRIVALS;
    enum rc rc = RC_OK;

    if (!(blob_store_caps(app->blobs) & BLOB_CAN_PRESIGN))
        return RC_OK;
    while (!rc && n == ARRIVALS && !jobs_stopping(jobs)) {
        SCOPED_POOL(pool);

        rc = arrival_expire(app, pool, job_older_than(HOUR_MS), ARRIVALS, &n, err);
        jobs_renew(jobs);
    }
    return rc;
}

static enum rc
run(struct jobs *jobs, struct err *err)
{
    SCOPED_POOL(pool);
    struct app *app = jobs->service->app;
    struct expiry urls = {.before_ms = job_older_than(DAY_MS)};
    struct expiry e = {.before_ms = job_older_than(app->settings.idempotency_ms)};
    enum rc rc;

    if (app->ballast)
        ballast_lay(
            app->ballast); /* given up for a delete on a full disk; maybe there is room now */
    rc = repeat(jobs, expire_answers, &e, err);
    if (!rc)
        rc = repeat(jobs, forget_urls, &urls, err);
    if (!rc)
        rc = look_for_arrivals(jobs, err);
    if (!rc)
        rc = engine_read(app->engine, pool, count_left, &e, err);
    if (!rc)
        job_backlog(jobs, &job_expiry, e.left, e.waited_ms);
    return rc;
}

const struct job_kind job_expiry = {
    .name = "expiry",
    .first_ms = 60000,
    .interval_ms = 60000,
    .run = run,
    .last_run = METRIC_EXPIRY_LAST_RUN,
    .backlog = METRIC_EXPIRY_BACKLOG,
    .oldest = METRIC_EXPIRY_OLDEST,
};
