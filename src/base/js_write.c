// SPDX-License-Identifier: Apache-2.0
/*
 * js_write: the compact text of a value, as jansson's own writer has it with JSON_COMPACT.
 *
 * That one hands out each token by a call and decodes each character: it was half of what a list
 * cost (docs/decisions/0020-cheaper-requests.md).
 */
#include "base/js.h"

#define FIRST_ROOM 1024

struct out {
    TALLOC_CTX *pool;
    char *text;
    size_t len;
    size_t room; /* one more is there for the NUL */
};

static void
reserve(struct out *o, size_t more)
{
    if (o->room - o->len >= more)
        return;
    while (o->room - o->len < more)
        o->room *= 2;
    o->text = talloc_realloc_size(o->pool, o->text, o->room + 1);
    BUG_ON(!o->text);
}

static void
put(struct out *o, const char *bytes, size_t len)
{
    reserve(o, len);
    memcpy(o->text + o->len, bytes, len);
    o->len += len;
}

static void
put_char(struct out *o, char c)
{
    reserve(o, 1);
    o->text[o->len++] = c;
}

static bool
is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

static void
put_escape(struct out *o, unsigned char c)
{
    static const char short_form[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    char escape[8];

    for (const char *p = short_form; *p; p += 2) {
        if ((unsigned char)*p == c) {
            put_char(o, '\\');
            put_char(o, p[1]);
            return;
        }
    }
    (void)snprintf(escape, sizeof(escape), "\\u%04X", c);
    put(o, escape, 6);
}

/* Valid UTF-8, of which only ASCII has anything to escape (RFC 8259 §7). */
static void
put_string(struct out *o, const char *text, size_t len)
{
    put_char(o, '"');
    for (size_t i = 0; i < len; i++) {
        size_t plain = i;

        while (plain < len && is_plain((unsigned char)text[plain]))
            plain++;
        put(o, text + i, plain - i);
        if (plain < len)
            put_escape(o, (unsigned char)text[plain]);
        i = plain;
    }
    put_char(o, '"');
}

static void
put_integer(struct out *o, json_int_t value)
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
put_real(struct out *o, const json_t *value)
{
    char text[64];
    size_t len = json_dumpb(value, text, sizeof(text), JSON_ENCODE_ANY);

    BUG_ON(len == 0 || len > sizeof(text));
    put(o, text, len);
}

static void put_value(struct out *o, const json_t *value);

static void
put_object(struct out *o, const json_t *value)
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
put_array(struct out *o, const json_t *value)
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
put_value(struct out *o, const json_t *value)
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
    struct out o = {.pool = pool, .room = FIRST_ROOM};

    o.text = talloc_size(pool, o.room + 1);
    BUG_ON(!o.text);
    put_value(&o, value);
    o.text[o.len] = '\0';
    *ret_len = o.len;
    return o.text;
}
