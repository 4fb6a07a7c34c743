// SPDX-License-Identifier: Apache-2.0
/* budget: the minute, the day, what the headers show, many threads on one key, many keys. */
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http/budget.h"

#define DAY_MS 86400000
#define NOON ((int64_t)20000 * DAY_MS + DAY_MS / 2)
#define THREADS 16
#define SUBJECTS 100000
#define SUBJECTS_BYTES ((size_t)32 << 20)
#define CROWD 7100 /* a little over what one shard remembers */

struct bench {
    struct house *house;
    struct budgets *budgets;
    atomic_int granted;
};

static struct bench *
bench_new(int64_t per_minute, int64_t per_day)
{
    struct bench *b = MEM_NEW(NULL, struct bench);

    b->house = house_new((struct engine_config){0});
    b->house->app.settings.tiers[TIER_STANDARD] = (struct tier_limits){per_minute, per_day};
    b->budgets = budgets_new(&b->house->app);
    return b;
}

static void
bench_free(struct bench **b)
{
    budgets_free(&(*b)->budgets);
    house_free(&(*b)->house);
    (void)talloc_free(*b);
}

static const struct {
    int64_t per_minute, per_day;
    int draws;  /* all granted */
    enum rc rc; /* of one more, and what it shows */
    int64_t limit, remaining, retry_from, retry_to;
} limits[] = {
    {0, 3, 3, RC_RATE_LIMITED, 3, 0, DAY_MS / 2000, DAY_MS / 2000},
    {3, 100, 3, RC_RATE_LIMITED, 3, 0, 1, 60},
    {3, 3, 3, RC_RATE_LIMITED, 3, 0, DAY_MS / 2000, DAY_MS / 2000}, /* the day is told first */
    {100, 10, 4, RC_OK, 10, 5, 0, 0},
    {0, 0, 50, RC_OK, TIER_UNMETERED_LIMIT, TIER_UNMETERED_LIMIT, 0, 0},
};

static void
test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        SCOPED(bench) b = bench_new(limits[i].per_minute, limits[i].per_day);
        struct budget_state st;
        struct err err;

        for (int n = 0; n < limits[i].draws; n++)
            EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
        assert_int_equal(st.retry_after_s, 0);
        EXPECT(limits[i].rc, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
        assert_int_equal(st.limit, limits[i].limit);
        assert_int_equal(st.remaining, limits[i].remaining);
        assert_in_range(st.retry_after_s, limits[i].retry_from, limits[i].retry_to);
        if (limits[i].per_day && limits[i].limit == limits[i].per_day)
            assert_int_equal(st.reset_s, (NOON + DAY_MS / 2) / 1000);
    }
}

/* A thread that may not wait for the database draws for the subjects that are known. */
static void
test_not_waiting(void **state)
{
    SCOPED(bench) b = bench_new(0, 3);
    struct budget_state st;
    struct err err;

    (void)state;
    EXPECT(RC_BUSY, budgets_draw(b->budgets, &b->house->caller, NOON, false, &st, &err));
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, false, &st, &err));
    assert_int_equal(st.remaining, 1);
}

/* A new day is a new budget; another subject has its own. */
static void
test_days_and_subjects(void **state)
{
    SCOPED(bench) b = bench_new(0, 1);
    struct caller other = b->house->caller;
    struct budget_state st;
    struct err err;

    (void)state;
    other.subject = id_new();
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    EXPECT(RC_RATE_LIMITED, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    EXPECT(RC_OK, budgets_draw(b->budgets, &other, NOON, true, &st, &err));
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON + DAY_MS, true, &st, &err));
    assert_int_equal(st.remaining, 0);
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

/* As the job does; how many subjects there were. */
static size_t
save(struct bench *b)
{
    SCOPED_POOL(pool);
    struct counted c;
    struct err err;

    budgets_unsaved(b->budgets, pool, &c.added, &c.n);
    c.sums = MEM_ARRAY(pool, struct budget, c.n);
    EXPECT(RC_OK, engine_write(b->house->app.engine, 1, pool, save_fn, &c, &err));
    budgets_saved(b->budgets, c.added, c.sums, c.n);
    return c.n;
}

/* What was counted is told until it is saved, and read back by who starts anew. */
static void
test_saved(void **state)
{
    SCOPED(bench) b = bench_new(0, 4);
    struct budget *added;
    struct budget_state st;
    struct err err;
    size_t n;

    (void)state;
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    budgets_unsaved(b->budgets, b->house->pool, &added, &n); /* and the saving of it fails */
    assert_true(n == 1 && added[0].used == 2 && added[0].last_used_ms == NOON);
    assert_int_equal(save(b), 1);
    assert_int_equal(save(b), 0);
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    budgets_unsaved(b->budgets, b->house->pool, &added, &n);
    assert_true(n == 1 && added[0].used == 1);
    assert_int_equal(save(b), 1);
    budgets_free(&b->budgets);
    b->budgets = budgets_new(&b->house->app);
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    EXPECT(RC_RATE_LIMITED, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
}

/* Draws that come while a save is under way are not taken for saved. */
static void
test_drawn_while_saving(void **state)
{
    SCOPED(bench) b = bench_new(0, 9);
    struct budget *added, sum;
    struct budget_state st;
    struct err err;
    size_t n;

    (void)state;
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    budgets_unsaved(b->budgets, b->house->pool, &added, &n);
    sum = added[0];
    sum.used += 4; /* of another node */
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    assert_int_equal(st.remaining, 7);
    budgets_saved(b->budgets, added, &sum, 1);
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err));
    assert_int_equal(st.remaining, 2);
    budgets_unsaved(b->budgets, b->house->pool, &added, &n);
    assert_true(n == 1 && added[0].used == 2);
    /* a save that ends on the next day says nothing of that */
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON + DAY_MS, true, &st, &err));
    budgets_saved(b->budgets, added, added, 1);
    EXPECT(RC_OK, budgets_draw(b->budgets, &b->house->caller, NOON + DAY_MS, true, &st, &err));
    assert_int_equal(st.remaining, 7);
    budgets_unsaved(b->budgets, b->house->pool, &added, &n);
    assert_true(n == 1 && added[0].used == 2);
}

