// SPDX-License-Identifier: Apache-2.0
/*
 * intake: the bytes of a body on their way from the loop thread to one that may wait for the disk.
 *
 * The loop thread puts what comes into one piece of memory while a thread of the pool takes the
 * other. What never fills a piece stays where it is until intake_rest().
 *
 *  I1  The bytes are taken in the order in which they came, by one thread at a time.
 *  I2  Whoever adds does not wait: where no more fits, `wake` tells when it does.
 *  I3  A body has at most two pieces of memory, and all bodies together about a bounded sum: beyond
 *      it whoever adds takes the bytes itself.
 *  I4  After an error nothing more is taken.
 *
 * Threads: intake_add(), intake_end() and intake_leave() are for the one thread that drives the
 * request; `take`, `wake` and `gone` come from any.
 */
#ifndef HTTP_INTAKE_H
#define HTTP_INTAKE_H
#include "base/err.h"
#include "base/workers.h"

struct intake;

/* All get `arg`. */
struct intake_owner {
    enum rc (*take)(void *arg, const char *bytes, size_t len, struct err *err);
    void (*wake)(void *arg); /* once after each intake_add() that was full */
    void (*gone)(void *arg); /* after intake_leave() returned false: frees what `take` uses */
    void *arg;
};

enum intake_state {
    INTAKE_OK,     /* added */
    INTAKE_FULL,   /* added; no more before `wake`, which may come before this is returned */
    INTAKE_FAILED, /* `take` has failed, and no thread has the intake: intake_error() */
};

/* In `pool`, which no other thread may use meanwhile; ended by intake_leave(). `workers` is
 * borrowed; `owner` is copied, and its `arg` has to outlive the intake. */
struct intake *intake_new(TALLOC_CTX *pool, struct workers *workers,
                          const struct intake_owner *owner);

/* Copies the bytes, or takes them itself (I3). Not between INTAKE_FULL and `wake`. */
enum intake_state intake_add(struct intake *in, const char *bytes, size_t len);

/* Why it failed. */
enum rc intake_error(const struct intake *in, struct err *err);

/* Nothing more comes: calls then(arg) once no thread has the intake, here or on that thread. */
void intake_end(struct intake *in, void (*then)(void *arg));

/* After that: takes what is left, on the calling thread. What `take` returned, now or before. */
enum rc intake_rest(struct intake *in, struct err *err);

/*
 * Frees its memory, but for what is in the pool; true. False when a thread has it: that one does
 * so, and then calls `gone`.
 */
bool intake_leave(struct intake *in);

#endif
