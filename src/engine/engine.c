// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "base/crash.h"
#include "engine/lanes.h"

#define BATCH_MAX 128
#define READERS_MAX 64

struct engine {
    struct engine_config config;
    struct db *db;
    struct db_conn *writer;
    struct workers *queries;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct lanes *lanes;
    struct waiter *empties_log; /* NULL: nobody waits for that */
    bool stopping;
    bool dead;

    pthread_mutex_t readers_lock; /* guards the idle readers */
    struct db_conn *idle[READERS_MAX];
    unsigned idle_count;
};

void
engine_fail(struct engine *en, const struct err *err)
{
    bool first;

    pthread_mutex_lock(&en->lock);
    first = !en->dead;
    en->dead = true;
    pthread_mutex_unlock(&en->lock);
    if (first && en->config.fatal)
        en->config.fatal(en->config.fatal_arg, err);
}

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

/* Takes all that waits at this moment; a list by next_. */
static struct work *
take_waiting(struct engine *en)
{
    struct work *taken[BATCH_MAX], *list = NULL;
    size_t n;

    pthread_mutex_lock(&en->lock);
    while ((n = lanes_take(en->lanes, taken, BATCH_MAX)) > 0) {
        for (size_t i = 0; i < n; i++) {
            taken[i]->next_ = list;
            list = taken[i];
        }
    }
    pthread_mutex_unlock(&en->lock);
    return list;
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
        also = take_waiting(en);

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

/* A caller that waits for the writer. */
struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
    enum rc rc;
    struct err err;
    enum rc (*fn)(struct tx *tx, void *arg, struct err *err);
    void *arg;
};

static void
waiter_done(void *arg, enum rc rc, const struct err *err)
{
    struct waiter *wt = arg;

    pthread_mutex_lock(&wt->lock);
    wt->rc = rc;
    if (rc)
        wt->err = *err;
    wt->is_done = true;
    pthread_cond_signal(&wt->done);
    pthread_mutex_unlock(&wt->lock);
}

static void
waiter_wait(struct waiter *wt)
{
    pthread_mutex_lock(&wt->lock);
    while (!wt->is_done)
        pthread_cond_wait(&wt->done, &wt->lock);
    pthread_mutex_unlock(&wt->lock);
    pthread_mutex_destroy(&wt->lock);
    pthread_cond_destroy(&wt->done);
}

