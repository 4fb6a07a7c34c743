// SPDX-License-Identifier: Apache-2.0
/* guard: every framing that could be read in two ways is refused, and the plain ones pass. */
#include "support.h"

#include "http/guard.h"

#define HEADERS_MAX 128

struct message {
    const char *name;
    const char *method, *target, *version; /* NULL: GET, /x, HTTP/1.1 */
    const char *headers[6];                /* "Name: value" */
    enum rc rc;
    int64_t length; /* when it passes; 0 stands for "none was sent" */
    bool chunked;
};

#define H "Host: a"
#define TARGET .target =
#define VERSION .version =

static const struct message messages[] = {
    {"plain", .headers = {H}},
    {"no host", .headers = {"Accept: x"}, .rc = RC_MALFORMED},
    {"no host in 1.0", VERSION "HTTP/1.0", .headers = {NULL}},
    {"two hosts", .headers = {H, H}, .rc = RC_MALFORMED},
    {"two hosts, other case", .headers = {H, "hOST: b"}, .rc = RC_MALFORMED},
    {"length", .headers = {H, "Content-Length: 5"}, .length = 5},
    {"length, other case", .headers = {H, "content-LENGTH: 5"}, .length = 5},
    {"two lengths", .headers = {H, "Content-Length: 5", "Content-Length: 5"}, .rc = RC_MALFORMED},
    {"a list of lengths", .headers = {H, "Content-Length: 5, 5"}, .rc = RC_MALFORMED},
    {"signed length", .headers = {H, "Content-Length: +5"}, .rc = RC_MALFORMED},
    {"negative length", .headers = {H, "Content-Length: -5"}, .rc = RC_MALFORMED},
    {"hexadecimal length", .headers = {H, "Content-Length: 0x5"}, .rc = RC_MALFORMED},
    {"empty length", .headers = {H, "Content-Length: "}, .rc = RC_MALFORMED},
    {"spaced length", .headers = {H, "Content-Length: 5 5"}, .rc = RC_MALFORMED},
    {"largest length", .headers = {H, "Content-Length: 9223372036854775807"}, .length = INT64_MAX},
    {"length beyond 63 bits", .headers = {H, "Content-Length: 9223372036854775808"},
     .rc = RC_MALFORMED},
    {"length of 20 digits", .headers = {H, "Content-Length: 00000000000000000005"},
     .rc = RC_MALFORMED},
    {"chunked", .headers = {H, "Transfer-Encoding: chunked"}, .chunked = true},
    {"Chunked", .headers = {H, "Transfer-Encoding: Chunked"}, .chunked = true},
    {"both", .headers = {H, "Content-Length: 5", "Transfer-Encoding: chunked"}, .rc = RC_MALFORMED},
    {"chunked in 1.0", VERSION "HTTP/1.0", .headers = {H, "Transfer-Encoding: chunked"},
     .rc = RC_MALFORMED},
    {"two encodings", .headers = {H, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"},
     .rc = RC_MALFORMED},
    {"gzip, chunked", .headers = {H, "Transfer-Encoding: gzip, chunked"}, .rc = RC_MALFORMED},
    {"chunked, identity", .headers = {H, "Transfer-Encoding: chunked, identity"},
     .rc = RC_MALFORMED},
    {"xchunked", .headers = {H, "Transfer-Encoding: xchunked"}, .rc = RC_MALFORMED},
    {"chunked and a tab", .headers = {H, "Transfer-Encoding: chunked\t"}, .rc = RC_MALFORMED},
    {"empty encoding", .headers = {H, "Transfer-Encoding: "}, .rc = RC_MALFORMED},
    {"identity", .headers = {H, "Transfer-Encoding: identity"}, .rc = RC_MALFORMED},
    {"folded length", .headers = {H, "Content-Lengthx: 5"}, .rc = RC_MALFORMED},
    {"folded encoding", .headers = {H, "Transfer-Encoding-: chunked"}, .rc = RC_MALFORMED},
    {"space before the colon", .headers = {H, "Content-Length : 5"}, .rc = RC_MALFORMED},
    {"empty name", .headers = {H, ": x"}, .rc = RC_MALFORMED},
    {"name with a bracket", .headers = {H, "X(y: z"}, .rc = RC_MALFORMED},
    {"name with a high byte", .headers = {H, "X\x80: z"}, .rc = RC_MALFORMED},
    {"bare CR in a value", .headers = {H, "X: a\rb"}, .rc = RC_MALFORMED},
    {"LF in a value", .headers = {H, "X: a\nContent-Length: 5"}, .rc = RC_MALFORMED},
    {"DEL in a value", .headers = {H, "X: \x7f"}, .rc = RC_MALFORMED},
    {"tab and high bytes in a value", .headers = {H, "X: a\tb\xc3\xa9"}},
    {"two types", .headers = {H, "Content-Type: a/b", "Content-Type: a/b"}, .rc = RC_MALFORMED},
    {"two keys", .headers = {H, "Authorization: Bearer a", "authorization: Bearer b"},
     .rc = RC_MALFORMED},
    {"two x-keys", .headers = {H, "X-API-Key: a", "x-api-key: a"}, .rc = RC_MALFORMED},
    {"two idempotency keys", .headers = {H, "Idempotency-Key: a", "Idempotency-Key: b"},
     .rc = RC_MALFORMED},
    {"one of each key", .headers = {H, "Idempotency-Key: a", "X-Idempotency-Key: b"}},
    {"other headers may repeat", .headers = {H, "Accept: a", "Accept: b", "Cookie: c"}},
    {"HTTP/1.2", VERSION "HTTP/1.2", .headers = {H}},
    {"HTTP/2.0", VERSION "HTTP/2.0", .headers = {H}, .rc = RC_HTTP_VERSION},
    {"HTTP/0.9", VERSION "HTTP/0.9", .headers = {H}, .rc = RC_HTTP_VERSION},
    {"no version", VERSION "", .headers = {H}, .rc = RC_HTTP_VERSION},
    {"lower-case version", VERSION "http/1.1", .headers = {H}, .rc = RC_HTTP_VERSION},
    {"empty target", TARGET "", .headers = {H}, .rc = RC_MALFORMED},
    {"no slash", TARGET "x", .headers = {H}, .rc = RC_MALFORMED},
    {"fragment", TARGET "/x#y", .headers = {H}, .rc = RC_MALFORMED},
    {"space", TARGET "/x y", .headers = {H}, .rc = RC_MALFORMED},
    {"tab", TARGET "/x\ty", .headers = {H}, .rc = RC_MALFORMED},
    {"DEL", TARGET "/\x7f", .headers = {H}, .rc = RC_MALFORMED},
    {"high bytes", TARGET "/\xc3\xa9", .headers = {H}},
    {"star", TARGET "*", .headers = {H}, .rc = RC_MALFORMED},
    {"star of OPTIONS", "OPTIONS", "*", .headers = {H}},
    {"authority form", "CONNECT", "a:80", .headers = {H}, .rc = RC_MALFORMED},
    {"absolute", TARGET "http://a/x", .headers = {H}},
    {"absolute, host in other case", TARGET "http://A/x", .headers = {H}},
    {"absolute, other host", TARGET "http://b/x", .headers = {H}, .rc = RC_MALFORMED},
    {"absolute, longer host", TARGET "http://ab/x", .headers = {H}, .rc = RC_MALFORMED},
    {"absolute, port", TARGET "http://a:80/x", .headers = {H}, .rc = RC_MALFORMED},
    {"absolute, user", TARGET "http://u@a/x", .headers = {H}, .rc = RC_MALFORMED},
    {"absolute, no path", TARGET "http://a", .headers = {H}, .rc = RC_MALFORMED},
    {"absolute, no path but a query", TARGET "http://a?x", .headers = {H}, .rc = RC_MALFORMED},
    {"absolute without Host", VERSION "HTTP/1.0", TARGET "http://a/x", .rc = RC_MALFORMED},
    {"https", TARGET "https://a/x", .headers = {H}, .rc = RC_MALFORMED},
};

static struct http_header
split(const char *line)
{
    const char *colon = strstr(line, ": ");

    return (struct http_header){.name = line,
                                .name_len = (size_t)(colon - line),
                                .value = colon + 2,
                                .value_len = strlen(colon + 2)};
}

static void
test_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        const struct message *m = &messages[i];
        struct http_header headers[6];
        struct wire w = {.method = m->method ? m->method : "GET",
                         .target = m->target ? m->target : "/x",
                         .version = m->version ? m->version : "HTTP/1.1",
                         .headers = headers};
        struct framing framing = {0};
        struct err err = {0};
        enum rc rc;

        for (; w.n_headers < 6 && m->headers[w.n_headers]; w.n_headers++)
            headers[w.n_headers] = split(m->headers[w.n_headers]);
        rc = guard_check(&w, &framing, &err);
        if (rc != m->rc)
            fail_msg("%s: %s", m->name, rc_info(rc)->name);
        if (rc)
            continue;
        assert_int_equal(framing.chunked, m->chunked);
        assert_int_equal(framing.length, m->length ? m->length : -1);
    }
}

