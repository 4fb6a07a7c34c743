// SPDX-License-Identifier: Apache-2.0
/*
 * budget with shared limits: two nodes on one database and one server of limits, which goes away,
 * answers nothing, forgets, and comes back. What has been granted must be what it knows in the end.
 */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "http/budget.h"
#include "limits_mem.h"

#define DAY_MS 86400000
#define NOON (clock_wall_ms() / DAY_MS * DAY_MS - DAY_MS / 2) /* long before it is left alone */
#define NODES 2
#define THREADS 4 /* of each node */
#define DISTURBANCES 500
#define CROWD 7100 /* a little over what one shard remembers */

struct bench {
    struct house *house;
    struct limits_mem *mem;
    struct budgets *nodes[NODES];
    struct caller caller;
    int64_t behind_ms; /* by which the clock of the nodes is behind that of the limits */
    atomic_int granted;
    atomic_bool done;
    struct budget_state st; /* of the last draw */
};

static struct bench *
bench_new(int64_t per_minute, int64_t per_day)
{
    struct bench *b = MEM_NEW(NULL, struct bench);
    struct err err;

    b->house = house_new((struct engine_config){0});
    b->house->app.settings.tiers[TIER_STANDARD] = (struct tier_limits){per_minute, per_day};
    b->mem = limits_mem_new(NOON);
    b->caller = b->house->caller;
    for (int i = 0; i < NODES; i++) {
        b->nodes[i] = budgets_new(&b->house->app);
        EXPECT(RC_OK, budgets_share(b->nodes[i], &b->mem->limits, &err));
    }
    return b;
}

static void
bench_free(struct bench **b)
{
    struct limits *limits = &(*b)->mem->limits;

    for (int i = 0; i < NODES; i++)
        budgets_free(&(*b)->nodes[i]);
    limits_free(&limits);
    house_free(&(*b)->house);
    (void)talloc_free(*b);
}

static enum rc
draw(struct bench *b, int node)
{
    struct err err;

    return budgets_draw(b->nodes[node], &b->caller, b->mem->now_ms - b->behind_ms, true, &b->st,
                        &err);
}

static void
draw_times(struct bench *b, int node, int n)
{
    for (int i = 0; i < n; i++)
        EXPECT(RC_OK, draw(b, node));
}

/* What the shared counter of the day says. */
static int64_t
used(const struct bench *b)
{
    const struct mem_counter *c =
        limits_mem_find(b->mem, &b->caller.subject, b->mem->now_ms / DAY_MS);

    return c ? c->used : -1;
}

static int64_t
metric(const struct bench *b, enum metric which)
{
    return atomic_load(&b->house->app.metrics.value[which]);
}

struct counted {
    struct budget *added;
    struct budget *sums;
    size_t n;
};

static enum rc
save_fn(struct tx *tx, void *arg, struct err *err)
{
    const struct counted *c = arg;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < c->n && !rc; i++)
        rc = budget_add(tx, &c->added[i], &c->sums[i], err);
    return rc;
}

/* As the job does. */
static void
save(struct bench *b, int node)
{
    SCOPED_POOL(pool);
    struct counted c;
    struct err err;

    budgets_unsaved(b->nodes[node], pool, &c.added, &c.n);
    c.sums = MEM_ARRAY(pool, struct budget, c.n);
    EXPECT(RC_OK, engine_write(b->house->app.engine, 1, pool, save_fn, &c, &err));
    budgets_saved(b->nodes[node], c.added, c.sums, c.n);
}

static void
keep_all(struct bench *b)
{
    for (int i = 0; i < NODES; i++)
        budgets_keep_shared(b->nodes[i]);
}

