// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <magic.h>
#include <pthread.h>
#include <strings.h>

#include "base/buf.h"
#include "core/media_type.h"
#include "media_samples.h"

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

/* Bytes without a meaning, the same each time. */
static void
put_filling(struct buf *b, size_t len)
{
    uint32_t x = 1;

    while (len-- > 0) {
        char c = (char)((x = x * 1664525 + 1013904223) >> 24);

        assert_true(buf_append(b, &c, 1));
    }
}

static void
put_number(struct buf *b, uint64_t n, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = (char)(n >> (8 * i));

        assert_true(buf_append(b, &c, 1));
    }
}

static struct buf
sample_bytes(TALLOC_CTX *pool, const struct sample *s)
{
    struct buf b;

    buf_init(&b, pool, 4096);
    if (s->how & UTF16) {
        put_number(&b, 0xfeff, 2);
        for (size_t i = 0; i < s->len; i++)
            put_number(&b, (unsigned char)s->bytes[i], 2);
    } else {
        assert_true(buf_append(&b, s->bytes, s->len));
    }
    if (s->how & FILLED)
        put_filling(&b, 1000);
    return b;
}

/* Local headers and what they head, as far as a file's beginning goes; none of the directory. */
static struct buf
zip_bytes(TALLOC_CTX *pool, const char *text, const char *const *names, size_t n)
{
    struct buf b;

    buf_init(&b, pool, 4096);
    for (size_t i = 0; i < n && names[i]; i++) {
        bool stored = i == 0 && text;
        size_t len = stored ? strlen(text) : 300;

        put_number(&b, 0x04034b50, 4);
        put_number(&b, 20, 2); /* version */
        put_number(&b, 0, 2);
        put_number(&b, stored ? 0 : 8, 2); /* method */
        put_number(&b, 0, 8);              /* time, checksum */
        put_number(&b, len, 4);
        put_number(&b, len, 4);
        put_number(&b, strlen(names[i]), 4);
        buf_puts(&b, names[i]);
        if (stored)
            buf_puts(&b, text);
        else
            put_filling(&b, len);
    }
    return b;
}

/* An entry of a compound file's directory. */
static void
put_cdf_entry(struct buf *b, const char *name, unsigned type, uint32_t child, uint32_t size)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < 32; i++)
        put_number(b, i < len ? (unsigned char)name[i] : 0, 2);
    put_number(b, 2 * len + 2, 2);
    put_number(b, type | 1 << 8, 2);
    put_number(b, UINT64_MAX, 8); /* no siblings */
    put_number(b, child, 4);
    for (size_t i = 0; i < 9; i++) /* class, flags, times */
        put_number(b, 0, 4);
    put_number(b, size ? 1 : 0xfffffffe, 4); /* its first sector */
    put_number(b, size, 8);
}

/* A compound file: its table, a directory and a stream; with no name the directory is far. */
static struct buf
cdf_bytes(TALLOC_CTX *pool, const char *name)
{
    struct buf b;

    buf_init(&b, pool, 8192);
    assert_true(buf_append(&b, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8));
    put_number(&b, 0, 8);
    put_number(&b, 0, 8);
    put_number(&b, 0x0003003e, 4);
    put_number(&b, 0x0009fffe, 4); /* sectors of 512 bytes */
    put_number(&b, 6, 8);
    put_number(&b, 0, 4);
    put_number(&b, 1, 4);              /* sectors of the table */
    put_number(&b, name ? 0 : 100, 4); /* where the directory is */
    put_number(&b, 0x100000000000, 8); /* streams of 4 KiB have sectors of their own */
    put_number(&b, 0xfffffffe, 8);     /* no short ones */
    put_number(&b, 0xfffffffe, 8);     /* no more sectors of the table */
    put_number(&b, name ? 9 : 101, 4);
    while (b.len < 512)
        put_number(&b, UINT32_MAX, 4);
    if (name) {
        put_cdf_entry(&b, "Root Entry", 5, 1, 0);
        put_cdf_entry(&b, name, 2, UINT32_MAX, 4096);
        while (b.len < 1024)
            put_number(&b, 0, 4);
    }
    put_filling(&b, (name ? 1024 + 4096 : 4096) - b.len);
    if (name) { /* a chain of eight sectors after the directory's */
        put_number(&b, 0xfffffffe, 4);
        for (uint32_t i = 2; i < 9; i++)
            put_number(&b, i, 4);
        put_number(&b, 0xfffffffe, 4);
        put_number(&b, 0xfffffffd, 4);
        while (b.len % 512)
            put_number(&b, UINT32_MAX, 4);
    }
    return b;
}

static void *
detect_all(void *arg)
{
    struct media_detector *d = arg;
    size_t wrong = 0;

    for (size_t i = 0; i < 1000; i++) {
        TALLOC_CTX *pool = base_pool_new(NULL);
        const struct sample *s = &plain_samples[i % ARRAY_LEN(plain_samples)];
        struct buf b = sample_bytes(pool, s);

        wrong += !streq(media_type_detect(d, pool, b.bytes, b.len), s->type);
        base_pool_free(&pool);
    }
    return wrong ? d : NULL;
}

/* What begins a long file, and what is told of it. */
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

/* With libmagic's own database, whose answers ours are to be, but for those that are better. */
struct judge {
    struct media_detector *ours;
    magic_t whole;
    size_t wrong;
};

static void
judge(struct judge *j, const char *what, const struct buf *b, const char *type, unsigned how)
{
    SCOPED_POOL(pool);
    const char *ours = media_type_detect(j->ours, pool, b->bytes, b->len);
    const char *whole = b->len ? magic_buffer(j->whole, b->bytes, b->len) : MEDIA_TYPE_UNKNOWN;

    assert_non_null(whole);
    if (streq(ours, type) && (strcasecmp(whole, type) == 0) == !(how & OURS))
        return;
    print_error("%s: %s, libmagic: %s, should be: %s\n", what, ours, whole, type);
    j->wrong++;
}

static void
test_kinds(void **state UNUSED)
{
    struct judge j = {.whole = magic_open(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_ELF)};
    struct err err;

    assert_int_equal(media_detector_new(&j.ours, &err), RC_OK);
    assert_int_equal(magic_load(j.whole, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(plain_samples); i++) {
        SCOPED_POOL(pool);
        struct buf b = sample_bytes(pool, &plain_samples[i]);

        judge(&j, plain_samples[i].bytes, &b, plain_samples[i].type, plain_samples[i].how);
    }
    for (size_t i = 0; i < ARRAY_LEN(zip_samples); i++) {
        SCOPED_POOL(pool);
        struct buf b = zip_bytes(pool, zip_samples[i].text, zip_samples[i].names,
                                 ARRAY_LEN(zip_samples[i].names));

        judge(&j, zip_samples[i].names[0], &b, zip_samples[i].type, zip_samples[i].how);
    }
    for (size_t i = 0; i < ARRAY_LEN(cdf_samples); i++) {
        SCOPED_POOL(pool);
        struct buf b = cdf_bytes(pool, cdf_samples[i].stream);

        judge(&j, cdf_samples[i].stream ? cdf_samples[i].stream : "directory far", &b,
              cdf_samples[i].type, 0);
    }
    magic_close(j.whole);
    media_detector_free(&j.ours);
    assert_int_equal(j.wrong, 0);
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
        cmocka_unit_test(test_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
