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

/* Not RC_OK: the transaction is spoilt, also for the works before. */
static enum rc
run_work(struct engine *en, struct work *w, bool alone, int64_t now_ms)
{
    struct tx tx = {
        .conn = en->writer, .pool = w->pool, .now_ms = now_ms, .audit_key = en->config.audit_key};

    w->rc_ = alone ? RC_OK : db_savepoint(en->writer, &w->err_);
    if (w->rc_)
        return w->rc_;
    w->rc_ = w->fn(&tx, w->arg, &w->err_);
    if (spoils_batch(w->rc_))
        return w->rc_;
    if (alone)
        return RC_OK;
    if (w->rc_) {
        db_savepoint_rollback(en->writer);
        return RC_OK;
    }
    w->rc_ = db_savepoint_release(en->writer, &w->err_);
    CRASH_POINT("engine.after-savepoint");
    return w->rc_; /* one that was not released would be committed with the others */
}

/* Runs all works in one transaction. Not RC_OK: none of them took effect, or nobody knows. */
static enum rc
run_transaction(struct engine *en, struct work **batch, size_t n, struct err *err)
{
    int64_t now_ms = clock_wall_ms();
    enum rc rc;

    CRASH_POINT("engine.before-begin");
    rc = db_begin_write(en->writer, err);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = run_work(en, batch[i], n == 1, now_ms);
        if (rc)
            *err = batch[i]->err_;
    }
    if (rc || (n == 1 && batch[0]->rc_)) {
        db_rollback(en->writer);
        return rc;
    }
    CRASH_POINT("engine.before-commit");
    rc = db_commit(en->writer, err);
    CRASH_POINT("engine.after-commit");
    if (!rc)
        metric_add(en->config.metrics, METRIC_COMMITS, 1);
    return rc;
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
