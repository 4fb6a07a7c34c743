// SPDX-License-Identifier: Apache-2.0
/*
 * exchange: one request and its answer, from the header block to the last word.
 *
 *  I1  Order of checks: framing, route, key, rate, permission, size and type, syntax and rules,
 *      idempotency, then the handler (existence, conflict, work). One function a step.
 *  I2  An answer to a write is released only after its commit; the idempotency record, the work
 *      and its audit lines are one transaction.
 *
 *  I3  A loop thread waits for no database that is not in this process: where a step before the
 *      body has to ask one, the connection is parked and a thread of the engine takes the rest.
 *  I4  Nor does it wait for the disk: the bytes of an upload are taken by other threads (intake.h),
 *      as long as there is memory for what waits.
 *
 * Threads: driven by one loop thread; between exchange_go() and `wake` by the engine's.
 * exchange_free() may leave the rest to a thread that takes bytes; `wire` is not looked at then.
 * The server in front (server.c) owns the wire; this knows no HTTP library.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H
#include "http/reply.h"
#include "http/service.h"

struct exchange;

enum exchange_next {
    EXCHANGE_READ,  /* give it the body, then exchange_end() */
    EXCHANGE_REPLY, /* send exchange_reply() now */
    EXCHANGE_CLOSE, /* send exchange_reply() now and close the connection */
    EXCHANGE_ASK,   /* park the connection, then call exchange_go(); then exchange_asked() */
    EXCHANGE_WAIT,  /* park the connection, then call exchange_go(); then send the answer */
    EXCHANGE_FULL,  /* park the connection until `wake`, then go on with the body */
    EXCHANGE_DROP,  /* close the connection without an answer */
};

/* `wake` is called once after each exchange_go() and each EXCHANGE_FULL, from any thread, with what
 * exchange_own() got; it may come before that has returned. */
struct exchange *exchange_new(struct service *sv, void (*wake)(void *arg));
void exchange_own(struct exchange *ex, void *wake_arg);
void exchange_free(struct exchange **ex);

/* The pool of the request, for the caller's copies of wire data. */
TALLOC_CTX *exchange_pool(struct exchange *ex);

/* The header block is complete. `wire` must live as long as the exchange. */
enum exchange_next exchange_head(struct exchange *ex, const struct wire *wire);
/* What was asked for is known: goes on where exchange_head() stopped. */
enum exchange_next exchange_asked(struct exchange *ex);
enum exchange_next exchange_body(struct exchange *ex, const char *bytes, size_t len);
enum exchange_next exchange_end(struct exchange *ex);
void exchange_go(struct exchange *ex);

/* The finished answer, with every header it needs; borrowed. */
struct reply *exchange_reply(struct exchange *ex);
/* After EXCHANGE_WAIT: whether the connection is to be closed behind the answer. */
bool exchange_closes(const struct exchange *ex);

#endif
