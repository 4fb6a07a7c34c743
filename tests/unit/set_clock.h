// SPDX-License-Identifier: Apache-2.0
/*
 * set_clock: a test that includes this has clocks that it can set: it takes the place of the C
 * library's clock_gettime() in the whole program. Waiting goes by the real time.
 */
#ifndef UNIT_SET_CLOCK_H
#define UNIT_SET_CLOCK_H
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t clock_set_ms;    /* how far the wall clock was set */
static _Atomic int64_t clock_passed_ms; /* time passed beside the real time, for both clocks */

int
clock_gettime(clockid_t which, struct timespec *ts)
{
    int64_t ms = clock_passed_ms + (which == CLOCK_REALTIME ? clock_set_ms : 0);
    int rc = (int)syscall(SYS_clock_gettime, which, ts);

    ts->tv_sec += ms / 1000; /* whole seconds are enough */
    return rc;
}

#endif
