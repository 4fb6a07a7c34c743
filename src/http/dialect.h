// SPDX-License-Identifier: Apache-2.0
/*
 * dialect: how one family of routes spells its ids, reads its keys and words its errors. A route
 * names its dialect; handlers never ask which one it is.
 */
#ifndef HTTP_DIALECT_H
#define HTTP_DIALECT_H
#include <jansson.h>

#include "base/base.h"
#include "base/id.h"

struct dialect {
    const char *name;
    enum id_spelling spelling;
    const char *idempotency_header;
    bool idempotency_required;
    bool repeat_conflicts; /* a used key is 409 with the first object's id, not a replay */
    bool by_entity;        /* the caller is named by Docs-Entity-ID */
    enum rc missing;       /* a required field is absent */
    enum rc invalid;       /* a field is wrong */
    /*
     * The body of an error answer. `message` is what a client may read; `details` may be NULL and
     * stays the caller's.
     */
    json_t *(*error)(enum rc code, const char *message, json_t *details);
};

extern const struct dialect dialect_records;
extern const struct dialect dialect_upload;
extern const struct dialect dialect_docs;

#endif
