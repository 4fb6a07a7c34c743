// SPDX-License-Identifier: Apache-2.0
#include "blob/s3/breaker.h"

#include "base/clock.h"
#include "base/rand.h"

#define PAUSE_MS 750 /* and up to half a second more: nodes shall not all knock at once */

void
breaker_init(struct breaker *b)
{
    BUG_ON(pthread_mutex_init(&b->lock, NULL));
}

void
breaker_release(struct breaker *b)
{
    BUG_ON(pthread_mutex_destroy(&b->lock));
}

enum breaker_pass
breaker_enter(struct breaker *b)
{
    enum breaker_pass pass = BREAKER_CLOSED;

    pthread_mutex_lock(&b->lock);
    if (b->failures >= BREAKER_FAILURES) {
        pass = BREAKER_OPEN;
        if (!b->probing && clock_mono_ms() >= b->next_ms) {
            pass = BREAKER_PROBE;
            b->probing = true;
        }
    }
    pthread_mutex_unlock(&b->lock);
    return pass;
}

void
breaker_leave(struct breaker *b, enum breaker_pass pass, bool ok)
{
    uint16_t more;

    rand_bytes(&more, sizeof(more));
    pthread_mutex_lock(&b->lock);
    if (pass == BREAKER_PROBE)
        b->probing = false;
    if (ok)
        b->failures = 0;
    else if (b->failures < BREAKER_FAILURES)
        b->failures++;
    b->next_ms = clock_mono_ms() + PAUSE_MS + more % 500;
    pthread_mutex_unlock(&b->lock);
}
