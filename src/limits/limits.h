// SPDX-License-Identifier: Apache-2.0
/*
 * limits: counters of rate budgets that many nodes share, on a server of their own.
 *
 *  I1  A draw is one act for all nodes: of a budget of N never more than N are granted.
 *  I2  The time is the server's, so a day and a minute are the same for all nodes, however their
 *      clocks are set.
 *  I3  A counter of a day that is absent is not 0, for the server may have lost it: a draw then
 *      says so, and limits_add() makes the counter from what the node knows.
 *  I4  limits_add() tells all that a node has counted, not what is new: done twice, or after draws
 *      whose outcome nobody knows, it counts nothing twice.
 *  I5  No call but limits_connect() waits longer than LIMITS_ANSWER_MS; or, where it needs a new
 *      connection, LIMITS_CONNECT_MS and a few times LIMITS_ANSWER_MS.
 *
 * Threads: all functions but limits_open() and limits_free() may be called from any thread.
 */
#ifndef LIMITS_LIMITS_H
#define LIMITS_LIMITS_H
#include "base/base.h"
#include "base/id.h"

#define LIMITS_CONNECT_MS 200
#define LIMITS_ANSWER_MS 50 /* unless the URL says otherwise */

struct limits;

struct limits_draw {
    struct id subject;
    uint64_t name;      /* which the node has for itself, for this subject: random */
    int64_t per_minute; /* 0: not counted */
    int64_t per_day;    /* 0: counted, and never used up */
};

enum limits_outcome {
    LIMITS_GRANTED,
    LIMITS_DAY_USED,    /* refused: the day's is used up */
    LIMITS_MINUTE_USED, /* refused: the minute's is */
    LIMITS_ABSENT,      /* there is no counter of this day (I3): nothing was drawn */
};

struct limits_state {
    enum limits_outcome outcome;
    int64_t now_ms;          /* wall time of the server */
    int64_t day_used;        /* with this draw; 0 when absent, as all below */
    int64_t born_ms;         /* when the counter of the day was made */
    int64_t minute_start_ms; /* wall time of the server; 0 without a limit a minute */
    int64_t minute_used;
};

/* What a node has counted of a subject in one day. */
struct limits_count {
    struct id subject;
    uint64_t name;
    int64_t day;   /* days since 1970 */
    bool make;     /* the counter of that day, if it is absent */
    int64_t seed;  /* what all nodes had used without `unsaved`, as far as this one knows */
    int64_t total; /* granted to this name by the server, and by the node itself */
    int64_t alone; /* of these by the node itself */
    int64_t alone_since_ms; /* since when it has done so, the last time, by its wall clock */
    int64_t unsaved;        /* counted by this node, and not in anybody's seed yet */
    int64_t minute;         /* granted to this name in the node's present minute; 0: none */
    int64_t minute_age_ms;  /* how long ago that minute began */
};

/*
 * Understands a URL: redis://[user:password@]host[:port][/database] or unix:/path, and behind
 * either ?timeout_ms=N; connects to nothing yet. INVALID, with a detail fit to be shown, which
 * never repeats the URL.
 */
MUST_CHECK enum rc limits_open(const char *url, struct limits **ret, struct err *err);
void limits_free(struct limits **l);

/* The TCP port that connections go to; 0: none. */
uint16_t limits_port(const struct limits *l);

/*
 * Connects, first or again, and gives up all connections from before; looks up the host's name,
 * which may take long. UNAVAILABLE; INVALID when the server is there and will not have us
 * (password, rights, database): the detail is fit to be shown.
 */
MUST_CHECK enum rc limits_connect(struct limits *l, struct err *err);

/* Whether it still answers. UNAVAILABLE. */
MUST_CHECK enum rc limits_check(struct limits *l, struct err *err);

/* Draws one request. UNAVAILABLE: it may have been drawn or not; limits_add() sets that right. */
MUST_CHECK enum rc limits_draw(struct limits *l, const struct limits_draw *draw,
                               struct limits_state *ret, struct err *err);

/*
 * Adds what the counter of the day lacks of this node's count. One that is absent is made first, or
 * else *ret_born_ms is 0 and nothing was added.
 *
 * Where the name is known there, that is what `total` exceeds its count by. Where it is not: when
 * the counter is older than `alone_since_ms`, `alone`; when it is younger it was made from the
 * database, where all but `unsaved` is, so `unsaved`. UNAVAILABLE as above.
 */
MUST_CHECK enum rc limits_add(struct limits *l, const struct limits_count *count,
                              int64_t *ret_born_ms, struct err *err);

#endif
