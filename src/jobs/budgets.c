// SPDX-License-Identifier: Apache-2.0
/*
 * budgets: writes the day counters that have changed.
 *
 * Counters whose write failed are not put back: they live on in memory, and the next request that
 * draws on one marks it as changed again, with all it had counted before.
 */
#include "jobs/job.h"

struct changed {
    struct budget *list;
    size_t n;
};

static enum rc
write_each(struct tx *tx, void *arg, struct err *err)
{
    const struct changed *c = arg;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < c->n && !rc; i++)
        rc = budget_write(tx, &c->list[i], err);
    return rc;
}

static enum rc
run(struct jobs *jobs, struct err *err)
{
    SCOPED_POOL(pool);
    struct changed c = {0};
    enum rc rc = RC_OK;

    budgets_take_changed(jobs->service->budgets, pool, &c.list, &c.n);
    if (c.n > 0)
        rc = engine_write(jobs->service->app->engine, 0, pool, write_each, &c, err);
    job_backlog(jobs, &job_budgets, rc ? (int64_t)c.n : 0, 0);
    return rc;
}

const struct job_kind job_budgets = {
    .name = "budgets",
    .first_ms = 1000,
    .interval_ms = 1000,
    .run = run,
    .last_run = METRIC_BUDGET_LAST_RUN,
    .backlog = METRIC_BUDGET_BACKLOG,
    .oldest = METRIC_BUDGET_OLDEST,
};
