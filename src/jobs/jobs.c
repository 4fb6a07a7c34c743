// SPDX-License-Identifier: Apache-2.0
#include "jobs/jobs.h"

#include <errno.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "jobs/job.h"
#include "store/lease.h"

#define LEASE_MS 30000 /* after a node has died, another does its work */

static const struct job_kind *const kinds[JOBS_KINDS] = {
    &job_purge, &job_expiry, &job_sweep, &job_retention, &job_budgets, &job_heads, &job_digest,
};

static struct metrics *
metrics_of(struct jobs *jobs)
{
    return &jobs->service->app->metrics;
}

bool
jobs_stopping(struct jobs *jobs)
{
    bool stopping;

    pthread_mutex_lock(&jobs->lock);
    stopping = jobs->stopping;
    pthread_mutex_unlock(&jobs->lock);
    return stopping;
}

void
job_backlog(struct jobs *jobs, const struct job_kind *kind, int64_t left, int64_t waited_ms)
{
    metric_set(metrics_of(jobs), kind->backlog, left);
    metric_set(metrics_of(jobs), kind->oldest, left > 0 && waited_ms > 0 ? waited_ms / 1000 : 0);
}

int64_t
job_older_than(int64_t age_ms)
{
    return clock_wall_ms() - age_ms - clock_lead_ms(age_ms);
}

void
jobs_note_fatal(struct jobs *jobs, enum rc rc, const struct err *err)
{
    if (rc != RC_COMMIT_UNKNOWN)
        return;
    atomic_store(&jobs->service->ready, READY_BROKEN);
    engine_fail(jobs->service->app->engine, err);
}

/* False once the store of rows or of bytes has failed for good: only a restart helps then. */
static bool
can_work(struct jobs *jobs)
{
    return engine_alive(jobs->service->app->engine) &&
           atomic_load(&jobs->service->ready) != READY_BROKEN;
}

static void
note_failure(struct jobs *jobs, const char *name, const struct err *err)
{
    metric_add(metrics_of(jobs), METRIC_JOB_FAILURES, 1);
    if (atomic_load(&jobs->service->ready) == READY_BROKEN)
        log_error("job %s: the blob store has failed, restart needed: %s", name, err->detail);
    else
        log_warn("job %s: %s: %s", name, rc_info(err->code)->name, err->detail);
}

/* A lease on the work of a kind, while it runs. */
struct hold {
    struct jobs *jobs;
    const struct job_kind *kind;
    bool got;
};

static enum rc
take_fn(struct tx *tx, void *arg, struct err *err)
{
    struct hold *h = arg;

    return lease_take(tx, h->kind->name, &h->jobs->started, LEASE_MS, &h->got, err);
}

static enum rc
drop_fn(struct tx *tx, void *arg, struct err *err)
{
    struct hold *h = arg;

    return lease_drop(tx, h->kind->name, &h->jobs->started, err);
}

/* Whether this node is the one to do it now. */
static enum rc
take(struct jobs *jobs, const struct job_kind *kind, bool *ret, struct err *err)
{
    SCOPED_POOL(pool);
    struct hold h = {.jobs = jobs, .kind = kind, .got = true};
    enum rc rc = RC_OK;

    if (!kind->everywhere && engine_is_shared(jobs->service->app->engine))
        rc = engine_write(jobs->service->app->engine, 0, pool, take_fn, &h, err);
    *ret = !rc && h.got;
    return rc;
}

/* One that cannot be given up ends by itself. */
static void
drop(struct jobs *jobs, const struct job_kind *kind)
{
    SCOPED_POOL(pool);
    struct hold h = {.jobs = jobs, .kind = kind};
    struct err err;

    if (!kind->everywhere && engine_is_shared(jobs->service->app->engine))
        (void)!engine_write(jobs->service->app->engine, 0, pool, drop_fn, &h, &err);
}

static struct job_turn *
turn_of(struct jobs *jobs, const struct job_kind *kind)
{
    size_t i = 0;

    while (kinds[i] != kind)
        BUG_ON(++i == JOBS_KINDS);
    return &jobs->turns[i];
}

/* A lease that is lost meanwhile does no harm: what is done twice has one effect. */
void
jobs_renew(struct jobs *jobs)
{
    int64_t now = clock_mono_ms();

    for (size_t i = 0; i < JOBS_KINDS; i++) {
        struct job_turn *turn = &jobs->turns[i];
        struct err err;
        bool ours;

        if (!turn->taken_mono_ms || now - turn->taken_mono_ms < LEASE_MS / 3)
            continue;
        turn->taken_mono_ms = now;
        (void)!take(jobs, kinds[i], &ours, &err);
    }
}

static void
run_kind(struct jobs *jobs, const struct job_kind *kind)
{
    struct err err = {0};
    bool ours = false;
    enum rc rc;

    if (!can_work(jobs))
        return;
    rc = take(jobs, kind, &ours, &err);
    if (ours) {
        turn_of(jobs, kind)->taken_mono_ms = clock_mono_ms();
        rc = kind->run(jobs, &err);
        turn_of(jobs, kind)->taken_mono_ms = 0;
        drop(jobs, kind);
    }
    if (rc)
        note_failure(jobs, kind->name, &err);
    else if (ours && !jobs_stopping(jobs)) /* a run that was cut short is not a complete one */
        metric_set(metrics_of(jobs), kind->last_run, clock_wall_ms() / 1000);
}

