// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/buf.h"
#include "core/media_type.h"

#define TEN "1234567890"
#define LONG120 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define LONG127 LONG120 "1234567"

static const struct {
    const char *text;
    const char *normal; /* NULL: refused */
} normal_cases[] = {
    {"application/pdf", "application/pdf"},
    {"Application/PDF", "application/pdf"},
    {"image/svg+xml", "image/svg+xml"},
    {"a/b", "a/b"},
    {"1!#$&-^_.+/2!#$&-^_.+", "1!#$&-^_.+/2!#$&-^_.+"},
    {"Text/Plain;Charset=UTF-8", "text/plain; charset=utf-8"},
    {"text/plain ; \t charset=\"UTF-8\"", "text/plain; charset=\"utf-8\""},
    {"a/b;C=d;E=\"f; \\\"G\"", "a/b; c=d; e=\"f; \\\"g\""},
    {"a/b;;", "a/b"},
    {"a/b; ;c=d", "a/b; c=d"},
    {LONG127 "/" LONG127, LONG127 "/" LONG127},
    {LONG127 "8/a", NULL},
    {"a/" LONG127 "8", NULL},
    {LONG127 "/" LONG127 ";a=b", LONG127 "/" LONG127 "; a=b"},
    /* 512 bytes in all, and one more */
    {LONG127 "/" LONG127 "; a=" LONG127 LONG120 "123456",
     LONG127 "/" LONG127 "; a=" LONG127 LONG120 "123456"},
    {LONG127 "/" LONG127 "; a=" LONG127 LONG120 "1234567", NULL},
    {"", NULL},
    {"pdf", NULL},
    {"/", NULL},
    {"a/", NULL},
    {"/a", NULL},
    {"a/b/c", NULL},
    {" a/b", NULL},
    {"a/b ", NULL},
    {"a/b; ", NULL},
    {"a /b", NULL},
    {"a/ b", NULL},
    {"a/b c", NULL},
    {"a/b, c/d", NULL},
    {"*/*", NULL},
    {".a/b", NULL},
    {"a/+b", NULL},
    {"a/b;c", NULL},
    {"a/b;c=", NULL},
    {"a/b;=c", NULL},
    {"a/b;c=d/e", NULL},
    {"a/b;c =d", NULL},
    {"a/b;c= d", NULL},
    {"a/b;c=\"d", NULL},
    {"a/b;c=\"d\\\"", NULL},
    {"a/b;c=\"d\"e", NULL},
    {"a/b;c=\"\n\"", NULL},
    {"a/b\r\n", NULL},
    {"a/b;c=\xc3\xa9", NULL},
    {"a/b;c=\"\xc3\xa9\"", NULL},
    {"a/\xc3\xa9", NULL},
};

static void
test_normalise(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(normal_cases); i++) {
        SCOPED_POOL(pool);
        const char *want = normal_cases[i].normal;
        char *got = NULL;
        char *again = NULL;

        if (media_type_normalise(pool, normal_cases[i].text, &got) != (want != NULL))
            fail_msg("%s: %s", normal_cases[i].text, got ? got : "refused");
        if (!want) {
            assert_null(got);
            continue;
        }
        assert_string_equal(got, want);
        assert_true(media_type_normalise(pool, got, &again));
        assert_string_equal(got, again);
    }
}

static void
test_served(void **state UNUSED)
{
    assert_string_equal(media_type_served("application/pdf"), "application/pdf");
    assert_string_equal(media_type_served("Image/PNG; a=b"), "image/png");
    assert_string_equal(media_type_served("text/plain"), "text/plain; charset=utf-8");
    assert_string_equal(media_type_served("text/plain; charset=UTF-8"),
                        "text/plain; charset=utf-8");
    assert_string_equal(media_type_served("text/plain; format=flowed; charset=\"utf-8\""),
                        "text/plain; charset=utf-8");
    assert_string_equal(media_type_served("text/plain; charset=us-ascii"),
                        "text/plain; charset=utf-8");
    assert_string_equal(media_type_served("text/plain; charset=iso-8859-1"), "text/plain");
    assert_string_equal(media_type_served("text/csv; header=present"), "text/csv");
    assert_string_equal(media_type_served("application/vnd.oasis.opendocument.text"),
                        "application/vnd.oasis.opendocument.text");
    assert_string_equal(media_type_served("text/html"), MEDIA_TYPE_UNKNOWN);
    assert_string_equal(media_type_served("image/svg+xml"), MEDIA_TYPE_UNKNOWN);
    assert_string_equal(media_type_served("application/xhtml+xml"), MEDIA_TYPE_UNKNOWN);
    assert_string_equal(media_type_served("text/javascript"), MEDIA_TYPE_UNKNOWN);
    assert_string_equal(media_type_served("application/pdf, text/html"), MEDIA_TYPE_UNKNOWN);
    assert_string_equal(media_type_served(""), MEDIA_TYPE_UNKNOWN);
    assert_string_equal(media_type_served(NULL), MEDIA_TYPE_UNKNOWN);
}

