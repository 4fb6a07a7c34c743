// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <signal.h>

#include "base/clock.h"
#include "engine/parts.h"

#define READS_WAITING 4096
#define AGAIN_MS 1000 /* a read that has failed within is worth a second try */

bool
engine_is_shared(const struct engine *en)
{
    return (db_caps(en->db) & DB_MANY_WRITERS) != 0;
}

bool
engine_is_away(const struct engine *en)
{
    return atomic_load(&en->away);
}

void
engine_note(struct engine *en, bool away)
{
    atomic_store(&en->away, away);
}

bool
engine_answers(struct db_conn *conn)
{
    struct err ignored;

    return db_verify(conn, false, &ignored) != RC_UNAVAILABLE;
}

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

struct work *
engine_take_waiting(struct engine *en)
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

void
engine_waiter_done(void *arg, enum rc rc, const struct err *err)
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

int
engine_start_thread(pthread_t *thread, void *(*fn)(void *), void *arg)
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
    rc = workers_new("query", config->query_threads, READS_WAITING, &en->queries, err);
    if (!rc)
        workers_stand_back(en->queries); /* many lists at once do not hold up point reads */
    if (!rc && !engine_reads_here(en))
        rc = workers_new("point", config->point_threads, READS_WAITING, &en->points, err);
    if (!rc)
        rc = engine_is_shared(en) ? pool_start(en, err) : group_start(en, err);
    if (rc) {
        workers_free(&en->queries);
        workers_free(&en->points);
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
    workers_free(&en->points);
    workers_free(&en->queries);
    pthread_mutex_lock(&en->lock);
    en->stopping = true;
    pthread_cond_broadcast(&en->wake);
    pthread_mutex_unlock(&en->lock);
    if (en->pool)
        pool_stop(en);
    else
        group_stop(en);
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
    else if (en->pool || lanes_waiting(en->lanes) == 1)
        pthread_cond_signal(&en->wake);
    pthread_mutex_unlock(&en->lock);
    if (rc)
        metric_add(en->config.metrics, METRIC_WORKS_REFUSED, 1);
    return rc;
}

bool
engine_reads_here(const struct engine *en)
{
    return (db_caps(en->db) & DB_EMBEDDED) != 0;
}

enum rc
engine_elsewhere(struct engine *en, struct job *job, struct err *err)
{
    return workers_submit(en->points ? en->points : en->queries, job, err);
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

/* *ret_away: the database is. What a work has found unavailable may be the store of bytes. */
static enum rc
read_once(struct engine *en, TALLOC_CTX *pool, int64_t limit_ms,
          enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg, bool *ret_away,
          struct err *err)
{
    struct tx tx = {.pool = pool, .now_ms = clock_wall_ms(), .audit_key = en->config.audit_key};
    enum rc rc;

    rc = reader_take(en, &tx.conn, err);
    *ret_away = rc == RC_UNAVAILABLE;
    if (rc)
        return rc;
    if (limit_ms)
        db_conn_deadline(tx.conn, clock_mono_ms() + limit_ms);
    rc = db_begin_read(tx.conn, err);
    *ret_away = rc == RC_UNAVAILABLE;
    if (!rc) {
        rc = fn(&tx, arg, err);
        *ret_away = rc == RC_UNAVAILABLE && !engine_answers(tx.conn);
    }
    db_rollback(tx.conn); /* nothing was written: this only ends the snapshot */
    reader_give(en, tx.conn);
    return rc;
}

/* A server may have ended the connection while it was idle, or may be about to be another one. */
static enum rc
read_with_limit(struct engine *en, TALLOC_CTX *pool, int64_t limit_ms,
                enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg,
                struct err *err)
{
    int64_t began = clock_mono_ms();
    bool away;
    enum rc rc = read_once(en, pool, limit_ms, fn, arg, &away, err);

    if (!engine_is_shared(en))
        return rc;
    if ((away || rc == RC_RERUN) && clock_mono_ms() - began < AGAIN_MS)
        rc = read_once(en, pool, limit_ms, fn, arg, &away, err);
    engine_note(en, away);
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

/* A work that is waited for. */
struct awaited {
    struct work work;
    struct waiter waiter;
};

static enum rc
awaited_submit(struct engine *en, struct awaited *a, const struct work *like, struct err *err)
{
    a->waiter = (struct waiter){.lock = PTHREAD_MUTEX_INITIALIZER,
                                .done = PTHREAD_COND_INITIALIZER,
                                .fn = like->fn,
                                .arg = like->arg};
    a->work = *like;
    a->work.fn = waiter_fn;
    a->work.done = engine_waiter_done;
    a->work.arg = &a->waiter;
    return engine_submit(en, &a->work, err);
}

static enum rc
awaited_wait(struct awaited *a, struct err *err)
{
    waiter_wait(&a->waiter);
    if (a->waiter.rc)
        *err = a->waiter.err;
    return a->waiter.rc;
}

static enum rc
write_and_wait(struct engine *en, const struct work *like, struct err *err)
{
    struct awaited a;
    enum rc rc = awaited_submit(en, &a, like, err);

    return rc ? rc : awaited_wait(&a, err);
}

enum rc
engine_write(struct engine *en, int64_t lane, TALLOC_CTX *pool,
             enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg, struct err *err)
{
    struct work like = {.fn = fn, .arg = arg, .lane = lane, .pool = pool};

    return write_and_wait(en, &like, err);
}

enum rc
engine_write_all(struct engine *en, const struct work *works, size_t n, struct err *err)
{
    SCOPED_POOL(pool);
    struct awaited *all = MEM_ARRAY(pool, struct awaited, n);
    enum rc first = RC_OK;
    size_t submitted = 0;
    struct err mine;

    for (; submitted < n && !first; submitted += !first) {
        struct work like = works[submitted];

        like.pool = base_pool_new(NULL);
        first = awaited_submit(en, &all[submitted], &like, err);
        if (first)
            base_pool_free(&like.pool);
    }
    for (size_t i = 0; i < submitted; i++) {
        enum rc rc = awaited_wait(&all[i], &mine);

        base_pool_free(&all[i].work.pool);
        if (rc && !first) {
            first = rc;
            *err = mine;
        }
    }
    return first;
}

enum rc
engine_write_sole(struct engine *en, int64_t lane, TALLOC_CTX *pool,
                  enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg,
                  struct err *err)
{
    struct work like = {.fn = fn, .arg = arg, .lane = lane, .turn = TURN_SOLE, .pool = pool};

    return write_and_wait(en, &like, err);
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

    if (engine_is_shared(en))
        return RC_OK; /* the server looks after its log itself */
    ask_to_empty_log(en, &wt);
    waiter_wait(&wt);
    if (wt.rc)
        *err = wt.err;
    return wt.rc;
}
