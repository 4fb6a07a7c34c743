// SPDX-License-Identifier: Apache-2.0
/*
 * server_accept: lets connections in, and deals them out to the loops in turn.
 *
 * When each loop of the library listens by itself, the first that wakes takes all that wait: a
 * client that opens its connections at once has them all in one loop, and one processor serves it.
 *
 * Not for TLS: sessions that libmicrohttpd 0.9.75 was handed fail in their handshake.
 *
 *  I1  At most `max` connections are open, and a few more that come at the same moment. Others wait
 *      in the kernel's line until there is room. The daemon's own limit must be out of reach:
 *      libmicrohttpd 0.9.75, handed a connection above it, serves none any more.
 *
 * Threads: one of its own.
 */
#ifndef HTTP_SERVER_ACCEPT_H
#define HTTP_SERVER_ACCEPT_H
#include "base/base.h"

struct MHD_Daemon;
struct acceptor;

/* `fd` listens, does not block, and stays the caller's; so does the daemon. Error: INTERNAL. */
MUST_CHECK enum rc acceptor_new(int fd, struct MHD_Daemon *daemon, unsigned max,
                                struct acceptor **ret, struct err *err);

/* From now on nobody is let in. Accepts NULL; leaves NULL behind. */
void acceptor_free(struct acceptor **a);

#endif
