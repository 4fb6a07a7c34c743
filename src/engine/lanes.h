// SPDX-License-Identifier: Apache-2.0
/*
 * lanes: works waiting for the writer, one bounded first-in-first-out queue a lane, taken in turn.
 *
 * No locks inside: the engine holds one around every call.
 */
#ifndef ENGINE_LANES_H
#define ENGINE_LANES_H
#include "engine/engine.h"

struct lanes;

struct lanes *lanes_new(unsigned max_per_lane);
void lanes_free(struct lanes **lanes);

/* False when the work's lane is full. */
MUST_CHECK bool lanes_put(struct lanes *lanes, struct work *work);

/* Takes up to `max` works, one of each lane in turn, into `batch`; returns how many. Those of lanes
 * that are held come last. */
size_t lanes_take(struct lanes *lanes, struct work **batch, size_t max);

/*
 * Takes works of the lane whose turn it is, of one kind of turn, at most `max` and about the
 * `share`-th part of what waits there; a TURN_SOLE one alone. The lane of such a one is held: no
 * other of its works is taken until lanes_release(), for it could only wait for the first.
 */
size_t lanes_take_one(struct lanes *lanes, struct work **batch, size_t max, size_t share);

/* The lane's TURN_SOLE work has ended. */
void lanes_release(struct lanes *lanes, int64_t lane);

/* Whether lanes_take_one() would find something. */
bool lanes_ready(const struct lanes *lanes);

/* Those of lanes that are held, too. */
size_t lanes_waiting(const struct lanes *lanes);

#endif
