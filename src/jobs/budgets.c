// SPDX-License-Identifier: Apache-2.0
/*
 * budgets: keeps shared budgets shared, adds what has been counted to the day counters in the
 * database, and learns from their sums what other nodes have. What could not be written is tried
 * again at the next turn.
 */
#include <stdlib.h>

#include "jobs/job.h"

struct counted {
    struct budget *added;
    struct budget *sums; /* as many */
    size_t n;
};

static enum rc
add_each(struct tx *tx, void *arg, struct err *err)
{
    const struct counted *c = arg;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < c->n && !rc; i++)
        rc = budget_add(tx, &c->added[i], &c->sums[i], err);
    return rc;
}

static int
by_subject(const void *a, const void *b)
{
    const struct budget *left = a, *right = b;

    return memcmp(&left->subject, &right->subject, sizeof(left->subject));
}

static enum rc
run(struct jobs *jobs, struct err *err)
{
    SCOPED_POOL(pool);
    struct counted c = {0};
    enum rc rc = RC_OK;

    budgets_keep_shared(jobs->service->budgets);
    budgets_unsaved(jobs->service->budgets, pool, &c.added, &c.n);
    if (c.n > 0) {
        /* nodes that lock rows in one order cannot lock each other out */
        qsort(c.added, c.n, sizeof(*c.added), by_subject);
        c.sums = MEM_ARRAY(pool, struct budget, c.n);
        rc = engine_write(jobs->service->app->engine, 0, pool, add_each, &c, err);
    }
    if (c.n > 0 && !rc)
        budgets_saved(jobs->service->budgets, c.added, c.sums, c.n);
    job_backlog(jobs, &job_budgets, rc ? (int64_t)c.n : 0, 0);
    return rc;
}

const struct job_kind job_budgets = {
    .name = "budgets",
    .first_ms = 1000,
    .interval_ms = 1000,
    .everywhere = true,
    .run = run,
    .last_run = METRIC_BUDGET_LAST_RUN,
    .backlog = METRIC_BUDGET_BACKLOG,
    .oldest = METRIC_BUDGET_OLDEST,
};
