// SPDX-License-Identifier: Apache-2.0
/*
 * engine: batches, isolation, answers after the disk, fairness, bounds, deadlines, the log emptied,
 * the end, and what happens after a fatal error.
 */
#include "engine_bench.h"

#include <sys/stat.h>

#define THREADS 64
#define EACH 200

static void
test_batch_in_order(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct work gate;
    int64_t commits;

    (void)state;
    gate_close(b, &gate);
    for (size_t i = 0; i < 100; i++)
        EXPECT(RC_OK, submit(b, i, LANE, RC_OK));
    commits = metric(b, METRIC_COMMITS);
    gate_open(b);
    wait_for(&b->finished, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(b->notes[i].order, i);
        assert_int_equal(b->notes[i].rc, RC_OK);
    }
    assert_int_equal(notes_like(b->engine, "note%"), 100);
    /* the gate's own commit, and one for all hundred */
    assert_int_equal(metric(b, METRIC_COMMITS) - commits, 2);
}

/* What one work of a batch does when it fails is undone; the others stand. */
static void
test_savepoint_isolation(void **state)
{
    static const enum rc ends[] = {RC_OK,    RC_NOT_FOUND, RC_OK, RC_CONFLICT,
                                   RC_QUOTA, RC_BUSY,      RC_OK, RC_INVALID};
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct work gate;
    char pattern[32];

    (void)state;
    gate_close(b, &gate);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        EXPECT(RC_OK, submit(b, i, LANE, ends[i]));
    gate_open(b);
    wait_for(&b->finished, ARRAY_LEN(ends));
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        (void)snprintf(pattern, sizeof(pattern), "note %zu.", i);
        assert_int_equal(b->notes[i].rc, ends[i]);
        assert_int_equal(notes_like(b->engine, pattern), ends[i] == RC_OK);
    }
    assert_true(engine_alive(b->engine));
}

/* Who fails with nothing done has nothing to be undone: the others are not run for it again. */
static void
test_harmless_failure(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct work gate;

    (void)state;
    gate_close(b, &gate);
    for (size_t i = 0; i < 20; i++) {
        b->notes[i].dry = i % 3 == 0;
        EXPECT(RC_OK, submit(b, i, LANE, b->notes[i].dry ? RC_NOT_FOUND : RC_OK));
    }
    gate_open(b);
    wait_for(&b->finished, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(b->notes[i].rc, i % 3 ? RC_OK : RC_NOT_FOUND);
        assert_int_equal(atomic_load(&b->notes[i].ran), 1);
    }
    assert_int_equal(notes_like(b->engine, "note%"), 13);
}

#define BAD_LANE (LANE + 1)

static struct {
    int64_t lane; /* whose turn it is */
    int entered, left;
} turns;

static enum rc
turn_enter(struct tx *tx, int64_t lane, bool sole, struct err *err)
{
    (void)err;
    assert_false(sole);
    tx->turn = (struct audit_turn *)&turns;
    turns.lane = lane;
    turns.entered++;
    return RC_OK;
}

static enum rc
turn_leave(struct tx *tx, struct err *err)
{
    assert_ptr_equal(tx->turn, &turns);
    turns.left++;
    return turns.lane == BAD_LANE ? err_set(err, RC_INTERNAL, "on cue") : RC_OK;
}

/* A turn is taken once a lane and transaction, for those only that share it. */
static void
test_turns(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){.enter = turn_enter, .leave = turn_leave});
    struct work gate;

    (void)state;
    turns = (typeof(turns)){0};
    b->turn = TURN_SHARED;
    gate_close(b, &gate);
    for (size_t i = 0; i < 30; i++)
        EXPECT(RC_OK, submit(b, i, i % 2 ? LANE : LANE + 2, RC_OK));
    b->turn = TURN_SOLE;
    EXPECT(RC_OK, submit(b, 30, LANE, RC_OK));
    gate_open(b);
    wait_for(&b->finished, 31);
    assert_int_equal(notes_like(b->engine, "note%"), 31);
    assert_int_equal(turns.entered, 2);
    assert_int_equal(turns.left, 2);
}

/* What is wrong with a turn is its own lane's: each work is done by itself then, as without. */
static void
test_turn_that_fails(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){.enter = turn_enter, .leave = turn_leave});
    struct work gate;

    (void)state;
    b->turn = TURN_SHARED;
    EXPECT(RC_OK, submit(b, 0, BAD_LANE, RC_OK));
    wait_for(&b->finished, 1);
    gate_close(b, &gate);
    for (size_t i = 1; i < 10; i++)
        EXPECT(RC_OK, submit(b, i, i % 2 ? LANE : BAD_LANE, i == 5 ? RC_INVALID : RC_OK));
    gate_open(b);
    wait_for(&b->finished, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(b->notes[i].rc, i == 5 ? RC_INVALID : RC_OK);
    assert_int_equal(notes_like(b->engine, "note%"), 9);
}

