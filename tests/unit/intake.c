// SPDX-License-Identifier: Apache-2.0
/* http/intake: all bytes in order, whoever takes them; full, failed, left in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "http/intake.h"

#define CHUNK (size_t) KIB(60)

struct world {
    TALLOC_CTX *pool;
    struct workers *workers;
    struct intake *in;
    sem_t held, woken, gone, ended;
    bool holds; /* `take` waits for `held` */
    size_t fails_at;
    size_t taken; /* bytes */
    bool wrong;   /* they were not those that were due */
    atomic_int inside;
    size_t added;
    pthread_t adder;
    size_t taken_by_adder; /* bytes */
};

static char
byte_at(size_t i)
{
    return (char)(i * 7 + i / 251);
}

static enum rc
take(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct world *w = arg;

    assert_int_equal(atomic_fetch_add(&w->inside, 1), 0);
    if (w->holds)
        assert_int_equal(sem_wait(&w->held), 0);
    for (size_t i = 0; i < len; i++)
        w->wrong |= bytes[i] != byte_at(w->taken + i);
    w->taken += len;
    if (pthread_equal(pthread_self(), w->adder))
        w->taken_by_adder += len;
    atomic_fetch_sub(&w->inside, 1);
    return w->taken > w->fails_at ? err_set(err, RC_TOO_LARGE, "too much") : RC_OK;
}

static void
wake(void *arg)
{
    sem_post(&((struct world *)arg)->woken);
}

static void
gone(void *arg)
{
    sem_post(&((struct world *)arg)->gone);
}

static void
ended(void *arg)
{
    sem_post(&((struct world *)arg)->ended);
}

static int
setup(void **state)
{
    TALLOC_CTX *pool = base_pool_new(NULL);
    struct world *w = MEM_NEW(pool, struct world);
    struct intake_owner owner = {.take = take, .wake = wake, .gone = gone, .arg = w};
    struct err err;

    w->pool = pool;
    w->fails_at = SIZE_MAX;
    w->adder = pthread_self();
    sem_t *all[] = {&w->held, &w->woken, &w->gone, &w->ended};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        assert_int_equal(sem_init(all[i], 0, 0), 0);
    assert_int_equal(workers_new("body", 2, 64, &w->workers, &err), RC_OK);
    w->in = intake_new(pool, w->workers, &owner);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    workers_free(&w->workers);
    (void)talloc_free(w->pool);
    return 0;
}

static enum intake_state
add(struct world *w, size_t len)
{
    char *bytes = talloc_size(w->pool, len);
    enum intake_state state;

    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(w->added + i);
    state = intake_add(w->in, bytes, len);
    (void)talloc_free(bytes);
    if (state != INTAKE_FAILED)
        w->added += len;
    return state;
}

/* Waiting when it is full, as a loop thread parks the connection. */
static enum intake_state
add_patiently(struct world *w, size_t len)
{
    enum intake_state state = add(w, len);

    if (state == INTAKE_FULL)
        assert_int_equal(sem_wait(&w->woken), 0);
    return state == INTAKE_FULL ? INTAKE_OK : state;
}

static enum rc
end(struct world *w, struct err *err)
{
    intake_end(w->in, ended);
    assert_int_equal(sem_wait(&w->ended), 0);
    return intake_rest(w->in, err);
}

static void
all_bytes_in_order(void **state)
{
    struct world *w = *state;
    struct err err;

    for (size_t i = 0; i < 2000; i++)
        assert_int_equal(add_patiently(w, 1 + i * 37 % CHUNK), INTAKE_OK);
    assert_int_equal(w->taken_by_adder, 0);
    assert_int_equal(end(w, &err), RC_OK);
    assert_int_equal(w->taken, w->added);
    assert_false(w->wrong);
    assert_true(intake_leave(w->in));
}

static void
little_waits_for_the_end(void **state)
{
    struct world *w = *state;
    struct err err;

    assert_int_equal(add(w, 10), INTAKE_OK);
    assert_int_equal(add(w, KIB(90)), INTAKE_OK);
    workers_stop(w->workers);
    assert_int_equal(w->taken, 0);
    assert_int_equal(end(w, &err), RC_OK);
    assert_int_equal(w->taken, 10 + KIB(90));
    assert_false(w->wrong);
    assert_true(intake_leave(w->in));
}

