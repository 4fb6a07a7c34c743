// SPDX-License-Identifier: Apache-2.0
/*
 * openapi_schema: field tables as JSON Schemas (draft 2020-12, the dialect of OpenAPI 3.1).
 *
 *  I1  Every value that field_read_body() or field_read_query() takes fits the schema of its
 *      table, but for numbers that FIELD_CLAMP moves and nulls that stand for absent members.
 *  I2  An answer with a member that its table lacks does not fit.
 *
 * Results belong to the caller. No state; any thread.
 */
#ifndef HTTP_OPENAPI_SCHEMA_H
#define HTTP_OPENAPI_SCHEMA_H
#include "http/route.h"

/* Sets a member to a string. */
void openapi_set_text(json_t *object, const char *name, const char *text);

/* {"$ref": "#/components/<kind>/<name>"} */
json_t *openapi_ref(const char *kind, const char *name);

/* The schema of a body. */
json_t *openapi_body_schema(const struct field *fields);

/* The schema of one query parameter, without its description and example. */
json_t *openapi_param_schema(const struct field *fd);

/* The schema of a documented JSON answer. The object shapes it refers to are put into `schemas`. */
json_t *openapi_answer_schema(const struct reply_doc *doc, json_t *schemas);

/* A string of any bytes. */
json_t *openapi_binary_schema(void);

/* {media_type: {schema, example}}; takes both. `example` may be NULL. */
json_t *openapi_content(const char *media_type, json_t *schema, json_t *example);

/* The JSON of a row's `example`; aborts when it is none. */
json_t *openapi_field_example(const struct field *fd);

/* An object of the rows' examples; NULL when a row that must be there has none. */
json_t *openapi_example(const struct field *fields);

/* An example of a documented JSON answer, or NULL. */
json_t *openapi_answer_example(const struct reply_doc *doc);

#endif