static void
test_day(void **state)
{
    SCOPED(bench) b = bench_new(0, 10);

    (void)state;
    b->behind_ms = 400 * (int64_t)DAY_MS; /* which plays no part */
    for (int i = 0; i < 10; i++) {
        EXPECT(RC_OK, draw(b, i % 3 % NODES));
        assert_int_equal(b->st.limit, 10);
        assert_int_equal(b->st.remaining, 9 - i);
        assert_int_equal(b->st.reset_s, clock_next_day_ms(b->mem->now_ms) / 1000);
        assert_int_equal(b->st.retry_after_s, 0);
    }
    for (int node = 0; node < NODES; node++) {
        EXPECT(RC_RATE_LIMITED, draw(b, node));
        assert_int_equal(b->st.remaining, 0);
        assert_int_equal(b->st.retry_after_s, DAY_MS / 2000);
    }
    b->mem->now_ms += DAY_MS;
    EXPECT(RC_OK, draw(b, 1));
    EXPECT(RC_OK, draw(b, 0));
    assert_int_equal(b->st.remaining, 8);
    assert_int_equal(metric(b, METRIC_LIMITS_SHARED), 1);
    assert_int_equal(metric(b, METRIC_LIMITS_FALLBACKS), 0);
}

static void
test_minute(void **state)
{
    SCOPED(bench) b = bench_new(4, 100);

    (void)state;
    for (int i = 0; i < 4; i++) {
        EXPECT(RC_OK, draw(b, i % NODES));
        b->mem->now_ms += 5000;
    }
    assert_int_equal(b->st.limit, 100);
    for (int node = 0; node < NODES; node++) {
        EXPECT(RC_RATE_LIMITED, draw(b, node));
        assert_int_equal(b->st.limit, 4);
        assert_int_equal(b->st.retry_after_s, 40);
        assert_int_equal(b->st.reset_s, b->mem->now_ms / 1000 + 40);
    }
    b->mem->now_ms += 40000;
    EXPECT(RC_OK, draw(b, 0));
    assert_int_equal(b->st.remaining, 95);
}

/* Without the database no counter is made; one that is there is drawn on. */
static void
test_not_waiting(void **state)
{
    SCOPED(bench) b = bench_new(0, 10);
    int64_t now_ms = b->mem->now_ms;
    struct err err;

    (void)state;
    for (int i = 0; i < 2; i++) {
        EXPECT(RC_BUSY, budgets_draw(b->nodes[0], &b->caller, now_ms, false, &b->st, &err));
        EXPECT(RC_OK, budgets_draw(b->nodes[0], &b->caller, now_ms, true, &b->st, &err));
        EXPECT(RC_OK, budgets_draw(b->nodes[0], &b->caller, now_ms, false, &b->st, &err));
        assert_int_equal(used(b), 2);
        b->mem->now_ms += DAY_MS; /* the subject is known, and has no counter */
    }
}

static void
test_unmetered(void **state)
{
    SCOPED(bench) b = bench_new(1, 1);

    (void)state;
    b->caller.tier = TIER_UNMETERED;
    draw_times(b, 0, 5);
    assert_int_equal(b->st.remaining, TIER_UNMETERED_LIMIT);
    assert_true(b->mem->draws == 0 && b->mem->adds == 0);
    b->mem->down = true;
    draw_times(b, 0, 5);
    budgets_keep_shared(b->nodes[0]);
    b->mem->down = false;
    budgets_keep_shared(b->nodes[0]);
    assert_true(b->mem->draws == 0 && b->mem->adds == 0);
    assert_int_equal(metric(b, METRIC_LIMITS_FALLBACKS), 0);
}

/* Away: each node goes on from what it knew. Back: nothing is forgotten, nothing told twice. */
static void
test_away_and_back(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);

    (void)state;
    draw_times(b, 0, 3);
    draw_times(b, 1, 3);
    b->mem->down = true;
    draw_times(b, 0, 2);
    assert_int_equal(b->st.remaining, 100 - 5); /* had seen three */
    draw_times(b, 1, 4);
    assert_int_equal(b->st.remaining, 100 - 10);
    assert_int_equal(metric(b, METRIC_LIMITS_SHARED), 0);
    assert_int_equal(metric(b, METRIC_LIMITS_FALLBACKS), 6);
    assert_int_equal(b->mem->draws, 7 + 2); /* one that was absent; one failed on each node */
    keep_all(b);                            /* still away */
    save(b, 0);
    save(b, 1);
    b->mem->down = false;
    EXPECT(RC_OK, draw(b, 0)); /* nobody has looked yet */
    assert_int_equal(used(b), 6);
    keep_all(b);
    assert_int_equal(used(b), 13);
    keep_all(b);
    assert_int_equal(used(b), 13);
    assert_int_equal(metric(b, METRIC_LIMITS_SHARED), 1);
    draw_times(b, 0, 87);
    EXPECT(RC_RATE_LIMITED, draw(b, 1));
    assert_int_equal(metric(b, METRIC_LIMITS_FALLBACKS), 7);
}

