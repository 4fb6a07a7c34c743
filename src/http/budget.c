// SPDX-License-Identifier: Apache-2.0
#include "http/budget.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/budget_book.h"

#define MINUTE_MS 60000
#define DAY_MS ((int64_t)86400000)
#define TRIES 3 /* of a draw whose counter was not there */

struct budgets {
    struct app *app;
    struct budget_book *book;
    struct limits *limits;         /* NULL: none are shared */
    pthread_mutex_t turn;          /* held while `away` changes, and what tells of it */
    _Atomic bool away;             /* the shared ones: it is counted here */
    _Atomic int64_t away_since_ms; /* the last time, when not now */
};

/* What the shared counters have answered. */
struct answer {
    bool given; /* false: they are away */
    uint64_t name;
    struct limits_state state;
};

struct budgets *
budgets_new(struct app *app)
{
    struct budgets *b = MEM_NEW(NULL, struct budgets);

    b->app = app;
    b->book = budget_book_new(app->engine);
    pthread_mutex_init(&b->turn, NULL);
    return b;
}

void
budgets_free(struct budgets **b)
{
    if (!*b)
        return;
    budget_book_free(&(*b)->book);
    pthread_mutex_destroy(&(*b)->turn);
    (void)talloc_free(*b);
    *b = NULL;
}

static void
begin_day(struct budget_entry *e, int64_t day)
{
    bool was_before = day < e->day.day;

    e->day.day = day;
    e->day.used = e->own = e->saved = 0;
    e->shared = (struct budget_shared){.name = e->shared.name};
    if (was_before) /* under the name of then they may know us */
        budget_rename(e);
}

/* What the headers say after a draw; `minute_left_ms` counts where the minute is used up. */
static void
show(const struct tier_limits *limits, enum limits_outcome outcome, int64_t day_used,
     int64_t minute_left_ms, int64_t now_ms, struct budget_state *ret)
{
    int64_t day_end_s = clock_next_day_ms(now_ms) / 1000, now_s = now_ms / 1000;
    int64_t left = limits->per_day - day_used, wait_s = (minute_left_ms + 999) / 1000;

    if (outcome == LIMITS_MINUTE_USED)
        *ret = (struct budget_state){limits->per_minute, 0, now_s + wait_s, wait_s};
    else if (!limits->per_day)
        *ret = (struct budget_state){TIER_UNMETERED_LIMIT, TIER_UNMETERED_LIMIT, day_end_s, 0};
    else
        *ret = (struct budget_state){limits->per_day, left > 0 ? left : 0, day_end_s,
                                     outcome == LIMITS_DAY_USED ? day_end_s - now_s : 0};
}

/* ---- counting here ---- */

static enum limits_outcome
draw_here(struct budget_entry *e, const struct tier_limits *limits, int64_t now_ms,
          struct budget_state *ret)
{
    int64_t mono = clock_mono_ms();
    enum limits_outcome outcome = LIMITS_GRANTED;

    if (e->day.day != now_ms / DAY_MS)
        begin_day(e, now_ms / DAY_MS);
    if (mono - e->minute.start_ms >= MINUTE_MS || e->minute.start_ms == 0)
        e->minute = (struct budget_minute){.start_ms = mono};
    if (limits->per_day && e->day.used >= limits->per_day)
        outcome = LIMITS_DAY_USED;
    else if (limits->per_minute && e->minute.used >= limits->per_minute)
        outcome = LIMITS_MINUTE_USED;
    if (outcome == LIMITS_GRANTED) {
        e->day.used++;
        e->own++;
        e->day.last_used_ms = now_ms;
        e->minute.used++;
        e->minute.own++;
    }
    show(limits, outcome, e->day.used, e->minute.start_ms + MINUTE_MS - mono, now_ms, ret);
    return outcome;
}

/* ---- counting for all nodes ---- */

static void
note_away(struct budgets *b, const struct err *err)
{
    pthread_mutex_lock(&b->turn);
    if (!atomic_load(&b->away)) {
        atomic_store(&b->away_since_ms, clock_wall_ms());
        atomic_store(&b->away, true);
        metric_set(&b->app->metrics, METRIC_LIMITS_SHARED, 0);
        log_warn("rate budgets: %s; until it is back they are counted by this node alone",
                 err->detail);
    }
    pthread_mutex_unlock(&b->turn);
}

