// SPDX-License-Identifier: Apache-2.0
/*
 * limits_mem: shared limits in memory, whose clock, failures and losses a test decides about.
 * tests/contract/limits.c holds it to the same cases as a real server.
 */
#ifndef UNIT_LIMITS_MEM_H
#define UNIT_LIMITS_MEM_H
#include <pthread.h>

#include "limits/limits_driver.h"

#define MEM_COUNTERS 64
#define MEM_NAMES 16
#define MEM_DAY_MS ((int64_t)86400000)

struct mem_counter {
    struct id subject;
    int64_t day; /* -1: of the minute */
    int64_t since_ms;
    int64_t used;
    struct {
        uint64_t name;
        int64_t n;
    } names[MEM_NAMES];
    size_t n_names;
};

struct limits_mem {
    struct limits limits;
    pthread_mutex_t lock;
    int64_t now_ms;
    bool down;                    /* nothing is done */
    bool mute;                    /* all is done and nothing answered */
    enum rc connect;              /* what a connection gives, when up */
    bool shallow;                 /* what is added is counted as a call only */
    int draws, adds;              /* calls */
    void (*meanwhile)(void *arg); /* called once, while something is added; NULL: nothing */
    void *arg;
    struct mem_counter counters[MEM_COUNTERS];
    size_t n;
};

static inline struct limits_mem *
limits_mem_of(struct limits *l)
{
    return (struct limits_mem *)l;
}

static inline struct mem_counter *
limits_mem_find(struct limits_mem *m, const struct id *subject, int64_t day)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->counters[i].day == day && id_equal(&m->counters[i].subject, subject))
            return &m->counters[i];
    }
    return NULL;
}

static inline struct mem_counter *
limits_mem_make(struct limits_mem *m, const struct id *subject, int64_t day, int64_t since_ms)
{
    struct mem_counter *c = limits_mem_find(m, subject, day);

    if (!c) {
        BUG_ON(m->n == MEM_COUNTERS);
        c = &m->counters[m->n++];
    }
    *c = (struct mem_counter){.subject = *subject, .day = day, .since_ms = since_ms};
    return c;
}

/* The name's own count; -1 when it is new. */
static inline int64_t *
limits_mem_name(struct mem_counter *c, uint64_t name)
{
    for (size_t i = 0; i < c->n_names; i++) {
        if (c->names[i].name == name)
            return &c->names[i].n;
    }
    BUG_ON(c->n_names == MEM_NAMES);
    c->names[c->n_names].name = name;
    c->names[c->n_names].n = -1;
    return &c->names[c->n_names++].n;
}

static inline void
limits_mem_count(struct mem_counter *c, uint64_t name)
{
    int64_t *own = limits_mem_name(c, name);

    c->used++;
    *own = *own < 0 ? 1 : *own + 1;
}

static inline void
limits_mem_raise(struct mem_counter *c, uint64_t name, int64_t count, int64_t when_new)
{
    int64_t *own = limits_mem_name(c, name), known = *own < 0 ? count - when_new : *own;

    c->used += count > known ? count - known : 0;
    *own = count > known ? count : known;
}

/* With the lock held. */
static inline enum rc
limits_mem_answer(const struct limits_mem *m, struct err *err)
{
    return m->down || m->mute ? err_set(err, RC_UNAVAILABLE, "it is down") : RC_OK;
}

