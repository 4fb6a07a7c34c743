// SPDX-License-Identifier: Apache-2.0
/*
 * server: HTTP/1.1 on a TCP port (RFC 9112), with libmicrohttpd underneath.
 *
 * One loop thread a core; a loop never waits for the disk: connections are parked while the engine
 * works and woken when their answer is durable. A watchdog enforces the deadlines that the library
 * does not know (server_deadline.h).
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H
#include "http/service.h"

struct server;

struct server_config {
    const char *listen; /* "127.0.0.1:8080", "[::1]:8080", ":0" */
    unsigned loops;
    unsigned max_connections;
};

/* The version of the library that frames requests: "0.9.75". */
const char *server_library(void);

/* True for HOST:PORT with a numeric port; that it can be bound is another matter. */
bool server_listen_valid(const char *listen);

/*
 * Binds and starts. Errors: INVALID (the address), UNAVAILABLE (in use, or not allowed), IO; each
 * with a detail fit to be shown to the operator.
 */
MUST_CHECK enum rc server_start(struct service *service, const struct server_config *config,
                                struct server **ret, struct err *err);

/* "http://127.0.0.1:8080", with the real port; borrowed. */
const char *server_url(const struct server *s);

/* Takes no new connections, lets requests under way finish for up to `drain_ms`, then stops. */
void server_free(struct server **s, int64_t drain_ms);

#endif
