// SPDX-License-Identifier: Apache-2.0
#include "http/disposition.h"

#include "base/buf.h"
#include "base/text.h"

static bool
is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* A byte that RFC 8187 §3.2.1 lets stand for itself (attr-char). */
static bool
is_attr_char(unsigned char c)
{
    return text_is_tchar(c) && !strchr("*'%", c);
}

/*
 * Browsers make nothing of such a name and take the last segment of the URL instead, which is a
 * signed token; to curl "." and ".." are directories.
 */
static bool
is_no_file_name(const char *name)
{
    return name[strspn(name, " .?")] == '\0';
}

/*
 * A '_' a character, not a byte: continuation bytes of UTF-8 vanish. "=?" goes, for browsers decode
 * the words of RFC 2047 that begin with it.
 */
static void
append_fallback(struct buf *b, const char *name)
{
    bool all = is_no_file_name(name);
    unsigned char before = '\0';

    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;

        if ((c & 0xc0) == 0x80)
            continue;
        if (all || is_control(c) || c >= 0x80 || strchr("\"\\/%", c) || (c == '?' && before == '='))
            c = '_';
        BUG_ON(!buf_append(b, &c, 1));
        before = c;
    }
}

static void
append_encoded(struct buf *b, const char *name)
{
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;

        if (is_control(c))
            buf_puts(b, "_");
        else if (is_attr_char(c))
            BUG_ON(!buf_append(b, &c, 1));
        else
            buf_printf(b, "%%%02X", c);
    }
}

char *
disposition_attachment(TALLOC_CTX *pool, const char *name)
{
    size_t len = strlen(name);
    size_t from, chars;
    struct buf b;
    bool same;

    /* Worst case: each byte once in the fallback and three times in the encoded form. */
    buf_init(&b, pool, 4 * len + 64);
    buf_puts(&b, "attachment");
    if (len == 0)
        return b.bytes;
    buf_puts(&b, "; filename=\"");
    from = b.len;
    append_fallback(&b, name);
    same = streq(b.bytes + from, name);
    buf_puts(&b, "\"");
    if (!same && text_check(name, len, TEXT_CONTROLS | TEXT_BIDI, &chars)) {
        buf_puts(&b, "; filename*=UTF-8''");
        append_encoded(&b, name);
    }
    return b.bytes;
}
