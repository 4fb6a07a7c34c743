// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/forwarded.h"

#define FOR "X-Forwarded-For"
#define PROTO "X-Forwarded-Proto"

static void
test_what_is_a_list_of_proxies(void **state UNUSED)
{
    static const char *const good[] = {
        "127.0.0.1", "10.0.0.0/8",          "::1",       "fd00::/8",
        "unix",      "0.0.0.0/0",           "::/0",      "1.2.3.4/32",
        "::1/128",   "10.0.0.0/8,::1,unix", "unix,unix", "::ffff:1.2.3.4",
    };
    static const char *const bad[] = {
        "",          ",",           "127.0.0.1,",  ",unix",       "10.0.0.0/33",  "::1/129", "10/8",
        "localhost", "10.0.0.0/",   "10.0.0.0/8 ", " unix",       "1.2.3.4:80",   "[::1]",   "/8",
        "unix/8",    "10.0.0.0/-1", "UNIX",        "10.0.0.0//8", "fe80::1%eth0",
    };
    SCOPED_POOL(pool);
    struct proxies *p;
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (proxies_parse(pool, good[i], &p, &err))
            fail_msg("'%s': %s", good[i], err.detail);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (proxies_parse(pool, bad[i], &p, &err) != RC_INVALID)
            fail_msg("'%s' was taken", bad[i]);
    }
}

static void
test_no_more_than_64_proxies(void **state UNUSED)
{
    SCOPED_POOL(pool);
    char *text = mem_strdup(pool, "1.2.3.4");
    struct proxies *p;
    struct err err;

    for (int i = 1; i < 64; i++)
        text = mem_printf(pool, "%s,1.2.3.4", text);
    assert_int_equal(proxies_parse(pool, text, &p, &err), RC_OK);
    text = mem_printf(pool, "%s,1.2.3.4", text);
    assert_int_equal(proxies_parse(pool, text, &p, &err), RC_INVALID);
}

/* Two headers at most; NULL: absent. */
static const struct {
    const char *proxies, *peer, *first, *second, *client;
} cases[] = {
    /* whose word is not taken */
    {NULL, "192.0.2.1", "203.0.113.9", NULL, "192.0.2.1"},
    {"10.0.0.0/8", "192.0.2.1", "203.0.113.9", NULL, "192.0.2.1"},
    {"10.0.0.0/8", "unix", "203.0.113.9", NULL, "unix"},
    {"unix", "127.0.0.1", "203.0.113.9", NULL, "127.0.0.1"},
    {"10.0.0.0/8", "11.0.0.0", "203.0.113.9", NULL, "11.0.0.0"},
    {"10.1.2.0/23", "10.1.4.0", "203.0.113.9", NULL, "10.1.4.0"},
    {"::ffff:0:0/96", "::1", "203.0.113.9", NULL, "::1"},
    /* whose word is */
    {"10.0.0.0/8", "10.255.0.1", "203.0.113.9", NULL, "203.0.113.9"},
    {"10.1.2.0/23", "10.1.3.255", "203.0.113.9", NULL, "203.0.113.9"},
    {"10.0.0.7", "10.0.0.7", "203.0.113.9", NULL, "203.0.113.9"},
    {"0.0.0.0/0", "198.51.100.1", "2001:db8::1", NULL, "2001:db8::1"},
    {"::ffff:0:0/96", "198.51.100.1", "2001:DB8:0::1", NULL, "2001:db8::1"},
    {"fd00::/8", "fdff::1", "203.0.113.9", NULL, "203.0.113.9"},
    {"10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:203.0.113.9", NULL, "203.0.113.9"},
    {"unix", "unix", " 203.0.113.9\t", NULL, "203.0.113.9"},
    /* what a client writes itself stands to the left of what the proxy adds */
    {"unix", "unix", "6.6.6.6, 203.0.113.9", NULL, "203.0.113.9"},
    {"unix", "unix", "6.6.6.6,127.0.0.1,203.0.113.9", NULL, "203.0.113.9"},
    {"unix", "unix", "6.6.6.6", "203.0.113.9", "203.0.113.9"},
    {"unix", "unix", "not an address, 203.0.113.9", NULL, "203.0.113.9"},
    {"unix", "unix", ",,,203.0.113.9", NULL, "203.0.113.9"},
    /* through two proxies */
    {"unix,10.0.0.0/8", "unix", "6.6.6.6, 203.0.113.9, 10.0.0.1", NULL, "203.0.113.9"},
    {"unix,10.0.0.0/8", "unix", "6.6.6.6, 203.0.113.9", "10.0.0.1", "203.0.113.9"},
    {"10.0.0.0/8", "10.0.0.2", "6.6.6.6, 203.0.113.9, 10.0.0.1", NULL, "203.0.113.9"},
    {"10.0.0.0/8", "10.0.0.2", "10.0.0.3, 10.0.0.1", NULL, "10.0.0.3"},
    /* no list of addresses, as far as it is looked at */
    {"unix", "unix", NULL, NULL, "unix"},
    {"unix", "unix", "", NULL, "unix"},
    {"unix", "unix", "203.0.113.9,", NULL, "unix"},
    {"unix", "unix", "203.0.113.9, unknown", NULL, "unix"},
    {"unix", "unix", "203.0.113.9:443", NULL, "unix"},
    {"unix", "unix", "[2001:db8::1]", NULL, "unix"},
    {"unix", "unix", "203.0.113.009", NULL, "unix"},
    {"unix", "unix", "203.0.113.9 203.0.113.8", NULL, "unix"},
    {"unix", "unix", "fe80::1%eth0", NULL, "unix"},
    {"10.0.0.0/8", "10.0.0.2", "203.0.113.9, x, 10.0.0.1", NULL, "10.0.0.2"},
    {"unix", "unix", "203.0.113.9", "", "unix"},
};

