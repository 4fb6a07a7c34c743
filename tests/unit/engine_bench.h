// SPDX-License-Identifier: Apache-2.0
/*
 * An engine on a database of its own, and works for it of which a case decides how they end.
 *
 * A `gate` work holds the writer inside a transaction, so that a case decides what the next batch
 * is made of.
 */
#ifndef TESTS_UNIT_ENGINE_BENCH_H
#define TESTS_UNIT_ENGINE_BENCH_H
#include "support.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#define LANE 7
#define WORKS_MAX 400

static const struct sql make_note =
    SQL("CREATE TABLE note (text TEXT PRIMARY KEY, number INTEGER NOT NULL)");
static const struct sql add_note = SQL("INSERT INTO note (text, number) VALUES ($1, $2)");
static const struct sql count_notes = SQL("SELECT count(*) FROM note WHERE text LIKE $1");
/* Far longer than any deadline, whatever the machine. */
static const struct sql endless =
    SQL("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)"
        " SELECT count(*) FROM n");

struct bench;

/* One work of a case: what it writes, how it ends, and what was answered. */
struct note {
    struct work work;
    struct bench *bench;
    char text[24];
    enum rc ends; /* what fn returns, after it wrote */
    bool dry;     /* it writes nothing */
    atomic_int ran;
    atomic_int done;
    enum rc rc;
    int order;       /* in which it was run */
    int64_t visible; /* what a reader saw of it from within done() */
};

struct bench {
    struct house *house;
    struct engine *engine;
    sem_t entered, leave; /* of the gate */
    atomic_int sequence;
    atomic_int finished;
    atomic_int fatal;
    bool look; /* read from within done() */
    enum work_turn turn;
    struct note notes[WORKS_MAX];
};

static enum rc
write_note(struct tx *tx, void *arg, struct err *err)
{
    struct note *n = arg;
    enum rc rc = RC_OK;

    atomic_fetch_add(&n->ran, 1);
    n->order = atomic_fetch_add(&n->bench->sequence, 1);
    if (!n->dry)
        rc = db_exec(tx->conn, &add_note, DB_ARGS(db_text(n->text), db_int(n->order)), NULL, err);
    if (!rc && n->ends)
        rc = err_set(err, n->ends, "on cue");
    return rc;
}

struct count {
    const char *pattern;
    int64_t n;
};

static enum rc
count_fn(struct tx *tx, void *arg, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct count *count = arg;
    enum rc rc = db_query_one(tx->conn, &count_notes, DB_ARGS(db_text(count->pattern)), &c, err);

    if (!rc)
        count->n = db_col_int(c, 0);
    return rc;
}

static int64_t
notes_like(struct engine *en, const char *pattern)
{
    SCOPED_POOL(pool);
    struct count count = {.pattern = pattern, .n = -1};
    struct err err;

    EXPECT(RC_OK, engine_read(en, pool, count_fn, &count, &err));
    return count.n;
}

static void
note_done(void *arg, enum rc rc, const struct err *err)
{
    struct note *n = arg;

    n->rc = rc;
    if (rc && err->code != rc)
        n->rc = RC_MAX_;
    if (n->bench->look)
        n->visible = notes_like(n->bench->engine, n->text);
    atomic_fetch_add(&n->done, 1);
    atomic_fetch_add(&n->bench->finished, 1);
}

static enum rc
gate_fn(struct tx *tx, void *arg, struct err *err)
{
    struct bench *b = arg;

    (void)tx;
    (void)err;
    (void)sem_post(&b->entered);
    (void)sem_wait(&b->leave);
    return RC_OK;
}

static void
on_fatal(void *arg, const struct err *err)
{
    struct bench *b = arg;

    if (err->code == RC_IO)
        atomic_fetch_add(&b->fatal, 1);
}

static enum rc
make_table(struct tx *tx, void *arg, struct err *err)
{
    (void)arg;
    return db_exec(tx->conn, &make_note, DB_NO_ARGS, NULL, err);
}

static struct bench *
bench_new(struct engine_config config)
{
    struct bench *b = MEM_NEW(NULL, struct bench);
    struct err err;

    config.fatal = on_fatal;
    config.fatal_arg = b;
    b->house = house_new(config);
    b->engine = b->house->app.engine;
    (void)sem_init(&b->entered, 0, 0);
    (void)sem_init(&b->leave, 0, 0);
    EXPECT(RC_OK, engine_write(b->engine, LANE, b->house->pool, make_table, NULL, &err));
    return b;
}

static void
bench_free(struct bench **b)
{
    if (!*b)
        return;
    house_free(&(*b)->house);
    (void)sem_destroy(&(*b)->entered);
    (void)sem_destroy(&(*b)->leave);
    (void)talloc_free(*b);
    *b = NULL;
}

/* The writer stands in a transaction until gate_open(). */
static void
gate_close(struct bench *b, struct work *gate)
{
    struct err err;

    *gate = (struct work){.fn = gate_fn, .arg = b, .lane = LANE, .pool = b->house->pool};
    EXPECT(RC_OK, engine_submit(b->engine, gate, &err));
    (void)sem_wait(&b->entered);
}

static void
gate_open(struct bench *b)
{
    (void)sem_post(&b->leave);
}

static enum rc
submit(struct bench *b, size_t i, int64_t lane, enum rc ends)
{
    struct note *n = &b->notes[i];
    struct err err;

    (void)snprintf(n->text, sizeof(n->text), "note %zu.", i);
    n->bench = b;
    n->ends = ends;
    n->visible = -1;
    n->work = (struct work){
        .fn = write_note, .done = note_done, .arg = n, .lane = lane, .pool = b->house->pool};
    n->work.turn = b->turn;
    return engine_submit(b->engine, &n->work, &err);
}

static void
wait_for(atomic_int *counter, int n)
{
    for (int i = 0; i < 30000 && atomic_load(counter) < n; i++)
        (void)usleep(1000);
    assert_int_equal(atomic_load(counter), n);
}

static int64_t
metric(struct bench *b, enum metric which)
{
    return atomic_load(&b->house->app.metrics.value[which]);
}

#endif
