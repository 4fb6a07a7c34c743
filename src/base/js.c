// SPDX-License-Identifier: Apache-2.0
#include "base/js.h"

#include <stdlib.h>

#include "base/clock.h"

static void *
allocate(size_t size)
{
    void *p = malloc(size);

    BUG_ON(!p);
    return p;
}

void
js_start(void)
{
    /* its NULL for no memory is the one for bad JSON, or is passed over */
    json_set_alloc_funcs(allocate, free);
    json_object_seed(0);
}

/* jansson's own limit is far above ours, and its parser recurses: look before it does. */
static bool
too_deep(const char *text, size_t len)
{
    bool in_string = false;
    int depth = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JS_DEPTH_MAX)
                return true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

enum rc
js_read(const char *text, size_t len, json_t **ret, struct err *err)
{
    json_error_t why;
    json_t *value;

    /* after a number jansson takes a NUL for the end of its buffer, and reads on behind it */
    if (memchr(text, '\0', len))
        return err_set(err, RC_MALFORMED, "NUL in JSON");
    if (too_deep(text, len))
        return err_set(err, RC_MALFORMED, "JSON nested too deeply");
    value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!value)
        return err_set(err, RC_MALFORMED, "JSON at %d: %s", why.position, why.text);
    *ret = value;
    return RC_OK;
}

json_t *
js_text(const char *text)
{
    return text ? json_string_nocheck(text) : json_null();
}

json_t *
js_number(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

json_t *
js_time(int64_t ms)
{
    char text[CLOCK_TEXT_LEN];

    if (ms < 0)
        return json_null();
    clock_format(ms, text);
    return js_text(text);
}

void
js_set(json_t *object, const char *name, json_t *value)
{
    BUG_ON(json_object_set_new_nocheck(object, name, value) != 0);
}

char *
js_member(TALLOC_CTX *pool, const char *name, const char *text)
{
    json_auto_t *object = json_object();
    size_t len;

    (void)json_object_set_new(object, name, text ? js_text(text) : json_true());
    return js_write(pool, object, &len);
}
