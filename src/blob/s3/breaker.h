// SPDX-License-Identifier: Apache-2.0
/*
 * breaker: keeps callers from waiting, one after the other, for a store that does not answer.
 *
 *  I1  After BREAKER_FAILURES tries in a row that failed, whoever makes them, requests are refused
 *      at once for about a second; then one may try. It closes with the first success.
 *
 * Threads: shared.
 */
#ifndef BLOB_S3_BREAKER_H
#define BLOB_S3_BREAKER_H
#include <pthread.h>

#include "base/base.h"

#define BREAKER_FAILURES 10

struct breaker {
    pthread_mutex_t lock;
    unsigned failures; /* in a row */
    int64_t next_ms;   /* monotonic; when the next may try, while open */
    bool probing;      /* one does */
};

enum breaker_pass {
    BREAKER_CLOSED, /* go on */
    BREAKER_PROBE,  /* go on, as the one that tries */
    BREAKER_OPEN,   /* do not */
};

void breaker_init(struct breaker *b);
void breaker_release(struct breaker *b);

/* Asks before a request; unless open, breaker_leave() has to follow it with the same pass. */
enum breaker_pass breaker_enter(struct breaker *b);
void breaker_leave(struct breaker *b, enum breaker_pass pass, bool ok);

#endif
