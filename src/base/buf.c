// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void
buf_init(struct buf *b, TALLOC_CTX *pool, size_t max)
{
    *b = (struct buf){.pool = pool, .max = max};
}

static void
reserve(struct buf *b, size_t need)
{
    size_t room = b->room ? b->room : 256;

    if (need <= b->room)
        return;
    while (room < need)
        room *= 2;
    b->bytes = talloc_realloc_size(b->pool, b->bytes, room);
    BUG_ON(!b->bytes);
    b->room = room;
}

char *
buf_reserve(struct buf *b, size_t len)
{
    BUG_ON(len > b->max - b->len);
    reserve(b, b->len + len + 1);
    return b->bytes + b->len;
}

bool
buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (len > b->max - b->len)
        return false;
    reserve(b, b->len + len + 1);
    if (len)
        memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
    b->bytes[b->len] = '\0';
    return true;
}

void
buf_puts(struct buf *b, const char *text)
{
    BUG_ON(!buf_append(b, text, strlen(text)));
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[512];
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    BUG_ON(n < 0 || (size_t)n > b->max - b->len);
    if ((size_t)n < sizeof(small)) {
        BUG_ON(!buf_append(b, small, (size_t)n));
    } else {
        reserve(b, b->len + (size_t)n + 1);
        (void)vsnprintf(b->bytes + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}
