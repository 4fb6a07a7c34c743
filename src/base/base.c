// SPDX-License-Identifier: Apache-2.0
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
base_bug(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "dossier: BUG at %s:%d: %s\n", file, line, what);
    abort();
}

TALLOC_CTX *
base_pool_new(TALLOC_CTX *parent)
{
    TALLOC_CTX *pool = talloc_new(parent);

    BUG_ON(!pool);
    return pool;
}

TALLOC_CTX *
base_pool_sized(size_t bytes)
{
    TALLOC_CTX *pool = talloc_pool(NULL, bytes);

    BUG_ON(!pool);
    return pool;
}

void
base_pool_free(TALLOC_CTX **pool)
{
    if (*pool)
        (void)talloc_free(*pool);
    *pool = NULL;
}

void *
mem_zalloc(TALLOC_CTX *pool, size_t size)
{
    void *p = talloc_zero_size(pool, size);

    BUG_ON(!p);
    return p;
}

char *
mem_strdup(TALLOC_CTX *pool, const char *text)
{
    return mem_strndup(pool, text, strlen(text));
}

char *
mem_strndup(TALLOC_CTX *pool, const char *text, size_t len)
{
    char *p = talloc_size(pool, len + 1);

    BUG_ON(!p);
    memcpy(p, text, len);
    p[len] = '\0';
    return p;
}

void *
mem_dup(TALLOC_CTX *pool, const void *bytes, size_t len)
{
    void *p = talloc_size(pool, len ? len : 1);

    BUG_ON(!p);
    memcpy(p, bytes, len);
    return p;
}

char *
mem_printf(TALLOC_CTX *pool, const char *fmt, ...)
{
    char text[256]; /* talloc's own formats twice, the first time to count */
    va_list ap;
    char *p;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0 && n < (int)sizeof(text))
        return mem_strndup(pool, text, (size_t)n);
    va_start(ap, fmt);
    p = talloc_vasprintf(pool, fmt, ap);
    va_end(ap);
    BUG_ON(!p);
    return p;
}
