// SPDX-License-Identifier: Apache-2.0
#include "limits/limits_driver.h"

enum rc
limits_open(const char *url, struct limits **ret, struct err *err)
{
    return limits_open_redis(url, ret, err);
}

void
limits_free(struct limits **l)
{
    if (*l)
        (*l)->driver->free(*l);
    *l = NULL;
}

uint16_t
limits_port(const struct limits *l)
{
    return l->port;
}

enum rc
limits_connect(struct limits *l, struct err *err)
{
    return l->driver->connect(l, err);
}

enum rc
limits_check(struct limits *l, struct err *err)
{
    return l->driver->check(l, err);
}

enum rc
limits_draw(struct limits *l, const struct limits_draw *draw, struct limits_state *ret,
            struct err *err)
{
    return l->driver->draw(l, draw, ret, err);
}

enum rc
limits_add(struct limits *l, const struct limits_count *count, int64_t *ret_born_ms,
           struct err *err)
{
    return l->driver->add(l, count, ret_born_ms, err);
}
