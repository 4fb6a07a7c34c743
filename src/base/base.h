// SPDX-License-Identifier: Apache-2.0
/*
 * base: what every file may use: attributes, scoped ownership, broken-assumption checks.
 *
 * Nothing in base knows a layer above it.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <talloc.h>

#include "base/banned.h"
#include "base/err.h"

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define KIB(n) ((int64_t)(n)*1024)
#define MIB(n) (KIB(n) * 1024)
#define GIB(n) (MIB(n) * 1024)

/*
 * SCOPED(thing) t = NULL; declares a `struct thing *` that thing_free(&t) ends on every exit.
 * SCOPED_POOL(p); declares a talloc pool that lives as long as the block.
 */
#define SCOPED(type) __attribute__((cleanup(type##_free))) struct type *
#define SCOPED_POOL(name)                                                                          \
    __attribute__((cleanup(base_pool_free))) TALLOC_CTX *name = base_pool_new(NULL)

/*
 * A pool for temporaries; never NULL. base_pool_sized() takes its first `bytes` in one piece, so
 * that the small allocations of a request cost no malloc each.
 */
TALLOC_CTX *base_pool_new(TALLOC_CTX *parent);
TALLOC_CTX *base_pool_sized(size_t bytes);
void base_pool_free(TALLOC_CTX **pool);

/*
 * Small allocations that cannot fail: a failed one aborts. Whatever a client can size is capped
 * before it gets here. The results belong to `pool`.
 */
void *mem_zalloc(TALLOC_CTX *pool, size_t size);
char *mem_strdup(TALLOC_CTX *pool, const char *text);
char *mem_strndup(TALLOC_CTX *pool, const char *text, size_t len);
char *mem_printf(TALLOC_CTX *pool, const char *fmt, ...) PRINTF_LIKE(2, 3);
void *mem_dup(TALLOC_CTX *pool, const void *bytes, size_t len);
#define MEM_NEW(pool, type) ((type *)mem_zalloc((pool), sizeof(type)))
#define MEM_ARRAY(pool, type, n) ((type *)mem_zalloc((pool), sizeof(type) * (size_t)(n)))

/* A broken assumption of ours (never bad input): says where, and aborts. Always compiled in. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!!(cond), 0))                                                         \
            base_bug(__FILE__, __LINE__, #cond);                                                   \
    } while (0)
void base_bug(const char *file, int line, const char *what) NORETURN;

/* True when `a` and `b` are the same text. */
static inline bool
streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

#endif