static void
note_back(struct budgets *b, size_t n)
{
    pthread_mutex_lock(&b->turn);
    atomic_store(&b->away, false);
    metric_set(&b->app->metrics, METRIC_LIMITS_SHARED, 1);
    log_info("rate budgets: shared again, with what was counted here of %zu keys", n);
    pthread_mutex_unlock(&b->turn);
}

/* What this node has to tell of a day; `known`: what the database knows to be used of it. */
static struct limits_count
count_of(struct budgets *b, const struct budget_entry *e, int64_t day, int64_t known)
{
    struct limits_count c = {.subject = e->day.subject,
                             .name = e->shared.name,
                             .day = day,
                             .seed = known,
                             .alone_since_ms = atomic_load(&b->away_since_ms)};
    int64_t minute_age_ms = clock_mono_ms() - e->minute.start_ms;

    if (e->day.day != day)
        return c;
    if (e->day.used - budget_unsaved(e) > known)
        c.seed = e->day.used - budget_unsaved(e);
    c.total = e->shared.total;
    c.alone = e->shared.alone;
    c.unsaved = budget_unsaved(e);
    if (minute_age_ms < MINUTE_MS) {
        c.minute = e->minute.own;
        c.minute_age_ms = minute_age_ms;
    }
    return c;
}

/* False: they are away. *ret_absent: they have no counter of the day, and were not to make it. */
static bool
tell(struct budgets *b, const struct limits_count *c, bool *ret_absent)
{
    struct err err;
    struct budget_entry *e;
    int64_t born_ms;

    if (limits_add(b->limits, c, &born_ms, &err)) {
        note_away(b, &err);
        return false;
    }
    *ret_absent = born_ms == 0;
    e = *ret_absent ? NULL : budget_book_seek(b->book, &c->subject);
    if (!e)
        return true;
    if (e->day.day == c->day && e->shared.name == c->name) {
        if (c->alone > e->shared.told)
            e->shared.told = c->alone;
        e->shared.born_ms = born_ms;
    }
    budget_book_leave(b->book, &c->subject);
    return true;
}

/*
 * Makes the counter of a day, which they do not have, from what the database knows at this moment:
 * other nodes take it that what they have saved by now is in it. False in *ret: they are away.
 */
static enum rc
make_counter(struct budgets *b, int64_t workspace, const struct id *subject, int64_t day,
             bool may_wait, bool *ret, struct err *err)
{
    struct limits_count count;
    struct budget known;
    struct budget_entry *e;
    enum rc rc = budget_book_read(b->book, workspace, subject, may_wait, &known, err);
    bool absent;

    if (rc)
        return rc;
    *ret = true;
    e = budget_book_seek(b->book, subject);
    if (!e) /* just forgotten */
        return RC_OK;
    count = count_of(b, e, day, known.day == day ? known.used : 0);
    budget_book_leave(b->book, subject);
    count.make = true;
    *ret = tell(b, &count, &absent);
    return RC_OK;
}

/* Draws once on the shared counters; what this node has still to tell them goes before. */
static enum rc
ask_once(struct budgets *b, const struct caller *caller, const struct tier_limits *limits,
         bool may_wait, struct answer *ret, struct err *err)
{
    struct limits_draw draw = {
        .subject = caller->subject, .per_minute = limits->per_minute, .per_day = limits->per_day};
    struct limits_count count;
    struct budget_entry *e;
    struct err why;
    bool behind, absent;
    enum rc rc = budget_book_enter(b->book, caller, may_wait, &e, err);

    if (rc)
        return rc;
    draw.name = ret->name = e->shared.name;
    behind = budget_untold(e) > 0;
    if (behind)
        count = count_of(b, e, e->day.day, 0);
    budget_book_leave(b->book, &caller->subject);
    if (behind && !tell(b, &count, &absent))
        return RC_OK;
    if (limits_draw(b->limits, &draw, &ret->state, &why)) {
        note_away(b, &why);
        return RC_OK;
    }
    ret->given = true;
    return RC_OK;
}

