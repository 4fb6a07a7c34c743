// SPDX-License-Identifier: Apache-2.0
/*
 * pool: many threads write, one connection each, for a database that lets transactions run side by
 * side (engine.h, I1 and I5).
 *
 * A transaction holds works of one lane only, so it touches one shard of a database that is spread.
 * There are no savepoints: when one work of a batch fails, all are undone and run again one by one.
 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "engine/parts.h"

#define POOL_BATCH 16
#define PATIENCE_MS 1500 /* for a database that is away: callers are told within two seconds */
#define CONFIRM_MS 6000  /* for the outcome of a commit: that of a good one is worth waiting for */
#define RERUNS_MAX 16
#define PROBE_MS 200
#define PAUSE_MS 40 /* the longest between two tries */

struct pool_writer {
    struct engine *en;
    struct db_conn *conn;
    pthread_t thread;
    unsigned slot;
};

struct pool {
    unsigned n;
    unsigned idle; /* how many wait for work; guarded by the engine's lock */
    struct pool_writer writers[];
};

/* A try to run a batch. */
struct attempt {
    struct work **batch;
    size_t n;
    struct tx tx;
    struct tx_mark mark;
    bool elsewhere; /* UNAVAILABLE is something that a work has asked, and not the database */
};

/* Failures that say nothing about the works: others came first, or the database is away. */
static bool
may_pass(const struct attempt *a, enum rc rc)
{
    return rc == RC_RERUN || (rc == RC_UNAVAILABLE && !a->elsewhere);
}

static void
pause_a_little(unsigned tries)
{
    uint32_t r;
    unsigned most = tries < 6 ? 1u << tries : PAUSE_MS;

    rand_bytes(&r, sizeof(r));
    (void)usleep(1000 * (r % (most < PAUSE_MS ? most : PAUSE_MS) + 1));
}

static enum rc
run_works(struct attempt *a, struct err *err)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < a->n && !rc; i++) {
        struct work *w = a->batch[i];
        struct tx tx = a->tx;

        tx.pool = w->pool;
        rc = w->fn(&tx, w->arg, err);
    }
    return rc;
}

/* One transaction. Not RC_OK: it was undone, or (COMMIT_UNKNOWN) nobody knows. */
static enum rc
run_attempt(struct pool_writer *pw, struct attempt *a, struct err *err)
{
    SCOPED_POOL(pool);
    struct engine_config *config = &pw->en->config;
    enum work_turn turn = a->batch[0]->turn;
    bool enters = turn != TURN_NONE && config->enter;
    enum rc rc;

    a->mark = (struct tx_mark){0};
    a->elsewhere = false;
    a->tx = (struct tx){.conn = pw->conn,
                        .pool = pool,
                        .now_ms = clock_wall_ms(),
                        .audit_key = config->audit_key,
                        .slot = pw->slot,
                        .mark = &a->mark};
    rc = db_begin_write(pw->conn, err);
    if (!rc && enters)
        rc = config->enter(&a->tx, a->batch[0]->lane, turn == TURN_SOLE, err);
    if (!rc) {
        rc = run_works(a, err);
        a->elsewhere = rc == RC_UNAVAILABLE && engine_answers(pw->conn);
    }
    if (!rc && enters)
        rc = config->leave(&a->tx, err);
    if (!rc)
        rc = db_commit(pw->conn, err);
    else
        db_rollback(pw->conn);
    return rc;
}

/*
 * After a commit of unknown outcome. RC_OK: *ret tells. What is found may be on this server only if
 * the wait for its standby was ended or it crashed meanwhile. So a commit comes behind it, which
 * waits for the standby in its turn: the lock that confirm() takes is a change to the server.
 */
static enum rc
confirm_once(struct pool_writer *pw, const struct tx_mark *mark, bool *ret, struct err *err)
{
    SCOPED_POOL(pool);
    struct engine_config *config = &pw->en->config;
    struct tx tx = {
        .conn = pw->conn, .pool = pool, .now_ms = clock_wall_ms(), .audit_key = config->audit_key};
    enum rc rc = db_begin_write(pw->conn, err);

    if (rc)
        return rc;
    rc = config->confirm(&tx, mark, ret, err);
    if (!rc && *ret)
        return db_commit(pw->conn, err);
    db_rollback(pw->conn);
    return rc;
}

