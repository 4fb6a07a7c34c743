// SPDX-License-Identifier: Apache-2.0
#include "engine/lanes.h"

#define BUCKETS 256

/* A lane exists while works wait in it: it stands in one bucket and in the ring. */
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
lane_open(struct lanes *l, int64_t id)
{
    struct lane **bucket = bucket_of(l, id), *lane;

    for (lane = *bucket; lane; lane = lane->next_in_bucket) {
        if (lane->id == id)
            return lane;
    }
    lane = l->spare;
    if (lane)
        l->spare = lane->next;
    else
        lane = MEM_NEW(l, struct lane);
    *lane = (struct lane){.id = id, .next_in_bucket = *bucket};
    *bucket = lane;
    if (l->turn) {
        /* last in turn: just before the one whose turn it is */
        lane->next = l->turn;
        lane->prev = l->turn->prev;
        lane->prev->next = lane;
        lane->next->prev = lane;
    } else {
        lane->next = lane->prev = lane;
        l->turn = lane;
    }
    return lane;
}

static void
lane_close(struct lanes *l, struct lane *lane)
{
    struct lane **at = bucket_of(l, lane->id);

    while (*at != lane)
        at = &(*at)->next_in_bucket;
    *at = lane->next_in_bucket;
    if (l->turn == lane)
        l->turn = lane->next == lane ? NULL : lane->next;
    lane->prev->next = lane->next;
    lane->next->prev = lane->prev;
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
        if (lane->count == 0)
            lane_close(l, lane);
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
    if (lane->count == 0)
        lane_close(l, lane);
    return n;
}

size_t
lanes_waiting(const struct lanes *l)
{
    return l->waiting;
}
