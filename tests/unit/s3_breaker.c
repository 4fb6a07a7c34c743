// SPDX-License-Identifier: Apache-2.0
/* blob/s3/breaker: when it opens, who may try, what closes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "base/clock.h"
#include "blob/s3/breaker.h"

static void
fail_often(struct breaker *b, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        assert_int_equal(breaker_enter(b), BREAKER_CLOSED);
        breaker_leave(b, BREAKER_CLOSED, false);
    }
}

/* As long as it takes until one may try. */
static void
wait_for_probe(struct breaker *b)
{
    int64_t began = clock_mono_ms();

    while (breaker_enter(b) != BREAKER_PROBE) {
        assert_true(clock_mono_ms() - began < 20000);
        (void)usleep(20000);
    }
    assert_true(clock_mono_ms() - began >= 500);
}

static void
test_opens_and_closes(void **state)
{
    struct breaker b = {0};

    (void)state;
    breaker_init(&b);
    /* failures count in a row */
    fail_often(&b, BREAKER_FAILURES - 1);
    assert_int_equal(breaker_enter(&b), BREAKER_CLOSED);
    breaker_leave(&b, BREAKER_CLOSED, true);
    fail_often(&b, BREAKER_FAILURES);
    assert_int_equal(breaker_enter(&b), BREAKER_OPEN);
    /* one at a time may try; when it fails the pause begins anew */
    wait_for_probe(&b);
    assert_int_equal(breaker_enter(&b), BREAKER_OPEN);
    breaker_leave(&b, BREAKER_PROBE, false);
    assert_int_equal(breaker_enter(&b), BREAKER_OPEN);
    wait_for_probe(&b);
    breaker_leave(&b, BREAKER_PROBE, true);
    fail_often(&b, BREAKER_FAILURES - 1);
    assert_int_equal(breaker_enter(&b), BREAKER_CLOSED);
    breaker_release(&b);
}

/* One that was let in before does not close the way for the one that tries. */
static void
test_late_answers(void **state)
{
    struct breaker b = {0};

    (void)state;
    breaker_init(&b);
    assert_int_equal(breaker_enter(&b), BREAKER_CLOSED);
    fail_often(&b, BREAKER_FAILURES);
    breaker_leave(&b, BREAKER_CLOSED, true);
    assert_int_equal(breaker_enter(&b), BREAKER_CLOSED);
    breaker_release(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_and_closes),
        cmocka_unit_test(test_late_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