/* Alone in its batch a work has no savepoint; it must be undone all the same. */
static void
test_failing_alone(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});

    (void)state;
    EXPECT(RC_OK, submit(b, 0, LANE, RC_INVALID));
    wait_for(&b->finished, 1);
    assert_int_equal(b->notes[0].rc, RC_INVALID);
    EXPECT(RC_OK, submit(b, 1, LANE, RC_OK));
    wait_for(&b->finished, 2);
    assert_int_equal(notes_like(b->engine, "note%"), 1);
}

/* A full disk spoils the batch, not the engine: nobody is told a lie, and the next batch works. */
static void
test_storage_full(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct work gate;

    (void)state;
    gate_close(b, &gate);
    for (size_t i = 0; i < 5; i++)
        EXPECT(RC_OK, submit(b, i, LANE, i == 1 ? RC_INVALID : i == 3 ? RC_STORAGE_FULL : RC_OK));
    gate_open(b);
    wait_for(&b->finished, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(b->notes[i].rc, i == 1 ? RC_INVALID : RC_STORAGE_FULL);
    assert_int_equal(notes_like(b->engine, "note%"), 0);
    assert_true(engine_alive(b->engine));
    EXPECT(RC_OK, submit(b, 5, LANE, RC_OK));
    wait_for(&b->finished, 6);
    assert_int_equal(b->notes[5].rc, RC_OK);
}

static void
test_lane_full(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){.lane_max = 3});
    struct work gate;

    (void)state;
    gate_close(b, &gate);
    for (size_t i = 0; i < 3; i++)
        EXPECT(RC_OK, submit(b, i, LANE, RC_OK));
    EXPECT(RC_UNAVAILABLE, submit(b, 3, LANE, RC_OK));
    EXPECT(RC_OK, submit(b, 4, LANE + 1, RC_OK));
    assert_int_equal(metric(b, METRIC_WORKS_REFUSED), 1);
    gate_open(b);
    wait_for(&b->finished, 4);
    assert_int_equal(atomic_load(&b->notes[3].ran), 0);
    assert_int_equal(atomic_load(&b->notes[3].done), 0);
    EXPECT(RC_OK, submit(b, 3, LANE, RC_OK));
    wait_for(&b->finished, 5);
}

/* Three hundred wait in one lane; one in another is in the first batch, as the second of all. */
static void
test_fairness(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct work gate;

    (void)state;
    gate_close(b, &gate);
    for (size_t i = 0; i < 300; i++)
        EXPECT(RC_OK, submit(b, i, LANE, RC_OK));
    for (size_t i = 300; i < 303; i++)
        EXPECT(RC_OK, submit(b, i, LANE + 1, RC_OK));
    gate_open(b);
    wait_for(&b->finished, 303);
    assert_int_equal(b->notes[0].order, 0);
    assert_int_equal(b->notes[300].order, 1);
    assert_int_equal(b->notes[301].order, 3);
    assert_int_equal(b->notes[302].order, 5);
}

/* From within done(), another connection sees what the work wrote. */
static void
test_done_after_commit(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct work gate;

    (void)state;
    b->look = true;
    gate_close(b, &gate);
    for (size_t i = 0; i < 50; i++)
        EXPECT(RC_OK, submit(b, i, LANE + (int64_t)i % 3, i % 5 ? RC_OK : RC_INVALID));
    gate_open(b);
    wait_for(&b->finished, 50);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(b->notes[i].visible, i % 5 != 0);
        assert_int_equal(atomic_load(&b->notes[i].done), 1);
    }
}

static enum rc
endless_fn(struct tx *tx, void *arg, struct err *err)
{
    SCOPED(db_cursor) c = NULL;

    (void)arg;
    return db_query_one(tx->conn, &endless, DB_NO_ARGS, &c, err);
}

static enum rc
short_fn(struct tx *tx, void *arg, struct err *err)
{
    struct count count = {.pattern = "note%"};
    struct note *n = arg;
    enum rc rc = count_fn(tx, &count, err);

    n->order = (int)count.n;
    return rc;
}

