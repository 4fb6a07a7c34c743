// SPDX-License-Identifier: Apache-2.0
/* json: strict in, compact out. */
#include "support.h"

#include "base/js.h"

static const char *const readable[] = {
    "{}",
    "[]",
    "null",
    "true",
    "0",
    "-1.5e3",
    "\"x\"",
    " {\"a\" : [1, 2]} \r\n\t",
    "{\"a\":\"\\u00e9\\ud83d\\udcc4\"}",
    "\"\\\"\\\\[[[\"",
    "9223372036854775807",
};

static const char *const unreadable[] = {
    "",
    " ",
    "{",
    "}",
    "[1,]",
    "{\"a\":1,}",
    "{\"a\":1} x",
    "{\"a\":1}{}",
    "{a:1}",
    "{'a':1}",
    "{\"a\":1,\"a\":2}",
    "nul",
    "True",
    "NaN",
    "Infinity",
    "-",
    "01",
    "1.",
    ".5",
    "+1",
    "0x1",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"a\nb\"",
    "\"\\x41\"",
    "\"open",
    "// x\n1",
    "/**/1",
    "9223372036854775808",
    "1e999",
    "\xef\xbb\xbf{}",
};

static void
test_read(void **state)
{
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(readable); i++) {
        json_t *value = NULL;

        if (js_read(readable[i], strlen(readable[i]), &value, &err))
            fail_msg("%s: %s", readable[i], err.detail);
        json_decref(value);
    }
    for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
        json_t *value = NULL;

        if (js_read(unreadable[i], strlen(unreadable[i]), &value, &err) != RC_MALFORMED)
            fail_msg("%s was read", unreadable[i]);
        assert_null(value);
        assert_string_equal(err.hint, "");
    }
}

/* A NUL byte ends nothing. */
static void
test_embedded_nul(void **state)
{
    json_t *value = NULL;
    struct err err;

    (void)state;
    EXPECT(RC_MALFORMED, js_read("{}\0{}", 5, &value, &err));
    EXPECT(RC_MALFORMED, js_read("\"a\0b\"", 5, &value, &err));
    EXPECT(RC_MALFORMED, js_read("[1\0]", 4, &value, &err));
    assert_null(value);
}

static const struct {
    const char *open, *close;
    size_t depth;
    enum rc rc;
} nested[] = {
    {"[", "]", JS_DEPTH_MAX, RC_OK},
    {"[", "]", JS_DEPTH_MAX + 1, RC_MALFORMED},
    {"[", "]", 100000, RC_MALFORMED},
    {"{\"a\":", "}", JS_DEPTH_MAX - 1, RC_OK},
    {"{\"a\":", "}", JS_DEPTH_MAX + 1, RC_MALFORMED},
    {"[", "", 100000, RC_MALFORMED},
};

static void
test_depth(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(nested); i++) {
        size_t open = strlen(nested[i].open), close = strlen(nested[i].close), len = 0;
        char *text = test_malloc(nested[i].depth * (open + close) + 2);
        json_t *value = NULL;
        struct err err;

        for (size_t d = 0; d < nested[i].depth; d++, len += open)
            memcpy(text + len, nested[i].open, open);
        if (open > 1)
            text[len++] = '1';
        for (size_t d = 0; d < nested[i].depth; d++, len += close)
            memcpy(text + len, nested[i].close, close);
        EXPECT(nested[i].rc, js_read(text, len, &value, &err));
        json_decref(value);
        test_free(text);
    }
}

/* Brackets in strings are no depth, nor does an escaped quote end one. */
static void
test_depth_in_strings(void **state)
{
    char text[200] = "\"\\\"";
    json_t *value = NULL;
    struct err err;

    (void)state;
    memset(text + 3, '[', 100);
    text[103] = '"';
    EXPECT(RC_OK, js_read(text, 104, &value, &err));
    assert_int_equal(json_string_length(value), 101);
    json_decref(value);
}

static void
test_write(void **state)
{
    static const size_t sizes[] = {0, 1, 2045, 2046, 2047, 2048, 100000};
    SCOPED_POOL(pool);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *text = mem_zalloc(pool, sizes[i] + 1), *out;
        json_auto_t *value = NULL;
        size_t len;

        memset(text, 's', sizes[i]);
        value = js_text(text);
        out = js_write(pool, value, &len);
        assert_int_equal(len, sizes[i] + 2);
        assert_int_equal(strlen(out), len);
        assert_int_equal(out[0], '"');
        assert_int_equal(out[len - 1], '"');
    }
}

static json_t *
all_characters(void)
{
    char text[256 + 8];
    size_t len = 0;

    for (int c = 1; c < 0x80; c++)
        text[len++] = (char)c;
    memcpy(text + len, "\xc2\x80\xed\x9f\xbf\xf0\x9f\x93\x84", 10);
    return json_string_nocheck(text);
}

/* What jansson would have written, to the byte. */
static void
test_write_as_jansson(void **state)
{
    SCOPED_POOL(pool);
    json_auto_t *value =
        json_pack("{s:n, s:b, s:b, s:I, s:I, s:i, s:f, s:f, s:f, s:[], s:{}, s:[i,[s],{s:i}], s:s}",
                  "null", "true", 1, "false", 0, "least", (json_int_t)INT64_MIN, "most",
                  (json_int_t)INT64_MAX, "zero", 0, "real", 0.1, "huge", 1e300, "whole", 3.0,
                  "array", "object", "nested", 1, "two", "three", 3, "a\"\n", "");
    char *want, *have;
    size_t len;

    (void)state;
    assert_non_null(value);
    js_set(value, "characters", all_characters());
    js_set(value, "with NUL", json_stringn("a\0b", 3));
    want = json_dumps(value, JSON_COMPACT);
    have = js_write(pool, value, &len);
    assert_int_equal(len, strlen(want));
    assert_string_equal(have, want);
    free(want);
}

/* As a value on its own, wherever the text is cut into pieces. */
static void
test_put_text(void **state)
{
    char text[600];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t len = 0; len < sizeof(text); len += 1 + len / 9) {
        SCOPED_POOL(pool);
        struct buf b;
        json_auto_t *value = NULL;
        char *want;

        text[len] = (char)(len % 0x80);
        value = json_stringn(text, len);
        want = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        buf_init(&b, pool, 8192);
        buf_puts(&b, "[");
        js_put_text(&b, text, len);
        assert_string_equal(b.bytes + 1, want);
        assert_int_equal(b.len, 1 + strlen(want));
        free(want);
    }
}

static const struct {
    const char *name, *text, *json;
} members[] = {
    {"a", "b", "{\"a\":\"b\"}"},
    {"a", NULL, "{\"a\":true}"},
    {"a", "", "{\"a\":\"\"}"},
    {"path", "x\"y\\z\n", "{\"path\":\"x\\\"y\\\\z\\n\"}"},
    {"a", "\xc3\xa9", "{\"a\":\"\xc3\xa9\"}"},
};

static void
test_members(void **state)
{
    SCOPED_POOL(pool);
    json_auto_t *null = js_text(NULL);

    (void)state;
    assert_true(json_is_null(null));
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        assert_string_equal(js_member(pool, members[i].name, members[i].text), members[i].json);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),     cmocka_unit_test(test_embedded_nul),
        cmocka_unit_test(test_depth),    cmocka_unit_test(test_depth_in_strings),
        cmocka_unit_test(test_write),    cmocka_unit_test(test_write_as_jansson),
        cmocka_unit_test(test_put_text), cmocka_unit_test(test_members),
    };

    js_start();
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