/* RC_OK: it was committed. UNAVAILABLE: it was not. OUTCOME_UNKNOWN: the database does not say. */
static enum rc
confirm(struct pool_writer *pw, const struct tx_mark *mark, struct err *err)
{
    int64_t until = clock_mono_ms() + CONFIRM_MS;
    struct err why = {0};
    bool committed = false;

    if (!mark->set || !pw->en->config.confirm)
        return err_set(err, RC_OUTCOME_UNKNOWN, "the connection broke during COMMIT");
    for (unsigned tries = 0; clock_mono_ms() < until; tries++) {
        if (confirm_once(pw, mark, &committed, &why) == RC_OK)
            return committed ? RC_OK : err_set(err, RC_UNAVAILABLE, "undone by a lost connection");
        pause_a_little(tries + 4);
    }
    return err_set(err, RC_OUTCOME_UNKNOWN, "the connection broke during COMMIT; then: %.160s",
                   why.detail);
}

/* Tries until it is committed, a work fails by itself, or patience ends. */
static enum rc
run_until_done(struct pool_writer *pw, struct attempt *a, struct err *err)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    enum rc rc;

    for (unsigned tries = 0;; tries++) {
        rc = run_attempt(pw, a, err);
        if (rc == RC_COMMIT_UNKNOWN)
            rc = confirm(pw, &a->mark, err);
        if (!rc)
            metric_add(pw->en->config.metrics, METRIC_COMMITS, 1);
        if (!may_pass(a, rc) || clock_mono_ms() > until || tries == RERUNS_MAX)
            return rc;
        if (rc == RC_RERUN)
            metric_add(pw->en->config.metrics, METRIC_RERUNS, 1);
        if (rc == RC_RERUN && a->n > 1)
            return rc; /* one by one they are less in the way of others */
        pause_a_little(tries);
    }
}

static void
finish(struct work *w, enum rc rc, const struct err *err)
{
    w->rc_ = rc;
    if (rc)
        w->err_ = *err;
    if (w->done)
        w->done(w->arg, rc, &w->err_);
}

/* What waits would only wait for the same, and longer than its callers were promised. */
static void
refuse_waiting(struct engine *en, const struct err *err)
{
    struct work *w, *list = engine_take_waiting(en);
    struct err mine = *err;

    mine.code = RC_UNAVAILABLE;
    while ((w = list) != NULL) {
        list = w->next_; /* after done() the work is no longer ours */
        finish(w, RC_UNAVAILABLE, &mine);
    }
}

static bool
is_away(const struct attempt *a, enum rc rc)
{
    return (rc == RC_UNAVAILABLE && !a->elsewhere) || rc == RC_OUTCOME_UNKNOWN;
}

static bool
answers(struct pool_writer *pw)
{
    struct err err;
    enum rc rc = db_begin_write(pw->conn, &err);

    if (!rc)
        rc = db_verify(pw->conn, false, &err);
    db_rollback(pw->conn);
    return rc != RC_UNAVAILABLE;
}

static void
run_batch(struct pool_writer *pw, struct work **batch, size_t n)
{
    struct attempt a = {.batch = batch, .n = n};
    struct err err = {0};
    enum rc rc = run_until_done(pw, &a, &err);
    bool away = is_away(&a, rc);

    if (rc && !away && n > 1) {
        for (size_t i = 0; i < n; i++)
            run_batch(pw, &batch[i], 1);
        return;
    }
    if (rc && !away && batch[0]->twice) {
        rc = run_until_done(pw, &a, &err);
        away = is_away(&a, rc);
    }
    /* what waits for a standby in vain is no reason to refuse reads as well */
    engine_note(pw->en, away && !(rc == RC_OUTCOME_UNKNOWN && answers(pw)));
    for (size_t i = 0; i < n; i++)
        finish(batch[i], rc, &err);
    metric_add(pw->en->config.metrics, METRIC_WORKS, (int64_t)n);
    if (away)
        refuse_waiting(pw->en, &err);
}

