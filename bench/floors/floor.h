// SPDX-License-Identifier: Apache-2.0
/*
 * What the floors share. Each is a program of its own that does one thing in the plainest way and
 * prints JSON; what goes wrong ends it with a word on standard error.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__attribute__((noreturn)) static inline void
floor_fail(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline double
floor_seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void
floor_random(void *into, size_t n)
{
    if (getentropy(into, n) != 0) /* at most 256 bytes */
        floor_fail("getentropy");
}

static inline void
floor_write(int fd, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = write(fd, (const char *)bytes + done, n - done);

        if (w < 0)
            floor_fail("write");
        done += (size_t)w;
    }
}

#endif
