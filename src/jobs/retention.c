// SPDX-License-Identifier: Apache-2.0
/*
 * retention: removes the audit lines that a workspace need not keep any longer.
 *
 *  I1  Nothing is removed within an hour of the wall clock being set forward, or of a start after
 *      which it may have been: so long there is to set a wrong clock right.
 *  I2  Nothing is removed of a trail whose seal is broken; how long lines are kept is sealed, too.
 */
#include "base/clock.h"
#include "base/log.h"
#include "jobs/job.h"
#include "store/audit_head.h"

#define BATCH 1000
#define DAY_MS ((int64_t)86400000)
#define PAUSE_MS 3600000

struct due {
    int64_t workspace;
    int64_t chain;
    int64_t keep_days;
};

struct survey {
    TALLOC_CTX *pool;
    struct due *list; /* chains with lines to remove */
    size_t n;
    int64_t left;
    int64_t waited_ms;
};

static enum rc
look_at_chain(struct tx *tx, int64_t workspace, const struct audit_chain *ch, struct survey *s,
              struct err *err)
{
    int64_t before_ms, oldest_ms, n = 0;
    enum rc rc;

    /* by what is sealed: the workspace's own row may have been changed by hand */
    if (!ch->sealed || ch->keep_days <= 0 || ch->keep_days > tx->now_ms / DAY_MS)
        return RC_OK; /* kept for ever */
    before_ms = oldest_ms = tx->now_ms - ch->keep_days * DAY_MS;
    rc = audit_count_before(tx, workspace, ch->chain, before_ms, &n, &oldest_ms, err);
    if (rc || n == 0)
        return rc;
    s->list = talloc_realloc(s->pool, s->list, struct due, (unsigned)s->n + 1);
    BUG_ON(!s->list);
    s->list[s->n++] = (struct due){workspace, ch->chain, ch->keep_days};
    s->left += n;
    if (before_ms - oldest_ms > s->waited_ms)
        s->waited_ms = before_ms - oldest_ms;
    return RC_OK;
}

static enum rc
look_at(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    struct audit_chain ch = {.chains = 1};
    enum rc rc = RC_OK;

    for (int64_t i = 0; i < ch.chains && !rc; i++) {
        rc = audit_chain_read(tx, w->number, i, &ch, err);
        if (!rc)
            rc = look_at_chain(tx, w->number, &ch, arg, err);
    }
    return rc;
}

static enum rc
take_survey(struct tx *tx, void *arg, struct err *err)
{
    return workspace_each(tx, look_at, arg, err);
}

static enum rc
survey(struct jobs *jobs, TALLOC_CTX *pool, struct survey *ret, struct err *err)
{
    *ret = (struct survey){.pool = pool};
    return engine_read(jobs->service->app->engine, pool, take_survey, ret, err);
}

struct trim {
    const struct due *due;
    int64_t removed;
};

static enum rc
trim_fn(struct tx *tx, void *arg, struct err *err)
{
    struct trim *t = arg;
    const struct due *due = t->due;
    enum rc rc = audit_trim(tx, due->workspace, due->chain, tx->now_ms - due->keep_days * DAY_MS,
                            BATCH, &t->removed, err);

    return rc ? rc : audit_head_trim(tx, due->workspace, due->chain, err);
}

static enum rc
trim_all(struct jobs *jobs, const struct due *due, struct err *err)
{
    struct trim t = {.due = due, .removed = BATCH};
    enum rc rc = RC_OK;

    while (!rc && t.removed == BATCH && !jobs_stopping(jobs)) {
        SCOPED_POOL(pool);

        rc = engine_write(jobs->service->app->engine, due->workspace, pool, trim_fn, &t, err);
        jobs_breathe(jobs);
    }
    return rc;
}

static enum rc
run(struct jobs *jobs, struct err *err)
{
    SCOPED_POOL(pool);
    int64_t lead_ms = clock_lead_ms(PAUSE_MS);
    struct survey s;
    enum rc rc = survey(jobs, pool, &s, err);

    if (!rc && s.n > 0 && lead_ms > JOB_SLACK_MS) {
        log_info("retention waits an hour: the clock may have been set forward by %lld s",
                 (long long)lead_ms / 1000);
        return RC_OK;
    }
    for (size_t i = 0; !rc && i < s.n && !jobs_stopping(jobs); i++)
        rc = trim_all(jobs, &s.list[i], err);
    if (!rc && s.n > 0)
        rc = survey(jobs, pool, &s, err);
    if (!rc)
        job_backlog(jobs, &job_retention, s.left, s.waited_ms);
    return rc;
}

const struct job_kind job_retention = {
    .name = "retention",
    .first_ms = 60000,
    .interval_ms = 3600000,
    .run = run,
    .last_run = METRIC_RETENTION_LAST_RUN,
    .backlog = METRIC_RETENTION_BACKLOG,
    .oldest = METRIC_RETENTION_OLDEST,
};
