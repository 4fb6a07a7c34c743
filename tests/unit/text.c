// SPDX-License-Identifier: Apache-2.0
/* text: UTF-8 by the book (RFC 3629), controls and overrides, numbers that never overflow. */
#include "support.h"

#include "base/text.h"

static const struct {
    const char *text;
    size_t len; /* 0: strlen */
    unsigned flags;
    int chars; /* -1: refused */
} checked[] = {
    {"", 0, 0, 0},
    {"plain", 0, 0, 5},
    {"caf\xc3\xa9", 0, 0, 4},
    {"\xe2\x82\xac", 0, 0, 1},
    {"\xf0\x9f\x93\x84", 0, 0, 1},
    {"\xef\xbf\xbd", 0, 0, 1},
    {"\xf4\x8f\xbf\xbf", 0, 0, 1},  /* U+10FFFF */
    {"\xf4\x90\x80\x80", 0, 0, -1}, /* one above */
    {"\xc0\x80", 0, 0, -1},         /* NUL spelled long */
    {"\xc1\xbf", 0, 0, -1},
    {"\xe0\x9f\xbf", 0, 0, -1},
    {"\xf0\x8f\xbf\xbf", 0, 0, -1},
    {"\xed\xa0\x80", 0, 0, -1}, /* a surrogate */
    {"\xed\xbf\xbf", 0, 0, -1},
    {"\x80", 0, 0, -1},
    {"a\xc3", 0, 0, -1}, /* cut short */
    {"a\xe2\x82", 0, 0, -1},
    {"\xe2\x82\xac", 2, 0, -1}, /* cut by its length */
    {"\xff", 0, 0, -1},
    {"\xfe\xff", 0, 0, -1},
    {"\xc3(", 0, 0, -1},
    {"a\0b", 3, 0, -1},
    {"a\0b", 3, TEXT_CONTROLS | TEXT_BIDI, -1},
    {"a\tb\n", 0, 0, -1},
    {"a\tb\n", 0, TEXT_CONTROLS, 4},
    {"\x1f", 0, 0, -1},
    {"\x7f", 0, 0, -1},
    {"\x7f", 0, TEXT_CONTROLS, 1},
    {"\xc2\x80", 0, 0, -1}, /* C1 */
    {"\xc2\x9f", 0, 0, -1},
    {"\xc2\xa0", 0, 0, 1},
    {"\xe2\x80\xa9", 0, 0, 1},  /* U+2029, just below the overrides */
    {"\xe2\x80\xaa", 0, 0, -1}, /* U+202A */
    {"\xe2\x80\xae", 0, 0, -1}, /* U+202E */
    {"\xe2\x80\xaf", 0, 0, 1},
    {"\xe2\x81\xa5", 0, 0, 1},
    {"\xe2\x81\xa6", 0, 0, -1}, /* U+2066 */
    {"\xe2\x81\xa9", 0, 0, -1}, /* U+2069 */
    {"\xe2\x80\xae", 0, TEXT_CONTROLS, -1},
    {"\xe2\x80\xae\xe2\x81\xa6", 0, TEXT_BIDI, 2},
};

static void
test_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(checked); i++) {
        size_t len = checked[i].len ? checked[i].len : strlen(checked[i].text), chars = 0;
        bool ok = text_check(checked[i].text, len, checked[i].flags, &chars);

        if (ok != (checked[i].chars >= 0) || (ok && (int)chars != checked[i].chars))
            fail_msg("row %zu gave %d, %zu", i, ok, chars);
    }
}

static const struct {
    const char *text, *folded;
} folded[] = {
    {"", ""},
    {"Contract.PDF", "contract.pdf"},
    {"\xc3\x84RGER", "\xc3\xa4rger"},
    {"STRASSE", "strasse"},
    {"stra\xc3\x9f"
     "e",
     "strasse"},
    {"\xce\xa3\xce\x91\xcf\x82", "\xcf\x83\xce\xb1\xcf\x83"}, /* final sigma */
    {"A\xcc\x88", "\xc3\xa4"},                                /* composed */
    {"\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5\xe6\x9c\xac"},
};

static void
test_fold(void **state)
{
    SCOPED_POOL(pool);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(folded); i++)
        assert_string_equal(text_fold(pool, folded[i].text), folded[i].folded);
}

