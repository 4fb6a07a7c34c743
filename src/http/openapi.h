// SPDX-License-Identifier: Apache-2.0
/*
 * openapi: the route table as documents: OpenAPI 3.1 for people and client generators, and a flat
 * list for tests.
 *
 *  I1  Both are made from the tables alone (route.h, field.h, rc.def, permission.def): what is
 *      enforced and what is documented cannot differ.
 *  I2  The same tables give the same members in the same order.
 *
 * Deliberately not here: outcomes that come before a route is known (broken framing, unknown
 * paths and methods); the document names them in its description. No state; any thread.
 */
#ifndef HTTP_OPENAPI_H
#define HTTP_OPENAPI_H
#include <jansson.h>

/* The OpenAPI 3.1.0 document. The caller owns it. A broken example in a table aborts. */
json_t *openapi_document(void);

/*
 * What `dossier routes --json` prints: an array with one object for each row of the table, in its
 * order: op, method, path, run, access, permission (null without a key), elevated {query,
 * permission} or null, dialect, idempotency, body, query and path_ids (names), replies (statuses)
 * and errors {status, code}, errors by status. The caller owns it.
 */
json_t *openapi_routes(void);

#endif
