// SPDX-License-Identifier: Apache-2.0
/* linking: what may happen to the links and references of documents, and to registered entities. */
#ifndef CORE_LINKING_H
#define CORE_LINKING_H
#include "core/caller.h"
#include "store/entity.h"
#include "store/link.h"
#include "store/reference.h"

/* True for 1 to 128 characters of [A-Za-z0-9._:-]. */
bool linking_id_valid(const char *text);

/*
 * Links a document to an entity; *ret_new is false when they were linked before, and *l is then
 * the first link, unchanged. NOT_FOUND: the document or the entity does not exist.
 */
MUST_CHECK enum rc linking_link(struct tx *tx, const struct caller *caller, struct link *l,
                                bool *ret_new, struct err *err);
/* NOT_FOUND: the document or the link does not exist. */
MUST_CHECK enum rc linking_unlink(struct tx *tx, const struct caller *caller,
                                  const struct id *document_id, const struct id *link_id,
                                  struct err *err);

/* NOT_FOUND when the workspace keeps a register and the entity is not in it. */
MUST_CHECK enum rc linking_entity_exists(struct tx *tx, const struct caller *caller,
                                         enum entity_type type, const char *id, struct err *err);

/* Registers or renames; `rename`: e->name replaces what stands. */
MUST_CHECK enum rc linking_put_entity(struct tx *tx, const struct caller *caller, struct entity *e,
                                      bool rename, bool *ret_new, struct err *err);
/* Takes an entity off the register and detaches its links. NOT_FOUND. */
MUST_CHECK enum rc linking_delete_entity(struct tx *tx, const struct caller *caller,
                                         enum entity_type type, const char *id, struct err *err);

/* Sets (or, with `present` false, drops) a reference; both are idempotent. NOT_FOUND: document. */
MUST_CHECK enum rc linking_set_reference(struct tx *tx, const struct caller *caller,
                                         const struct id *document_id, enum reference_type type,
                                         const char *ref_id, bool present, struct err *err);

#endif
