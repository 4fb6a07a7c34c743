// SPDX-License-Identifier: Apache-2.0
/* base/workers: every accepted job runs once, in order; bounds and stopping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "base/workers.h"

/* A job that holds its thread until the test lets go. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool entered;
    bool open;
};

static void
gate_pass(void *arg)
{
    struct gate *g = arg;

    pthread_mutex_lock(&g->lock);
    g->entered = true;
    pthread_cond_broadcast(&g->moved);
    while (!g->open)
        pthread_cond_wait(&g->moved, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void
gate_await_entry(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    while (!g->entered)
        pthread_cond_wait(&g->moved, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void
gate_open(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
}

static void
count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void
runs_each_job_once(void **state)
{
    enum { JOBS = 1000 };
    SCOPED(workers) ws = NULL;
    static struct job jobs[JOBS];
    static atomic_int runs[JOBS];
    struct err err;

    (void)state;
    assert_int_equal(workers_new("unit", 4, JOBS, &ws, &err), RC_OK);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.fn = count_up, .arg = &runs[i]};
        assert_int_equal(workers_submit(ws, &jobs[i], &err), RC_OK);
    }
    workers_stop(ws);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(atomic_load(&runs[i]), 1);
}

static void
is_bounded_and_drains_on_stop(void **state)
{
    SCOPED(workers) ws = NULL;
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    struct job holder = {.fn = gate_pass, .arg = &gate};
    atomic_int runs = 0;
    struct job waiting[3];
    struct err err;

    (void)state;
    for (int i = 0; i < 3; i++)
        waiting[i] = (struct job){.fn = count_up, .arg = &runs};
    assert_int_equal(workers_new("unit", 1, 2, &ws, &err), RC_OK);
    assert_int_equal(workers_submit(ws, &holder, &err), RC_OK);
    gate_await_entry(&gate);
    assert_int_equal(workers_submit(ws, &waiting[0], &err), RC_OK);
    assert_int_equal(workers_submit(ws, &waiting[1], &err), RC_OK);
    assert_int_equal(workers_submit(ws, &waiting[2], &err), RC_UNAVAILABLE);
    assert_int_equal(err.code, RC_UNAVAILABLE);
    gate_open(&gate);
    workers_stop(ws);
    assert_int_equal(atomic_load(&runs), 2);
    assert_int_equal(workers_submit(ws, &waiting[2], &err), RC_UNAVAILABLE);
    workers_stop(ws);
    workers_free(&ws);
    assert_null(ws);
    workers_free(&ws);
    assert_int_equal(atomic_load(&runs), 2);
}

struct line {
    int next;
    bool in_order;
};

struct place {
    struct job job;
    struct line *line;
    int number;
};

static void
step_up(void *arg)
{
    struct place *p = arg;

    p->line->in_order = p->line->in_order && p->number == p->line->next;
    p->line->next++;
}

static void
one_thread_keeps_the_order(void **state)
{
    SCOPED(workers) ws = NULL;
    struct line line = {.in_order = true};
    struct place places[100];
    struct err err;

    (void)state;
    assert_int_equal(workers_new("unit", 1, 100, &ws, &err), RC_OK);
    for (int i = 0; i < 100; i++) {
        places[i] = (struct place){{.fn = step_up, .arg = &places[i]}, &line, i};
        assert_int_equal(workers_submit(ws, &places[i].job, &err), RC_OK);
    }
    workers_stop(ws);
    assert_true(line.in_order);
    assert_int_equal(line.next, 100);
}

struct chain {
    struct job job;
    struct workers *ws;
    struct gate *gate; /* opened by the last run */
    int left;
    bool refused;
};

static void
chain_run(void *arg)
{
    struct chain *c = arg;
    struct err err;

    if (c->left-- > 0) {
        /* Once it is submitted, the next run may be under way: nothing of `c` is ours any more. */
        if (workers_submit(c->ws, &c->job, &err))
            c->refused = true;
        return;
    }
    gate_pass(c->gate);
}

static void
a_job_may_submit_itself_again(void **state)
{
    SCOPED(workers) ws = NULL;
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    struct chain chain = {.job = {.fn = chain_run, .arg = &chain}, .gate = &gate, .left = 50};
    struct err err;

    (void)state;
    gate.open = true;
    assert_int_equal(workers_new("unit", 2, 1, &ws, &err), RC_OK);
    chain.ws = ws;
    assert_int_equal(workers_submit(ws, &chain.job, &err), RC_OK);
    gate_await_entry(&gate);
    workers_stop(ws);
    assert_false(chain.refused);
    assert_int_equal(chain.left, -1);
}

static void
note_mask(void *arg)
{
    (void)pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void
threads_take_no_signals(void **state)
{
    SCOPED(workers) ws = NULL;
    sigset_t before;
    sigset_t inside;
    sigset_t after;
    struct job job = {.fn = note_mask, .arg = &inside};
    struct err err;

    (void)state;
    (void)sigemptyset(&inside);
    note_mask(&before);
    assert_int_equal(workers_new("a name longer than fifteen", 1, 1, &ws, &err), RC_OK);
    note_mask(&after);
    assert_int_equal(workers_submit(ws, &job, &err), RC_OK);
    workers_stop(ws);
    assert_int_equal(sigismember(&inside, SIGTERM), 1);
    assert_int_equal(sigismember(&inside, SIGUSR1), 1);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

static void
note_nice(void *arg)
{
    *(int *)arg = getpriority(PRIO_PROCESS, 0);
}

static void
threads_that_stand_back_are_nicer(void **state)
{
    enum { NICEST = 19 };
    SCOPED(workers) ws = NULL;
    int before = getpriority(PRIO_PROCESS, 0), inside = -1;
    struct job job = {.fn = note_nice, .arg = &inside};
    struct err err;

    (void)state;
    assert_int_equal(workers_new("unit", 1, 1, &ws, &err), RC_OK);
    workers_stand_back(ws);
    assert_int_equal(workers_submit(ws, &job, &err), RC_OK);
    workers_stop(ws);
    assert_int_equal(inside, before + WORKERS_NICE < NICEST ? before + WORKERS_NICE : NICEST);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_each_job_once),
        cmocka_unit_test(is_bounded_and_drains_on_stop),
        cmocka_unit_test(one_thread_keeps_the_order),
        cmocka_unit_test(a_job_may_submit_itself_again),
        cmocka_unit_test(threads_take_no_signals),
        cmocka_unit_test(threads_that_stand_back_are_nicer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
