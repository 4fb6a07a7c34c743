// SPDX-License-Identifier: Apache-2.0
/*
 * server_linger: lets a client that is still sending read its refusal.
 *
 * When a socket is closed over bytes that nobody read, the kernel resets the connection, and many
 * clients (Node, Go, http.client) then report a broken pipe and never look at the reply. So a
 * duplicate of the descriptor stays open here, and what still comes is read and thrown away.
 *
 *  I1  At most 256 connections linger, each for at most 30 s, and 5 s after its last byte.
 *
 * Threads: lingering_add() may be called on any; one of its own does the reading.
 */
#ifndef HTTP_SERVER_LINGER_H
#define HTTP_SERVER_LINGER_H
#include "base/base.h"

struct lingering;

MUST_CHECK enum rc lingering_new(struct lingering **ret, struct err *err);

/* Closes those that linger. No lingering_add() may be under way. */
void lingering_free(struct lingering **l);

/*
 * From now on whatever comes on `fd` is thrown away; the caller reads no more from it, and may
 * shut down its sending side and close it whenever it likes. When too many linger, nothing is done.
 */
void lingering_add(struct lingering *l, int fd);

#endif
