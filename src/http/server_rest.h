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
 *  I2  Only pages of the connection's own memory: see rest_learn().
 *
 * Threads: each loop has its own list; all calls for a connection come from its loop.
 */
#ifndef HTTP_SERVER_REST_H
#define HTTP_SERVER_REST_H
#include "base/base.h"

#define CONNECTION_MEMORY ((size_t)64 * 1024) /* the largest header block and a read buffer */

/* One connection; all zero at first. */
struct rest {
    char *memory; /* what can be given back: from here to CONNECTION_MEMORY less a page */
    bool resting, asked;
    int64_t since_ms;
    struct rest *next, *prev;
};

/*
 * Learns from the first target where the memory is. The library reads the first request to its
 * beginning; so the target is on the first page of it when no more than a page has been received,
 * which the kernel knows of TCP sockets. Else, and with TLS, it stays as large as it is.
 */
void rest_learn(struct rest *r, const char *target, int fd);

/* A request has been answered. Gives back what others of this loop do not need. */
void rest_begin(struct rest *r);
/* The next request is there, or the connection closes. */
void rest_end(struct rest *r);

#endif
