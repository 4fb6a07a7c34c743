// SPDX-License-Identifier: Apache-2.0
/* The engine with many writers, on PostgreSQL: what becomes of a batch and of a failing work. */
#include "postgres.h"

#include <semaphore.h>
#include <stdatomic.h>

#include "engine/engine.h"

#define LANE 7
#define WORKS 8

static const struct sql add_row = SQL("INSERT INTO item (id, lane) VALUES ($1, $2)");
static const struct sql count_rows = SQL("SELECT count(*) FROM item WHERE id >= $1");

struct world;

/* One work: a row with its number, and how it ends. */
struct note {
    struct work work;
    struct world *world;
    int64_t id;
    enum rc ends;     /* what fn returns after it wrote */
    int fails;        /* how often it does so */
    TALLOC_CTX *pool; /* it had when it ran */
    atomic_int ran;
    enum rc rc;
};

struct world {
    char dir[64];
    TALLOC_CTX *pool;
    struct db *db;
    struct engine *engine;
    struct metrics metrics;
    sem_t entered, leave; /* of the gate */
    sem_t finished;
    atomic_int entries, ends;
    enum rc end; /* what the end of a turn gives */
    struct work gates[2];
    struct note notes[WORKS];
};

static enum rc
enter(struct tx *tx, int64_t lane, bool sole, struct err *err)
{
    (void)sole;
    (void)err;
    tx->turn = (struct audit_turn *)(intptr_t)lane; /* only handed on */
    return RC_OK;
}

/* There is one engine at a time. */
static struct world *now;

static enum rc
leave(struct tx *tx, struct err *err)
{
    assert_ptr_equal(tx->turn, (void *)LANE);
    atomic_fetch_add(&now->ends, 1);
    return now->end ? err_set(err, now->end, "on cue") : RC_OK;
}

static int
set_up(void **state)
{
    static const struct sql table = {
        .pg = "CREATE TABLE item (id BIGINT PRIMARY KEY, lane BIGINT NOT NULL)"};
    struct world *w = MEM_NEW(NULL, struct world);
    struct engine_config config = {.query_threads = 1,
                                   .point_threads = 1,
                                   .writers = 2,
                                   .lane_max = 100,
                                   .enter = enter,
                                   .leave = leave};
    SCOPED(db_conn) conn = NULL;
    struct err err;

    now = w;
    w->pool = base_pool_new(NULL);
    support_make_dir(w->dir);
    EXPECT(RC_OK, postgres_open(w->dir, &w->db, &err));
    EXPECT(RC_OK, db_connect(w->db, DB_WRITER, &conn, &err));
    EXPECT(RC_OK, db_script(conn, &table, &err));
    config.metrics = &w->metrics;
    EXPECT(RC_OK, engine_open(w->db, &config, &w->engine, &err));
    (void)sem_init(&w->entered, 0, 0);
    (void)sem_init(&w->leave, 0, 0);
    (void)sem_init(&w->finished, 0, 0);
    *state = w;
    return 0;
}

static int
tear_down(void **state)
{
    struct world *w = *state;

    engine_free(&w->engine);
    db_free(&w->db);
    postgres_remove(w->dir);
    support_remove_dir(w->dir);
    base_pool_free(&w->pool);
    (void)talloc_free(w);
    return 0;
}

/* ---- works ---- */

static enum rc
write_row(struct tx *tx, void *arg, struct err *err)
{
    struct note *n = arg;
    int run = atomic_fetch_add(&n->ran, 1);
    enum rc rc;

    n->pool = tx->pool;
    rc = db_insert_later(tx->conn, &add_row, DB_ARGS(db_int(n->id), db_int(LANE)),
                         RC_STORAGE_CONFLICT, err);

    return !rc && run < n->fails ? err_set(err, n->ends, "on cue") : rc;
}

static void
note_done(void *arg, enum rc rc, const struct err *err)
{
    struct note *n = arg;

    n->rc = rc && err->code != rc ? RC_MAX_ : rc;
    (void)sem_post(&n->world->finished);
}

