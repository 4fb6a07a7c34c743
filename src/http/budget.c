// SPDX-License-Identifier: Apache-2.0
#include "http/budget.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

#define SHARDS 16
#define BUCKETS 1024
#define SHARD_MAX 7000 /* subjects remembered a shard; idle ones give way beyond that */
#define TRIES 3        /* of a draw whose counter was not there */
#define MINUTE_MS 60000
#define DAY_MS ((int64_t)86400000)

struct minute {
    int64_t start_ms; /* monotonic */
    int64_t used;
    int64_t own;       /* by this node */
    int64_t shared_ms; /* when it began for the shared counters; 0: it is this node's own */
};

/* What the shared counters have of this node, or lack. */
struct shared {
    uint64_t name;   /* they know us by */
    int64_t born_ms; /* the counter of the day that we have drawn on; 0: none yet */
    int64_t total;   /* granted under this name on this day, by them or by us */
    int64_t alone;   /* of these by us, while they were away */
    int64_t told;    /* of these they know */
};

struct entry {
    struct budget day; /* `used`: this UTC day, on all nodes as far as they are known */
    int64_t own;       /* what this node has counted of it, since it knows the subject */
    int64_t saved;     /* what of that is in the database */
    struct minute minute;
    struct shared shared;
    struct entry *next;
};

struct shard {
    pthread_mutex_t lock;
    size_t count;
    struct entry *buckets[BUCKETS];
};

struct budgets {
    struct app *app;
    struct limits *limits;         /* NULL: none are shared */
    _Atomic bool away;             /* the shared ones: it is counted here */
    _Atomic int64_t away_since_ms; /* the last time, when not now */
    struct shard shards[SHARDS];
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
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&b->shards[i].lock, NULL);
    return b;
}

void
budgets_free(struct budgets **b)
{
    if (!*b)
        return;
    for (int i = 0; i < SHARDS; i++) {
        for (int j = 0; j < BUCKETS; j++) {
            for (struct entry *e = (*b)->shards[i].buckets[j], *next; e; e = next) {
                next = e->next;
                (void)talloc_free(e);
            }
        }
        pthread_mutex_destroy(&(*b)->shards[i].lock);
    }
    (void)talloc_free(*b);
    *b = NULL;
}

/* The last bytes of an id are random: they spread by themselves. */
static struct shard *
shard_of(struct budgets *b, const struct id *subject)
{
    return &b->shards[subject->b[15] % SHARDS];
}

static struct entry **
bucket_of(struct shard *s, const struct id *subject)
{
    return &s->buckets[(subject->b[13] << 8 | subject->b[14]) % BUCKETS];
}

static struct entry *
find(struct shard *s, const struct id *subject)
{
    struct entry *e = *bucket_of(s, subject);

    while (e && !id_equal(&e->day.subject, subject))
        e = e->next;
    return e;
}

static int64_t
unsaved(const struct entry *e)
{
    return e->own - e->saved;
}

static int64_t
untold(const struct entry *e)
{
    return e->shared.alone - e->shared.told;
}

/* Drops one subject of the bucket of which all is known elsewhere. */
static void
make_room(struct shard *s, struct entry **bucket)
{
    while (*bucket && (unsaved(*bucket) > 0 || untold(*bucket) > 0))
        bucket = &(*bucket)->next;
    if (*bucket) {
        struct entry *gone = *bucket;

        *bucket = gone->next;
        (void)talloc_free(gone);
        s->count--;
    }
}

static struct entry *
add(struct shard *s, const struct budget *known)
{
    struct entry **bucket = bucket_of(s, &known->subject), *e;

    if (s->count >= SHARD_MAX)
        make_room(s, bucket);
    e = MEM_NEW(NULL, struct entry);
    e->day = *known;
    rand_bytes(&e->shared.name, sizeof(e->shared.name));
    e->next = *bucket;
    *bucket = e;
    s->count++;
    return e;
}