/* Two chunks fill a piece. */
static void
fill(struct world *w)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(add(w, CHUNK), INTAKE_OK);
    assert_int_equal(add(w, CHUNK), INTAKE_FULL);
}

static void
whoever_adds_is_woken(void **state)
{
    struct world *w = *state;
    struct err err;

    w->holds = true;
    fill(w);
    assert_int_not_equal(sem_trywait(&w->woken), 0);
    assert_int_equal(sem_post(&w->held), 0);
    assert_int_equal(sem_wait(&w->woken), 0);
    assert_int_equal(add(w, CHUNK), INTAKE_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sem_post(&w->held), 0);
    assert_int_equal(end(w, &err), RC_OK);
    assert_int_equal(w->taken, w->added);
    assert_false(w->wrong);
    assert_true(intake_leave(w->in));
}

static void
the_first_error_stays(void **state)
{
    struct world *w = *state;
    struct err err;

    w->fails_at = 1000;
    while (add_patiently(w, CHUNK) == INTAKE_OK)
        assert_true(w->added < 10 * CHUNK);
    assert_int_equal(intake_error(w->in, &err), RC_TOO_LARGE);
    assert_string_equal(err.detail, "too much");
    assert_int_equal(add(w, 1), INTAKE_FAILED);
    assert_int_equal(end(w, &err), RC_TOO_LARGE);
    assert_int_equal(w->taken, 2 * CHUNK);
    assert_true(intake_leave(w->in));
}

static void
the_last_bytes_may_fail_too(void **state)
{
    struct world *w = *state;
    struct err err;

    w->fails_at = 5;
    assert_int_equal(add(w, 6), INTAKE_OK);
    assert_int_equal(end(w, &err), RC_TOO_LARGE);
    assert_int_equal(intake_error(w->in, &err), RC_TOO_LARGE);
    assert_true(intake_leave(w->in));
}

static void
who_leaves_early_is_told(void **state)
{
    struct world *w = *state;

    w->holds = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(add(w, CHUNK), INTAKE_OK);
    assert_false(intake_leave(w->in));
    assert_int_not_equal(sem_trywait(&w->gone), 0);
    assert_int_equal(sem_post(&w->held), 0);
    assert_int_equal(sem_wait(&w->gone), 0);
    assert_int_equal(w->taken, 2 * CHUNK);
}

static void
without_workers_it_goes_on(void **state)
{
    struct world *w = *state;
    struct err err;

    workers_stop(w->workers);
    for (int i = 0; i < 100; i++)
        assert_int_equal(add(w, CHUNK), INTAKE_OK);
    assert_true(w->taken > 90 * CHUNK);
    assert_int_equal(end(w, &err), RC_OK);
    assert_int_equal(w->taken, w->added);
    assert_false(w->wrong);
    assert_true(intake_leave(w->in));
}

/* More bodies than there is memory for: what is too much is taken at once. */
static void
memory_is_bounded(void **state)
{
    struct world *w = *state;
    struct intake_owner owner = {.take = take, .wake = wake, .gone = gone, .arg = w};
    struct intake *others[300];
    struct err err;
    static char zeros[KIB(60)];

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        others[i] = intake_new(w->pool, w->workers, &owner);
        if (w->taken == 0)
            assert_int_equal(intake_add(others[i], zeros, sizeof(zeros)), INTAKE_OK);
    }
    assert_int_equal(w->taken_by_adder, sizeof(zeros)); /* the last one's */
    w->taken = 0;
    w->wrong = false;
    for (int i = 0; i < 20; i++)
        assert_int_equal(add(w, CHUNK), INTAKE_OK);
    assert_int_equal(w->taken, w->added);
    assert_int_equal(end(w, &err), RC_OK);
    assert_false(w->wrong);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_true(intake_leave(others[i]));
    assert_true(intake_leave(w->in));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_bytes_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(little_waits_for_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_adds_is_woken, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_error_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_bytes_may_fail_too, setup, teardown),
        cmocka_unit_test_setup_teardown(who_leaves_early_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(without_workers_it_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_bounded, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
