// SPDX-License-Identifier: Apache-2.0
/*
 * Lines: the trusted proxies, then each an X-Forwarded-For. The client is the peer, or an address
 * that stands in them.
 */
#include <arpa/inet.h>

#include "fuzz.h"
#include "http/forwarded.h"

#define HEADERS_MAX 8

static bool
is_address(const char *text)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    static const char *const peers[] = {"127.0.0.1", "::1", FORWARDED_UNIX};
    struct http_header headers[HEADERS_MAX];
    char *line = fuzz_text(pool, data, size), *next = strchr(line, '\n');
    struct proxies *p = NULL;
    struct err err;
    size_t n = 0;

    if (next)
        *next++ = '\0';
    if (proxies_parse(pool, line, &p, &err))
        p = NULL;
    for (; next && n < HEADERS_MAX; n++) {
        char *end = strchr(next, '\n');

        if (end)
            *end++ = '\0';
        headers[n] = (struct http_header){.name = "X-Forwarded-For",
                                          .name_len = strlen("X-Forwarded-For"),
                                          .value = next,
                                          .value_len = strlen(next)};
        next = end;
    }
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        struct wire wire = {.address = peers[i], .headers = headers, .n_headers = n};

        forwarded_apply(p, pool, &wire);
        if (!streq(wire.address, peers[i]))
            BUG_ON(!p || n == 0 || !is_address(wire.address));
        BUG_ON(wire.https);
    }
    return 0;
}
