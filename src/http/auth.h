// SPDX-License-Identifier: Apache-2.0
/*
 * auth: who is calling.
 *
 * Keys are looked up by their public handle and proved by an HMAC of their secret, compared in
 * constant time. Rows are remembered for at most a second, and forgotten at once when this node
 * changes a key. Thread-safe.
 */
#ifndef HTTP_AUTH_H
#define HTTP_AUTH_H
#include "http/request.h"

struct auth;

struct auth *auth_new(struct app *app);
void auth_free(struct auth **a);

/*
 * Fills rq->caller from the headers of the request, as the route's dialect reads them.
 * BAD_KEY: no key, or one that is malformed, unknown, expired, revoked, or contradicts another.
 * BUSY, unless it may wait: the database has to be asked.
 */
MUST_CHECK enum rc auth_identify(struct auth *a, struct request *rq, bool may_wait,
                                 struct err *err);

/* Keys have changed: what is remembered is not to be used any more. */
void auth_forget(struct auth *a);

#endif
