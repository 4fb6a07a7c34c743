// SPDX-License-Identifier: Apache-2.0
/*
 * engine: runs works in transactions.
 *
 *  I1  done() is called after the commit: an answer is never ahead of the disk. Where the database
 *      has one writer, one thread takes every waiting work, runs all in one transaction (with
 *      savepoints when one of them has to be undone) and commits once. Where it has many
 *      (DB_MANY_WRITERS), so many threads take a few works of one lane each.
 *  I2  Works wait in one bounded queue a lane (a workspace) and are taken in turn, so a flood in
 *      one lane costs the others at most a batch.
 *  I3  A failed COMMIT or an I/O error stops the engine for good (`fatal`); recovery at the next
 *      start decides what happened.
 *  I4  A transaction that cannot begin because another program has the database locked is BUSY for
 *      its works and for all that wait by then; nothing is broken.
 *  I5  With many writers nothing is fatal: a work is run again when another transaction came first
 *      or the connection was lost before the commit; when it was lost within, the work's audit line
 *      tells whether it was committed; where even that cannot be asked, OUTCOME_UNKNOWN.
 *
 * Threads: every function may be called from any thread. engine_read() runs on the caller's.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H
#include "base/base.h"
#include "base/metric.h"
#include "base/workers.h"
#include "db/db.h"

struct engine;

struct engine_config {
    unsigned query_threads; /* for engine_query() */
    unsigned point_threads; /* for engine_elsewhere(); of no account where engine_reads_here() */
    int64_t query_limit_ms; /* how long a query may take */
    unsigned writers;       /* threads that write, with DB_MANY_WRITERS */
    unsigned lane_max;      /* works that may wait in one lane */
    struct metrics *metrics;
    const uint8_t *audit_key;                        /* for tx.audit_key; borrowed */
    void (*fatal)(void *arg, const struct err *err); /* called once; must not block */
    void *fatal_arg;
    bool (*relief)(
        void *arg); /* releases reserved disk space; false: there was none. May be NULL */
    void *relief_arg;
    /* Makes the transaction one of those of a lane that do not interfere, or the only one of its
     * lane. Where there is one writer: begins what works of a lane share in it. May be NULL. */
    enum rc (*enter)(struct tx *tx, int64_t lane, bool sole, struct err *err);
    /* What such a transaction does last before its commit, or with one writer behind the last work
     * of the lane. May be NULL. */
    enum rc (*leave)(struct tx *tx, struct err *err);
    /* With DB_MANY_WRITERS. Whether the transaction with this mark was committed; waits for it, by
     * a lock that makes the commit behind it wait for a synchronous standby. */
    enum rc (*confirm)(struct tx *tx, const struct tx_mark *mark, bool *ret, struct err *err);
};

/*
 * What a work needs of the other writers of its lane. Where there is one writer no other is there;
 * those that are SHARED have what the lane writes last written once for all of them.
 */
enum work_turn {
    TURN_NONE,   /* nothing: jobs and commands, which lock the rows they change */
    TURN_SHARED, /* requests that only add, or lock what they change */
    TURN_SOLE,   /* sees the lane as if nobody else wrote */
};

/*
 * One piece of work. The caller owns the struct until done() returns. `fn` runs inside a
 * transaction on whatever thread the engine picks; what it did is committed when it returns
 * RC_OK, else undone alone. It may run again, so it has no effect outside `tx` and its results.
 */
struct work {
    enum rc (*fn)(struct tx *tx, void *arg, struct err *err);
    /* Called once, after the commit is on disk, or with what went wrong. May be NULL. */
    void (*done)(void *arg, enum rc rc, const struct err *err);
    void *arg;
    int64_t lane; /* the workspace */
    enum work_turn turn;
    bool frees_space; /* it is run again, with the reserve released, when the disk is full */
    bool twice;       /* with DB_MANY_WRITERS a failure counts only when it fails again: what it
                       * waited for may have changed what it read before */
    TALLOC_CTX *pool; /* results of the store's functions go here */

    struct work *next_; /* private from here */
    struct engine *engine_;
    struct job job_;
    struct err err_;
    enum rc rc_;
};

MUST_CHECK enum rc engine_open(struct db *db, const struct engine_config *config,
                               struct engine **ret, struct err *err);
/* Runs what waits, then stops. No work may be submitted any more. */
void engine_free(struct engine **en);

/*
 * Queues a write. UNAVAILABLE (with done() never called) when the lane is full or the engine has
 * stopped.
 */
MUST_CHECK enum rc engine_submit(struct engine *en, struct work *work, struct err *err);

/* Queues a read on a query thread, with a time limit: RC_BUSY when it takes longer. */
MUST_CHECK enum rc engine_query(struct engine *en, struct work *work, struct err *err);

/* Writes, and waits for the commit. For jobs and commands, never for a loop thread. */
MUST_CHECK enum rc engine_write(struct engine *en, int64_t lane, TALLOC_CTX *pool,
                                enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg,
                                struct err *err);

/*
 * Writes each of these, of which fn, arg, lane and turn are given, in whatever transactions, and
 * waits for all. Each has a pool of its own meanwhile, for several threads may be at them. The
 * first failure is told; the others are done nevertheless.
 */
MUST_CHECK enum rc engine_write_all(struct engine *en, const struct work *works, size_t n,
                                    struct err *err);

/* The same as the only writer of its lane. */
MUST_CHECK enum rc engine_write_sole(struct engine *en, int64_t lane, TALLOC_CTX *pool,
                                     enum rc (*fn)(struct tx *tx, void *arg, struct err *err),
                                     void *arg, struct err *err);

/*
 * Empties the log of the database, where deleted rows stand until they are overwritten. BUSY: a
 * reader was in the way, try again later. By one thread at a time, and not while it is freed.
 */
MUST_CHECK enum rc engine_empty_log(struct engine *en, struct err *err);

/* Whether a read is over in microseconds, so that a loop thread can do it itself. */
bool engine_reads_here(const struct engine *en);

/*
 * Runs a job that calls engine_read() on a thread that may wait. Where reads are not over so soon,
 * these threads are others than those of queries, lest slow ones hold up who only wants to know one
 * row. UNAVAILABLE: too many wait.
 */
MUST_CHECK enum rc engine_elsewhere(struct engine *en, struct job *job, struct err *err);

/* Reads one consistent state on the calling thread. */
MUST_CHECK enum rc engine_read(struct engine *en, TALLOC_CTX *pool,
                               enum rc (*fn)(struct tx *tx, void *arg, struct err *err), void *arg,
                               struct err *err);

/*
 * Takes the engine out of service as a failed COMMIT does: for those who find that something else
 * on the disk is in doubt.
 */
void engine_fail(struct engine *en, const struct err *err);

/* False once a fatal error has stopped it. */
bool engine_alive(struct engine *en);

/* Whether other processes may be at work on the same database (DB_MANY_WRITERS). */
bool engine_is_shared(const struct engine *en);

/* Whether the database could not be reached when it was last asked; it is asked again and again. */
bool engine_is_away(const struct engine *en);

#endif
