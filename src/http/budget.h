// SPDX-License-Identifier: Apache-2.0
/*
 * budget: how much each key may still ask for: a one-minute window and a UTC-day counter.
 *
 * Counted in memory, per node. What is counted of a day is added to the database each second by a
 * job and read back on first sight of a subject, so a crash forgets at most a second; nodes on one
 * database share the day budget so, as it was a second ago, but not the minute's.
 *
 * With budgets_share() both are shared, exactly: the other server decides. While it is away this
 * node counts as above, and adds that to the shared counters when it is back. Thread-safe.
 */
#ifndef HTTP_BUDGET_H
#define HTTP_BUDGET_H
#include "core/app.h"
#include "core/caller.h"
#include "limits/limits.h"
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

/*
 * Counts on `limits` from now on, which is borrowed; before other threads. That it is away is no
 * failure; INVALID when it will not have us: the detail is fit to be shown.
 */
MUST_CHECK enum rc budgets_share(struct budgets *b, struct limits *limits, struct err *err);

/*
 * Draws one request for the caller's subject. RATE_LIMITED when a budget is used up: *ret is filled
 * then, too. BUSY, unless it may wait: the database has to be asked, and nothing is drawn.
 */
MUST_CHECK enum rc budgets_draw(struct budgets *b, const struct caller *caller, int64_t now_ms,
                                bool may_wait, struct budget_state *ret, struct err *err);

/*
 * To be called each second, by one thread: looks whether the shared counters are there, and tells
 * them what was counted without them.
 */
void budgets_keep_shared(struct budgets *b);

/*
 * What has been counted and not saved yet, in `pool`: `used` is how much. It stays so until
 * budgets_saved() is told, with the sums that the database now has; from these, too, is known what
 * other nodes have counted. By one thread at a time.
 */
void budgets_unsaved(struct budgets *b, TALLOC_CTX *pool, struct budget **ret, size_t *ret_n);
void budgets_saved(struct budgets *b, const struct budget *added, const struct budget *sums,
                   size_t n);

#endif
