// SPDX-License-Identifier: Apache-2.0
/*
 * arrival: bytes that clients sent to the store itself, by a URL of the store.
 *
 * Nobody tells us when they come, so whoever may need them looks first: when a record is registered
 * at their path, when a record without bytes is read, and once more when the URL is long over.
 *
 *  I1  Bytes become a document's by a copy within the store: what is sent later by the same URL
 *      changes nothing.
 *  I2  Each upload arrives once, whoever looks at the same time.
 *
 * Threads: any that may wait for the store; none that serves many.
 */
#ifndef CORE_ARRIVAL_H
#define CORE_ARRIVAL_H
#include "core/app.h"
#include "core/caller.h"

/*
 * Takes in what has arrived at the path; nothing is fine too. Errors: those of library_arrive() and
 * of the store.
 */
MUST_CHECK enum rc arrival_look(struct app *app, TALLOC_CTX *pool, const struct workspace *w,
                                const char *storage_path, struct err *err);

/*
 * Takes in what has arrived by URLs that expired before `before_ms`, and forgets these; at most
 * `max`. *ret_n tells how many were forgotten.
 */
MUST_CHECK enum rc arrival_expire(struct app *app, TALLOC_CTX *pool, int64_t before_ms, int64_t max,
                                  int64_t *ret_n, struct err *err);

#endif