static void
draw_on_first(void *arg)
{
    draw_times(arg, 0, 1);
}

/* What is counted alone in the last moment is told before the next draw. */
static void
test_counted_while_told(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);

    (void)state;
    draw_times(b, 0, 1);
    b->mem->down = true;
    draw_times(b, 0, 1);
    b->mem->down = false;
    b->mem->meanwhile = draw_on_first;
    b->mem->arg = b;
    budgets_keep_shared(b->nodes[0]);
    assert_int_equal(used(b), 2);
    draw_times(b, 0, 1);
    assert_int_equal(b->st.remaining, 96);
}

/* A node counts alone up to the limit, and no further. */
static void
test_limit_when_away(void **state)
{
    SCOPED(bench) b = bench_new(0, 10);

    (void)state;
    draw_times(b, 0, 4);
    b->mem->down = true;
    draw_times(b, 0, 6);
    EXPECT(RC_RATE_LIMITED, draw(b, 0));
    b->mem->down = false;
    keep_all(b);
    EXPECT(RC_RATE_LIMITED, draw(b, 1));
    assert_int_equal(used(b), 10);
}

/* The same for the minute, of which it knows what all have drawn. */
static void
test_minute_when_away(void **state)
{
    SCOPED(bench) b = bench_new(10, 100);

    (void)state;
    draw_times(b, 1, 4);
    draw_times(b, 0, 2);
    b->mem->down = true;
    draw_times(b, 0, 4);
    EXPECT(RC_RATE_LIMITED, draw(b, 0));
    assert_int_equal(b->st.limit, 10);
}

/* Drawn there, and the answer lost on its way: counted once. */
static void
test_no_answer(void **state)
{
    SCOPED(bench) b = bench_new(50, 100);
    struct mem_counter *minute;

    (void)state;
    draw_times(b, 0, 2);
    b->mem->mute = true;
    draw_times(b, 0, 1);
    assert_int_equal(used(b), 3);
    draw_times(b, 0, 1);
    budgets_keep_shared(b->nodes[0]); /* told, and not known to be */
    b->mem->mute = false;
    for (int i = 0; i < 3; i++)
        budgets_keep_shared(b->nodes[0]);
    assert_int_equal(used(b), 4);
    minute = limits_mem_find(b->mem, &b->caller.subject, -1);
    assert_int_equal(minute->used, 4);
    draw_times(b, 0, 1);
    assert_int_equal(b->st.remaining, 95);
}

/* The minute of a node alone is part of the shared one afterwards. */
static void
test_minute_back(void **state)
{
    SCOPED(bench) b = bench_new(10, 100);

    (void)state;
    b->mem->down = true;
    draw_times(b, 0, 3);
    draw_times(b, 1, 2);
    b->mem->down = false;
    keep_all(b);
    draw_times(b, 0, 1);
    b->mem->down = true;
    draw_times(b, 0, 1);
    b->mem->down = false;
    keep_all(b);
    assert_int_equal(limits_mem_find(b->mem, &b->caller.subject, -1)->used, 7);
    draw_times(b, 1, 3);
    EXPECT(RC_RATE_LIMITED, draw(b, 0));
    assert_int_equal(b->st.limit, 10);
}

/* It has lost all without having been away: the database knows, but for what is not saved yet. */
static void
test_forgotten(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);

    (void)state;
    draw_times(b, 0, 5);
    draw_times(b, 1, 5);
    save(b, 0);
    save(b, 1);
    draw_times(b, 0, 2);
    b->mem->n = 0;
    b->mem->now_ms++;
    draw_times(b, 0, 1);
    assert_int_equal(b->st.remaining, 100 - 13);
    draw_times(b, 1, 1);
    assert_int_equal(b->st.remaining, 100 - 14);
    /* what comes after is told as ever */
    b->mem->down = true;
    draw_times(b, 0, 3);
    draw_times(b, 1, 3);
    b->mem->down = false;
    keep_all(b);
    assert_int_equal(used(b), 20);
}

