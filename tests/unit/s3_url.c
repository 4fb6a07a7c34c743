// SPDX-License-Identifier: Apache-2.0
/* blob/s3/url: what an operator may write, and what is said about the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "blob/s3/url.h"

static struct s3_conf
read_url(TALLOC_CTX *pool, const char *url)
{
    struct s3_conf conf;
    struct err err;

    if (s3_url_parse(pool, url, &conf, &err))
        fail_msg("%s: %s", url, err.detail);
    return conf;
}

static void
test_defaults(void **state)
{
    SCOPED_POOL(pool);
    struct s3_conf c = read_url(pool, "s3://bucket");

    (void)state;
    assert_string_equal(c.bucket, "bucket");
    assert_string_equal(c.prefix, "");
    assert_string_equal(c.region, "us-east-1");
    assert_true(c.endpoint.tls);
    assert_true(c.virtual_host);
    assert_string_equal(c.endpoint.host, "bucket.s3.us-east-1.amazonaws.com");
    assert_string_equal(c.public_endpoint.host, c.endpoint.host);
    assert_null(c.sse);
    assert_null(c.ca);
    assert_null(c.credentials);
    assert_string_equal(c.profile, "default");
    assert_false(c.versions);
    assert_int_equal(c.timeout_ms, 30000);
    assert_int_equal(c.connect_timeout_ms, 2000);
    assert_int_equal(c.stall_timeout_ms, 10000);
    assert_int_equal(c.part_size, MIB(16));
    assert_int_equal(c.memory, MIB(256));
}

static void
test_all_options(void **state)
{
    SCOPED_POOL(pool);
    struct s3_conf c = read_url(
        pool, "s3://My.bucket_1/a/b?endpoint=http://127.0.0.1:7480&public_endpoint="
              "https%3A%2F%2Ffiles.example%2F&region=eu-west-3&style=path&sse=aws:kms"
              "&sse_kms_key=arn:aws:kms:eu-west-3:1:key/a-b&credentials=/etc/a%20b&profile=x"
              "&ca=/etc/ca.pem&versions=allow&timeout_ms=900&part_mib=5&memory_mib=64");

    (void)state;
    assert_string_equal(c.bucket, "My.bucket_1");
    assert_string_equal(c.prefix, "a/b/");
    assert_false(c.endpoint.tls);
    assert_string_equal(c.endpoint.host, "127.0.0.1:7480");
    assert_true(c.public_endpoint.tls);
    assert_string_equal(c.public_endpoint.host, "files.example");
    assert_string_equal(c.region, "eu-west-3");
    assert_false(c.virtual_host);
    assert_string_equal(c.sse, "aws:kms");
    assert_string_equal(c.sse_kms_key, "arn:aws:kms:eu-west-3:1:key/a-b");
    assert_string_equal(c.credentials, "/etc/a b");
    assert_string_equal(c.profile, "x");
    assert_string_equal(c.ca, "/etc/ca.pem");
    assert_true(c.versions);
    assert_int_equal(c.timeout_ms, 900);
    assert_int_equal(c.connect_timeout_ms, 300);
    assert_int_equal(c.stall_timeout_ms, 300);
    assert_int_equal(c.part_size, MIB(5));
    assert_int_equal(c.memory, MIB(64));
}

static void
test_styles(void **state)
{
    static const struct {
        const char *url, *host;
        bool virtual_host;
    } cases[] = {
        {"s3://one?endpoint=https://s3.example", "s3.example", false},
        {"s3://one?endpoint=https://s3.example&style=virtual", "one.s3.example", true},
        {"s3://one?style=path", "s3.us-east-1.amazonaws.com", false},
        {"s3://one.two", "s3.us-east-1.amazonaws.com", false}, /* no certificate is that deep */
        {"s3://one?endpoint=https://s3.example:443/", "s3.example", false},
        {"s3://one?endpoint=http://s3.example:80", "s3.example", false},
        {"s3://one?endpoint=http://s3.example:443", "s3.example:443", false},
        {"s3://one?endpoint=http://[::1]:9000", "[::1]:9000", false},
    };
    SCOPED_POOL(pool);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct s3_conf c = read_url(pool, cases[i].url);

        assert_string_equal(c.endpoint.host, cases[i].host);
        assert_int_equal(c.virtual_host, cases[i].virtual_host);
    }
    assert_string_equal(read_url(pool, "s3://one/a/").prefix, "a/");
    assert_string_equal(read_url(pool, "s3://one/").prefix, "");
}

/* What is wrong, and a word of what is said about it. */
static const struct {
    const char *url, *word;
} wrong[] = {
    {"", "s3://BUCKET"},
    {"http://bucket", "s3://BUCKET"},
    {"s3://", "name of a bucket"},
    {"s3://ab", "name of a bucket"},
    {"s3://a..b", "name of a bucket"},
    {"s3://-ab", "name of a bucket"},
    {"s3://a:b@c", "name of a bucket"},
    {"s3://bucket/a//b", "prefix"},
    {"s3://bucket//a", "prefix"},
    {"s3://bucket/a/../b", "prefix"},
    {"s3://bucket/.", "prefix"},
    {"s3://bucket/a b", "prefix"},
    {"s3://bucket/a%20b", "prefix"},
    {"s3://bucket?region", "OPTION=VALUE"},
    {"s3://bucket?region=%zz", "OPTION=VALUE"},
    {"s3://bucket?region=", "region"},
    {"s3://bucket?regoin=x", "regoin"},
    {"s3://bucket?region=a&region=a", "twice"},
    {"s3://bucket?region=a.b", "region"},
    {"s3://bucket?endpoint=s3.example", "endpoint"},
    {"s3://bucket?endpoint=ftp://s3.example", "endpoint"},
    {"s3://bucket?endpoint=http://", "endpoint"},
    {"s3://bucket?endpoint=http://a/b", "endpoint"},
    {"s3://bucket?endpoint=http://u:p@a", "endpoint"},
    {"s3://bucket?endpoint=http://a:0", "endpoint"},
    {"s3://bucket?endpoint=http://a:65536", "endpoint"},
    {"s3://bucket?endpoint=http://[::1", "endpoint"},
    {"s3://bucket?endpoint=http://[::1]&style=virtual", "endpoint"},
    {"s3://bucket?public_endpoint=x", "public_endpoint"},
    {"s3://bucket?style=dns", "path|virtual"},
    {"s3://bucket?sse=aes", "AES256|aws:kms"},
    {"s3://bucket?sse=AES256&sse_kms_key=a", "sse_kms_key"},
    {"s3://bucket?sse=aws:kms&sse_kms_key=a%0D%0Ab", "sse_kms_key"},
    {"s3://bucket?credentials=role", "env|container|instance|FILE"},
    {"s3://bucket?versions=1", "versions"},
    {"s3://bucket?timeout_ms=99", "timeout_ms"},
    {"s3://bucket?timeout_ms=1e3", "timeout_ms"},
    {"s3://bucket?timeout_ms=500&stall_timeout_ms=501", "stall_timeout_ms"},
    {"s3://bucket?part_mib=4", "part_mib"},
    {"s3://bucket?memory_mib=0", "memory_mib"},
};

static void
test_wrong(void **state)
{
    SCOPED_POOL(pool);
    struct s3_conf conf;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (s3_url_parse(pool, wrong[i].url, &conf, &err) != RC_INVALID)
            fail_msg("%s was taken", wrong[i].url);
        if (!strstr(err.detail, wrong[i].word))
            fail_msg("%s: %s", wrong[i].url, err.detail);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all_options),
        cmocka_unit_test(test_styles),
        cmocka_unit_test(test_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