static enum rc
ask(struct budgets *b, const struct caller *caller, const struct tier_limits *limits, bool may_wait,
    struct answer *ret, struct err *err)
{
    struct err why;
    bool there = true;
    enum rc rc = RC_OK;

    for (int i = 0; i < TRIES && there && !rc; i++) {
        ret->given = false;
        rc = ask_once(b, caller, limits, may_wait, ret, err);
        if (rc || !ret->given || ret->state.outcome != LIMITS_ABSENT)
            return rc;
        rc = make_counter(b, caller->workspace.number, &caller->subject, ret->state.now_ms / DAY_MS,
                          may_wait, &there, err);
    }
    ret->given = false;
    if (there && !rc) {
        (void)err_set(&why, RC_UNAVAILABLE,
                      "the shared counters are lost as soon as they are made");
        note_away(b, &why);
    }
    return rc;
}

/* The minute of the shared counters; of one of this node's own they have been told. */
static void
take_over_minute(struct budget_minute *m, const struct limits_state *state)
{
    int64_t mono = clock_mono_ms();
    bool told = m->shared_ms == 0 && mono - m->start_ms < MINUTE_MS;

    if (state->minute_start_ms > m->shared_ms)
        *m = (struct budget_minute){.start_ms = mono - state->now_ms + state->minute_start_ms,
                                    .own = told ? m->own : 0,
                                    .shared_ms = state->minute_start_ms};
    if (state->minute_start_ms == m->shared_ms && state->minute_used > m->used)
        m->used = state->minute_used;
}

static void
take_over(struct budget_entry *e, const struct answer *answer, int64_t now_ms)
{
    const struct limits_state *state = &answer->state;

    if (e->day.day != state->now_ms / DAY_MS)
        begin_day(e, state->now_ms / DAY_MS);
    if (e->shared.born_ms && e->shared.born_ms != state->born_ms)
        budget_rename(e);
    e->shared.born_ms = state->born_ms;
    if (state->day_used > e->day.used)
        e->day.used = state->day_used;
    take_over_minute(&e->minute, state);
    if (state->outcome != LIMITS_GRANTED)
        return;
    e->own++;
    e->day.last_used_ms = now_ms;
    if (e->shared.name == answer->name) {
        e->shared.total++;
        e->minute.own += state->minute_start_ms == e->minute.shared_ms;
    }
}

/* Granted or refused by the shared counters. */
static enum limits_outcome
draw_there(struct budgets *b, const struct caller *caller, const struct tier_limits *limits,
           const struct answer *answer, int64_t now_ms, struct budget_state *ret)
{
    const struct limits_state *state = &answer->state;
    struct budget_entry *e = budget_book_seek(b->book, &caller->subject);

    if (e) { /* else just forgotten: the database learns of one less */
        take_over(e, answer, now_ms);
        budget_book_leave(b->book, &caller->subject);
    }
    show(limits, state->outcome, state->day_used,
         state->minute_start_ms + MINUTE_MS - state->now_ms, state->now_ms, ret);
    return state->outcome;
}

enum rc
budgets_draw(struct budgets *b, const struct caller *caller, int64_t now_ms, bool may_wait,
             struct budget_state *ret, struct err *err)
{
    const struct tier_limits *limits = &b->app->settings.tiers[caller->tier];
    bool share = b->limits && (limits->per_minute || limits->per_day);
    struct answer answer = {.given = false};
    enum limits_outcome outcome;
    struct budget_entry *e;
    enum rc rc = RC_OK;

