// SPDX-License-Identifier: Apache-2.0
/* group: one thread writes; it commits all that waits in one transaction (engine.h, I1). */
#include "base/clock.h"
#include "base/crash.h"
#include "engine/parts.h"

/* Failures that concern the whole transaction, not one work of it. */
static bool
spoils_batch(enum rc rc)
{
    return rc == RC_STORAGE_FULL || rc == RC_IO || rc == RC_COMMIT_UNKNOWN;
}

/* A transaction, and how its works run in it. */
struct attempt {
    struct engine *en;
    struct work **batch;
    size_t n;
    int64_t now_ms;
    bool guarded;
    bool again; /* a work has failed that had done something: all is undone, and run guarded */
};

static struct tx
new_tx(const struct attempt *a, TALLOC_CTX *pool)
{
    return (struct tx){.conn = a->en->writer,
                       .pool = pool,
                       .now_ms = a->now_ms,
                       .audit_key = a->en->config.audit_key};
}

/* Each in a savepoint of its own. Not RC_OK: the transaction is spoilt, also for those before. */
static enum rc
run_guarded(const struct attempt *a, struct work *w)
{
    struct tx tx = new_tx(a, w->pool);

    w->rc_ = db_savepoint(tx.conn, &w->err_);
    if (w->rc_)
        return w->rc_;
    w->rc_ = w->fn(&tx, w->arg, &w->err_);
    if (spoils_batch(w->rc_))
        return w->rc_;
    if (w->rc_) {
        db_savepoint_rollback(tx.conn);
        return RC_OK;
    }
    w->rc_ = db_savepoint_release(tx.conn, &w->err_);
    return w->rc_; /* one that was not released would be committed with the others */
}

/* As it is; what fails with nothing done needs no undoing. `turn`: of its lane, or NULL. */
static enum rc
run_bare(struct attempt *a, struct work *w, struct audit_turn *turn)
{
    struct tx tx = new_tx(a, w->pool);
    int64_t before = db_conn_changes(tx.conn);

    tx.turn = turn;
    w->rc_ = w->fn(&tx, w->arg, &w->err_);
    if (spoils_batch(w->rc_))
        return w->rc_;
    a->again = w->rc_ && (tx.deferred || db_conn_changes(tx.conn) != before);
    return RC_OK;
}

static enum rc
run_work(struct attempt *a, struct work *w, struct audit_turn *turn, struct err *err)
{
    enum rc rc = a->guarded ? run_guarded(a, w) : run_bare(a, w, turn);

    CRASH_POINT("engine.after-work");
    if (rc)
        *err = w->err_;
    return rc;
}

/* The works of a lane that share a turn, from the first of them, which is at `from`. */
static enum rc
run_turn(struct attempt *a, bool *done, size_t from, struct err *err)
{
    SCOPED_POOL(pool);
    const struct engine_config *config = &a->en->config;
    int64_t lane = a->batch[from]->lane;
    struct tx turn = new_tx(a, pool);
    enum rc rc = config->enter ? config->enter(&turn, lane, false, err) : RC_OK;

    for (size_t i = from; i < a->n && !rc && !a->again; i++) {
        struct work *w = a->batch[i];

        if (done[i] || w->lane != lane || w->turn != TURN_SHARED)
            continue;
        done[i] = true;
        rc = run_work(a, w, turn.turn, err);
    }
    if (!rc && !a->again && config->leave)
        rc = config->leave(&turn, err);
    if (!rc || spoils_batch(rc))
        return rc;
    a->again = true; /* something is wrong with this lane: the others shall not suffer from it */
    return RC_OK;
}

static enum rc
run_works(struct attempt *a, struct err *err)
{
    bool done[BATCH_MAX] = {false};
    enum rc rc = RC_OK;

    for (size_t i = 0; i < a->n && !rc && !a->again; i++) {
        struct work *w = a->batch[i];

        if (done[i])
            continue;
        if (!a->guarded && w->turn == TURN_SHARED) {
            rc = run_turn(a, done, i, err);
        } else {
            done[i] = true;
            rc = run_work(a, w, NULL, err);
        }
    }
    return rc;
}

static enum rc
run_attempt(struct attempt *a, struct err *err)
{
    enum rc rc;

    CRASH_POINT("engine.before-begin");
    rc = db_begin_write(a->en->writer, err);
    if (!rc)
        rc = run_works(a, err);
    if (rc || a->again || (a->n == 1 && a->batch[0]->rc_)) {
        db_rollback(a->en->writer);
        return rc;
    }
    CRASH_POINT("engine.before-commit");
    rc = db_commit(a->en->writer, err);
    CRASH_POINT("engine.after-commit");
    if (!rc)
        metric_add(a->en->config.metrics, METRIC_COMMITS, 1);
    return rc;
}