static void
test_zero_length(void **state)
{
    struct http_header headers[] = {split(H), split("Content-Length: 0")};
    struct wire w = {
        .method = "GET", .target = "/", .version = "HTTP/1.1", .headers = headers, .n_headers = 2};
    struct framing framing;
    struct err err;

    (void)state;
    EXPECT(RC_OK, guard_check(&w, &framing, &err));
    assert_int_equal(framing.length, 0);
}

static void
test_target_length(void **state)
{
    struct http_header headers[] = {split(H)};
    char target[GUARD_TARGET_MAX + 2];
    struct wire w = {.method = "GET",
                     .target = target,
                     .version = "HTTP/1.1",
                     .headers = headers,
                     .n_headers = 1};
    struct framing framing;
    struct err err;

    (void)state;
    memset(target, 'x', sizeof(target));
    target[0] = '/';
    target[GUARD_TARGET_MAX + 1] = '\0';
    EXPECT(RC_URI_TOO_LONG, guard_check(&w, &framing, &err));
    target[GUARD_TARGET_MAX] = '\0';
    EXPECT(RC_OK, guard_check(&w, &framing, &err));
}

static const struct {
    size_t headers; /* beside Host */
    size_t each;    /* bytes of each, as they count */
    enum rc rc;
} blocks[] = {
    {GUARD_HEADERS_MAX - 1, 10, RC_OK},
    {GUARD_HEADERS_MAX, 10, RC_HEADERS_LARGE},
    {1, GUARD_HEADER_BYTES - 9, RC_OK}, /* Host counts nine */
    {1, GUARD_HEADER_BYTES - 8, RC_HEADERS_LARGE},
    {64, 511, RC_OK},
    {64, 512, RC_HEADERS_LARGE},
};

