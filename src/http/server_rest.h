// SPDX-License-Identifier: Apache-2.0
/*
 * server_rest: gives back the memory of connections that wait for their next request.
 *
 * The library has 64 KiB for each connection, enough for the largest header block, and clears all
 * of it after each request, so that all of it is there: 640 MiB for ten thousand that are idle.
 * Here those that have rested longest give back the pages that hold nothing but zeros, which reads
 * as before: an untouched page is zeros, too. Nothing else is assumed of what the library keeps
 * there. The connections of a loop that are in use all the time pay nothing.
 *
 *  I1  Pages are looked at and given back by the thread that alone writes to them.
 *  I2  Only pages of the connection's own memory: see rest_end().
 *  I3  Only while that memory is there. The library ends it on the same thread, long before it
 *      says that the connection is closed, but from ending it on the socket is shut down for
 *      sending. (So MHD_USE_TURBO, which leaves that out, must not be set.)
 *
 * Threads: each loop has its own list; all calls for a connection come from its loop.
 */
#ifndef HTTP_SERVER_REST_H
#define HTTP_SERVER_REST_H
#include "base/base.h"

#define CONNECTION_MEMORY ((size_t)64 * 1024) /* the largest header block and a read buffer */

/* One connection. */
struct rest {
    int fd;
    char *memory; /* what can be given back: from here to CONNECTION_MEMORY less a page; or NULL */
    bool resting, given_back, asked;
    int64_t since_ms;
    struct rest *next, *prev;
};

/* `fd`: its socket, open until rest_close(); -1: it never gives back (TLS). */
void rest_init(struct rest *r, int fd);

/* A request has been answered. Gives back what others of this loop do not need. */
void rest_begin(struct rest *r);

/*
 * The next request is there. The first one's target tells where the memory is: the library reads
 * the first request to its beginning, so the target is on the first page of it when no more than a
 * page has been received, which the kernel knows of TCP sockets, and only a method stands before it
 * on its page, which is not so where the library had to take its memory from the heap. Else, and
 * with TLS and on Unix sockets, the memory stays as large as it is.
 */
void rest_end(struct rest *r, const char *target);

/* The connection is closed. */
void rest_close(struct rest *r);

#endif
