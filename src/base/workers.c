// SPDX-License-Identifier: Apache-2.0
#include "base/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

struct workers {
    pthread_mutex_t lock; /* guards all below but `threads` and `started` */
    pthread_cond_t wake;  /* a job came, or the pool stops */
    struct job *first;
    struct job **end; /* where the next job is hung in */
    unsigned waiting;
    unsigned max_waiting;
    bool stopping;
    _Atomic bool stands_back;
    char name[16];
    pthread_t *threads; /* the owner's alone */
    unsigned started;
};

/* The next job, waiting for it; NULL when the pool stops and none is left. */
static struct job *
take(struct workers *ws)
{
    struct job *job;

    pthread_mutex_lock(&ws->lock);
    while (!ws->first && !ws->stopping)
        pthread_cond_wait(&ws->wake, &ws->lock);
    job = ws->first;
    if (job) {
        ws->first = job->next_;
        if (!ws->first)
            ws->end = &ws->first;
        ws->waiting--;
    }
    pthread_mutex_unlock(&ws->lock);
    return job;
}

static void *
run(void *arg)
{
    struct workers *ws = arg;
    bool stands_back = false;
    struct job *job;

    (void)pthread_setname_np(pthread_self(), ws->name);
    for (job = take(ws); job; job = take(ws)) {
        if (!stands_back && atomic_load(&ws->stands_back)) {
            stands_back = true;
            /* of this thread alone, on Linux (setpriority(2), bugs) */
            (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + WORKERS_NICE);
        }
        job->fn(job->arg);
    }
    return NULL;
}

/* Returns 0 or an error number. */
static int
start_threads(struct workers *ws, unsigned threads)
{
    sigset_t all;
    sigset_t before;
    int failed = 0;

    /* A thread inherits the mask, so there is no moment in which it takes a signal. */
    (void)sigfillset(&all);
    BUG_ON(pthread_sigmask(SIG_SETMASK, &all, &before));
    while (!failed && ws->started < threads) {
        failed = pthread_create(&ws->threads[ws->started], NULL, run, ws);
        if (!failed)
            ws->started++;
    }
    BUG_ON(pthread_sigmask(SIG_SETMASK, &before, NULL));
    return failed;
}

enum rc
workers_new(const char *name, unsigned threads, unsigned max_waiting, struct workers **ret,
            struct err *err)
{
    SCOPED(workers) ws = NULL;
    int failed;

    BUG_ON(!threads || !max_waiting);
    ws = MEM_NEW(NULL, struct workers);
    BUG_ON(pthread_mutex_init(&ws->lock, NULL) || pthread_cond_init(&ws->wake, NULL));
    ws->end = &ws->first;
    ws->max_waiting = max_waiting;
    (void)snprintf(ws->name, sizeof(ws->name), "%s", name);
    ws->threads = MEM_ARRAY(ws, pthread_t, threads);
    failed = start_threads(ws, threads);
    if (failed) {
        errno = failed;
        return err_errno(err, RC_UNAVAILABLE, "starting a worker thread");
    }
    *ret = ws;
    ws = NULL;
    return RC_OK;
}

void
workers_stand_back(struct workers *ws)
{
    atomic_store(&ws->stands_back, true);
}

enum rc
workers_submit(struct workers *ws, struct job *job, struct err *err)
{
    bool stopping;
    bool taken;

    pthread_mutex_lock(&ws->lock);
    stopping = ws->stopping;
    taken = !stopping && ws->waiting < ws->max_waiting;
    if (taken) {
        job->next_ = NULL;
        *ws->end = job;
        ws->end = &job->next_;
        ws->waiting++;
        pthread_cond_signal(&ws->wake);
    }
    pthread_mutex_unlock(&ws->lock);
    if (taken)
        return RC_OK;
    return err_set(err, RC_UNAVAILABLE, "workers %s: %s", ws->name,
                   stopping ? "stopped" : "too many jobs wait");
}

void
workers_stop(struct workers *ws)
{
    pthread_mutex_lock(&ws->lock);
    ws->stopping = true;
    pthread_cond_broadcast(&ws->wake);
    pthread_mutex_unlock(&ws->lock);
    for (; ws->started > 0; ws->started--)
        BUG_ON(pthread_join(ws->threads[ws->started - 1], NULL));
}

void
workers_free(struct workers **ws)
{
    if (!*ws)
        return;
    workers_stop(*ws);
    BUG_ON(pthread_cond_destroy(&(*ws)->wake) || pthread_mutex_destroy(&(*ws)->lock));
    (void)talloc_free(*ws);
    *ws = NULL;
}
