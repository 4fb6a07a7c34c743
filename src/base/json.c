// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

void
json_start(void)
{
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
            if (++depth > JSON_DEPTH_MAX)
                return true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

enum rc
json_read(const char *text, size_t len, json_t **ret, struct err *err)
{
    json_error_t why;
    json_t *value;

    if (too_deep(text, len))
        return err_set(err, RC_MALFORMED, "JSON nested too deeply");
    value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!value)
        return err_set(err, RC_MALFORMED, "JSON at %d: %s", why.position, why.text);
    *ret = value;
    return RC_OK;
}

char *
json_write(TALLOC_CTX *pool, const json_t *value, size_t *ret_len)
{
    char small[2048], *text;
    size_t len = json_dumpb(value, small, sizeof(small), JSON_COMPACT | JSON_ENCODE_ANY);

    if (len <= sizeof(small)) {
        text = mem_strndup(pool, small, len);
    } else {
        text = mem_zalloc(pool, len + 1);
        (void)json_dumpb(value, text, len, JSON_COMPACT | JSON_ENCODE_ANY);
    }
    *ret_len = len;
    return text;
}

json_t *
json_text(const char *text)
{
    return text ? json_string_nocheck(text) : json_null();
}

char *
json_member_text(TALLOC_CTX *pool, const char *name, const char *text)
{
    json_auto_t *object = json_object();
    size_t len;

    (void)json_object_set_new(object, name, text ? json_text(text) : json_true());
    return json_write(pool, object, &len);
}
