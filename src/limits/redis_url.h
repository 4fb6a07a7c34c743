// SPDX-License-Identifier: Apache-2.0
/* redis_url: the address of a Redis or Valkey server, and who we are there. Private to limits/. */
#ifndef LIMITS_REDIS_URL_H
#define LIMITS_REDIS_URL_H
#include "base/base.h"

struct redis_url {
    const char *path; /* of a Unix socket; NULL: host and port */
    const char *host;
    uint16_t port;
    const char *user;     /* NULL: the default one */
    const char *password; /* NULL: none is asked for */
    int64_t database;
    int64_t timeout_ms;
    const char *shown; /* where it is, without secrets */
};

/*
 * Reads redis://[user:password@]host[:port][/database] (percent escapes in the first three; an IPv6
 * address in brackets) or unix:/path, each with ?timeout_ms=N or without. Texts are in `pool`.
 * INVALID, with a detail fit to be shown, which repeats nothing of it.
 */
MUST_CHECK enum rc redis_url_parse(TALLOC_CTX *pool, const char *whole, struct redis_url *ret,
                                   struct err *err);

#endif