static void
test_who_the_client_is(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED_POOL(pool);
        struct http_header headers[3] = {{.name = "Host", .name_len = 4, .value = "h"}};
        struct wire wire = {.address = cases[i].peer, .headers = headers, .n_headers = 1};
        struct proxies *p = NULL;
        struct err err;

        if (cases[i].proxies)
            assert_int_equal(proxies_parse(pool, cases[i].proxies, &p, &err), RC_OK);
        if (cases[i].first)
            headers[wire.n_headers++] = (struct http_header){
                .name = "x-forwarded-for", .name_len = strlen(FOR), .value = cases[i].first};
        if (cases[i].second)
            headers[wire.n_headers++] = (struct http_header){
                .name = FOR, .name_len = strlen(FOR), .value = cases[i].second};
        forwarded_apply(p, pool, &wire);
        if (strcmp(wire.address, cases[i].client) != 0)
            fail_msg("%zu: '%s' instead of '%s'", i, wire.address, cases[i].client);
    }
}

static const struct {
    const char *peer;
    bool https;
    const char *value;
    bool wanted;
} schemes[] = {
    {"unix", false, "https", true},    {"unix", false, "http", false},
    {"unix", true, "http", false},     {"unix", false, NULL, false},
    {"unix", true, NULL, true},        {"unix", false, "https,https", false},
    {"unix", false, "HTTPS", false},   {"127.0.0.1", false, "https", false},
    {"127.0.0.1", true, "http", true}, {"unix", true, "gopher", true},
};

static void
test_whether_the_client_has_tls(void **state UNUSED)
{
    SCOPED_POOL(pool);
    struct proxies *p;
    struct err err;

    assert_int_equal(proxies_parse(pool, "unix", &p, &err), RC_OK);
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        struct http_header header = {
            .name = PROTO, .name_len = strlen(PROTO), .value = schemes[i].value};
        struct wire wire = {.address = schemes[i].peer,
                            .https = schemes[i].https,
                            .headers = &header,
                            .n_headers = schemes[i].value ? 1 : 0};

        forwarded_apply(p, pool, &wire);
        if (wire.https != schemes[i].wanted)
            fail_msg("%zu: %d", i, wire.https);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_a_list_of_proxies),
        cmocka_unit_test(test_no_more_than_64_proxies),
        cmocka_unit_test(test_who_the_client_is),
        cmocka_unit_test(test_whether_the_client_has_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
