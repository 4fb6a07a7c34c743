// SPDX-License-Identifier: Apache-2.0
#include "http/server_deadline.h"

#include <netinet/in.h>
#include <linux/tcp.h> /* for tcpi_bytes_acked and tcpi_bytes_received */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"

#define TICK_MS 1000
#define LOOK_MS 250 /* between looks for young connections that their clients have left */
#define YOUNG_MS 3000
#define GRACE_MS 10000
#define IDLE_MS 60000
#define STALL_MS 60000
#define MIN_RATE 1024 /* bytes a second */

struct progress {
    int64_t in, out;
};

struct peer {
    int fd;
    bool told;
    _Atomic int64_t in, out; /* as told */
    _Atomic int phase;
    _Atomic bool held;
    _Atomic unsigned turn; /* counts the phases, for two may begin in one millisecond */
    _Atomic int64_t since_ms;
    /* the watchdog's own */
    unsigned seen_turn;
    int64_t bytes_then;
    unsigned left_turn;           /* 1 + the turn in which the client was found gone */
    int64_t bytes_last, moved_ms; /* what was seen last, and since when */
    struct peer *next, *prev;
};

struct deadlines {
    struct metrics *metrics;
    pthread_t thread;
    pthread_mutex_t lock; /* a peer in the list has an open fd while this is held */
    pthread_cond_t stop;
    bool stopping;
    struct peer *peers;
    size_t count;
};

static bool
read_progress(struct peer *p, struct progress *ret)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    if (p->told) {
        *ret = (struct progress){.in = atomic_load(&p->in), .out = atomic_load(&p->out)};
        return true;
    }
    memset(&info, 0, sizeof(info));
    if (getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    ret->in = (int64_t)info.tcpi_bytes_received;
    ret->out = (int64_t)info.tcpi_bytes_acked;
    return true;
}

/* True when no byte has moved for long, however many did before: an average forgives that. */
static bool
stalled(struct peer *p, int64_t bytes, int64_t now_ms)
{
    if (bytes != p->bytes_last) {
        p->bytes_last = bytes;
        p->moved_ms = now_ms;
    }
    return now_ms - p->moved_ms > STALL_MS;
}

static bool
too_slow(struct peer *p, int64_t bytes, int64_t age_ms, int64_t now_ms)
{
    int64_t moved = bytes - p->bytes_then;

    return stalled(p, bytes, now_ms) ||
           (age_ms > GRACE_MS && moved < (age_ms - GRACE_MS) * MIN_RATE / 1000);
}

/*
 * True when a request cannot come to its end: the client has closed its side, all that it had sent
 * has been read, and that was so at the last look, too. The library misses it when the end was
 * there before the last bytes were read: it takes a short read for the last news of a socket. Where
 * connections had to wait for a free place that is so of all that gave up meanwhile.
 */