static void
test_query_deadline(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){.query_limit_ms = 50});
    struct note *slow = &b->notes[0], *quick = &b->notes[1];
    int64_t start = clock_mono_ms();
    struct err err;

    (void)state;
    slow->bench = quick->bench = b;
    slow->work =
        (struct work){.fn = endless_fn, .done = note_done, .arg = slow, .pool = b->house->pool};
    quick->work = slow->work;
    quick->work.fn = short_fn;
    quick->work.arg = quick;
    quick->order = -1;
    EXPECT(RC_OK, engine_query(b->engine, &slow->work, &err));
    EXPECT(RC_OK, engine_query(b->engine, &quick->work, &err));
    wait_for(&b->finished, 2);
    assert_int_equal(slow->rc, RC_BUSY);
    assert_in_range(clock_mono_ms() - start, 50, 10000);
    /* the connection of the slow one is good again, and has a deadline of its own */
    assert_int_equal(quick->rc, RC_OK);
    assert_int_equal(quick->order, 0);
    assert_int_equal(atomic_load(&slow->done), 1);
}

/* A snapshot does not move under its reader. */
static enum rc
snapshot_fn(struct tx *tx, void *arg, struct err *err)
{
    struct count first = {.pattern = "note%"}, second = first;
    struct bench *b = arg;
    enum rc rc = count_fn(tx, &first, err);

    if (rc)
        return rc;
    EXPECT(RC_OK, submit(b, 0, LANE, RC_OK));
    wait_for(&b->finished, 1);
    rc = count_fn(tx, &second, err);
    assert_int_equal(first.n, second.n);
    return rc;
}

static void
test_read_snapshot(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct err err;

    (void)state;
    EXPECT(RC_OK, engine_read(b->engine, b->house->pool, snapshot_fn, b, &err));
    assert_int_equal(notes_like(b->engine, "note%"), 1);
}

static enum rc
write_in_read(struct tx *tx, void *arg, struct err *err)
{
    (void)arg;
    return db_exec(tx->conn, &add_note, DB_ARGS(db_text("x"), db_int(1)), NULL, err);
}

static void
test_read_cannot_write(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct err err;

    (void)state;
    assert_int_not_equal(engine_read(b->engine, b->house->pool, write_in_read, NULL, &err), RC_OK);
    assert_int_equal(notes_like(b->engine, "x"), 0);
}

static int64_t
log_size(const struct bench *b)
{
    struct stat info;
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/db-wal", b->house->dir);
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

static enum rc
empty_in_read(struct tx *tx, void *arg, struct err *err)
{
    struct count all = {.pattern = "%"};
    struct bench *b = arg;
    enum rc rc = count_fn(tx, &all, err);

    assert_int_equal(rc, RC_OK);
    EXPECT(RC_BUSY, engine_empty_log(b->engine, err));
    return RC_OK;
}

static void
test_empty_log(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct err err;

    (void)state;
    assert_true(log_size(b) > 0);
    EXPECT(RC_OK, engine_read(b->engine, b->house->pool, empty_in_read, b, &err));
    assert_true(engine_alive(b->engine));
    EXPECT(RC_OK, engine_empty_log(b->engine, &err));
    assert_int_equal(log_size(b), 0);
    EXPECT(RC_OK, submit(b, 0, LANE, RC_OK)); /* and on it goes */
    wait_for(&b->finished, 1);
    assert_int_equal(b->notes[0].rc, RC_OK);
    assert_true(log_size(b) > 0);
}

static void *
open_soon(void *arg)
{
    (void)usleep(50000);
    gate_open(arg);
    return NULL;
}

static void
test_free_runs_what_waits(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    pthread_t helper;
    struct work gate;

    (void)state;
    gate_close(b, &gate);
    for (size_t i = 0; i < 300; i++)
        EXPECT(RC_OK, submit(b, i, LANE + (int64_t)i % 7, RC_OK));
    assert_int_equal(pthread_create(&helper, NULL, open_soon, b), 0);
    engine_free(&b->house->app.engine);
    assert_null(b->house->app.engine);
    (void)pthread_join(helper, NULL);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(b->notes[i].rc, RC_OK);
        assert_int_equal(atomic_load(&b->notes[i].done), 1);
    }
    engine_free(&b->house->app.engine);
}

