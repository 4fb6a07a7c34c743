// SPDX-License-Identifier: Apache-2.0
/*
 * buf: a growing run of bytes with a mandatory maximum.
 *
 *  I1  `len` never passes the maximum given to buf_init().
 *  I2  After a successful append the bytes are followed by a NUL that is not counted.
 *
 * The memory belongs to the pool given to buf_init(). One thread at a time.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include "base/base.h"

struct buf {
    TALLOC_CTX *pool;
    char *bytes; /* NULL until the first append */
    size_t len;
    size_t room;
    size_t max;
};

void buf_init(struct buf *b, TALLOC_CTX *pool, size_t max);

/* False, with nothing appended, when the maximum would be passed. */
MUST_CHECK bool buf_append(struct buf *b, const void *bytes, size_t len);

/*
 * Room for `len` bytes and a NUL behind what is there. The caller writes them, the NUL too, and
 * adds what it wrote to the length. Passing the maximum is a bug.
 */
char *buf_reserve(struct buf *b, size_t len);

/* For text we make ourselves, whose size the caller has bounded: passing the maximum is a bug. */
void buf_puts(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
