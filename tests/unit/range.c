// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/range.h"

static const struct {
    const char *value;
    uint64_t size;
    enum range_kind kind;
    struct range range;
} ranges[] = {
    {NULL, 10, RANGE_WHOLE, {0}},
    {"", 10, RANGE_WHOLE, {0}},
    {"bytes=0-4", 10, RANGE_PART, {0, 4}},
    {"bytes=9-9", 10, RANGE_PART, {9, 9}},
    {"bytes=0-0", 1, RANGE_PART, {0, 0}},
    {"bytes=5-", 10, RANGE_PART, {5, 9}},
    {"bytes=5-99", 10, RANGE_PART, {5, 9}},
    {"bytes=-3", 10, RANGE_PART, {7, 9}},
    {"bytes=-10", 10, RANGE_PART, {0, 9}},
    {"bytes=-11", 10, RANGE_PART, {0, 9}},
    {"Bytes= 1-2 ", 10, RANGE_PART, {1, 2}},
    {"bytes=00001-0000002", 10, RANGE_PART, {1, 2}},
    {"bytes=0-99999999999999999999999", 10, RANGE_PART, {0, 9}},
    {"bytes=-99999999999999999999999", 10, RANGE_PART, {0, 9}},
    {"bytes=18446744073709551614-18446744073709551615",
     UINT64_MAX,
     RANGE_PART,
     {UINT64_MAX - 1, UINT64_MAX - 1}},
    {"bytes=10-", 10, RANGE_UNSATISFIABLE, {0}},
    {"bytes=10-20", 10, RANGE_UNSATISFIABLE, {0}},
    {"bytes=99999999999999999999999-", 10, RANGE_UNSATISFIABLE, {0}},
    {"bytes=-0", 10, RANGE_UNSATISFIABLE, {0}},
    {"bytes=0-", 0, RANGE_UNSATISFIABLE, {0}},
    {"bytes=-5", 0, RANGE_WHOLE, {0}},
    {"bytes=4-3", 10, RANGE_WHOLE, {0}},
    {"bytes=12-11", 10, RANGE_WHOLE, {0}},
    {"bytes=0-1,3-4", 10, RANGE_WHOLE, {0}},
    {"bytes=0-1, -1", 10, RANGE_WHOLE, {0}},
    {"bytes=-1,0-1", 10, RANGE_WHOLE, {0}},
    {"bytes=", 10, RANGE_WHOLE, {0}},
    {"bytes=-", 10, RANGE_WHOLE, {0}},
    {"bytes=a-b", 10, RANGE_WHOLE, {0}},
    {"bytes=1", 10, RANGE_WHOLE, {0}},
    {"bytes=1-2x", 10, RANGE_WHOLE, {0}},
    {"bytes=1 -2", 10, RANGE_WHOLE, {0}},
    {"bytes=+1-2", 10, RANGE_WHOLE, {0}},
    {"bytes=--1", 10, RANGE_WHOLE, {0}},
    {"bytes 1-2", 10, RANGE_WHOLE, {0}},
    {"items=1-2", 10, RANGE_WHOLE, {0}},
};

static void
test_range(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        struct range got = {0};
        enum range_kind kind = range_parse(ranges[i].value, ranges[i].size, &got);

        if (kind != ranges[i].kind || got.first != ranges[i].range.first ||
            got.last != ranges[i].range.last)
            fail_msg("%s: %d, %ju to %ju", ranges[i].value, (int)kind, (uintmax_t)got.first,
                     (uintmax_t)got.last);
    }
}

static void
test_if_range(void **state UNUSED)
{
    assert_true(range_if_range_matches(NULL, "\"a\""));
    assert_true(range_if_range_matches("\"a\"", "\"a\""));
    assert_true(range_if_range_matches(" \"a\" ", "\"a\""));
    assert_false(range_if_range_matches("", "\"a\""));
    assert_false(range_if_range_matches("\"b\"", "\"a\""));
    assert_false(range_if_range_matches("\"aa\"", "\"a\""));
    assert_false(range_if_range_matches("a", "\"a\""));
    assert_false(range_if_range_matches("W/\"a\"", "\"a\""));
    assert_false(range_if_range_matches("W/\"a\"", "W/\"a\""));
    assert_false(range_if_range_matches("\"a\", \"a\"", "\"a\""));
    assert_false(range_if_range_matches("\"a", "\"a\""));
    assert_false(range_if_range_matches("*", "\"a\""));
    assert_false(range_if_range_matches("Sat, 29 Oct 1994 19:43:31 GMT", "\"a\""));
}

static void
test_etag_list(void **state UNUSED)
{
    assert_false(etag_list_matches(NULL, "\"a\""));
    assert_false(etag_list_matches("", "\"a\""));
    assert_true(etag_list_matches("*", "\"a\""));
    assert_true(etag_list_matches(" * ", "\"a\""));
    assert_false(etag_list_matches("*, \"a\"", "\"a\""));
    assert_true(etag_list_matches("\"a\"", "\"a\""));
    assert_true(etag_list_matches("W/\"a\"", "\"a\""));
    assert_true(etag_list_matches("\"a\"", "W/\"a\""));
    assert_false(etag_list_matches("w/\"a\"", "\"a\""));
    assert_true(etag_list_matches("\"b\", \"a\"", "\"a\""));
    assert_true(etag_list_matches("\"b\",W/\"a\"", "\"a\""));
    assert_true(etag_list_matches(",, \"b\" ,, \"a\" ,", "\"a\""));
    assert_true(etag_list_matches("\"b,c\", \"a\"", "\"a\""));
    assert_false(etag_list_matches("\"b\" \"a\"", "\"a\""));
    assert_false(etag_list_matches("\"b, \"a\"", "\"a\""));
    assert_false(etag_list_matches("a", "\"a\""));
    assert_false(etag_list_matches("\"b\", ", "\"a\""));
    assert_false(etag_list_matches("\"A\"", "\"a\""));
    assert_false(etag_list_matches("W/", "\"a\""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_if_range),
        cmocka_unit_test(test_etag_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