static void
test_fatal(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct work gate;
    struct err err;

    (void)state;
    gate_close(b, &gate);
    /* the first batch holds 128; those behind it never run */
    for (size_t i = 0; i < 200; i++)
        EXPECT(RC_OK, submit(b, i, LANE, i == 10 ? RC_IO : i == 3 ? RC_INVALID : RC_OK));
    gate_open(b);
    wait_for(&b->finished, 200);
    for (size_t i = 0; i < 200; i++) {
        enum rc want = i >= 128 ? RC_UNAVAILABLE : i == 3 ? RC_INVALID : RC_IO;

        assert_int_equal(b->notes[i].rc, want);
        assert_int_equal(atomic_load(&b->notes[i].done), 1);
        assert_int_equal(atomic_load(&b->notes[i].ran) > 0, i <= 10);
    }
    assert_int_equal(atomic_load(&b->fatal), 1);
    assert_false(engine_alive(b->engine));
    EXPECT(RC_UNAVAILABLE, submit(b, 300, LANE, RC_OK));
    EXPECT(RC_UNAVAILABLE, engine_write(b->engine, LANE, b->house->pool, make_table, NULL, &err));
    assert_int_equal(atomic_load(&b->notes[300].done), 0);
    EXPECT(RC_UNAVAILABLE, engine_empty_log(b->engine, &err));
    /* what is on disk can still be read, and none of the batch is there */
    assert_int_equal(notes_like(b->engine, "note%"), 0);
}

static enum rc
refuse_fn(struct tx *tx, void *arg, struct err *err)
{
    (void)tx;
    (void)arg;
    return err_field(err, RC_QUOTA, "size_bytes", "too much");
}

static void
test_write_waits(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){0});
    struct err err;

    (void)state;
    b->notes[0] = (struct note){.bench = b, .text = "note 0."};
    EXPECT(RC_OK, engine_write(b->engine, LANE, b->house->pool, write_note, &b->notes[0], &err));
    assert_int_equal(notes_like(b->engine, "note%"), 1);
    EXPECT(RC_QUOTA, engine_write(b->engine, LANE, b->house->pool, refuse_fn, NULL, &err));
    assert_string_equal(err.field, "size_bytes");
    assert_int_equal(err.code, RC_QUOTA);
}

/* ---- many threads ---- */

struct crowd {
    struct bench *bench;
    pthread_t thread;
    size_t number;
    struct note *notes; /* EACH of them */
    int refused;
};

static void *
crowd_main(void *arg)
{
    struct crowd *c = arg;
    struct err err;

    for (size_t i = 0; i < EACH; i++) {
        struct note *n = &c->notes[i];

        n->bench = c->bench;
        n->ends = i % 10 == 9 ? RC_INVALID : RC_OK;
        (void)snprintf(n->text, sizeof(n->text), "note %zu/%zu", c->number, i);
        n->work = (struct work){.fn = write_note,
                                .done = note_done,
                                .arg = n,
                                .lane = (int64_t)c->number % 8,
                                .pool = c->bench->house->pool};
        if (engine_submit(c->bench->engine, &n->work, &err))
            c->refused++;
    }
    return NULL;
}

static void
test_many_threads(void **state)
{
    SCOPED(bench) b = bench_new((struct engine_config){.lane_max = THREADS * EACH});
    SCOPED_POOL(pool);
    struct crowd *crowd = MEM_ARRAY(pool, struct crowd, THREADS);

    (void)state;
    for (size_t t = 0; t < THREADS; t++) {
        crowd[t] =
            (struct crowd){.bench = b, .number = t, .notes = MEM_ARRAY(pool, struct note, EACH)};
        assert_int_equal(pthread_create(&crowd[t].thread, NULL, crowd_main, &crowd[t]), 0);
    }
    for (size_t t = 0; t < THREADS; t++) {
        (void)pthread_join(crowd[t].thread, NULL);
        assert_int_equal(crowd[t].refused, 0);
    }
    wait_for(&b->finished, THREADS * EACH);
    assert_int_equal(notes_like(b->engine, "note%"), THREADS * EACH / 10 * 9);
    for (size_t t = 0; t < THREADS; t++) {
        for (size_t i = 0; i < EACH; i++) {
            struct note *n = &crowd[t].notes[i];

            assert_int_equal(atomic_load(&n->done), 1);
            assert_int_equal(n->rc, n->ends);
            /* a thread's works stand in one lane, in the order it gave them */
            assert_true(i == 0 || n[-1].order < n->order);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_in_order),
        cmocka_unit_test(test_savepoint_isolation),
        cmocka_unit_test(test_harmless_failure),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turn_that_fails),
        cmocka_unit_test(test_failing_alone),
        cmocka_unit_test(test_storage_full),
        cmocka_unit_test(test_lane_full),
        cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_done_after_commit),
        cmocka_unit_test(test_query_deadline),
        cmocka_unit_test(test_read_snapshot),
        cmocka_unit_test(test_read_cannot_write),
        cmocka_unit_test(test_empty_log),
        cmocka_unit_test(test_free_runs_what_waits),
        cmocka_unit_test(test_fatal),
        cmocka_unit_test(test_write_waits),
        cmocka_unit_test(test_many_threads),
    };

    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
