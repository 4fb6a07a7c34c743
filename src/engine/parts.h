// SPDX-License-Identifier: Apache-2.0
/*
 * parts: what the files of the engine know of each other. Private to engine/.
 *
 *   engine.c  what callers see: queues, reads, waiting callers
 *   group.c   one writer thread, many works a transaction: for a database with one writer
 *   pool.c    many writer threads, one connection each: for a database with many
 */
#ifndef ENGINE_PARTS_H
#define ENGINE_PARTS_H
#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/lanes.h"

#define BATCH_MAX 128
#define READERS_MAX 64

struct waiter;
struct pool;

struct engine {
    struct engine_config config;
    struct db *db;
    struct db_conn *writer; /* of the one writer thread */
    struct pool *pool;      /* the many; NULL: there is one */
    struct workers *queries;
    struct workers *points; /* NULL where engine_reads_here() */
    _Atomic bool away;      /* engine_is_away() */
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

/* Starts a thread that leaves all signals to the main thread; not 0: it could not. */
int engine_start_thread(pthread_t *thread, void *(*fn)(void *), void *arg);

/* Takes all that waits at this moment; a list by next_. */
struct work *engine_take_waiting(struct engine *en);

/* What a transaction of any kind ended with tells whether the database is there. */
void engine_note(struct engine *en, bool away);
/* Asks, after a work was told that something is UNAVAILABLE, whether the database is not. In the
 * work's own transaction, so a connection that was lost costs nothing more. */
bool engine_answers(struct db_conn *conn);

/* Tells a waiting caller how it ended. */
void engine_waiter_done(void *arg, enum rc rc, const struct err *err);

/* The one writer: runs until engine_free(). */
MUST_CHECK enum rc group_start(struct engine *en, struct err *err);
void group_stop(struct engine *en);

/* The many. */
MUST_CHECK enum rc pool_start(struct engine *en, struct err *err);
void pool_stop(struct engine *en);

#endif
