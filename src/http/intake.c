// SPDX-License-Identifier: Apache-2.0
#include "http/intake.h"

#include <pthread.h>
#include <stdatomic.h>

#define PIECE_FULL (size_t) KIB(96)
#define PIECE_FIRST (size_t) KIB(4)
#define MEMORY_MAX (int64_t) MIB(16) /* of all bodies: clients may be slow, and many */
#define PIECES_IN_TURN 8             /* then others of the pool come first */

struct piece {
    char *bytes;
    size_t len, room;
};

struct intake {
    struct intake_owner owner;
    struct workers *workers;
    struct job job;

    /* Of the thread that adds, but while that waits to be woken; the other's while it runs. */
    struct piece filling, taken;

    pthread_mutex_t lock; /* guards what follows */
    bool running;
    bool awaited; /* whoever adds waits */
    bool left;
    void (*then)(void *arg);
    enum rc rc;
    struct err err;
};

static _Atomic int64_t memory;

struct intake *
intake_new(TALLOC_CTX *pool, struct workers *workers, const struct intake_owner *owner)
{
    struct intake *in = MEM_NEW(pool, struct intake);

    in->owner = *owner;
    in->workers = workers;
    BUG_ON(pthread_mutex_init(&in->lock, NULL));
    return in;
}

/* --- memory --- */

/* Not from the pool: that is the other thread's while it takes bytes. */
static void
resize(struct piece *p, size_t room)
{
    if (room) {
        p->bytes = talloc_realloc_size(NULL, p->bytes, room);
        BUG_ON(!p->bytes);
    } else {
        TALLOC_FREE(p->bytes);
    }
    (void)atomic_fetch_add(&memory, (int64_t)room - (int64_t)p->room);
    p->room = room;
}

static size_t
room_for(const struct piece *p, size_t len)
{
    size_t needed = p->len + len, room = p->room ? p->room : PIECE_FIRST;

    while (room < needed)
        room *= 2;
    return room;
}

static bool
is_too_much(const struct piece *p, size_t len)
{
    return atomic_load(&memory) + (int64_t)(room_for(p, len) - p->room) > MEMORY_MAX;
}

static void
append(struct piece *p, const char *bytes, size_t len)
{
    size_t room = room_for(p, len);

    if (room > p->room)
        resize(p, room);
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

static void
exchange_pieces(struct intake *in)
{
    struct piece full = in->filling;

    in->filling = in->taken;
    in->filling.len = 0;
    in->taken = full;
}

static void
release(struct intake *in)
{
    resize(&in->filling, 0);
    resize(&in->taken, 0);
    BUG_ON(pthread_mutex_destroy(&in->lock));
}

/* --- the thread of the pool --- */

/*
 * What follows the taking of a piece: true when there is another. Whoever added may go on from
 * here, and free all of this unless it `left`.
 */
static bool
piece_taken(struct intake *in, enum rc rc, const struct err *err, unsigned turn)
{
    void (*then)(void *arg) = NULL;
    struct intake_owner owner = in->owner;
    bool woken, left, again;
    struct err ignored;

    pthread_mutex_lock(&in->lock);
    in->rc = rc;
    if (rc)
        in->err = *err;
    woken = in->awaited;
    in->awaited = false;
    again = woken && !rc;
    if (again)
        exchange_pieces(in);
    else if (atomic_load(&memory) > MEMORY_MAX / 2)
        resize(&in->taken, 0); /* many are slow: none keeps what it does not need now */
    in->running = again;
    left = in->left;
    if (!again)
        then = in->then;
    pthread_mutex_unlock(&in->lock);
    if (left) {
        release(in);
        owner.gone(owner.arg);
        return false;
    }
    if (then)
        then(owner.arg);
    /* before it wakes: what comes then is for the memory that is free now */
    if (again && turn >= PIECES_IN_TURN && workers_submit(in->workers, &in->job, &ignored) == RC_OK)
        again = false;
    if (woken)
        owner.wake(owner.arg);
    return again;
}

static void
run(void *arg)
{
    struct intake *in = arg;
    struct err err;
    enum rc rc;
    unsigned turn = 0;

    do {
        rc = in->owner.take(in->owner.arg, in->taken.bytes, in->taken.len, &err);
    } while (piece_taken(in, rc, &err, ++turn));
}

/* --- the thread that drives the request --- */

/* With a full piece and no thread that has the other. */
static void
hand_over(struct intake *in)
{
    struct err ignored;

    exchange_pieces(in);
    in->running = true;
    in->job = (struct job){.fn = run, .arg = in};
    if (workers_submit(in->workers, &in->job, &ignored))
        run(in); /* too much is waiting there already: slower, for all of this thread */
}

static enum intake_state
take_here(struct intake *in, const char *bytes, size_t len)
{
    struct err ignored;

    if (intake_rest(in, &ignored) == RC_OK)
        in->rc = in->owner.take(in->owner.arg, bytes, len, &in->err);
    return in->rc ? INTAKE_FAILED : INTAKE_OK;
}

enum intake_state
intake_add(struct intake *in, const char *bytes, size_t len)
{
    bool running, full;

    pthread_mutex_lock(&in->lock);
    BUG_ON(in->awaited);
    running = in->running;
    if (running)
        append(&in->filling, bytes, len);
    full = in->awaited = running && in->filling.len >= PIECE_FULL;
    pthread_mutex_unlock(&in->lock);
    if (running)
        return full ? INTAKE_FULL : INTAKE_OK;
    if (in->rc)
        return INTAKE_FAILED;
    if (is_too_much(&in->filling, len))
        return take_here(in, bytes, len);
    append(&in->filling, bytes, len);
    if (in->filling.len >= PIECE_FULL)
        hand_over(in);
    return INTAKE_OK;
}

enum rc
intake_error(const struct intake *in, struct err *err)
{
    if (in->rc)
        *err = in->err;
    return in->rc;
}

void
intake_end(struct intake *in, void (*then)(void *arg))
{
    bool running;

    pthread_mutex_lock(&in->lock);
    running = in->running;
    in->then = then;
    pthread_mutex_unlock(&in->lock);
    if (!running)
        then(in->owner.arg);
}

enum rc
intake_rest(struct intake *in, struct err *err)
{
    if (!in->rc && in->filling.len > 0)
        in->rc = in->owner.take(in->owner.arg, in->filling.bytes, in->filling.len, &in->err);
    in->filling.len = 0;
    resize(&in->filling, 0);
    resize(&in->taken, 0);
    return intake_error(in, err);
}

bool
intake_leave(struct intake *in)
{
    bool running;

    pthread_mutex_lock(&in->lock);
    running = in->left = in->running;
    pthread_mutex_unlock(&in->lock);
    if (!running)
        release(in);
    return !running;
}