/* Two nodes on one database: what one has saved, the other knows once it saves. */
static void
test_two_nodes(void **state)
{
    SCOPED(bench) b = bench_new(0, 10);
    struct budgets *first = b->budgets, *second = budgets_new(&b->house->app);
    struct budget_state st;
    struct err err;

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2; i++) {
            EXPECT(RC_OK, budgets_draw(first, &b->house->caller, NOON, true, &st, &err));
            EXPECT(RC_OK, budgets_draw(second, &b->house->caller, NOON, true, &st, &err));
        }
        b->budgets = second;
        assert_int_equal(save(b), 1);
        b->budgets = first;
        assert_int_equal(save(b), 1);
    }
    assert_int_equal(st.remaining, 6); /* its own four: it was the first to save */
    EXPECT(RC_OK, budgets_draw(first, &b->house->caller, NOON, true, &st, &err));
    assert_int_equal(st.remaining, 1);
    assert_int_equal(save(b), 1);
    EXPECT(RC_OK, budgets_draw(first, &b->house->caller, NOON, true, &st, &err));
    EXPECT(RC_RATE_LIMITED, budgets_draw(first, &b->house->caller, NOON, true, &st, &err));
    budgets_free(&second);
}

/* Subject `n` of many that are kept in a few places of one shard, which their last bytes choose. */
static struct id
crowded(uint32_t n)
{
    struct id id = {{0}};

    memcpy(id.b, &n, sizeof(n));
    id.b[14] = n % 32;
    return id;
}

/* More subjects than are remembered: who gives way loses nothing that was counted. */
static void
test_crowd(void **state)
{
    SCOPED(bench) b = bench_new(0, 3);
    struct caller c = b->house->caller;
    struct budget_state st;
    struct err err;

    (void)state;
    for (uint32_t i = 0; i < CROWD; i++) {
        c.subject = crowded(i);
        EXPECT(RC_OK, budgets_draw(b->budgets, &c, NOON, true, &st, &err));
    }
    assert_int_equal(save(b), CROWD); /* the unsaved are never dropped */
    for (uint32_t i = CROWD; i < 2 * CROWD; i++) {
        c.subject = crowded(i);
        EXPECT(RC_OK, budgets_draw(b->budgets, &c, NOON, true, &st, &err));
    }
    for (uint32_t i = 0; i < CROWD; i += 97) {
        c.subject = crowded(i);
        EXPECT(RC_OK, budgets_draw(b->budgets, &c, NOON, true, &st, &err));
        assert_int_equal(st.remaining, 1);
    }
}

static void *
draw_many(void *arg)
{
    struct bench *b = arg;
    struct budget_state st;
    struct err err;

    for (int i = 0; i < 200; i++) {
        if (budgets_draw(b->budgets, &b->house->caller, NOON, true, &st, &err) == RC_OK)
            atomic_fetch_add(&b->granted, 1);
    }
    return NULL;
}

static void
test_threads(void **state)
{
    SCOPED(bench) b = bench_new(0, 1000);
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, draw_many, b), 0);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&b->granted), 1000);
}

static void
draw_for_new_subjects(struct bench *b, int n)
{
    struct caller caller = b->house->caller;
    struct budget_state st;
    struct err err;

    for (int i = 0; i < n; i++) {
        caller.subject = id_new();
        EXPECT(RC_OK, budgets_draw(b->budgets, &caller, NOON, true, &st, &err));
        assert_int_equal(st.remaining, 9);
    }
}

/* Many keys take little memory; and once saved, those of before give way to others. (Sanitizers
 * have an allocator of their own, of which mallinfo2() knows nothing: there this always holds.) */
static void
test_memory(void **state)
{
    SCOPED(bench) b = bench_new(100, 10);
    size_t before = mallinfo2().uordblks;
    struct budget *added;
    size_t n;

    (void)state;
    draw_for_new_subjects(b, SUBJECTS);
    assert_in_range(mallinfo2().uordblks - before, 0, SUBJECTS_BYTES);
    budgets_unsaved(b->budgets, b->house->pool, &added, &n);
    assert_int_equal(n, SUBJECTS);
    budgets_saved(b->budgets, added, added, n);
    (void)talloc_free(added);
    draw_for_new_subjects(b, SUBJECTS);
    print_message("%zu bytes of %d subjects\n", mallinfo2().uordblks - before, 2 * SUBJECTS);
    assert_in_range(mallinfo2().uordblks - before, 0, SUBJECTS_BYTES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_not_waiting),
        cmocka_unit_test(test_days_and_subjects),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_drawn_while_saving),
        cmocka_unit_test(test_two_nodes),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
