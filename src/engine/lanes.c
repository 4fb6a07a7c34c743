// SPDX-License-Identifier: Apache-2.0
#include "engine/lanes.h"

#define BUCKETS 256

/*
 * A lane exists while works wait in it or it is held: it stands in one bucket, and in the ring or,
 * while it is held, in the list of those.
 */
struct lane {
    int64_t id;
    struct work *head, *tail;
    unsigned count;
    struct lane *next_in_bucket;
    struct lane *next, *prev;
};

struct lanes {
    unsigned max_per_lane;
    size_t waiting;
    struct lane *turn; /* the lane whose work is taken next; NULL when nothing waits */
    struct lane *buckets[BUCKETS];
    struct lane *held;  /* those that are out of the ring until they are released */
    struct lane *spare; /* emptied lanes, kept for the next that fills */
};

struct lanes *
lanes_new(unsigned max_per_lane)
{
    struct lanes *l = MEM_NEW(NULL, struct lanes);

    BUG_ON(max_per_lane == 0);
    l->max_per_lane = max_per_lane;
    return l;
}

void
lanes_free(struct lanes **lanes)
{
    if (*lanes)
        (void)talloc_free(*lanes);
    *lanes = NULL;
}

static struct lane **
bucket_of(struct lanes *l, int64_t id)
{
    return &l->buckets[((uint64_t)id * 0x9e3779b97f4a7c15u) >> 56];
}

static struct lane *
lane_find(struct lanes *l, int64_t id)
{
    struct lane *lane = *bucket_of(l, id);

    while (lane && lane->id != id)
        lane = lane->next_in_bucket;
    return lane;
}

static void
ring_join(struct lanes *l, struct lane *lane)
{
    if (!l->turn) {
        lane->next = lane->prev = lane;
        l->turn = lane;
        return;
    }
    /* last in turn: just before the one whose turn it is */
    lane->next = l->turn;
    lane->prev = l->turn->prev;
    lane->prev->next = lane;
    lane->next->prev = lane;
}

static void
ring_leave(struct lanes *l, struct lane *lane)
{
    if (l->turn == lane)
        l->turn = lane->next == lane ? NULL : lane->next;
    lane->prev->next = lane->next;
    lane->next->prev = lane->prev;
}

static struct lane *
lane_open(struct lanes *l, int64_t id)
{
    struct lane **bucket = bucket_of(l, id), *lane = lane_find(l, id);

    if (lane)
        return lane;
    lane = l->spare;
    if (lane)
        l->spare = lane->next;
    else
        lane = MEM_NEW(l, struct lane);
    *lane = (struct lane){.id = id, .next_in_bucket = *bucket};
    *bucket = lane;
    ring_join(l, lane);
    return lane;
}

/* Of one that is out of the ring. */
static void
lane_close(struct lanes *l, struct lane *lane)
{
    struct lane **at = bucket_of(l, lane->id);

    while (*at != lane)
        at = &(*at)->next_in_bucket;
    *at = lane->next_in_bucket;
    lane->next = l->spare;
    l->spare = lane;
}

bool
lanes_put(struct lanes *l, struct work *work)
{
    struct lane *lane = lane_open(l, work->lane);

    if (lane->count >= l->max_per_lane)
        return false;
    work->next_ = NULL;
    if (lane->tail)
        lane->tail->next_ = work;
    else
        lane->head = work;
    lane->tail = work;
    lane->count++;
    l->waiting++;
    return true;
}

static struct work *
take_head(struct lanes *l, struct lane *lane)
{
    struct work *w = lane->head;

    lane->head = w->next_;
    if (!lane->head)
        lane->tail = NULL;
    l->waiting--;
    lane->count--;
    return w;
}

size_t
lanes_take(struct lanes *l, struct work **batch, size_t max)
{
    size_t n = 0;

    while (n < max && l->turn) {
        struct lane *lane = l->turn;

        batch[n++] = take_head(l, lane);
        l->turn = lane->next;
        if (lane->count == 0) {
            ring_leave(l, lane);
            lane_close(l, lane);
        }
    }
    for (struct lane *lane = l->held; n < max && lane; lane = lane->next) {
        while (n < max && lane->count > 0)
            batch[n++] = take_head(l, lane);
    }
    return n;
}

size_t
lanes_take_one(struct lanes *l, struct work **batch, size_t max, size_t share)
{
    struct lane *lane = l->turn;
    size_t n = 0, fair;

    if (!lane)
        return 0;
    fair = (lane->count + share - 1) / share;
    do
        batch[n++] = take_head(l, lane);
    while (n < max && n < fair && lane->count > 0 && lane->head->turn == batch[0]->turn &&
           batch[0]->turn != TURN_SOLE);
    l->turn = lane->next;
    if (batch[0]->turn == TURN_SOLE || lane->count == 0)
        ring_leave(l, lane);
    if (batch[0]->turn == TURN_SOLE) {
        lane->next = l->held;
        l->held = lane;
    } else if (lane->count == 0) {
        lane_close(l, lane);
    }
    return n;
}

void
lanes_release(struct lanes *l, int64_t id)
{
    struct lane *lane = lane_find(l, id), **at = &l->held;

    BUG_ON(!lane);
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    if (lane->count > 0)
        ring_join(l, lane);
    else
        lane_close(l, lane);
}

bool
lanes_ready(const struct lanes *l)
{
    return l->turn != NULL;
}

size_t
lanes_waiting(const struct lanes *l)
{
    return l->waiting;
}