/* The same, and who draws next has not drawn on this day: the database knows. */
static void
test_forgotten_on_a_new_day(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);

    (void)state;
    draw_times(b, 0, 5);
    b->mem->now_ms += DAY_MS;
    draw_times(b, 1, 7);
    save(b, 1);
    b->mem->n = 0;
    draw_times(b, 0, 1);
    assert_int_equal(b->st.remaining, 92);
}

/* Away, and without memory when it is back: what is saved is in the seed of who comes first. */
static void
test_away_and_forgotten(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);

    (void)state;
    draw_times(b, 0, 5);
    draw_times(b, 1, 5);
    b->mem->down = true;
    draw_times(b, 0, 10);
    draw_times(b, 1, 20);
    save(b, 0);
    save(b, 1);
    draw_times(b, 1, 1);
    save(b, 0); /* nothing: so it does not learn */
    draw_times(b, 0, 1);
    save(b, 0);
    b->mem->n = 0;
    b->mem->down = false;
    budgets_keep_shared(b->nodes[0]);
    b->mem->counters[0].since_ms = clock_wall_ms() + 1000; /* since they were left alone */
    budgets_keep_shared(b->nodes[1]);
    assert_int_equal(used(b), 42);
    draw_times(b, 0, 1);
    draw_times(b, 1, 1);
    assert_int_equal(used(b), 44);
}

/* No counter yet when it is back: what the other node has saved meanwhile is in it, too. */
static void
test_away_and_no_counter(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);

    (void)state;
    b->mem->down = true;
    draw_times(b, 0, 1);
    draw_times(b, 1, 2);
    save(b, 0); /* learns nothing of the other's */
    save(b, 1);
    draw_times(b, 1, 4);
    b->mem->down = false;
    budgets_keep_shared(b->nodes[0]);
    b->mem->counters[0].since_ms = clock_wall_ms() + 1000; /* since they were left alone */
    budgets_keep_shared(b->nodes[1]);
    assert_int_equal(used(b), 7);
    draw_times(b, 0, 1);
    assert_int_equal(b->st.remaining, 92);
}

/* New nodes and restarted ones: at once, or alone for a while first. */
static void
test_newcomers(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);
    struct err err;

    (void)state;
    draw_times(b, 0, 5);
    save(b, 0);
    draw_times(b, 1, 5);
    budgets_free(&b->nodes[0]);
    b->nodes[0] = budgets_new(&b->house->app);
    EXPECT(RC_OK, budgets_share(b->nodes[0], &b->mem->limits, &err));
    draw_times(b, 0, 1);
    assert_int_equal(b->st.remaining, 89);
    budgets_free(&b->nodes[0]);
    b->nodes[0] = budgets_new(&b->house->app);
    b->mem->down = true;
    EXPECT(RC_OK, budgets_share(b->nodes[0], &b->mem->limits, &err));
    assert_int_equal(metric(b, METRIC_LIMITS_SHARED), 0);
    draw_times(b, 0, 4);
    save(b, 0);
    b->mem->down = false;
    keep_all(b);
    assert_int_equal(used(b), 15);
    assert_int_equal(metric(b, METRIC_LIMITS_SHARED), 1);
}

static void
test_unwelcome(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);
    struct err err;

    (void)state;
    b->mem->connect = RC_INVALID;
    EXPECT(RC_INVALID, budgets_share(b->nodes[0], &b->mem->limits, &err));
    assert_string_equal(err.detail, "it refuses");
}

/* Subjects that have something to tell are not forgotten for want of room. */
static void
test_crowd(void **state)
{
    SCOPED(bench) b = bench_new(0, 100);

    (void)state;
    b->mem->down = true;
    for (uint32_t i = 0; i < 2 * CROWD; i++) {
        struct id id = {{0}};

        memcpy(id.b, &i, sizeof(i));
        id.b[14] = i % 32;
        b->caller.subject = id;
        draw_times(b, 0, 1);
        if (i == CROWD - 1)
            save(b, 0);
    }
    b->mem->down = false;
    b->mem->shallow = true;
    budgets_keep_shared(b->nodes[0]);
    assert_int_equal(b->mem->adds, 2 * CROWD);
    budgets_keep_shared(b->nodes[0]);
    assert_int_equal(b->mem->adds, 2 * CROWD);
}