static struct note *
submit(struct world *w, size_t i, int64_t id)
{
    struct note *n = &w->notes[i];
    struct err err;

    n->world = w;
    n->id = id;
    n->work.fn = write_row;
    n->work.done = note_done;
    n->work.arg = n;
    n->work.lane = LANE;
    n->work.turn = TURN_SHARED;
    n->work.pool = w->pool;
    EXPECT(RC_OK, engine_submit(w->engine, &n->work, &err));
    return n;
}

static enum rc
gate_fn(struct tx *tx, void *arg, struct err *err)
{
    struct world *w = arg;

    (void)tx;
    (void)err;
    (void)sem_post(&w->entered);
    (void)sem_wait(&w->leave);
    return RC_OK;
}

static void
gates_close(struct world *w)
{
    struct err err;

    for (int i = 0; i < 2; i++) {
        w->gates[i] = (struct work){.fn = gate_fn, .arg = w, .lane = i + 1, .pool = w->pool};
        EXPECT(RC_OK, engine_submit(w->engine, &w->gates[i], &err));
        (void)sem_wait(&w->entered);
    }
}

static void
gate_open(struct world *w)
{
    (void)sem_post(&w->leave);
}

static void
wait_for(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        (void)sem_wait(&w->finished);
}

static enum rc
count_fn(struct tx *tx, void *arg, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    int64_t *n = arg;
    enum rc rc = db_query_one(tx->conn, &count_rows, DB_ARGS(db_int(0)), &c, err);

    if (!rc)
        *n = db_col_int(c, 0);
    return rc;
}

static int64_t
rows(struct world *w)
{
    int64_t n = -1;
    struct err err;

    EXPECT(RC_OK, engine_read(w->engine, w->pool, count_fn, &n, &err));
    return n;
}

static int64_t
metric(const struct world *w, enum metric which)
{
    return atomic_load(&w->metrics.value[which]);
}

/* ---- cases ---- */

/* While the other writer is busy, one takes all that waits in a lane: one transaction, one end. */
static void
test_one_batch(void **state)
{
    struct world *w = *state;
    int64_t before;

    gates_close(w);
    for (size_t i = 0; i < WORKS; i++)
        (void)submit(w, i, (int64_t)i);
    before = metric(w, METRIC_COMMITS);
    gate_open(w);
    wait_for(w, WORKS);
    before = metric(w, METRIC_COMMITS) - before;
    gate_open(w);
    assert_int_equal(before, 2); /* one is the gate's own */
    assert_int_equal(atomic_load(&w->ends), 1);
    assert_int_equal(rows(w), WORKS);
}

/* A work whose row is taken fails alone, though that shows with the commit of all. */
static void
test_taken(void **state)
{
    struct world *w = *state;

    (void)submit(w, 0, 5);
    wait_for(w, 1);
    gates_close(w);
    for (size_t i = 1; i < 4; i++)
        (void)submit(w, i, i == 2 ? 5 : (int64_t)i);
    gate_open(w);
    gate_open(w);
    wait_for(w, 3);
    assert_int_equal(w->notes[1].rc, RC_OK);
    assert_int_equal(w->notes[2].rc, RC_STORAGE_CONFLICT);
    assert_int_equal(w->notes[3].rc, RC_OK);
    assert_int_equal(rows(w), 3);
}

/* What cannot end its turn is undone. */
static void
test_end_fails(void **state)
{
    struct world *w = *state;

    w->end = RC_QUOTA;
    (void)submit(w, 0, 1);
    wait_for(w, 1);
    assert_int_equal(w->notes[0].rc, RC_QUOTA);
    assert_int_equal(rows(w), 0);
}

