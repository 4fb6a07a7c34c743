// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/disposition.h"

static const struct {
    const char *name;
    const char *value;
} cases[] = {
    {"a.pdf", "attachment; filename=\"a.pdf\""},
    {"my file (1).pdf", "attachment; filename=\"my file (1).pdf\""},
    {"a;b=c,d'e.pdf", "attachment; filename=\"a;b=c,d'e.pdf\""},
    {"", "attachment"},
    {"a\"b", "attachment; filename=\"a_b\"; filename*=UTF-8''a%22b"},
    {"a\\b", "attachment; filename=\"a_b\"; filename*=UTF-8''a%5Cb"},
    {"..", "attachment; filename=\"__\"; filename*=UTF-8''.."},
    {" ?", "attachment; filename=\"__\"; filename*=UTF-8''%20%3F"},
    {".a?", "attachment; filename=\".a?\""},
    {"=?utf-8?Q?a?=", "attachment; filename=\"=_utf-8?Q?a?=\"; "
                      "filename*=UTF-8''%3D%3Futf-8%3FQ%3Fa%3F%3D"},
    {"../b", "attachment; filename=\".._b\"; filename*=UTF-8''..%2Fb"},
    {"100%", "attachment; filename=\"100_\"; filename*=UTF-8''100%25"},
    {"\xc3\xa9t\xc3\xa9 *'.pdf",
     "attachment; filename=\"_t_ *'.pdf\"; filename*=UTF-8''%C3%A9t%C3%A9%20%2A%27.pdf"},
    {"\xe2\x82\xac\xf0\x9f\x98\x80",
     "attachment; filename=\"__\"; filename*=UTF-8''%E2%82%AC%F0%9F%98%80"},
    {"a\r\nSet-Cookie: b", "attachment; filename=\"a__Set-Cookie: b\"; "
                           "filename*=UTF-8''a__Set-Cookie%3A%20b"},
    {"\x01\x7f\t", "attachment; filename=\"___\"; filename*=UTF-8''___"},
    {"a\xff.pdf", "attachment; filename=\"a_.pdf\""},
    {"\x80\x80", "attachment; filename=\"\""},
    {"!#$&+-.^_`|~\xc3\xa9",
     "attachment; filename=\"!#$&+-.^_`|~_\"; filename*=UTF-8''!#$&+-.^_`|~%C3%A9"},
};

static void
test_cases(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED_POOL(pool);

        assert_string_equal(disposition_attachment(pool, cases[i].name), cases[i].value);
    }
}

/* Each byte alone: the value stays printable ASCII with two quotes. */
static void
test_every_byte(void **state UNUSED)
{
    for (int c = 1; c < 256; c++) {
        SCOPED_POOL(pool);
        const char name[] = {'a', (char)c, 'b', '\0'};
        const char *value = disposition_attachment(pool, name);
        int quotes = 0;

        for (; *value; value++) {
            assert_in_range(*value, 0x20, 0x7e);
            assert_int_not_equal(*value, '\\');
            quotes += *value == '"';
        }
        assert_int_equal(quotes, 2);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
