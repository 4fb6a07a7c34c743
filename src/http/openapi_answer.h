// SPDX-License-Identifier: Apache-2.0
/*
 * openapi_answer: what each row can answer: its handler's answers, and the errors of its kind.
 *
 *  I1  Errors are documented as the dialect words them, with the bodies that it would send.
 *
 * Results belong to the caller. No state; any thread.
 */
#ifndef HTTP_OPENAPI_ANSWER_H
#define HTTP_OPENAPI_ANSWER_H
#include "http/route.h"

#define OPENAPI_ERRORS_MAX 32

struct openapi_errors {
    enum rc codes[OPENAPI_ERRORS_MAX]; /* by status */
    size_t n;
};

/* All that can go wrong with a request that has found its row. */
struct openapi_errors openapi_errors_of(const struct route *r);

/* Whether the idempotency header of the dialect is read. */
bool openapi_takes_key_header(const struct route *r);

/* Whether the answer is the bytes of a document. */
bool openapi_sends_bytes(const struct route *r);

/*
 * The responses of an operation by status. What several have in common is put into the members
 * schemas and responses of `components`.
 */
json_t *openapi_responses(const struct route *r, json_t *components);

/* The headers that responses refer to. */
json_t *openapi_headers(void);

#endif