struct drawer {
    struct bench *b;
    int node;
};

static void *
draw_many(void *arg)
{
    const struct drawer *d = arg;
    struct budget_state st;
    struct err err;

    while (!atomic_load(&d->b->done)) {
        if (budgets_draw(d->b->nodes[d->node], &d->b->caller, d->b->mem->now_ms, true, &st, &err) ==
            RC_OK)
            atomic_fetch_add(&d->b->granted, 1);
    }
    return NULL;
}

/* The job of a node. */
static void *
keep_shared(void *arg)
{
    const struct drawer *d = arg;

    while (!atomic_load(&d->b->done)) {
        budgets_keep_shared(d->b->nodes[d->node]);
        save(d->b, d->node);
    }
    return NULL;
}

static void
set(struct limits_mem *m, bool down, bool mute)
{
    pthread_mutex_lock(&m->lock);
    m->down = down;
    m->mute = mute;
    pthread_mutex_unlock(&m->lock);
}

static void *
disturb(void *arg)
{
    struct bench *b = arg;

    for (unsigned i = 0; i < DISTURBANCES; i++) {
        const struct timespec pause = {.tv_nsec = 100000 * (long)(i % 7)};

        set(b->mem, i % 4 == 1, i % 4 == 3);
        (void)nanosleep(&pause, NULL);
    }
    set(b->mem, false, false);
    atomic_store(&b->done, true);
    return NULL;
}

/* Whatever fails and when: what is granted is what the shared counter and the database say. */
static void
test_disturbed(void **state)
{
    SCOPED(bench) b = bench_new(0, 1000000000);
    int granted;
    pthread_t drawers[NODES * THREADS], keepers[NODES], other;
    struct drawer d[NODES] = {{b, 0}, {b, 1}};

    (void)state;
    for (int i = 0; i < NODES * THREADS; i++)
        assert_int_equal(pthread_create(&drawers[i], NULL, draw_many, &d[i % NODES]), 0);
    for (int i = 0; i < NODES; i++)
        assert_int_equal(pthread_create(&keepers[i], NULL, keep_shared, &d[i]), 0);
    assert_int_equal(pthread_create(&other, NULL, disturb, b), 0);
    (void)pthread_join(other, NULL);
    for (int i = 0; i < NODES; i++)
        (void)pthread_join(keepers[i], NULL);
    for (int i = 0; i < NODES * THREADS; i++)
        (void)pthread_join(drawers[i], NULL);
    keep_all(b);
    save(b, 0);
    save(b, 1);
    granted = atomic_load(&b->granted);
    assert_int_equal(used(b), granted);
    assert_in_range(metric(b, METRIC_LIMITS_FALLBACKS), 1, granted - 1);
    budgets_free(&b->nodes[0]);
    b->nodes[0] = budgets_new(&b->house->app); /* which has the database only */
    EXPECT(RC_OK, draw(b, 0));
    assert_int_equal(b->st.remaining, 1000000000 - granted - 1);
    print_message("%d draws, %lld of them alone\n", granted,
                  (long long)metric(b, METRIC_LIMITS_FALLBACKS));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_day),
        cmocka_unit_test(test_minute),
        cmocka_unit_test(test_not_waiting),
        cmocka_unit_test(test_unmetered),
        cmocka_unit_test(test_away_and_back),
        cmocka_unit_test(test_counted_while_told),
        cmocka_unit_test(test_limit_when_away),
        cmocka_unit_test(test_minute_when_away),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_minute_back),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_forgotten_on_a_new_day),
        cmocka_unit_test(test_away_and_forgotten),
        cmocka_unit_test(test_away_and_no_counter),
        cmocka_unit_test(test_newcomers),
        cmocka_unit_test(test_unwelcome),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_disturbed),
    };

    log_set_level(LOG_ERROR_LEVEL);
    return cmocka_run_group_tests_name("budget_shared", tests, NULL, NULL);
}
