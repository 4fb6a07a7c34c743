// SPDX-License-Identifier: Apache-2.0
/*
 * budget: how much each key may still ask for: a one-minute window and a UTC-day counter.
 *
 * Counted in memory, per node. The day counters are written to the database each second by a job
 * and read back on first sight of a subject, so a crash forgets at most a second. Thread-safe.
 */
#ifndef HTTP_BUDGET_H
#define HTTP_BUDGET_H
#include "core/app.h"
#include "core/caller.h"
#include "store/budget.h"

struct budgets;

/* What the rate headers show. */
struct budget_state {
    int64_t limit;
    int64_t remaining;
    int64_t reset_s;       /* wall seconds since 1970 */
    int64_t retry_after_s; /* 0 unless refused */
};

struct budgets *budgets_new(struct app *app);
void budgets_free(struct budgets **b);

/* Draws one request for the caller's subject. RATE_LIMITED when a budget is used up. */
MUST_CHECK enum rc budgets_draw(struct budgets *b, const struct caller *caller, int64_t now_ms,
                                struct budget_state *ret, struct err *err);

/* Takes the counters that have changed since the last call, in `pool`. */
void budgets_take_changed(struct budgets *b, TALLOC_CTX *pool, struct budget **ret, size_t *ret_n);

#endif
