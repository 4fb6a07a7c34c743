// SPDX-License-Identifier: Apache-2.0
#include "http/budget.h"

#include <pthread.h>

#include "base/clock.h"

#define SHARDS 16
#define BUCKETS 1024
#define SHARD_MAX 8192 /* subjects remembered a shard; idle ones give way beyond that */
#define MINUTE_MS 60000
#define DAY_MS ((int64_t)86400000)

struct entry {
    struct budget day;       /* `used`: this UTC day, on all nodes as far as they are known */
    int64_t own;             /* what this node has counted of it, since it knows the subject */
    int64_t saved;           /* what of that is in the database */
    int64_t window_start_ms; /* monotonic */
    int64_t window_used;
    struct entry *next;
};

struct shard {
    pthread_mutex_t lock;
    size_t count;
    struct entry *buckets[BUCKETS];
};

struct budgets {
    struct app *app;
    struct shard shards[SHARDS];
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

/* Drops one subject of the bucket that has nothing unsaved. */
static void
make_room(struct shard *s, struct entry **bucket)
{
    while (*bucket && unsaved(*bucket) > 0)
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

static void
begin_day(struct entry *e, int64_t day)
{
    e->day.day = day;
    e->day.used = e->own = e->saved = 0;
}

/* The minute window, then the day; *ret shows the one that refuses, else the day. */
static bool
draw(struct entry *e, const struct tier_limits *limits, int64_t now_ms, struct budget_state *ret)
{
    int64_t mono = clock_mono_ms(), day_end_s = clock_next_day_ms(now_ms) / 1000, left;

    if (e->day.day != now_ms / DAY_MS)
        begin_day(e, now_ms / DAY_MS);
    if (mono - e->window_start_ms >= MINUTE_MS || e->window_start_ms == 0) {
        e->window_start_ms = mono;
        e->window_used = 0;
    }
    left = limits->per_day - e->day.used;
    *ret = (struct budget_state){limits->per_day, left - 1, day_end_s, 0};
    if (limits->per_day && left <= 0) {
        ret->remaining = 0;
        ret->retry_after_s = day_end_s - now_ms / 1000;
        return false;
    }
    if (limits->per_minute && e->window_used >= limits->per_minute) {
        left = (e->window_start_ms + MINUTE_MS - mono + 999) / 1000;
        *ret = (struct budget_state){limits->per_minute, 0, now_ms / 1000 + left, left};
        return false;
    }
    if (!limits->per_day)
        *ret = (struct budget_state){TIER_UNMETERED_LIMIT, TIER_UNMETERED_LIMIT, day_end_s, 0};
    e->day.used++;
    e->own++;
    e->day.last_used_ms = now_ms;
    e->window_used++;
    return true;
}

enum rc
budgets_draw(struct budgets *b, const struct caller *caller, int64_t now_ms,
             struct budget_state *ret, struct err *err)
{
    const struct tier_limits *limits = &b->app->settings.tiers[caller->tier];
    struct budget known = {.workspace = caller->workspace.number, .subject = caller->subject};
    struct shard *s = shard_of(b, &caller->subject);
    struct entry *e;
    enum rc rc;
    bool ok;

    pthread_mutex_lock(&s->lock);
    e = find(s, &caller->subject);
    if (!e) {
        SCOPED_POOL(pool);

        /* reading may wait for the disk: not under the lock */
        pthread_mutex_unlock(&s->lock);
        rc = engine_read(b->app->engine, pool, load_fn, &known, err);
        if (rc)
            return rc;
        pthread_mutex_lock(&s->lock);
        e = find(s, &caller->subject);
        if (!e)
            e = add(s, &known);
    }
    ok = draw(e, limits, now_ms, ret);
    pthread_mutex_unlock(&s->lock);
    if (ok)
        return RC_OK;
    metric_add(&b->app->metrics, METRIC_RATE_LIMITED, 1);
    return err_set(err, RC_RATE_LIMITED, "budget of %lld is used up", (long long)ret->limit);
}

void
budgets_unsaved(struct budgets *b, TALLOC_CTX *pool, struct budget **ret, size_t *ret_n)
{
    struct budget *list = NULL;
    size_t n = 0, room = 0;

    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &b->shards[i];

        pthread_mutex_lock(&s->lock);
        for (int j = 0; j < BUCKETS; j++) {
            for (struct entry *e = s->buckets[j]; e; e = e->next) {
                if (unsaved(e) == 0)
                    continue;
                if (n == room) {
                    room = room ? 2 * room : 64;
                    list = talloc_realloc(pool, list, struct budget, (unsigned)room);
                    BUG_ON(!list);
                }
                list[n] = e->day;
                list[n++].used = unsaved(e);
            }
        }
        pthread_mutex_unlock(&s->lock);
    }
    *ret = list;
    *ret_n = n;
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
