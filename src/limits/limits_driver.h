// SPDX-License-Identifier: Apache-2.0
/*
 * limits_driver: what a kind of server for shared limits provides. Included by limits.c and the
 * drivers only. A driver embeds `struct limits` as the first member of its own struct. Threads: as
 * in limits.h.
 */
#ifndef LIMITS_LIMITS_DRIVER_H
#define LIMITS_LIMITS_DRIVER_H
#include "limits/limits.h"

struct limits_driver {
    /* Required. As limits_connect(). */
    enum rc (*connect)(struct limits *l, struct err *err);
    /* Required. As limits_check(). */
    enum rc (*check)(struct limits *l, struct err *err);
    /* Required. As limits_draw(). */
    enum rc (*draw)(struct limits *l, const struct limits_draw *draw, struct limits_state *ret,
                    struct err *err);
    /* Required. As limits_add(). */
    enum rc (*add)(struct limits *l, const struct limits_count *count, int64_t *ret_born_ms,
                   struct err *err);
    /* Required. Closes all connections and frees it. */
    void (*free)(struct limits *l);
};

struct limits {
    const struct limits_driver *driver;
    uint16_t port; /* 0: none */
};

/* Drivers: from the URL as limits_open() gets it. */
MUST_CHECK enum rc limits_open_redis(const char *url, struct limits **ret, struct err *err);

#endif
