// SPDX-License-Identifier: Apache-2.0
/*
 * metric: counters and gauges, one row each in metrics.def. Thread-safe, never blocks.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H
#include <stdatomic.h>

#include "base/base.h"
#include "base/buf.h"

enum metric {
#define METRIC(name, kind, prom, help) METRIC_##name,
#include "base/metrics.def"
#undef METRIC
    METRIC_MAX_
};

struct metrics {
    _Atomic int64_t value[METRIC_MAX_];
};

static inline void
metric_add(struct metrics *m, enum metric which, int64_t n)
{
    atomic_fetch_add_explicit(&m->value[which], n, memory_order_relaxed);
}

static inline void
metric_set(struct metrics *m, enum metric which, int64_t v)
{
    atomic_store_explicit(&m->value[which], v, memory_order_relaxed);
}

/* Appends all of them in Prometheus' text format 0.0.4. */
void metric_print(struct metrics *m, struct buf *out);

#endif
