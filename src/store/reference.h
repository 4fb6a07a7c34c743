// SPDX-License-Identifier: Apache-2.0
/* reference: workflows and templates that use a document, and so keep it from being deleted. */
#ifndef STORE_REFERENCE_H
#define STORE_REFERENCE_H
#include "db/db.h"

/* Stored as these numbers: append only. */
enum reference_type { REFERENCE_TEMPLATE = 1, REFERENCE_WORKFLOW, REFERENCE_MAX_ };

struct reference {
    enum reference_type type;
    const char *ref_id;
    int64_t created_ms;
};

const char *reference_type_name(enum reference_type type);
bool reference_type_parse(const char *name, enum reference_type *ret);

/* *ret_changed is false when it stood already (or, for delete, did not). */
MUST_CHECK enum rc reference_put(struct tx *tx, int64_t workspace, const struct id *document_id,
                                 enum reference_type type, const char *ref_id, bool *ret_changed,
                                 struct err *err);
MUST_CHECK enum rc reference_delete(struct tx *tx, int64_t workspace, const struct id *document_id,
                                    enum reference_type type, const char *ref_id, bool *ret_changed,
                                    struct err *err);

/* At most `max` (0: all) references of a document, by type and id, in tx->pool. */
MUST_CHECK enum rc reference_list(struct tx *tx, int64_t workspace, const struct id *document_id,
                                  size_t max, struct reference **ret, size_t *ret_n,
                                  struct err *err);
/* The same in two steps, between which other questions can be asked. */
MUST_CHECK enum rc reference_ask(struct tx *tx, int64_t workspace, const struct id *document_id,
                                 size_t max, struct db_cursor **ret, struct err *err);
MUST_CHECK enum rc reference_answer(struct tx *tx, struct db_cursor *asked, struct reference **ret,
                                    size_t *ret_n, struct err *err);

#endif
