// SPDX-License-Identifier: Apache-2.0
/*
 * sigv4: the figures that AWS has published. First those of the S3 API Reference, "Signature
 * Calculations" and "Authenticating Requests: Using Query Parameters"; then those of the test
 * suite of the General Reference that hold for S3 too, which encodes a path once and takes it as
 * it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "blob/s3/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define EXAMPLE_TIME_MS 1369353600000 /* 2013-05-24T00:00:00Z */
#define SUITE_TIME_MS 1440938160000   /* 2015-08-30T12:36:00Z */
#define MOST 5

static const struct sigv4_keys example = {.access = "AKIAIOSFODNN7EXAMPLE",
                                          .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
static const struct sigv4_keys suite = {.access = "AKIDEXAMPLE",
                                        .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};

struct figure {
    const char *name;
    const char *method;
    const char *path;
    struct sigv4_pair query[MOST];
    struct sigv4_pair headers[MOST];
    const char *payload;
    const char *signed_headers;
    const char *signature;
};

#define EXAMPLE_HOST                                                                               \
    {                                                                                              \
        "Host", "examplebucket.s3.amazonaws.com"                                                   \
    }
#define EXAMPLE_DATE                                                                               \
    {                                                                                              \
        "x-amz-date", "20130524T000000Z"                                                           \
    }

static const struct figure examples[] = {
    {"GET object",
     "GET",
     "/test.txt",
     {{0}},
     {EXAMPLE_HOST, {"Range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, EXAMPLE_DATE},
     EMPTY,
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT object",
     "PUT",
     "/test$file.text",
     {{0}},
     {EXAMPLE_HOST,
      {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
      EXAMPLE_DATE,
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
      {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"}},
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET bucket lifecycle",
     "GET",
     "/",
     {{"lifecycle", ""}},
     {EXAMPLE_HOST, EXAMPLE_DATE, {"x-amz-content-sha256", EMPTY}},
     EMPTY,
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"list objects",
     "GET",
     "/",
     {{"max-keys", "2"}, {"prefix", "J"}},
     {EXAMPLE_HOST, EXAMPLE_DATE, {"x-amz-content-sha256", EMPTY}},
     EMPTY,
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

#define SUITE_HOST                                                                                 \
    {                                                                                              \
        "Host", "example.amazonaws.com"                                                            \
    }
#define SUITE_DATE                                                                                 \
    {                                                                                              \
        "X-Amz-Date", "20150830T123600Z"                                                           \
    }

static const struct figure cases[] = {
    {"get-vanilla",
     "GET",
     "/",
     {{0}},
     {SUITE_HOST, SUITE_DATE},
     EMPTY,
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     {{"Param1", "value1"}},
     {SUITE_HOST, SUITE_DATE},
     EMPTY,
     "host;x-amz-date",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     {{"Param2", "value2"}, {"Param1", "value1"}},
     {SUITE_HOST, SUITE_DATE},
     EMPTY,
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     {{"\u1234", "bar"}},
     {SUITE_HOST, SUITE_DATE},
     EMPTY,
     "host;x-amz-date",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-utf8",
     "GET",
     "/\u1234",
     {{0}},
     {SUITE_HOST, SUITE_DATE},
     EMPTY,
     "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-unreserved",
     "GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {{0}},
     {SUITE_HOST, SUITE_DATE},
     EMPTY,
     "host;x-amz-date",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-header-value-trim",
     "GET",
     "/",
     {{0}},
     {SUITE_HOST, {"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}, SUITE_DATE},
     EMPTY,
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     {{0}},
     {SUITE_HOST,
      {"My-Header1", "value2"},
      {"My-Header1", "value2"},
      {"My-Header1", "value1"},
      SUITE_DATE},
     EMPTY,
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"post-vanilla",
     "POST",
     "/",
     {{0}},
     {SUITE_DATE, SUITE_HOST},
     EMPTY,
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-header-value-case",
     "POST",
     "/",
     {{0}},
     {SUITE_HOST, {"My-Header1", "VALUE1"}, SUITE_DATE},
     EMPTY,
     "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     {{0}},
     {SUITE_HOST, {"Content-Type", "application/x-www-form-urlencoded"}, SUITE_DATE},
     "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
};

static size_t
count(const struct sigv4_pair pairs[MOST])
{
    size_t n = 0;

    while (n < MOST && pairs[n].name)
        n++;
    return n;
}

static void
check_figures(const struct figure *figures, size_t n, const struct sigv4_keys *keys,
              const char *service, int64_t now_ms)
{
    for (size_t i = 0; i < n; i++) {
        const struct figure *f = &figures[i];
        struct sigv4_request rq = {.method = f->method,
                                   .path = f->path,
                                   .query = f->query,
                                   .n_query = count(f->query),
                                   .headers = f->headers,
                                   .n_headers = count(f->headers),
                                   .payload = f->payload,
                                   .now_ms = now_ms,
                                   .region = "us-east-1",
                                   .service = service};
        SCOPED_POOL(pool);
        char *got = sigv4_authorization(pool, &rq, keys);
        char *want = mem_printf(
            pool,
            "AWS4-HMAC-SHA256 Credential=%s/%s/us-east-1/%s/aws4_request,SignedHeaders=%s,"
            "Signature=%s",
            keys->access, keys == &example ? "20130524" : "20150830", service, f->signed_headers,
            f->signature);

        if (!streq(got, want))
            print_error("%s\n%s\n", f->name, sigv4_canonical(pool, &rq));
        assert_string_equal(got, want);
    }
}

static void
test_examples(void **state)
{
    (void)state;
    check_figures(examples, ARRAY_LEN(examples), &example, "s3", EXAMPLE_TIME_MS);
}

static void
test_suite(void **state)
{
    (void)state;
    check_figures(cases, ARRAY_LEN(cases), &suite, "service", SUITE_TIME_MS);
}

static void
test_presigned(void **state)
{
    const struct sigv4_pair host = EXAMPLE_HOST;
    struct sigv4_request rq = {.method = "GET",
                               .path = "/test.txt",
                               .headers = &host,
                               .n_headers = 1,
                               .payload = SIGV4_UNSIGNED,
                               .now_ms = EXAMPLE_TIME_MS,
                               .region = "us-east-1",
                               .service = "s3"};
    struct sigv4_keys keys = example;
    SCOPED_POOL(pool);

    (void)state;
    assert_string_equal(
        sigv4_presign(pool, &rq, &keys, 86400),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
        "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    /* a session's token is signed along, in its place */
    keys.token = "a+b";
    assert_non_null(strstr(sigv4_presign(pool, &rq, &keys, 60),
                           "&X-Amz-Security-Token=a%2Bb&X-Amz-SignedHeaders=host&"));
}

static void
test_query_order(void **state)
{
    /* by name before value, although '=' is greater than '-' and less than 'a' */
    const struct sigv4_pair query[] = {
        {"a-b", "2"}, {"a", "z"}, {"a", "b c"}, {"a/", ""}, {"B", "~"}};
    SCOPED_POOL(pool);

    (void)state;
    assert_string_equal(sigv4_query(pool, query, ARRAY_LEN(query)), "B=~&a=b%20c&a=z&a%2F=&a-b=2");
    assert_string_equal(sigv4_query(pool, NULL, 0), "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_suite),
        cmocka_unit_test(test_presigned),
        cmocka_unit_test(test_query_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