static void
test_header_block(void **state)
{
    char *value = test_calloc(1, GUARD_HEADER_BYTES + 1);

    (void)state;
    memset(value, 'v', GUARD_HEADER_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        struct http_header headers[HEADERS_MAX] = {split(H)};
        struct wire w = {.method = "GET",
                         .target = "/",
                         .version = "HTTP/1.1",
                         .headers = headers,
                         .n_headers = blocks[i].headers + 1};
        struct framing framing;
        struct err err;

        for (size_t h = 1; h < w.n_headers; h++)
            headers[h] = (struct http_header){"X", value, 1, blocks[i].each - 5};
        EXPECT(blocks[i].rc, guard_check(&w, &framing, &err));
    }
    test_free(value);
}

static const struct {
    const char *target, *path;
} paths[] = {
    {"/x?y", "/x?y"}, {"http://a/x?y", "/x?y"}, {"http://a/", "/"}, {"*", "*"}, {"//a/x", "//a/x"},
};

static void
test_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct wire w = {.target = paths[i].target};

        assert_string_equal(guard_path(&w), paths[i].path);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),      cmocka_unit_test(test_zero_length),
        cmocka_unit_test(test_target_length), cmocka_unit_test(test_header_block),
        cmocka_unit_test(test_path),
    };

    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