static void
test_twice(void **state)
{
    struct world *w = *state;

    w->notes[0] = (struct note){.ends = RC_NOT_FOUND, .fails = 1};
    w->notes[1] = (struct note){.ends = RC_NOT_FOUND, .fails = 1, .work = {.twice = true}};
    w->notes[2] = (struct note){.ends = RC_NOT_FOUND, .fails = 9, .work = {.twice = true}};
    for (size_t i = 0; i < 3; i++) {
        (void)submit(w, i, (int64_t)i);
        wait_for(w, 1); /* each alone: those of a batch that fails are run again anyway */
    }
    assert_int_equal(w->notes[0].rc, RC_NOT_FOUND);
    assert_int_equal(atomic_load(&w->notes[0].ran), 1);
    assert_int_equal(w->notes[1].rc, RC_OK);
    assert_int_equal(w->notes[2].rc, RC_NOT_FOUND);
    assert_int_equal(atomic_load(&w->notes[2].ran), 2);
    assert_int_equal(rows(w), 1);
}

static void
test_rerun(void **state)
{
    struct world *w = *state;

    w->notes[0] = (struct note){.ends = RC_RERUN, .fails = 3};
    (void)submit(w, 0, 1);
    wait_for(w, 1);
    assert_int_equal(w->notes[0].rc, RC_OK);
    assert_int_equal(atomic_load(&w->notes[0].ran), 4);
    assert_int_equal(metric(w, METRIC_RERUNS), 3);
    assert_int_equal(rows(w), 1);
}

/* What a work was told by something else than the database concerns no other, and is no outage. */
static void
test_elsewhere(void **state)
{
    struct world *w = *state;

    gates_close(w);
    for (size_t i = 0; i < 3; i++) {
        w->notes[i] = (struct note){.ends = RC_UNAVAILABLE, .fails = i == 1 ? 9 : 0};
        (void)submit(w, i, (int64_t)i);
    }
    gate_open(w);
    gate_open(w);
    wait_for(w, 3);
    assert_int_equal(w->notes[0].rc, RC_OK);
    assert_int_equal(w->notes[1].rc, RC_UNAVAILABLE);
    assert_int_equal(atomic_load(&w->notes[1].ran), 2); /* with the others, and alone */
    assert_int_equal(w->notes[2].rc, RC_OK);
    assert_int_equal(rows(w), 2);
}

/* A read that was told so neither. */
static enum rc
read_elsewhere(struct tx *tx, void *arg, struct err *err)
{
    int64_t n;
    enum rc rc = count_fn(tx, &n, err);

    atomic_fetch_add((atomic_int *)arg, 1);
    return rc ? rc : err_set(err, RC_UNAVAILABLE, "on cue");
}

static void
test_read_elsewhere(void **state)
{
    struct world *w = *state;
    atomic_int ran = 0;
    struct err err;

    EXPECT(RC_UNAVAILABLE, engine_read(w->engine, w->pool, read_elsewhere, &ran, &err));
    assert_int_equal(atomic_load(&ran), 1);
    assert_false(engine_is_away(w->engine));
}

/* Those of one lane share a transaction, and one that fails keeps no other from being done. */
static void
test_write_all(void **state)
{
    struct world *w = *state;
    struct work works[WORKS];
    struct err err;

    for (size_t i = 0; i < WORKS; i++) {
        struct note *n = &w->notes[i];

        *n = (struct note){.id = (int64_t)i, .ends = RC_QUOTA, .fails = i == 3 ? 9 : 0};
        works[i] = (struct work){.fn = write_row, .arg = n, .lane = (int64_t)i % 2};
    }
    EXPECT(RC_QUOTA, engine_write_all(w->engine, works, WORKS, &err));
    assert_int_equal(err.code, RC_QUOTA);
    assert_int_equal(rows(w), WORKS - 1);
    for (size_t i = 0; i < WORKS; i++) {
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(w->notes[i].pool, w->notes[j].pool); /* threads share none */
        w->notes[i].id += 100;
    }
    EXPECT(RC_OK, engine_write_all(w->engine, works, 3, &err));
    assert_int_equal(rows(w), WORKS + 2);
}

int
main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test_setup_teardown(test_one_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rerun, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_all, set_up, tear_down),
    };

    if (postgres_missing())
        return 0;
    return cmocka_run_group_tests(cases, NULL, NULL);
}
