// SPDX-License-Identifier: Apache-2.0
#include "base/rand.h"

#include <sys/random.h>

/* Ids draw 10 bytes a request; a page a time saves most of the system calls. */
static __thread struct {
    uint8_t bytes[512];
    size_t left;
} stock;

static void
draw(void *out, size_t len)
{
    uint8_t *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0)
            continue; /* EINTR is all a valid call can meet */
        p += n;
        len -= (size_t)n;
    }
}

void
rand_bytes(void *out, size_t len)
{
    uint8_t *from;

    if (len > sizeof(stock.bytes) / 4) {
        draw(out, len);
        return;
    }
    if (stock.left < len) {
        draw(stock.bytes, sizeof(stock.bytes));
        stock.left = sizeof(stock.bytes);
    }
    stock.left -= len;
    from = stock.bytes + stock.left;
    memcpy(out, from, len);
    explicit_bzero(from, len); /* what was handed out is not kept */
}
