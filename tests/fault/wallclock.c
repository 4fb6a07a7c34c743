// SPDX-License-Identifier: Apache-2.0
/*
 * Preloaded by tests/fault: clocks that the test sets while the process runs. The file named by
 * WALLCLOCK holds two numbers (64-bit, milliseconds): by how much the wall clock was set, and how
 * much time has passed beside the real time, for all clocks. It is mapped before the process
 * shuts itself off from other files.
 *
 * A wait until a moment is understood as one by the monotonic clock.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct change {
    _Atomic int64_t set_ms;
    _Atomic int64_t passed_ms;
};

static struct change none;
static struct change *change = &none;

__attribute__((constructor)) static void
open_change(void)
{
    const char *path = getenv("WALLCLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(none), PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED)
        abort(); /* a test of the real clock would prove nothing */
    change = map;
    (void)close(fd);
}

static void
add(struct timespec *ts, int64_t ms)
{
    int64_t ns = ts->tv_nsec + ms % 1000 * 1000000;

    ts->tv_sec += ms / 1000 + (ns >= 1000000000) - (ns < 0);
    ts->tv_nsec = ns + (ns < 0 ? 1000000000 : ns >= 1000000000 ? -1000000000 : 0);
}

int
clock_gettime(clockid_t which, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, which, ts);

    switch (which) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        add(ts, change->set_ms + change->passed_ms);
        break;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
        add(ts, change->passed_ms);
        break;
    default: /* time of processors */
        break;
    }
    return rc;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t
time(time_t *ret)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}

int
pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec real = *until;

    add(&real, -change->passed_ms);
    return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &real);
}