static enum rc
load_fn(struct tx *tx, void *arg, struct err *err)
{
    struct budget *b = arg;
    enum rc rc = budget_read(tx, b->workspace, &b->subject, b, err);

    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc
read_known(struct budgets *b, const struct caller *caller, struct budget *ret, struct err *err)
{
    SCOPED_POOL(pool);

    *ret = (struct budget){.workspace = caller->workspace.number, .subject = caller->subject};
    return engine_read(b->app->engine, pool, load_fn, ret, err);
}

static void
leave(struct budgets *b, const struct caller *caller)
{
    pthread_mutex_unlock(&shard_of(b, &caller->subject)->lock);
}

/* The subject's entry, until leave(). */
static enum rc
enter(struct budgets *b, const struct caller *caller, struct entry **ret, struct err *err)
{
    struct shard *s = shard_of(b, &caller->subject);
    struct budget known;
    enum rc rc;

    pthread_mutex_lock(&s->lock);
    *ret = find(s, &caller->subject);
    if (*ret)
        return RC_OK;
    /* reading may wait for the disk: not under the lock */
    pthread_mutex_unlock(&s->lock);
    rc = read_known(b, caller, &known, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->lock);
    *ret = find(s, &caller->subject);
    if (!*ret)
        *ret = add(s, &known);
    return RC_OK;
}

/* They have lost what they knew of us, or we have. */
static void
take_new_name(struct entry *e)
{
    rand_bytes(&e->shared.name, sizeof(e->shared.name));
    e->shared.total = e->shared.alone = untold(e);
    e->shared.told = 0;
    e->minute.own = 0;
}

static void
begin_day(struct entry *e, int64_t day)
{
    bool was_before = day < e->day.day;

    e->day.day = day;
    e->day.used = e->own = e->saved = 0;
    e->shared = (struct shared){.name = e->shared.name};
    if (was_before) /* under the name of then they may know us */
        take_new_name(e);
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
draw_here(struct entry *e, const struct tier_limits *limits, int64_t now_ms,
          struct budget_state *ret)
{
    int64_t mono = clock_mono_ms();
    enum limits_outcome outcome = LIMITS_GRANTED;

    if (e->day.day != now_ms / DAY_MS)
        begin_day(e, now_ms / DAY_MS);
    if (mono - e->minute.start_ms >= MINUTE_MS || e->minute.start_ms == 0)
        e->minute = (struct minute){.start_ms = mono};
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
    if (atomic_load(&b->away))
        return;
    atomic_store(&b->away_since_ms, clock_wall_ms());
    if (atomic_exchange(&b->away, true))
        return;
    metric_set(&b->app->metrics, METRIC_LIMITS_SHARED, 0);
    log_warn("rate budgets: %s; until it is back they are counted by this node alone", err->detail);
}

/* What this node has to tell of a day; `known`: what the database knows to be used of it. */
static struct limits_count
count_of(struct budgets *b, const struct entry *e, int64_t day, int64_t known)
{
    struct limits_count c = {.subject = e->day.subject,
                             .name = e->shared.name,
                             .day = day,
                             .seed = known,
                             .alone_since_ms = atomic_load(&b->away_since_ms)};
    int64_t minute_age_ms = clock_mono_ms() - e->minute.start_ms;

    if (e->day.day != day)
        return c;
    if (e->day.used - unsaved(e) > known)
        c.seed = e->day.used - unsaved(e);
    c.total = e->shared.total;
    c.alone = e->shared.alone;
    c.unsaved = unsaved(e);
    if (minute_age_ms < MINUTE_MS) {
        c.minute = e->minute.own;
        c.minute_age_ms = minute_age_ms;
    }
    return c;
}

/* False: they are away. */
static bool
tell(struct budgets *b, const struct limits_count *c)
{
    struct shard *s = shard_of(b, &c->subject);
    struct err err;
    struct entry *e;
    int64_t born_ms;

    if (limits_add(b->limits, c, &born_ms, &err)) {
        note_away(b, &err);
        return false;
    }
    pthread_mutex_lock(&s->lock);
    e = find(s, &c->subject);
    if (e && e->day.day == c->day && e->shared.name == c->name) {
        if (c->alone > e->shared.told)
            e->shared.told = c->alone;
        e->shared.born_ms = born_ms;
    }
    pthread_mutex_unlock(&s->lock);
    return true;
}

/* Makes the counter of a day, which they do not have. False in *ret: they are away. */
static enum rc
make_counter(struct budgets *b, const struct caller *caller, int64_t day, bool *ret,
             struct err *err)
{
    struct limits_count count;
    struct budget known;
    struct entry *e;
    enum rc rc = read_known(b, caller, &known, err);

    if (!rc)
        rc = enter(b, caller, &e, err);
    if (rc)
        return rc;
    count = count_of(b, e, day, known.day == day ? known.used : 0);
    leave(b, caller);
    *ret = tell(b, &count);
    return RC_OK;
}

/* Draws once on the shared counters; what this node has still to tell them goes before. */
static enum rc
ask_once(struct budgets *b, const struct caller *caller, const struct tier_limits *limits,
         struct answer *ret, struct err *err)
{
    struct limits_draw draw = {
        .subject = caller->subject, .per_minute = limits->per_minute, .per_day = limits->per_day};
    struct limits_count count;
    struct entry *e;
    struct err why;
    bool behind;
    enum rc rc = enter(b, caller, &e, err);

    if (rc)
        return rc;
    draw.name = ret->name = e->shared.name;
    behind = untold(e) > 0;
    count = count_of(b, e, e->day.day, 0);
    leave(b, caller);
    if (behind && !tell(b, &count))
        return RC_OK;
    if (limits_draw(b->limits, &draw, &ret->state, &why)) {
        note_away(b, &why);
        return RC_OK;
    }
    ret->given = true;
    return RC_OK;
}

static enum rc
ask(struct budgets *b, const struct caller *caller, const struct tier_limits *limits,
    struct answer *ret, struct err *err)
{
    struct err why;
    bool there = true;
    enum rc rc = RC_OK;

    for (int i = 0; i < TRIES && there && !rc; i++) {
        ret->given = false;
        rc = ask_once(b, caller, limits, ret, err);
        if (rc || !ret->given || ret->state.outcome != LIMITS_ABSENT)
            return rc;
        rc = make_counter(b, caller, ret->state.now_ms / DAY_MS, &there, err);
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
take_over_minute(struct minute *m, const struct limits_state *state)
{
    int64_t mono = clock_mono_ms();
    bool told = m->shared_ms == 0 && mono - m->start_ms < MINUTE_MS;

    if (state->minute_start_ms > m->shared_ms)
        *m = (struct minute){.start_ms = mono - state->now_ms + state->minute_start_ms,
                             .own = told ? m->own : 0,
                             .shared_ms = state->minute_start_ms};
    if (state->minute_start_ms == m->shared_ms && state->minute_used > m->used)
        m->used = state->minute_used;
}

static void
take_over(struct entry *e, const struct answer *answer, int64_t now_ms)
{
    const struct limits_state *state = &answer->state;

    if (e->day.day != state->now_ms / DAY_MS)
        begin_day(e, state->now_ms / DAY_MS);
    if (e->shared.born_ms && e->shared.born_ms != state->born_ms)
        take_new_name(e);
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

enum rc
budgets_draw(struct budgets *b, const struct caller *caller, int64_t now_ms,
             struct budget_state *ret, struct err *err)
{
    const struct tier_limits *limits = &b->app->settings.tiers[caller->tier];
    bool share = b->limits && (limits->per_minute || limits->per_day);
    struct answer answer = {.given = false};
    enum limits_outcome outcome;
    struct entry *e;
    enum rc rc = RC_OK;

    if (share && !atomic_load(&b->away))
        rc = ask(b, caller, limits, &answer, err);
    if (!rc)
        rc = enter(b, caller, &e, err);
    if (rc)
        return rc;
    if (answer.given) {
        outcome = answer.state.outcome;
        take_over(e, &answer, now_ms);
        show(limits, outcome, answer.state.day_used,
             answer.state.minute_start_ms + MINUTE_MS - answer.state.now_ms, answer.state.now_ms,
             ret);
    } else {
        outcome = draw_here(e, limits, now_ms, ret);
        if (share && outcome == LIMITS_GRANTED) {
            e->shared.total++;
            e->shared.alone++;
            metric_add(&b->app->metrics, METRIC_LIMITS_FALLBACKS, 1);
        }
    }
    leave(b, caller);
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

/* Calls `visit` for each subject, under its lock. */
static void
each(struct budgets *b, void (*visit)(struct budgets *b, const struct entry *e, void *arg),
     void *arg)
{
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &b->shards[i];

        pthread_mutex_lock(&s->lock);
        for (int j = 0; j < BUCKETS; j++) {
            for (const struct entry *e = s->buckets[j]; e; e = e->next)
                visit(b, e, arg);
        }
        pthread_mutex_unlock(&s->lock);
    }
}

/* Room for one more of `n` in a list. */
#define GROW(pool, list, type, n)                                                                  \
    do {                                                                                           \
        if (((n) & ((n)-1)) == 0)                                                                  \
            (list) = talloc_realloc((pool), (list), type, (unsigned)((n) ? 2 * (n) : 1));          \
        BUG_ON(!(list));                                                                           \
    } while (0)

struct counts {
    TALLOC_CTX *pool;
    struct limits_count *list;
    size_t n;
};

static void
collect_untold(struct budgets *b, const struct entry *e, void *arg)
{
    struct counts *counts = arg;

    if (untold(e) == 0)
        return;
    GROW(counts->pool, counts->list, struct limits_count, counts->n);
    counts->list[counts->n++] = count_of(b, e, e->day.day, 0);
}

void
budgets_keep_shared(struct budgets *b)
{
    SCOPED_POOL(pool);
    struct counts counts = {.pool = pool};
    bool away = atomic_load(&b->away);
    struct err err;

    if (!b->limits)
        return;
    if (away ? limits_connect(b->limits, &err) : limits_check(b->limits, &err)) {
        note_away(b, &err);
        return;
    }
    each(b, collect_untold, &counts);
    for (size_t i = 0; i < counts.n; i++) {
        if (!tell(b, &counts.list[i]))
            return;
    }
    if (!away)
        return;
    atomic_store(&b->away, false);
    metric_set(&b->app->metrics, METRIC_LIMITS_SHARED, 1);
    log_info("rate budgets: shared again, with what was counted here of %zu keys", counts.n);
}

struct added {
    TALLOC_CTX *pool;
    struct budget *list;
    size_t n;
};

static void
collect_unsaved(struct budgets *b, const struct entry *e, void *arg)
{
    struct added *added = arg;

    (void)b;
    if (unsaved(e) == 0)
        return;
    GROW(added->pool, added->list, struct budget, added->n);
    added->list[added->n] = e->day;
    added->list[added->n++].used = unsaved(e);
}

void
budgets_unsaved(struct budgets *b, TALLOC_CTX *pool, struct budget **ret, size_t *ret_n)
{
    struct added added = {.pool = pool};

    each(b, collect_unsaved, &added);
    *ret = added.list;
    *ret_n = added.n;
}

void
budgets_saved(struct budgets *b, const struct budget *added, const struct budget *sums, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct shard *s = shard_of(b, &added[i].subject);
        struct entry *e;

        pthread_mutex_lock(&s->lock);
        e = find(s, &added[i].subject);
        if (e && e->day.day == added[i].day) {
            e->saved += added[i].used;
            if (sums[i].day == e->day.day && sums[i].used + unsaved(e) > e->day.used)
                e->day.used = sums[i].used + unsaved(e);
        }
        pthread_mutex_unlock(&s->lock);
    }
}
