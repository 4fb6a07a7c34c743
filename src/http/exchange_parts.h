// SPDX-License-Identifier: Apache-2.0
/*
 * exchange_parts: what the files of the exchange know of each other; nobody else includes it.
 *
 *   exchange.c       its life, the head and the body, the answer
 *   exchange_work.c  the checks after the body, and the work
 */
#ifndef HTTP_EXCHANGE_PARTS_H
#define HTTP_EXCHANGE_PARTS_H
#include "base/buf.h"
#include "http/exchange.h"
#include "http/guard.h"
#include "http/intake.h"
#include "http/replay.h"

struct exchange {
    struct service *service;
    void (*wake)(void *arg);
    void *wake_arg;

    struct request rq;
    struct framing framing;
    enum http_method method;
    bool options; /* answered without a handler */
    struct route_match match;

    size_t step;   /* of the head, the next */
    bool may_wait; /* the thread at hand, for the database */
    bool asks;     /* the steps left are for one that may */

    struct buf body;
    struct intake *intake; /* NULL: the body is none that streams */
    int64_t received;
    bool stream_kept;
    bool closes; /* the connection, after the answer */

    struct replay replay;
    struct reply reply;
    struct budget_state budget;
    bool has_budget;
    bool finished;
    bool duplicate; /* the work has found an earlier answer, and `err` tells which */
    enum rc rc;     /* of the whole exchange so far */
    struct err err;

    struct work work;
    struct job job;
};

/* Takes the steps of the head that are left, up to one that has to ask the database where the
 * thread at hand may not wait: ex->asks. */
void exchange_take_head(struct exchange *ex);

#endif