/* ASCII alone is not shown to the library; beside another character it is. */
static void
test_fold_ascii(void **state)
{
    SCOPED_POOL(pool);
    char plain[128], more[132];

    (void)state;
    for (int c = 1; c < 128; c++)
        plain[c - 1] = (char)c;
    plain[127] = '\0';
    (void)snprintf(more, sizeof(more), "%s\xc3\xa9", plain);
    assert_memory_equal(text_fold(pool, plain), text_fold(pool, more), 127);
    assert_int_equal(strlen(text_fold(pool, plain)), 127);
}

static const struct {
    const char *text;
    int64_t max;
    int64_t value; /* -1: refused */
} numbers[] = {
    {"0", 10, 0},
    {"10", 10, 10},
    {"11", 10, -1},
    {"007", 10, 7},
    {"", 10, -1},
    {"-1", 10, -1},
    {"+1", 10, -1},
    {" 1", 10, -1},
    {"1 ", 10, -1},
    {"1.0", 10, -1},
    {"0x1", 10, -1},
    {"1e3", 1000, -1},
    {"9223372036854775807", INT64_MAX, INT64_MAX},
    {"9223372036854775808", INT64_MAX, -1},
    {"18446744073709551617", INT64_MAX, -1},
    {"99999999999999999999999999999999999999", INT64_MAX, -1},
    {"\xd9\xa1", 10, -1}, /* an Arabic digit */
};

static void
test_uint(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        int64_t v = -1;
        bool ok = text_uint(numbers[i].text, numbers[i].max, &v);

        if (ok != (numbers[i].value >= 0) || v != numbers[i].value)
            fail_msg("'%s' gave %lld", numbers[i].text, (long long)v);
    }
}

static void
test_bool(void **state)
{
    static const char *const neither[] = {"", "yes", "True", "TRUE", "01", "on", "true ", "null"};
    bool v = false;

    (void)state;
    assert_true(text_bool("true", &v) && v);
    assert_true(text_bool("false", &v) && !v);
    assert_true(text_bool("1", &v) && v);
    for (size_t i = 0; i < ARRAY_LEN(neither); i++)
        assert_true(!text_bool(neither[i], &v) && v);
    assert_true(text_bool("0", &v) && !v);
}

static const struct {
    const char *text;
    bool plus;
    const char *plain; /* NULL: refused */
} escaped[] = {
    {"", false, ""},
    {"plain", false, "plain"},
    {"a%20b", false, "a b"},
    {"a+b", false, "a+b"},
    {"a+b", true, "a b"},
    {"a%2Bb", true, "a+b"},
    {"%2e%2E%2f", false, "../"},
    {"%41", false, "A"},
    {"%C3%A9", false, "\xc3\xa9"},
    {"%ff", false, "\xff"}, /* UTF-8 is the field's concern */
    {"%2541", false, "%41"},
    {"%00", false, NULL},
    {"a%00b", true, NULL},
    {"%", false, NULL},
    {"%4", false, NULL},
    {"ab%4", false, NULL},
    {"%zz", false, NULL},
    {"%4g", false, NULL},
    {"%-1", false, NULL},
    {"% 1", false, NULL},
};

static void
test_unescape(void **state)
{
    SCOPED_POOL(pool);
    char *out;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(escaped); i++) {
        bool ok =
            text_unescape(pool, escaped[i].text, strlen(escaped[i].text), escaped[i].plus, &out);

        if (ok != (escaped[i].plain != NULL) || (ok && !streq(out, escaped[i].plain)))
            fail_msg("'%s' is wrong", escaped[i].text);
    }
    /* the length ends it, not what stands behind */
    assert_false(text_unescape(pool, "%41", 2, false, &out));
    assert_true(text_unescape(pool, "ab%41", 2, false, &out));
    assert_string_equal(out, "ab");
}

static void
test_characters(void **state)
{
    char text[] = "MiXed-09_\xc3\x84";
    int tokens = 0, digits = 0;

    (void)state;
    for (int c = 0; c < 256; c++) {
        tokens += text_is_tchar((unsigned char)c);
        digits += text_hex((char)c) >= 0;
    }
    assert_int_equal(tokens, 62 + 15);
    assert_int_equal(digits, 22);
    assert_false(text_is_tchar(0));
    assert_false(text_is_tchar(' '));
    assert_false(text_is_tchar(':'));
    assert_true(text_is_tchar('~'));
    assert_int_equal(text_hex('F'), 15);
    assert_int_equal(text_hex('a'), 10);
    text_lower(text);
    assert_string_equal(text, "mixed-09_\xc3\x84");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),      cmocka_unit_test(test_fold),
        cmocka_unit_test(test_fold_ascii), cmocka_unit_test(test_uint),
        cmocka_unit_test(test_bool),       cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_characters),
    };

    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
