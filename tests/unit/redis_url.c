// SPDX-License-Identifier: Apache-2.0
/* redis_url: what is understood, what is refused, and that a refusal repeats nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "limits/redis_url.h"

static const struct {
    const char *text;
    struct redis_url url;
} good[] = {
    {"redis://localhost", {.host = "localhost", .port = 6379, .shown = "localhost:6379"}},
    {"redis://localhost/", {.host = "localhost", .port = 6379, .shown = "localhost:6379"}},
    {"redis://10.0.0.7:7000/3",
     {.host = "10.0.0.7", .port = 7000, .database = 3, .shown = "10.0.0.7:7000"}},
    {"redis://:secret@r.example:1",
     {.host = "r.example", .port = 1, .password = "secret", .shown = "r.example:1"}},
    {"redis://jane:se%3acr%40%2Fet:@h",
     {.host = "h", .port = 6379, .user = "jane", .password = "se:cr@/et:", .shown = "h:6379"}},
    {"redis://u:a@b@h",
     {.host = "h", .port = 6379, .user = "u", .password = "a@b", .shown = "h:6379"}},
    {"redis://[::1]", {.host = "::1", .port = 6379, .shown = "[::1]:6379"}},
    {"redis://[fe80::1%25eth0]:80",
     {.host = "fe80::1%eth0", .port = 80, .shown = "[fe80::1%eth0]:80"}},
    {"redis://h/2?timeout_ms=700",
     {.host = "h", .port = 6379, .database = 2, .timeout_ms = 700, .shown = "h:6379"}},
    {"unix:/redis.sock?timeout_ms=10000",
     {.path = "/redis.sock", .timeout_ms = 10000, .shown = "/redis.sock"}},
    {"unix:/run/redis/redis.sock",
     {.path = "/run/redis/redis.sock", .shown = "/run/redis/redis.sock"}},
};

static void
same(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_true(!a && !b);
}

static void
test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        SCOPED_POOL(pool);
        const struct redis_url *want = &good[i].url;
        struct redis_url url;
        struct err err = {.code = RC_OK};

        if (redis_url_parse(pool, good[i].text, &url, &err))
            fail_msg("%s: %s", good[i].text, err.detail);
        same(url.path, want->path);
        same(url.host, want->host);
        same(url.user, want->user);
        same(url.password, want->password);
        same(url.shown, want->shown);
        assert_true(url.port == want->port && url.database == want->database);
        assert_int_equal(url.timeout_ms, want->timeout_ms ? want->timeout_ms : 50);
    }
}

#define LONG10 "secret/89/"
#define LONG110 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10

static const struct {
    const char *text;
    const char *why;
} bad[] = {
    {"", "no such URL"},
    {"secret", "no such URL"},
    {"secret:6379", "no such URL"},
    {"http://secret", "no such URL"},
    {"redis:secret", "no such URL"},
    {"unix:secret", "no such URL"},
    {"REDIS://secret", "no such URL"},
    {"rediss://:secret@h", "TLS"},
    {"redis://", "no host"},
    {"redis://:6379", "no host"},
    {"redis://u:secret@", "no host"},
    {"redis://u:secret@:6379", "no host"},
    {"redis://[]", "no host"},
    {"redis://[::1secret", "bracket"},
    {"redis://h:secret", "port"},
    {"redis://h:", "port"},
    {"redis://h:0", "port"},
    {"redis://h:65536", "port"},
    {"redis://[::1]secret", "port"},
    {"redis://::1", "port"},
    {"redis://h/secret", "database"},
    {"redis://h/1/secret", "database"},
    {"redis://h/-1", "database"},
    {"redis://h/70000", "database"},
    {"redis://secret@h", "no password"},
    {"redis://:@h", "password is empty"},
    {"redis://u:secret%4@h", "escape"},
    {"redis://u:secret%00@h", "escape"},
    {"redis://secret%zz:p@h", "escape"},
    {"redis://u:p@sec ret", "no host"},
    {"redis://h?password=secret", "timeout_ms"},
    {"redis://h?timeout_ms=secret", "timeout_ms"},
    {"redis://h?timeout_ms=0", "timeout_ms"},
    {"redis://h?timeout_ms=10001", "timeout_ms"},
    {"redis://?timeout_ms=1", "no host"},
    {"redis://:sec?ret@h", "timeout_ms"},
    {"unix:/" LONG110, "too long"},
};

static void
test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        SCOPED_POOL(pool);
        struct redis_url url;
        struct err err;

        if (redis_url_parse(pool, bad[i].text, &url, &err) != RC_INVALID)
            fail_msg("'%s' is taken", bad[i].text);
        if (!strstr(err.detail, bad[i].why) || strstr(err.detail, "secret"))
            fail_msg("'%s': %s", bad[i].text, err.detail);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

    return cmocka_run_group_tests_name("redis_url", tests, NULL, NULL);
}
