// SPDX-License-Identifier: Apache-2.0
#include "core/path.h"

#include "base/text.h"

static bool
no(const char **ret_why, const char *why)
{
    *ret_why = why;
    return false;
}

static bool
is_dots(const char *s, size_t len)
{
    return (len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.');
}

/* What both kinds of name keep out, whatever their shape. */
static bool
text_valid(const char *s, size_t len, size_t *ret_chars, const char **ret_why)
{
    if (!text_check(s, len, 0, ret_chars))
        return no(ret_why, "must be valid UTF-8 without control or bidi override characters");
    if (memchr(s, '\\', len))
        return no(ret_why, "must not contain a backslash");
    return true;
}

/* Checks the segments of `s`, which has no leading slash and is text_valid(). */
static bool
segments_valid(const char *s, size_t *ret_count, size_t *ret_longest, const char **ret_why)
{
    *ret_count = 0;
    *ret_longest = 0;
    for (;;) {
        size_t len = strcspn(s, "/");
        size_t chars = 0;

        if (len == 0)
            return no(ret_why, "must not contain an empty segment");
        if (is_dots(s, len))
            return no(ret_why, "must not contain a '.' or '..' segment");
        BUG_ON(!text_check(s, len, 0, &chars)); /* for the count: all of it has passed already */
        if (chars > *ret_longest)
            *ret_longest = chars;
        ++*ret_count;
        if (!s[len])
            return true;
        s += len + 1;
    }
}

bool
path_storage_valid(const char *s, const char **ret_why)
{
    size_t len = strlen(s);
    size_t chars, count, longest;

    if (len == 0)
        return no(ret_why, "must not be empty");
    if (len > PATH_STORAGE_MAX)
        return no(ret_why, "must be at most 1024 bytes");
    if (!text_valid(s, len, &chars, ret_why))
        return false;
    if (s[0] == '/')
        return no(ret_why, "must not start with a slash");
    if (s[len - 1] == '/')
        return no(ret_why, "must not end with a slash");
    return segments_valid(s, &count, &longest, ret_why);
}

bool
path_folder_normalise(TALLOC_CTX *pool, const char *s, char **ret, const char **ret_why)
{
    size_t len = strlen(s);
    size_t chars, count, longest;
    char *folder;

    if (s[0] != '/')
        return no(ret_why, "must start with a slash");
    if (len == 1)
        return no(ret_why, "must name a folder; leave it out or send null for none");
    if (s[len - 1] == '/')
        len--;
    if (!text_valid(s, len, &chars, ret_why))
        return false;
    if (chars > PATH_FOLDER_MAX)
        return no(ret_why, "must be at most 1024 characters");
    folder = mem_strndup(pool, s, len);
    if (!segments_valid(folder + 1, &count, &longest, ret_why))
        return false;
    if (count > PATH_FOLDER_DEPTH)
        return no(ret_why, "must have at most 32 segments");
    if (longest > PATH_SEGMENT_MAX)
        return no(ret_why, "each segment must be at most 255 characters");
    *ret = folder;
    return true;
}
