// SPDX-License-Identifier: Apache-2.0
/* service: what answering requests needs beside the app itself. Owned by cmd/. */
#ifndef HTTP_SERVICE_H
#define HTTP_SERVICE_H
#include <stdatomic.h>

#include "core/app.h"
#include "http/auth.h"
#include "http/budget.h"

enum ready { READY_STARTING, READY_YES, READY_DRAINING, READY_BROKEN };

struct service {
    struct app *app;
    struct auth *auth;
    struct budgets *budgets;
    _Atomic int ready; /* enum ready */
    bool log_requests;
    bool only_operations; /* the routes without a key are all there is (--admin-listen) */
    bool no_operations;   /* they are elsewhere */
    const struct service *speaks_for; /* whose readiness it tells; NULL: its own */
};

/* enum ready */
static inline int
service_ready(const struct service *s)
{
    return atomic_load(&(s->speaks_for ? s->speaks_for : s)->ready);
}

#endif