static bool
left(struct peer *p)
{
    unsigned turn = atomic_load(&p->turn) + 1;
    int phase = atomic_load(&p->phase);
    char next;

    if (phase == PHASE_WORK || phase == PHASE_REPLY || atomic_load(&p->held) ||
        recv(p->fd, &next, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
        return false;
    if (p->left_turn == turn)
        return true;
    p->left_turn = turn;
    return false;
}

/* True when the connection has used up its patience in the phase it is in. */
static bool
overdue(struct peer *p, int64_t now_ms)
{
    int64_t age = now_ms - atomic_load(&p->since_ms);
    unsigned turn = atomic_load(&p->turn);
    int phase = atomic_load(&p->phase);
    struct progress at;

    if (phase == PHASE_WORK || !read_progress(p, &at))
        return false;
    if (p->seen_turn != turn) { /* a new phase: what was counted before does not matter */
        p->seen_turn = turn;
        p->bytes_then = p->bytes_last = phase == PHASE_REPLY ? at.out : at.in;
        p->moved_ms = now_ms;
        return false;
    }
    switch (phase) {
    case PHASE_IDLE:
        if (at.in == p->bytes_then)
            return age > IDLE_MS;
        /* the first bytes of a header block: its clock starts now, unless it is complete already */
        if (atomic_compare_exchange_strong(&p->phase, &(int){PHASE_IDLE}, PHASE_HEAD))
            atomic_store(&p->since_ms, now_ms);
        return false;
    case PHASE_HEAD:
        return age > GRACE_MS;
    case PHASE_BODY:
        if (atomic_load(&p->held))
            p->moved_ms = now_ms;
        return !atomic_load(&p->held) && too_slow(p, at.in, age, now_ms);
    case PHASE_REPLY:
        return too_slow(p, at.out, age, now_ms);
    default:
        return false;
    }
}

/* Cuts a connection: the loop sees it and closes. */
static void
cut(struct peer *p)
{
    (void)shutdown(p->fd, SHUT_RDWR);
}

/* `all`: a tick has passed; else only those are looked at that are young. */
static void
sweep(struct deadlines *d, bool all)
{
    int64_t now_ms = clock_mono_ms();

    for (struct peer *p = d->peers; p; p = p->next) {
        int64_t age = now_ms - atomic_load(&p->since_ms);

        if ((all || age < YOUNG_MS) && left(p)) {
            cut(p);
        } else if (all && age >= TICK_MS && overdue(p, now_ms)) {
            cut(p);
            metric_add(d->metrics, METRIC_CUT_SLOW, 1);
        }
    }
}

static void
add_ms(struct timespec *t, int64_t ms)
{
    t->tv_nsec += ms * 1000000;
    t->tv_sec += t->tv_nsec / 1000000000;
    t->tv_nsec %= 1000000000;
}

static void *
watch(void *arg)
{
    struct deadlines *d = arg;
    struct timespec until;

    pthread_mutex_lock(&d->lock);
    for (unsigned look = 0; !d->stopping; look++) {
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        add_ms(&until, LOOK_MS);
        (void)pthread_cond_timedwait(&d->stop, &d->lock, &until);
        sweep(d, look % (TICK_MS / LOOK_MS) == 0);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

enum rc
deadlines_new(struct metrics *metrics, struct deadlines **ret, struct err *err)
{
    struct deadlines *d = MEM_NEW(NULL, struct deadlines);
    pthread_condattr_t attr;
    sigset_t all, old;
    int failed;

    d->metrics = metrics;
    pthread_mutex_init(&d->lock, NULL);
    /* by the wall clock, setting it back would stop the watch for as long */
    BUG_ON(pthread_condattr_init(&attr) || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    BUG_ON(pthread_cond_init(&d->stop, &attr));
    (void)pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failed = pthread_create(&d->thread, NULL, watch, d);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        (void)talloc_free(d);
        return err_set(err, RC_INTERNAL, "cannot start the watchdog thread");
    }
    *ret = d;
    return RC_OK;
}

void
deadlines_free(struct deadlines **ret)
{
    struct deadlines *d = *ret;

    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_signal(&d->stop);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->stop);
    (void)talloc_free(d);
    *ret = NULL;
}

struct peer *
peer_open(struct deadlines *d, int fd, bool told)
{
    struct peer *p = MEM_NEW(NULL, struct peer);

    p->fd = fd;
    p->told = told;
    /* turn 0 has been seen: nothing has come in at this point */
    atomic_store(&p->phase, PHASE_IDLE);
    atomic_store(&p->since_ms, clock_mono_ms());
    pthread_mutex_lock(&d->lock);
    p->next = d->peers;
    if (p->next)
        p->next->prev = p;
    d->peers = p;
    d->count++;
    metric_set(d->metrics, METRIC_CONNECTIONS, (int64_t)d->count);
    pthread_mutex_unlock(&d->lock);
    return p;
}

void
peer_close(struct deadlines *d, struct peer *p)
{
    pthread_mutex_lock(&d->lock);
    if (p->prev)
        p->prev->next = p->next;
    else
        d->peers = p->next;
    if (p->next)
        p->next->prev = p->prev;
    d->count--;
    metric_set(d->metrics, METRIC_CONNECTIONS, (int64_t)d->count);
    pthread_mutex_unlock(&d->lock);
    (void)talloc_free(p);
}

void
peer_count(struct peer *p, int64_t in, int64_t out)
{
    if (!p->told)
        return;
    atomic_fetch_add(&p->in, in);
    atomic_fetch_add(&p->out, out);
}

void
peer_phase(struct peer *p, enum phase phase)
{
    atomic_store(&p->since_ms, clock_mono_ms());
    atomic_store(&p->phase, phase);
    atomic_fetch_add(&p->turn, 1);
}

void
peer_hold(struct peer *p, bool held)
{
    atomic_store(&p->held, held);
}

size_t
deadlines_count(struct deadlines *d)
{
    size_t n;

    pthread_mutex_lock(&d->lock);
    n = d->count;
    pthread_mutex_unlock(&d->lock);
    return n;
}