/*
 * Runs all works in one transaction. Not RC_OK: none of them took effect, or nobody knows. A
 * savepoint costs a copy of each page that a work changes, and what a lane keeps in one row is
 * written once for all its works; hardly any work fails after it has done something. So these are
 * done without, and once more with savepoints when one did.
 */
static enum rc
run_transaction(struct engine *en, struct work **batch, size_t n, struct err *err)
{
    struct attempt a = {.en = en, .batch = batch, .n = n, .now_ms = clock_wall_ms()};
    enum rc rc = run_attempt(&a, err);

    if (rc || !a.again || (n == 1 && batch[0]->rc_))
        return rc;
    a.again = false;
    a.guarded = true;
    return run_attempt(&a, err);
}

static void
finish_work(struct work *w, enum rc rc, const struct err *err)
{
    /* a work that had failed by itself keeps its own reason */
    if (rc && (!w->rc_ || spoils_batch(w->rc_))) {
        w->rc_ = rc;
        w->err_ = *err;
    }
    if (w->done)
        w->done(w->arg, w->rc_, &w->err_);
}

/* Moves the works that free space to the front; returns how many. */
static size_t
savers_first(struct work **batch, size_t n)
{
    size_t savers = 0;

    for (size_t i = 0; i < n; i++) {
        struct work *w = batch[i];

        if (!w->frees_space)
            continue;
        memmove(batch + savers + 1, batch + savers, (i - savers) * sizeof(struct work *));
        batch[savers++] = w;
        w->rc_ = RC_OK;
    }
    return savers;
}

static void
run_batch(struct engine *en, struct work **batch, size_t n)
{
    struct err err = {0}, again = {0};
    enum rc rc = run_transaction(en, batch, n, &err), rc_again;
    struct work *also = NULL, *w;
    size_t savers = 0;

    /*
     * Another program holds the database. What came while the batch waited for it would only begin
     * to wait now, most likely in vain, and longer than its caller was promised.
     */
    if (rc == RC_BUSY)
        also = engine_take_waiting(en);

    if (rc == RC_STORAGE_FULL && en->config.relief)
        savers = savers_first(batch, n);
    if (savers > 0 && en->config.relief(en->config.relief_arg)) {
        rc_again = run_transaction(en, batch, savers, &again);
    } else {
        rc_again = rc;
        again = err;
    }
    metric_add(en->config.metrics, METRIC_WORKS, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        finish_work(batch[i], i < savers ? rc_again : rc, i < savers ? &again : &err);
    while ((w = also) != NULL) {
        also = w->next_; /* after done() the work is no longer ours */
        finish_work(w, rc, &err);
    }
    CRASH_POINT("engine.after-done");
    if (rc == RC_IO || rc == RC_COMMIT_UNKNOWN)
        engine_fail(en, &err);
    else if (rc_again == RC_IO || rc_again == RC_COMMIT_UNKNOWN)
        engine_fail(en, &again);
}

static void
empty_log(struct engine *en, struct waiter *wt)
{
    struct err err = {0};
    enum rc rc = engine_alive(en) ? db_checkpoint(en->writer, &err)
                                  : err_set(&err, RC_UNAVAILABLE, "the engine has stopped");

    if (rc == RC_IO || rc == RC_COMMIT_UNKNOWN)
        engine_fail(en, &err); /* a sync that failed would seem to succeed the next time */
    engine_waiter_done(wt, rc, &err);
}

static void *
writer_main(void *arg)
{
    struct engine *en = arg;
    struct work *batch[BATCH_MAX];
    struct waiter *empties;
    size_t n;

    for (;;) {
        pthread_mutex_lock(&en->lock);
        while (lanes_waiting(en->lanes) == 0 && !en->empties_log && !en->stopping)
            pthread_cond_wait(&en->wake, &en->lock);
        n = lanes_take(en->lanes, batch, BATCH_MAX);
        empties = en->empties_log;
        en->empties_log = NULL;
        metric_set(en->config.metrics, METRIC_WORKS_WAITING, (int64_t)lanes_waiting(en->lanes));
        pthread_mutex_unlock(&en->lock);
        if (empties)
            empty_log(en, empties);
        else if (n == 0)
            return NULL;
        if (engine_alive(en)) {
            if (n > 0)
                run_batch(en, batch, n);
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            struct err err;
            enum rc rc = err_set(&err, RC_UNAVAILABLE, "the engine has stopped");

            if (batch[i]->done)
                batch[i]->done(batch[i]->arg, rc, &err);
        }
    }
}

enum rc
group_start(struct engine *en, struct err *err)
{
    enum rc rc = db_connect(en->db, DB_WRITER, &en->writer, err);

    if (!rc && engine_start_thread(&en->thread, writer_main, en) != 0)
        rc = err_set(err, RC_INTERNAL, "cannot start the writer thread");
    if (rc)
        db_conn_free(&en->writer);
    return rc;
}

void
group_stop(struct engine *en)
{
    pthread_join(en->thread, NULL);
}
