// SPDX-License-Identifier: Apache-2.0
/*
 * workers: a bounded pool of threads for work that blocks (disk, other servers).
 *
 *  I1  Every accepted job runs exactly once, also when the pool is stopped after it.
 *  I2  Jobs start in the order they were accepted; with several threads they overlap.
 *  I3  A job is embedded in what it works on: submitting allocates nothing.
 *  I4  The threads block all signals: these belong to whoever waits for them.
 *
 * Threads: workers_submit() from any, also from within a job; stop and free from the one thread
 * that owns the pool, never from a job.
 */
#ifndef BASE_WORKERS_H
#define BASE_WORKERS_H
#include "base/base.h"

#define WORKERS_NICE 5 /* a third of the processor time where all are busy */

struct workers;

/*
 * Borrowed by the pool from workers_submit() until fn begins, untouched afterwards: fn may free
 * it or submit it again.
 */
struct job {
    void (*fn)(void *arg);
    void *arg;
    struct job *next_; /* the pool's while the job waits */
};

/*
 * Starts `threads` threads, shown by the system as `name` (its first 15 bytes). At most
 * `max_waiting` jobs wait beside those that run; neither may be 0. The caller owns *ret and ends
 * it with workers_free(). Errors: UNAVAILABLE (no more threads to be had).
 */
MUST_CHECK enum rc workers_new(const char *name, unsigned threads, unsigned max_waiting,
                               struct workers **ret, struct err *err);

/*
 * Before their next job its threads become "nicer" than the rest of the program (nice(2), by
 * WORKERS_NICE): when processors are short they run after others, for instance those that serve
 * connections. For jobs that nobody else has to wait for.
 */
void workers_stand_back(struct workers *ws);

/* Queues one job. Errors: UNAVAILABLE (too many wait, or the pool was stopped); it won't run. */
MUST_CHECK enum rc workers_submit(struct workers *ws, struct job *job, struct err *err);

/* Takes no new jobs, runs those that wait, returns when all have ended. Twice is harmless. */
void workers_stop(struct workers *ws);

/* Stops the pool and frees it. */
void workers_free(struct workers **ws);

#endif