static void
test_extension(void **state UNUSED)
{
    assert_string_equal(media_type_extension("application/pdf"), "pdf");
    assert_string_equal(media_type_extension("image/jpeg"), "jpg");
    assert_string_equal(media_type_extension("TEXT/PLAIN; charset=utf-8"), "txt");
    assert_string_equal(
        media_type_extension("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        "xlsx");
    assert_string_equal(media_type_extension("text/html"), "bin");
}

static void
test_is(void **state UNUSED)
{
    assert_true(media_type_is("a/b", "a/b"));
    assert_true(media_type_is(" A/B ; c=d", "a/b"));
    assert_true(media_type_is("a/b;", "a/b"));
    assert_false(media_type_is(NULL, "a/b"));
    assert_false(media_type_is("", "a/b"));
    assert_false(media_type_is("a/bc", "a/b"));
    assert_false(media_type_is("a/b c", "a/b"));
    assert_false(media_type_is("a/b, a/b", "a/b"));

    assert_true(media_type_is_json("application/json"));
    assert_true(media_type_is_json("Application/JSON; charset=utf-8"));
    assert_true(media_type_is_json("application/json-patch+json"));
    assert_true(media_type_is_json("application/merge-patch+JSON ; a=b"));
    assert_false(media_type_is_json("application/+json"));
    assert_false(media_type_is_json("application/a+json x"));
    assert_false(media_type_is_json("application/jsonx"));
    assert_false(media_type_is_json("text/json"));
    assert_false(media_type_is_json("text/a+json"));
    assert_false(media_type_is_json("+json"));
    assert_false(media_type_is_json(NULL));
}

static const struct {
    const char *bytes;
    size_t len;
    const char *type;
} samples[] = {
    {"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", 15, "application/pdf"},
    {"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0", 29, "image/png"},
    {"GIF89a\1\0\1\0\0\0\0", 13, "image/gif"},
    {"hello world\n", 12, "text/plain"},
    {"", 0, MEDIA_TYPE_UNKNOWN},
    {"\x01\x02\x03\xff\xfe\x00\x80", 7, MEDIA_TYPE_UNKNOWN},
};

static void *
detect_all(void *arg)
{
    struct media_detector *d = arg;
    size_t wrong = 0;

    for (size_t i = 0; i < 50 * ARRAY_LEN(samples); i++) {
        TALLOC_CTX *pool = base_pool_new(NULL);
        size_t s = i % ARRAY_LEN(samples);

        wrong +=
            !streq(media_type_detect(d, pool, samples[s].bytes, samples[s].len), samples[s].type);
        base_pool_free(&pool);
    }
    return wrong ? d : NULL;
}

/* What begins a long file, and what is told of it: of text, its first KiB says. */
static const struct {
    const char *begin, *rest, *type;
} long_files[] = {
    {"<!DOCTYPE html>\n<html>\n", "words and words\n", "text/html"},
    {"", "0123456789", "text/plain"},
    {"", "words and words\n", "text/plain"},
    {"a,b\n", "1,2\n", "text/csv"},
    {"GIF89a", "\x01", "image/gif"},
    {"%PDF-1.7\n", "1 0 obj\n", "application/pdf"},
};

static void
test_long_files(void **state UNUSED)
{
    SCOPED(media_detector) d = NULL;
    struct err err;

    assert_int_equal(media_detector_new(&d, &err), RC_OK);
    for (size_t i = 0; i < ARRAY_LEN(long_files); i++) {
        SCOPED_POOL(pool);
        struct buf b;

        buf_init(&b, pool, 8192);
        buf_puts(&b, long_files[i].begin);
        while (b.len < 4000)
            buf_puts(&b, long_files[i].rest);
        assert_string_equal(media_type_detect(d, pool, b.bytes, b.len), long_files[i].type);
    }
}

static void
test_detect(void **state UNUSED)
{
    SCOPED_POOL(pool);
    SCOPED(media_detector) d = NULL;
    char *much = mem_zalloc(pool, 1 << 20);
    pthread_t threads[4];
    struct err err;

    assert_int_equal(media_detector_new(&d, &err), RC_OK);
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        assert_string_equal(media_type_detect(d, pool, samples[i].bytes, samples[i].len),
                            samples[i].type);
    assert_string_equal(media_type_detect(d, pool, much, 1 << 20), MEDIA_TYPE_UNKNOWN);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, detect_all, d), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *wrong;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    media_detector_free(&d);
    assert_null(d);
    media_detector_free(&d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalise), cmocka_unit_test(test_served),
        cmocka_unit_test(test_extension), cmocka_unit_test(test_is),
        cmocka_unit_test(test_detect),    cmocka_unit_test(test_long_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
