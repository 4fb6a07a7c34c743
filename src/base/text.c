// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <stdlib.h>
#include <utf8proc.h>

static bool
is_bidi_override(int32_t c)
{
    return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

bool
text_check(const char *s, size_t len, unsigned flags, size_t *ret_chars)
{
    const uint8_t *p = (const uint8_t *)s;
    size_t chars = 0;

    while (len > 0) {
        utf8proc_int32_t c = *p;
        utf8proc_ssize_t n = 1;

        if (c >= 0x80)
            n = utf8proc_iterate(p, (utf8proc_ssize_t)len, &c);
        if (n <= 0 || c == 0)
            return false;
        if ((c < 0x20 || (c >= 0x7f && c < 0xa0)) && !(flags & TEXT_CONTROLS))
            return false;
        if (is_bidi_override(c) && !(flags & TEXT_BIDI))
            return false;
        p += n;
        len -= (size_t)n;
        chars++;
    }
    *ret_chars = chars;
    return true;
}

/* Of ASCII alone; else false, with a part of it folded. */
static bool
fold_ascii(const char *s, char *out)
{
    unsigned char all = 0;

    for (; *s; s++) {
        all |= (unsigned char)*s;
        *out++ = (char)(*s >= 'A' && *s <= 'Z' ? *s | 0x20 : *s);
    }
    *out = '\0';
    return all < 0x80;
}

char *
text_fold(TALLOC_CTX *pool, const char *s)
{
    char *out = talloc_size(pool, strlen(s) + 1);
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t n;

    BUG_ON(!out);
    if (fold_ascii(s, out))
        return out;
    n = utf8proc_map((const utf8proc_uint8_t *)s, 0, &folded,
                     UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
    BUG_ON(n == UTF8PROC_ERROR_NOMEM);
    if (n < 0)
        return mem_strdup(pool, s);
    out = mem_strdup(pool, (const char *)folded);
    free(folded);
    return out;
}

bool
text_uint(const char *s, int64_t max, int64_t *ret)
{
    int64_t v = 0;

    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
            return false;
    }
    if (v > max)
        return false;
    *ret = v;
    return true;
}

bool
text_bool(const char *s, bool *ret)
{
    if (streq(s, "true") || streq(s, "1")) {
        *ret = true;
        return true;
    }
    if (streq(s, "false") || streq(s, "0")) {
        *ret = false;
        return true;
    }
    return false;
}

int
text_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
text_unescape(TALLOC_CTX *pool, const char *s, size_t len, bool plus, char **ret)
{
    char *out = mem_zalloc(pool, len + 1);
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = s[i];

        if (c == '%') {
            int hi = i + 2 < len ? text_hex(s[i + 1]) : -1;
            int lo = hi < 0 ? -1 : text_hex(s[i + 2]);

            if (lo < 0 || (hi == 0 && lo == 0))
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    *ret = out;
    return true;
}

bool
text_is_tchar(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c);
}

void
text_lower(char *s)
{
    for (; *s; s++) {
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s | 0x20);
    }
}