/* Asks the database whether it is back, so that it is known before the next request comes. */
static void
probe(struct pool_writer *pw)
{
    engine_note(pw->en, !answers(pw));
}

/* With the lock held: until there is work, or it is time to probe. False: to the latter. */
static bool
wait_for_work(struct pool_writer *pw)
{
    struct engine *en = pw->en;
    bool first = pw == en->pool->writers;
    struct timespec until;

    while (!lanes_ready(en->lanes) && !en->stopping) {
        if (!first) {
            pthread_cond_wait(&en->wake, &en->lock);
            continue;
        }
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PROBE_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&en->wake, &en->lock, &until) == ETIMEDOUT && engine_is_away(en))
            return false;
    }
    return true;
}

static void
release(struct engine *en, int64_t lane)
{
    pthread_mutex_lock(&en->lock);
    lanes_release(en->lanes, lane);
    pthread_cond_signal(&en->wake);
    pthread_mutex_unlock(&en->lock);
}

static void *
writer_main(void *arg)
{
    struct pool_writer *pw = arg;
    struct engine *en = pw->en;
    struct work *batch[POOL_BATCH];
    size_t n;

    for (;;) {
        int64_t lane;
        bool work, sole;

        pthread_mutex_lock(&en->lock);
        en->pool->idle++;
        work = wait_for_work(pw);
        en->pool->idle--;
        /* a share is left to each who could begin at once: those who are busy come too late */
        n = lanes_take_one(en->lanes, batch, POOL_BATCH, en->pool->idle + 1);
        metric_set(en->config.metrics, METRIC_WORKS_WAITING, (int64_t)lanes_waiting(en->lanes));
        pthread_mutex_unlock(&en->lock);
        if (!work)
            probe(pw);
        else if (n == 0)
            return NULL;
        if (n == 0)
            continue;
        sole = batch[0]->turn == TURN_SOLE; /* afterwards the work is no longer ours */
        lane = batch[0]->lane;
        run_batch(pw, batch, n);
        if (sole)
            release(en, lane);
    }
}

static enum rc
start_writer(struct pool_writer *pw, struct err *err)
{
    enum rc rc = db_connect(pw->en->db, DB_WRITER, &pw->conn, err);

    if (!rc && engine_start_thread(&pw->thread, writer_main, pw) != 0)
        rc = err_set(err, RC_INTERNAL, "cannot start a writer thread");
    if (rc)
        db_conn_free(&pw->conn);
    return rc;
}

enum rc
pool_start(struct engine *en, struct err *err)
{
    unsigned n = en->config.writers;
    struct pool *pool = talloc_zero_size(en, sizeof(*pool) + n * sizeof(pool->writers[0]));
    unsigned first;
    enum rc rc = RC_OK;

    BUG_ON(!pool || n == 0);
    /* apart from those of other nodes, most likely */
    rand_bytes(&first, sizeof(first));
    en->pool = pool;
    for (unsigned i = 0; i < n && !rc; i++) {
        pool->writers[i].en = en;
        pool->writers[i].slot = (first % 4096) + i;
        pthread_mutex_lock(&en->lock);
        pool->n = i + 1;
        pthread_mutex_unlock(&en->lock);
        rc = start_writer(&pool->writers[i], err);
    }
    if (rc) {
        pool->n--;
        pthread_mutex_lock(&en->lock);
        en->stopping = true;
        pthread_cond_broadcast(&en->wake);
        pthread_mutex_unlock(&en->lock);
        pool_stop(en);
    }
    return rc;
}

void
pool_stop(struct engine *en)
{
    for (unsigned i = 0; i < en->pool->n; i++) {
        pthread_join(en->pool->writers[i].thread, NULL);
        db_conn_free(&en->pool->writers[i].conn);
    }
}
