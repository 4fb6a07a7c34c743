// SPDX-License-Identifier: Apache-2.0
/*
 * job: what the loop and the kinds of job know of each other. Private to jobs/.
 *
 *  I1  A kind returns soon after jobs_stopping() is true, and calls jobs_breathe() now and then
 *      when it can take long.
 *  I2  A failure is returned, not logged: the loop logs and counts it, and runs the kind again at
 *      its next turn.
 */
#ifndef JOBS_JOB_H
#define JOBS_JOB_H
#include <pthread.h>

#include "jobs/jobs.h"

#define JOBS_KINDS 7
#define JOB_SLACK_MS 60000 /* between clocks that agree, for what runs every few seconds */

struct job_kind {
    const char *name;
    int64_t first_ms;    /* after the start */
    int64_t interval_ms; /* from the end of one run to the next */
    bool everywhere;     /* each node does its own; else one node at a time (store/lease.h) */
    enum rc (*run)(struct jobs *jobs, struct err *err);
    enum metric last_run;
    enum metric backlog;
    enum metric oldest;
};

/* When a kind runs next. */
struct job_turn {
    int64_t due_mono_ms;
    int64_t taken_mono_ms; /* when the lease on it was taken or renewed; 0: there is none */
    bool running;
};

/* How far the erasure of due bytes has come. */
struct purge_round {
    size_t skip; /* entries at the head that could not be erased: passed over for now */
    size_t erased;
    size_t failed;
};

/* When the log of the database was emptied; at the start it is: a first connection has ended. */
struct log_state {
    int64_t mono_ms;
    int64_t commits; /* until then */
};

struct jobs {
    struct service *service;
    struct id started; /* every blob of this process has a greater id */
    struct purge_round purge;
    struct log_state log;
    struct job_turn turns[JOBS_KINDS]; /* the loop's */

    pthread_t thread;
    pthread_mutex_t lock; /* guards `stopping` */
    pthread_cond_t wake;
    bool stopping;
};

bool jobs_stopping(struct jobs *jobs);

/* Runs the other kinds that are due, so that a long run does not hold them up. */
void jobs_breathe(struct jobs *jobs);

/* Renews the leases of what is under way; jobs_breathe() does, too. */
void jobs_renew(struct jobs *jobs);

/* Publishes how much is due and left, and for how long the oldest of it has waited. */
void job_backlog(struct jobs *jobs, const struct job_kind *kind, int64_t left, int64_t waited_ms);

/*
 * The store of bytes has answered `rc`. COMMIT_UNKNOWN takes the service out of readiness: what
 * the disk holds is known only to the next start.
 */
void jobs_note_fatal(struct jobs *jobs, enum rc rc, const struct err *err);

/* What was stored before this is older than `age_ms`, however the wall clock was set. */
int64_t job_older_than(int64_t age_ms);

/*
 * Erases the next entries due at `due_ms` or after `far_ms`, up to a batch, and forgets them.
 * *ret_more is false when none was left behind them, or none of the batch could be erased. Failures
 * of single entries are counted in `round` and the first is returned once the others are done.
 */
MUST_CHECK enum rc purge_batch(struct app *app, int64_t due_ms, int64_t far_ms,
                               struct purge_round *round, bool *ret_more, struct err *err);

extern const struct job_kind job_purge;
extern const struct job_kind job_expiry;
extern const struct job_kind job_sweep;
extern const struct job_kind job_retention;
extern const struct job_kind job_budgets;
extern const struct job_kind job_heads;
extern const struct job_kind job_digest;

#endif
