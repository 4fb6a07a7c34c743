// SPDX-License-Identifier: Apache-2.0
/*
 * js_write: the compact text of a value, as jansson's own writer has it with JSON_COMPACT.
 *
 * That one hands out each token by a call and decodes each character: it was half of what a list
 * cost (docs/decisions/0020-cheaper-requests.md).
 */
#include "base/js.h"

#define ROOM_MAX ((size_t)1 << 40) /* what memory has no room for aborts long before */
#define CHUNK 256
#define ESCAPE_MAX 6 /* of one byte */

/* Called for each token: most have room already. */
static char *
room_for(struct buf *o, size_t len)
{
    return o->room - o->len > len ? o->bytes + o->len : buf_reserve(o, len);
}

static void
put(struct buf *o, const char *bytes, size_t len)
{
    memcpy(room_for(o, len), bytes, len);
    o->len += len;
}

static void
put_char(struct buf *o, char c)
{
    *room_for(o, 1) = c;
    o->len++;
}

/* What stands behind the backslash, 'u': four digits as well, 0: the byte stands for itself. */
static const char escapes[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b',        't',         'n', 'u',
    'f', 'r', 'u', 'u', 'u', 'u', 'u', 'u', 'u',        'u',         'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', [34] = '"', [92] = '\\',
};

static char *
put_escape(char *p, unsigned char c)
{
    *p++ = '\\';
    *p++ = escapes[c];
    if (escapes[c] != 'u')
        return p;
    p[0] = p[1] = '0';
    p[2] = (char)('0' + (c >> 4));
    p[3] = "0123456789ABCDEF"[c & 15];
    return p + 4;
}

/* Valid UTF-8, of which only ASCII has anything to escape (RFC 8259 §7). */
static void
put_string(struct buf *o, const char *text, size_t len)
{
    put_char(o, '"');
    for (size_t done = 0; done < len; done += CHUNK) {
        size_t n = len - done < CHUNK ? len - done : CHUNK;
        char *from = room_for(o, n * ESCAPE_MAX), *p = from;

        for (size_t i = done; i < done + n; i++) {
            if (escapes[(unsigned char)text[i]])
                p = put_escape(p, (unsigned char)text[i]);
            else
                *p++ = text[i];
        }
        o->len += (size_t)(p - from);
    }
    put_char(o, '"');
}

static void
put_integer(struct buf *o, json_int_t value)
{
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[24], *p = digits + sizeof(digits);

    do {
        *--p = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        *--p = '-';
    put(o, p, (size_t)(digits + sizeof(digits) - p));
}

/* How many digits a real needs is not ours to know. */
static void
put_real(struct buf *o, const json_t *value)
{
    char text[64];
    size_t len = json_dumpb(value, text, sizeof(text), JSON_ENCODE_ANY);

    BUG_ON(len == 0 || len > sizeof(text));
    put(o, text, len);
}

static void put_value(struct buf *o, const json_t *value);

static void
put_object(struct buf *o, const json_t *value)
{
    json_t *object = (json_t *)(uintptr_t)value; /* its iterators can also change it */
    char before = '{';

    if (json_object_size(value) == 0)
        put_char(o, before);
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        put_char(o, before);
        before = ',';
        put_string(o, json_object_iter_key(at), json_object_iter_key_len(at));
        put_char(o, ':');
        put_value(o, json_object_iter_value(at));
    }
    put_char(o, '}');
}

static void
put_array(struct buf *o, const json_t *value)
{
    size_t n = json_array_size(value);

    put_char(o, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            put_char(o, ',');
        put_value(o, json_array_get(value, i));
    }
    put_char(o, ']');
}

/* Recurses as deep as the value is: JS_DEPTH_MAX when it was read, a few when it was made here. */
static void
put_value(struct buf *o, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_object(o, value);
        break;
    case JSON_ARRAY:
        put_array(o, value);
        break;
    case JSON_STRING:
        put_string(o, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        put_integer(o, json_integer_value(value));
        break;
    case JSON_REAL:
        put_real(o, value);
        break;
    case JSON_TRUE:
        put(o, "true", 4);
        break;
    case JSON_FALSE:
        put(o, "false", 5);
        break;
    case JSON_NULL:
        put(o, "null", 4);
        break;
    }
}

char *
js_write(TALLOC_CTX *pool, const json_t *value, size_t *ret_len)
{
    struct buf o;

    buf_init(&o, pool, ROOM_MAX);
    put_value(&o, value);
    *ret_len = o.len;
    put_char(&o, '\0');
    return o.bytes;
}

void
js_put_text(struct buf *b, const char *text, size_t len)
{
    put_string(b, text, len);
    BUG_ON(b->len > b->max);
    *buf_reserve(b, 0) = '\0';
}
