// SPDX-License-Identifier: Apache-2.0
/*
 * forwarded: who the client is when proxies stand between (X-Forwarded-For, X-Forwarded-Proto).
 *
 *  I1  Nothing that a client can send changes its own address: what a header says is believed only
 *      as far as trusted proxies have written it.
 *
 * Threads: proxies are not changed once parsed, so they may be shared.
 */
#ifndef HTTP_FORWARDED_H
#define HTTP_FORWARDED_H
#include "http/request.h"

#define FORWARDED_UNIX "unix" /* the address of whoever comes by a Unix socket */

struct sockaddr;

/* The address of a connection as text in `pool`; "" when there is none. */
const char *forwarded_address(TALLOC_CTX *pool, const struct sockaddr *sa);

/* Whose word is taken. */
struct proxies;

/*
 * Reads "10.0.0.0/8,fd00::/8,192.0.2.7,unix": addresses, networks, and all who come by a Unix
 * socket. The result is in `pool`. INVALID: names what is wrong.
 */
MUST_CHECK enum rc proxies_parse(TALLOC_CTX *pool, const char *text, struct proxies **ret,
                                 struct err *err);

/*
 * Corrects wire->address and wire->https, which are those of the connection. The client is whom
 * the last proxy that is not trusted, or the client itself, came from: the right-most address of
 * X-Forwarded-For that is none of `proxies`; the left-most when all are. Where that list is not one
 * of bare addresses, and where the connection is not a proxy's, all stays as it is. `proxies` may
 * be NULL. The headers are there; the new address is in `pool`.
 */
void forwarded_apply(const struct proxies *proxies, TALLOC_CTX *pool, struct wire *wire);

#endif
