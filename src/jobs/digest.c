// SPDX-License-Identifier: Apache-2.0
/*
 * digest: takes documents up into the sums that lists use (store/digest.h), once a workspace has
 * enough of them that it is worth it.
 *
 *  I1  A transaction of it is short: requests wait for the writer meanwhile.
 */
#include "jobs/job.h"
#include "store/digest.h"
#include "store/text_sign.h"

#define ENOUGH 4096   /* a list reads so many rows one by one in about a millisecond */
#define BATCH 512     /* a few milliseconds of the writer */
#define WORKSPACES 64 /* in turn, so that a large one does not hold up the others */

struct look {
    int64_t min;
    int64_t *workspaces;
    size_t n;
};

static enum rc
look(struct tx *tx, void *arg, struct err *err)
{
    struct look *l = arg;

    return digest_due(tx, l->min, WORKSPACES, &l->workspaces, &l->n, err);
}

struct take {
    int64_t workspace;
    int64_t n;
};

static enum rc
take(struct tx *tx, void *arg, struct err *err)
{
    struct take *t = arg;
    enum rc rc = digest_take(tx, t->workspace, BATCH, &t->n, err);

    return rc ? rc : text_sign_next(tx, t->workspace, err);
}

static enum rc
mend(struct tx *tx, void *arg, struct err *err)
{
    return text_sign_mend(tx, arg, err);
}

/* Groups whose signatures say too little by now. */
static enum rc
mend_some(struct jobs *jobs, struct err *err)
{
    bool more = !engine_is_shared(jobs->service->app->engine);
    enum rc rc = RC_OK;

    while (!rc && more && !jobs_stopping(jobs)) {
        SCOPED_POOL(pool);

        rc = engine_write(jobs->service->app->engine, 0, pool, mend, &more, err);
    }
    return rc;
}

static enum rc
run(struct jobs *jobs, struct err *err)
{
    struct engine *engine = jobs->service->app->engine;
    int64_t enough = ENOUGH;
    bool any = true;
    enum rc rc = RC_OK;

    while (!rc && any && !jobs_stopping(jobs)) {
        SCOPED_POOL(pool);
        struct look l = {.min = enough};

        rc = engine_read(engine, pool, look, &l, err);
        any = false;
        enough = BATCH; /* once at it, all that makes a batch */
        for (size_t i = 0; !rc && i < l.n && !jobs_stopping(jobs); i++) {
            SCOPED_POOL(inner);
            struct take t = {.workspace = l.workspaces[i]};

            rc = engine_write(engine, t.workspace, inner, take, &t, err);
            any |= t.n > 0; /* totals may promise more than there is */
        }
        jobs_breathe(jobs);
    }
    if (!rc)
        rc = mend_some(jobs, err);
    if (!rc)
        job_backlog(jobs, &job_digest, 0, 0);
    return rc;
}

const struct job_kind job_digest = {
    .name = "digest",
    .first_ms = 100,
    .interval_ms = 1000,
    .run = run,
    .last_run = METRIC_DIGEST_LAST_RUN,
    .backlog = METRIC_DIGEST_BACKLOG,
    .oldest = METRIC_DIGEST_OLDEST,
};
