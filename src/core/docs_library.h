// SPDX-License-Identifier: Apache-2.0
/* docs_library: making Docs objects and their owners. */
#ifndef CORE_DOCS_LIBRARY_H
#define CORE_DOCS_LIBRARY_H
#include "core/caller.h"
#include "store/docs.h"

/* True for 20 to 32 characters of [0-9a-z]. */
bool docs_id_valid(const char *text);
/* True for ^[a-z][a-z0-9_-]{0,63}$. */
bool docs_type_valid(const char *text);

/*
 * Makes a Docs object. d->owner holds the id, the external id or both; d->type is checked. An
 * unknown owner with an external id is created. INVALID: an unknown id without an external id.
 * UNPROCESSABLE: the two name different users.
 */
MUST_CHECK enum rc docs_library_create(struct tx *tx, const struct caller *caller, struct docs *d,
                                       struct err *err);

/* Changes the status; *ret is the object afterwards. NOT_FOUND. */
MUST_CHECK enum rc docs_library_set_status(struct tx *tx, const struct caller *caller,
                                           const struct id *id, const char *status,
                                           struct docs *ret, struct err *err);

#endif