/* Runs every kind whose turn has come; returns when the next one's comes. */
static int64_t
run_due(struct jobs *jobs)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < JOBS_KINDS && !jobs_stopping(jobs); i++) {
        struct job_turn *turn = &jobs->turns[i];

        if (!turn->running && turn->due_mono_ms <= clock_mono_ms()) {
            turn->running = true;
            run_kind(jobs, kinds[i]);
            turn->running = false;
            turn->due_mono_ms = clock_mono_ms() + kinds[i]->interval_ms;
        }
        if (turn->due_mono_ms < next)
            next = turn->due_mono_ms;
    }
    return next;
}

void
jobs_breathe(struct jobs *jobs)
{
    jobs_renew(jobs);
    (void)run_due(jobs);
}

static void
wait_until(struct jobs *jobs, int64_t mono_ms)
{
    struct timespec until = {.tv_sec = mono_ms / 1000, .tv_nsec = mono_ms % 1000 * 1000000};
    int rc = 0;

    pthread_mutex_lock(&jobs->lock);
    while (!jobs->stopping && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&jobs->wake, &jobs->lock, &until);
    pthread_mutex_unlock(&jobs->lock);
}

static void *
jobs_main(void *arg)
{
    struct jobs *jobs = arg;

    (void)pthread_setname_np(pthread_self(), "jobs");
    while (!jobs_stopping(jobs))
        wait_until(jobs, run_due(jobs));
    return NULL;
}

/* Nobody can be uploading yet, so every temporary file is a leftover, whatever its age. */
static void
sweep_leftovers(struct jobs *jobs)
{
    struct err err = {0};
    size_t removed = 0;

    if (engine_is_shared(jobs->service->app->engine))
        return; /* somebody may be, at another node */
    if (blob_sweep_temporary(jobs->service->app->blobs, INT64_MAX, &removed, &err))
        note_failure(jobs, "sweep", &err);
    metric_add(metrics_of(jobs), METRIC_SWEPT, (int64_t)removed);
}

static struct jobs *
jobs_new(struct service *service)
{
    struct jobs *jobs = MEM_NEW(NULL, struct jobs);
    int64_t now = clock_mono_ms();
    pthread_condattr_t attr;

    jobs->service = service;
    jobs->started = id_new();
    for (size_t i = 0; i < JOBS_KINDS; i++)
        jobs->turns[i].due_mono_ms = now + kinds[i]->first_ms;
    BUG_ON(pthread_condattr_init(&attr) || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    BUG_ON(pthread_mutex_init(&jobs->lock, NULL) || pthread_cond_init(&jobs->wake, &attr));
    (void)pthread_condattr_destroy(&attr);
    return jobs;
}

static void
discard(struct jobs *jobs)
{
    BUG_ON(pthread_cond_destroy(&jobs->wake) || pthread_mutex_destroy(&jobs->lock));
    (void)talloc_free(jobs);
}

static enum rc
start_thread(struct jobs *jobs, struct err *err)
{
    sigset_t all, before;
    int failed;

    (void)sigfillset(&all); /* signals belong to the thread that waits for them */
    BUG_ON(pthread_sigmask(SIG_SETMASK, &all, &before));
    failed = pthread_create(&jobs->thread, NULL, jobs_main, jobs);
    BUG_ON(pthread_sigmask(SIG_SETMASK, &before, NULL));
    if (!failed)
        return RC_OK;
    errno = failed;
    return err_errno(err, RC_UNAVAILABLE, "starting the thread of the jobs");
}

enum rc
jobs_start(struct service *service, struct jobs **ret, struct err *err)
{
    struct jobs *jobs = jobs_new(service);
    enum rc rc = RC_OK;

    sweep_leftovers(jobs);
    run_kind(jobs, &job_purge);
    if (atomic_load(&service->ready) == READY_BROKEN)
        rc = err_set(err, RC_COMMIT_UNKNOWN, "the blob store has failed");
    else if (!engine_alive(service->app->engine))
        rc = err_set(err, RC_UNAVAILABLE, "the engine has stopped");
    if (!rc)
        rc = start_thread(jobs, err);
    if (rc) {
        discard(jobs);
        return rc;
    }
    *ret = jobs;
    return RC_OK;
}

void
jobs_free(struct jobs **ret)
{
    struct jobs *jobs = *ret;
    if (!jobs)
        return;
    pthread_mutex_lock(&jobs->lock);
    jobs->stopping = true;
    pthread_cond_signal(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
    BUG_ON(pthread_join(jobs->thread, NULL));
    run_kind(jobs, &job_budgets);
    run_kind(jobs, &job_heads);
    discard(jobs);
    *ret = NULL;
}