static inline enum rc
limits_mem_check(struct limits *l, struct err *err)
{
    struct limits_mem *m = limits_mem_of(l);
    enum rc rc;

    pthread_mutex_lock(&m->lock);
    rc = limits_mem_answer(m, err);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static inline enum rc
limits_mem_connect(struct limits *l, struct err *err)
{
    enum rc refuses = limits_mem_of(l)->connect;

    return refuses ? err_set(err, refuses, "it refuses") : limits_mem_check(l, err);
}

static inline void
limits_mem_act(struct limits_mem *m, const struct limits_draw *draw, struct limits_state *ret)
{
    struct mem_counter *day = limits_mem_find(m, &draw->subject, m->now_ms / MEM_DAY_MS), *minute;

    *ret = (struct limits_state){.outcome = LIMITS_ABSENT, .now_ms = m->now_ms};
    if (!day)
        return;
    minute = limits_mem_find(m, &draw->subject, -1);
    if (!minute || m->now_ms >= minute->since_ms + 60000)
        minute = limits_mem_make(m, &draw->subject, -1, m->now_ms);
    ret->outcome = LIMITS_GRANTED;
    if (draw->per_day && day->used >= draw->per_day)
        ret->outcome = LIMITS_DAY_USED;
    else if (draw->per_minute && minute->used >= draw->per_minute)
        ret->outcome = LIMITS_MINUTE_USED;
    if (ret->outcome == LIMITS_GRANTED) {
        limits_mem_count(day, draw->name);
        limits_mem_count(minute, draw->name);
    }
    ret->day_used = day->used;
    ret->born_ms = day->since_ms;
    ret->minute_start_ms = draw->per_minute ? minute->since_ms : 0;
    ret->minute_used = draw->per_minute ? minute->used : 0;
}

static inline enum rc
limits_mem_draw(struct limits *l, const struct limits_draw *draw, struct limits_state *ret,
                struct err *err)
{
    struct limits_mem *m = limits_mem_of(l);
    struct limits_state state;
    enum rc rc;

    pthread_mutex_lock(&m->lock);
    m->draws++;
    if (!m->down)
        limits_mem_act(m, draw, &state);
    rc = limits_mem_answer(m, err);
    pthread_mutex_unlock(&m->lock);
    if (!rc)
        *ret = state;
    return rc;
}

static inline void
limits_mem_take(struct limits_mem *m, const struct limits_count *c, int64_t *ret_born_ms)
{
    struct mem_counter *day = limits_mem_find(m, &c->subject, c->day), *minute;
    bool made = !day;

    *ret_born_ms = 0;
    if (made && !c->make)
        return;
    if (made) {
        day = limits_mem_make(m, &c->subject, c->day, m->now_ms);
        day->used = c->seed;
    }
    limits_mem_raise(day, c->name, c->total,
                     !made && day->since_ms < c->alone_since_ms ? c->alone : c->unsaved);
    *ret_born_ms = day->since_ms;
    if (c->minute == 0 || c->minute_age_ms >= 60000)
        return;
    minute = limits_mem_find(m, &c->subject, -1);
    if (!minute || m->now_ms >= minute->since_ms + 60000)
        minute = limits_mem_make(m, &c->subject, -1, m->now_ms - c->minute_age_ms);
    limits_mem_raise(minute, c->name, c->minute, c->minute);
}

static inline enum rc
limits_mem_add(struct limits *l, const struct limits_count *c, int64_t *ret_born_ms,
               struct err *err)
{
    struct limits_mem *m = limits_mem_of(l);
    void (*meanwhile)(void *);
    int64_t born_ms = 1;
    enum rc rc;

    pthread_mutex_lock(&m->lock);
    meanwhile = m->meanwhile;
    m->meanwhile = NULL;
    m->adds++;
    pthread_mutex_unlock(&m->lock);
    if (meanwhile)
        meanwhile(m->arg);
    pthread_mutex_lock(&m->lock);
    if (!m->down && !m->shallow)
        limits_mem_take(m, c, &born_ms);
    rc = limits_mem_answer(m, err);
    pthread_mutex_unlock(&m->lock);
    if (!rc)
        *ret_born_ms = born_ms;
    return rc;
}

static inline void
limits_mem_free(struct limits *l)
{
    pthread_mutex_destroy(&limits_mem_of(l)->lock);
    (void)talloc_free(limits_mem_of(l));
}

static const struct limits_driver limits_mem_driver = {
    .connect = limits_mem_connect,
    .check = limits_mem_check,
    .draw = limits_mem_draw,
    .add = limits_mem_add,
    .free = limits_mem_free,
};

/* At `now_ms` by its clock, which only the test moves. */
static inline struct limits_mem *
limits_mem_new(int64_t now_ms)
{
    struct limits_mem *m = MEM_NEW(NULL, struct limits_mem);

    m->limits.driver = &limits_mem_driver;
    m->now_ms = now_ms;
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

#endif
