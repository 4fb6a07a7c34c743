// SPDX-License-Identifier: Apache-2.0
/*
 * jobs: the work that no request waits for: erasing what is due, forgetting what has expired,
 * sweeping what crashes left behind, keeping the day budgets.
 *
 *  I1  What is due is in the database, so nothing is forgotten over a restart: a job that fails,
 *      or that a crash cut short, does the same again at its next turn.
 *  I2  No job holds a transaction open while it waits for the blob store.
 *
 *  I3  On a database that several nodes share, one of them does a kind of work at a time, under a
 *      lease that another takes over when it dies. Each kind bears that two do it all the same.
 *
 * Threads: one thread runs all of them, so that two jobs of a process never meet. Start and free
 * from the one that owns the service.
 */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H
#include "http/service.h"

struct jobs;

/*
 * First does, on the calling thread, what must be done before the service is ready: erases what
 * is overdue and removes the temporary files of a crash. Then starts the thread. A failure of one
 * of these steps is logged and tried again later, as any job's. The service is borrowed, with its
 * engine and blob store, until jobs_free().
 * Errors: UNAVAILABLE (no thread to be had; the engine has stopped); COMMIT_UNKNOWN (the blob
 * store has failed for good, service->ready is READY_BROKEN).
 */
MUST_CHECK enum rc jobs_start(struct service *service, struct jobs **ret, struct err *err);

/* Ends the job under way at its next step, and writes the day budgets once more. */
void jobs_free(struct jobs **jobs);

#endif
