// SPDX-License-Identifier: Apache-2.0
/* entity: a workspace's register of the contacts, deals … that documents are linked to. */
#ifndef STORE_ENTITY_H
#define STORE_ENTITY_H
#include "db/db.h"

/* Stored as these numbers: append only. */
enum entity_type {
    ENTITY_CONTACT = 1,
    ENTITY_COMPANY,
    ENTITY_DEAL,
    ENTITY_EVENT,
    ENTITY_MATTER,
    ENTITY_TASK,
    ENTITY_MAX_,
};

struct entity {
    enum entity_type type;
    const char *id;
    const char *name; /* NULL when absent */
    int64_t created_ms;
    int64_t updated_ms;
};

const char *entity_type_name(enum entity_type type);
/* From "contact" … ; false when there is no such type. */
bool entity_type_parse(const char *name, enum entity_type *ret);

/* NOT_FOUND when it is not registered. */
MUST_CHECK enum rc entity_read(struct tx *tx, int64_t workspace, enum entity_type type,
                               const char *id, struct entity *ret, struct err *err);

/* The same in two steps, between which other questions can be asked. */
MUST_CHECK enum rc entity_ask(struct tx *tx, int64_t workspace, enum entity_type type,
                              const char *id, struct db_cursor **ret, struct err *err);
MUST_CHECK enum rc entity_answer(struct tx *tx, enum entity_type type, const char *id,
                                 struct db_cursor *asked, struct entity *ret, struct err *err);

/* Registers `e` (times are filled in), or renames what stands when `rename` is true. */
MUST_CHECK enum rc entity_put(struct tx *tx, int64_t workspace, struct entity *e, bool rename,
                              bool *ret_new, struct err *err);

/* NOT_FOUND when it is not registered. Links are the caller's to detach. */
MUST_CHECK enum rc entity_delete(struct tx *tx, int64_t workspace, enum entity_type type,
                                 const char *id, struct err *err);

#endif
