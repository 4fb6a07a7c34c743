// SPDX-License-Identifier: Apache-2.0
/* answer: what every answer carries, and the words of an error, whatever the route. */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H
#include "http/budget.h"
#include "http/reply.h"

/* "http://host:port" or --public-url, for URLs that the answer names; in rq->pool. */
const char *answer_base_url(const struct request *rq);

/* Turns *rp into the error answer of the route's dialect; keeps rp->details. */
void answer_error(struct reply *rp, const struct request *rq, enum rc rc, const struct err *err);

/* Adds the headers of every answer; `budget` NULL: no key was seen. */
void answer_finish(struct reply *rp, const struct request *rq, const struct budget_state *budget);

#endif
