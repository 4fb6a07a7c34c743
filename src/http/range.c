// SPDX-License-Identifier: Apache-2.0
#include "http/range.h"

#include <strings.h>

static const char *
skip_space(const char *s)
{
    return s + strspn(s, " \t");
}

/*
 * Reads digits, stopping at the largest number: any number of digits is good grammar, and past the
 * end is past the end. NULL when there are none.
 */
static const char *
read_number(const char *s, uint64_t *ret)
{
    uint64_t v = 0;
    bool past = false;

    if (*s < '0' || *s > '9')
        return NULL;
    for (; *s >= '0' && *s <= '9'; s++)
        past |= __builtin_mul_overflow(v, 10, &v) ||
                __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v);
    *ret = past ? UINT64_MAX : v;
    return s;
}

static bool
is_end(const char *s)
{
    return !*skip_space(s);
}

static enum range_kind
suffix(const char *s, uint64_t size, struct range *ret)
{
    uint64_t len = 0;

    s = read_number(s, &len);
    if (!s || !is_end(s))
        return RANGE_WHOLE;
    if (len == 0)
        return RANGE_UNSATISFIABLE;
    if (size == 0)
        return RANGE_WHOLE;
    ret->first = len < size ? size - len : 0;
    ret->last = size - 1;
    return RANGE_PART;
}

enum range_kind
range_parse(const char *value, uint64_t size, struct range *ret)
{
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    const char *s, *end;

    if (!value || strncasecmp(value, "bytes=", 6) != 0)
        return RANGE_WHOLE;
    s = skip_space(value + 6);
    if (*s == '-')
        return suffix(s + 1, size, ret);
    s = read_number(s, &first);
    if (!s || *s++ != '-')
        return RANGE_WHOLE;
    end = read_number(s, &last);
    if (!is_end(end ? end : s) || last < first)
        return RANGE_WHOLE;
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    ret->first = first;
    ret->last = last < size ? last : size - 1;
    return RANGE_PART;
}

/* Length of the opaque-tag at `s`, quotes included (RFC 9110 §8.8.3); 0 when there is none. */
static size_t
opaque_len(const char *s)
{
    size_t n = 1;

    if (*s != '"')
        return 0;
    while ((unsigned char)s[n] > 0x20 && s[n] != '"' && s[n] != 0x7f)
        n++;
    return s[n] == '"' ? n + 1 : 0;
}

static const char *
skip_weak(const char *s)
{
    return strncmp(s, "W/", 2) == 0 ? s + 2 : s;
}

bool
range_if_range_matches(const char *if_range, const char *etag)
{
    size_t len;

    if (!if_range)
        return true;
    if_range = skip_space(if_range);
    len = opaque_len(if_range);
    return len && len == strlen(etag) && memcmp(if_range, etag, len) == 0 && is_end(if_range + len);
}

bool
etag_list_matches(const char *if_none_match, const char *etag)
{
    const char *s = if_none_match;
    const char *want = skip_weak(etag);

    if (!s)
        return false;
    s = skip_space(s);
    if (*s == '*')
        return is_end(s + 1);
    while (*s) {
        size_t len;

        s += strspn(s, " \t,");
        s = skip_weak(s);
        len = opaque_len(s);
        if (!len)
            return false;
        if (len == strlen(want) && memcmp(s, want, len) == 0)
            return true;
        s = skip_space(s + len);
        if (*s && *s != ',')
            return false;
    }
    return false;
}