static void
empty_log(struct engine *en, struct waiter *wt)
{
    struct err err = {0};
    enum rc rc = engine_alive(en) ? db_checkpoint(en->writer, &err)
                                  : err_set(&err, RC_UNAVAILABLE, "the engine has stopped");

    if (rc == RC_IO || rc == RC_COMMIT_UNKNOWN)
        engine_fail(en, &err); /* a sync that failed would seem to succeed the next time */
    waiter_done(wt, rc, &err);
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

/* Starts a thread that leaves all signals to the main thread. */
static int
start_thread(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    sigset_t all, old;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failed = pthread_create(thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

enum rc
engine_open(struct db *db, const struct engine_config *config, struct engine **ret, struct err *err)
{
    struct engine *en = MEM_NEW(NULL, struct engine);
    enum rc rc;

    en->config = *config;
    en->db = db;
    pthread_mutex_init(&en->lock, NULL);
    pthread_mutex_init(&en->readers_lock, NULL);
    pthread_cond_init(&en->wake, NULL);
    en->lanes = lanes_new(config->lane_max);
    rc = db_connect(db, DB_WRITER, &en->writer, err);
    if (!rc)
        rc = workers_new("query", config->query_threads, 4096, &en->queries, err);
    if (!rc && start_thread(&en->thread, writer_main, en) != 0)
        rc = err_set(err, RC_INTERNAL, "cannot start the writer thread");
    if (rc) {
        workers_free(&en->queries);
        db_conn_free(&en->writer);
        lanes_free(&en->lanes);
        (void)talloc_free(en);
        return rc;
    }
    *ret = en;
    return RC_OK;
}

void
engine_free(struct engine **ret)
{
    struct engine *en = *ret;

    if (!en)
        return;
    workers_free(&en->queries);
    pthread_mutex_lock(&en->lock);
    en->stopping = true;
    pthread_cond_signal(&en->wake);
    pthread_mutex_unlock(&en->lock);
    pthread_join(en->thread, NULL);
    for (unsigned i = 0; i < en->idle_count; i++)
        db_conn_free(&en->idle[i]);
    db_conn_free(&en->writer); /* last, so that its close moves the log into the database */
    lanes_free(&en->lanes);
    pthread_mutex_destroy(&en->lock);
    pthread_mutex_destroy(&en->readers_lock);
    pthread_cond_destroy(&en->wake);
    (void)talloc_free(en);
    *ret = NULL;
}

bool
engine_alive(struct engine *en)
{
    bool alive;

    pthread_mutex_lock(&en->lock);
    alive = !en->dead;
    pthread_mutex_unlock(&en->lock);
    return alive;
}

enum rc
engine_submit(struct engine *en, struct work *work, struct err *err)
{
    enum rc rc = RC_OK;

    work->rc_ = RC_OK;
    pthread_mutex_lock(&en->lock);
    if (en->dead || en->stopping)
        rc = err_set(err, RC_UNAVAILABLE, "the engine has stopped");
    else if (!lanes_put(en->lanes, work))
        rc = err_set(err, RC_UNAVAILABLE, "the workspace's queue is full");
    else if (lanes_waiting(en->lanes) == 1)
        pthread_cond_signal(&en->wake);
    pthread_mutex_unlock(&en->lock);
    if (rc)
        metric_add(en->config.metrics, METRIC_WORKS_REFUSED, 1);
    return rc;
}

static enum rc
reader_take(struct engine *en, struct db_conn **ret, struct err *err)
{
    struct db_conn *conn = NULL;

    pthread_mutex_lock(&en->readers_lock);
    if (en->idle_count > 0)
        conn = en->idle[--en->idle_count];
    pthread_mutex_unlock(&en->readers_lock);
    if (!conn)
        return db_connect(en->db, DB_READER, ret, err);
    *ret = conn;
    return RC_OK;
}

static void
reader_give(struct engine *en, struct db_conn *conn)
{
    db_conn_deadline(conn, 0);
    pthread_mutex_lock(&en->readers_lock);
    if (en->idle_count < READERS_MAX) {
        en->idle[en->idle_count++] = conn;
        conn = NULL;
    }
    pthread_mutex_unlock(&en->readers_lock);
    db_conn_free(&conn);
}

static enum rc
read_with_limit(struct engine *en, TALLOC_CTX *pool, int64_t limit_ms,
                enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg,
                struct err *err)
{
    struct tx tx = {.pool = pool, .now_ms = clock_wall_ms(), .audit_key = en->config.audit_key};
    enum rc rc;

    rc = reader_take(en, &tx.conn, err);
    if (rc)
        return rc;
    if (limit_ms)
        db_conn_deadline(tx.conn, clock_mono_ms() + limit_ms);
    rc = db_begin_read(tx.conn, err);
    if (!rc)
        rc = fn(&tx, arg, err);
    db_rollback(tx.conn); /* nothing was written: this only ends the snapshot */
    reader_give(en, tx.conn);
    return rc;
}

enum rc
engine_read(struct engine *en, TALLOC_CTX *pool,
            enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg, struct err *err)
{
    return read_with_limit(en, pool, 0, fn, arg, err);
}

static void
run_query(void *arg)
{
    struct work *w = arg;
    struct engine *en = w->engine_;

    w->rc_ = read_with_limit(en, w->pool, en->config.query_limit_ms, w->fn, w->arg, &w->err_);
    if (w->done)
        w->done(w->arg, w->rc_, &w->err_);
}

enum rc
engine_query(struct engine *en, struct work *work, struct err *err)
{
    work->engine_ = en;
    work->job_ = (struct job){.fn = run_query, .arg = work};
    return workers_submit(en->queries, &work->job_, err);
}

static enum rc
waiter_fn(struct tx *tx, void *arg, struct err *err)
{
    struct waiter *wt = arg;

    return wt->fn(tx, wt->arg, err);
}

enum rc
engine_write(struct engine *en, int64_t lane, TALLOC_CTX *pool,
             enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg, struct err *err)
{
    struct waiter wt = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .fn = fn, .arg = arg};
    struct work w = {.fn = waiter_fn, .done = waiter_done, .arg = &wt, .lane = lane, .pool = pool};
    enum rc rc;

    rc = engine_submit(en, &w, err);
    if (rc)
        return rc;
    waiter_wait(&wt);
    if (wt.rc)
        *err = wt.err;
    return wt.rc;
}

static void
ask_to_empty_log(struct engine *en, struct waiter *wt)
{
    pthread_mutex_lock(&en->lock);
    BUG_ON(en->empties_log || en->stopping);
    en->empties_log = wt;
    pthread_cond_signal(&en->wake);
    pthread_mutex_unlock(&en->lock);
}

enum rc
engine_empty_log(struct engine *en, struct err *err)
{
    struct waiter wt = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

    ask_to_empty_log(en, &wt);
    waiter_wait(&wt);
    if (wt.rc)
        *err = wt.err;
    return wt.rc;
}
