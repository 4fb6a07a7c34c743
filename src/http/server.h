// SPDX-License-Identifier: Apache-2.0
/*
 * server: HTTP/1.1 (RFC 9112) on a TCP port, with or without TLS, or on a Unix socket; with
 * libmicrohttpd underneath.
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
    const char *listen;   /* "127.0.0.1:8080", "[::1]:8080", ":0", "unix:/run/dossier/api" */
    const char *tls_cert; /* PEM files; both NULL: no TLS */
    const char *tls_key;
    const char *trusted_proxy; /* as proxies_parse() takes it; NULL: none */
    unsigned loops;
    unsigned max_connections;
};

/* The version of the library that frames requests: "0.9.75". */
const char *server_library(void);

/* True for HOST:PORT with a numeric port and for unix:/PATH. That it can be bound is not said. */
bool server_listen_valid(const char *text);

/* "/PATH" of "unix:/PATH"; NULL for any other, and for NULL. Borrowed from `text`. */
const char *server_socket_path(const char *text);

/*
 * Binds and starts. Errors: INVALID (the address; certificate and key; proxies), UNAVAILABLE (in
 * use, or not allowed; no TLS in the library), INTERNAL; each with a detail fit to be shown to the
 * operator.
 */
MUST_CHECK enum rc server_start(struct service *service, const struct server_config *config,
                                struct server **ret, struct err *err);

/* "http://127.0.0.1:8080", with the real port, or "unix:/run/dossier/api"; borrowed. */
const char *server_url(const struct server *s);

/*
 * Reads certificate and key again, for connections that begin from now on; none is ended. INVALID:
 * all stays as it was. From one thread at a time.
 */
MUST_CHECK enum rc server_reload(struct server *s, struct err *err);

/* Takes no new connections, lets requests under way finish for up to `drain_ms`, then stops. */
void server_free(struct server **s, int64_t drain_ms);

#endif