    if (share && !atomic_load(&b->away))
        rc = ask(b, caller, limits, may_wait, &answer, err);
    if (!rc && !answer.given)
        rc = budget_book_enter(b->book, caller, may_wait, &e, err);
    if (rc)
        return rc;
    if (answer.given) {
        outcome = draw_there(b, caller, limits, &answer, now_ms, ret);
    } else {
        outcome = draw_here(e, limits, now_ms, ret);
        if (share && outcome == LIMITS_GRANTED) {
            e->shared.total++;
            e->shared.alone++;
            metric_add(&b->app->metrics, METRIC_LIMITS_FALLBACKS, 1);
        }
        budget_book_leave(b->book, &caller->subject);
    }
    if (outcome == LIMITS_GRANTED)
        return RC_OK;
    metric_add(&b->app->metrics, METRIC_RATE_LIMITED, 1);
    return err_set(err, RC_RATE_LIMITED, "budget of %lld is used up", (long long)ret->limit);
}

enum rc
budgets_share(struct budgets *b, struct limits *limits, struct err *err)
{
    enum rc rc = limits_connect(limits, err);

    b->limits = limits;
    if (rc == RC_UNAVAILABLE) {
        note_away(b, err);
        return RC_OK;
    }
    if (!rc)
        metric_set(&b->app->metrics, METRIC_LIMITS_SHARED, 1);
    return rc;
}

/* ---- what a job does each second ---- */

/* Room for one more of `n` in a list. */
#define GROW(pool, list, type, n)                                                                  \
    do {                                                                                           \
        if (((n) & ((n)-1)) == 0)                                                                  \
            (list) = talloc_realloc((pool), (list), type, (unsigned)((n) ? 2 * (n) : 1));          \
        BUG_ON(!(list));                                                                           \
    } while (0)

struct untold {
    int64_t workspace;
    struct limits_count count;
};

struct untold_list {
    struct budgets *budgets;
    TALLOC_CTX *pool;
    struct untold *list;
    size_t n;
};

static void
collect_untold(const struct budget_entry *e, void *arg)
{
    struct untold_list *all = arg;

    if (budget_untold(e) == 0)
        return;
    GROW(all->pool, all->list, struct untold, all->n);
    all->list[all->n].workspace = e->day.workspace;
    all->list[all->n++].count = count_of(all->budgets, e, e->day.day, 0);
}

/* False: they are away, or there is no counter and the database cannot say what to begin with. */
static bool
tell_one(struct budgets *b, const struct untold *u)
{
    bool absent, there = tell(b, &u->count, &absent);
    struct err err;

    if (!there || !absent)
        return there;
    return !make_counter(b, u->workspace, &u->count.subject, u->count.day, true, &there, &err) &&
           there;
}

void
budgets_keep_shared(struct budgets *b)
{
    SCOPED_POOL(pool);
    struct untold_list all = {.budgets = b, .pool = pool};
    bool away = atomic_load(&b->away);
    struct err err;

    if (!b->limits)
        return;
    if (away ? limits_connect(b->limits, &err) : limits_check(b->limits, &err)) {
        note_away(b, &err);
        return;
    }
    budget_book_each(b->book, collect_untold, &all);
    for (size_t i = 0; i < all.n; i++) {
        if (!tell_one(b, &all.list[i]))
            return;
    }
    if (away)
        note_back(b, all.n);
}

struct added {
    TALLOC_CTX *pool;
    struct budget *list;
    size_t n;
};

static void
collect_unsaved(const struct budget_entry *e, void *arg)
{
    struct added *added = arg;

    if (budget_unsaved(e) == 0)
        return;
    GROW(added->pool, added->list, struct budget, added->n);
    added->list[added->n] = e->day;
    added->list[added->n++].used = budget_unsaved(e);
}

void
budgets_unsaved(struct budgets *b, TALLOC_CTX *pool, struct budget **ret, size_t *ret_n)
{
    struct added added = {.pool = pool};

    budget_book_each(b->book, collect_unsaved, &added);
    *ret = added.list;
    *ret_n = added.n;
}

void
budgets_saved(struct budgets *b, const struct budget *added, const struct budget *sums, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct budget_entry *e = budget_book_seek(b->book, &added[i].subject);

        if (!e)
            continue;
        if (e->day.day == added[i].day) {
            e->saved += added[i].used;
            if (sums[i].day == e->day.day && sums[i].used + budget_unsaved(e) > e->day.used)
                e->day.used = sums[i].used + budget_unsaved(e);
        }
        budget_book_leave(b->book, &added[i].subject);
    }
}
