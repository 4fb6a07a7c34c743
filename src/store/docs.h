// SPDX-License-Identifier: Apache-2.0
/*
 * docs: the Docs objects of the docs dialect, their owners, and the entities that may ask for them.
 */
#ifndef STORE_DOCS_H
#define STORE_DOCS_H
#include "db/db.h"

/* A third party that calls the docs dialect, registered by the operator. */
struct docs_entity {
    const char *entity_id; /* the text of the header Docs-Entity-ID */
    int64_t workspace;
    struct id id;      /* stands for it where an id is needed (budgets, audit) */
    bool trust_header; /* the header alone is enough */
};

/* CONFLICT when the entity id is registered already. */
MUST_CHECK enum rc docs_entity_insert(struct tx *tx, const struct docs_entity *e, struct err *err);
MUST_CHECK enum rc docs_entity_read(struct tx *tx, const char *entity_id, struct docs_entity *ret,
                                    struct err *err);

struct docs_user {
    const char *id;
    const char *external_id; /* NULL when it has none */
};

MUST_CHECK enum rc docs_user_by_id(struct tx *tx, int64_t workspace, const char *id,
                                   struct docs_user *ret, struct err *err);
MUST_CHECK enum rc docs_user_by_external(struct tx *tx, int64_t workspace, const char *external_id,
                                         struct docs_user *ret, struct err *err);
/* CONFLICT when the id or the external id is taken. */
MUST_CHECK enum rc docs_user_insert(struct tx *tx, int64_t workspace, const struct docs_user *u,
                                    struct err *err);

struct docs {
    struct id id;
    const char *type;
    const char *status;
    struct docs_user owner;
};

MUST_CHECK enum rc docs_insert(struct tx *tx, int64_t workspace, const struct docs *d,
                               struct err *err);
MUST_CHECK enum rc docs_read(struct tx *tx, int64_t workspace, const struct id *id,
                             struct docs *ret, struct err *err);
MUST_CHECK enum rc docs_set_status(struct tx *tx, int64_t workspace, const struct id *id,
                                   const char *status, struct err *err);
/* The Docs of the user with this external id, oldest first; none when there is no such user. */
MUST_CHECK enum rc docs_of_external(struct tx *tx, int64_t workspace, const char *external_id,
                                    struct docs **ret, size_t *ret_n, struct err *err);

#endif
