// SPDX-License-Identifier: Apache-2.0
/* rules: checks of single values that several bodies share; for the slots of struct field. */
#ifndef API_RULES_H
#define API_RULES_H
#include "http/field.h"

/* Each is a field's `rule`: NULL when good, else the reason; may put a normal form into *ret. */
const char *rule_media_type(TALLOC_CTX *pool, const char *in, const char **ret);
const char *rule_storage_path(TALLOC_CTX *pool, const char *in, const char **ret);
const char *rule_folder(TALLOC_CTX *pool, const char *in, const char **ret);
const char *rule_sha256(TALLOC_CTX *pool, const char *in, const char **ret);
const char *rule_entity_id(TALLOC_CTX *pool, const char *in, const char **ret);
const char *rule_time(TALLOC_CTX *pool, const char *in, const char **ret);
const char *rule_docs_id(TALLOC_CTX *pool, const char *in, const char **ret);
const char *rule_docs_type(TALLOC_CTX *pool, const char *in, const char **ret);

extern const char *const rule_entity_types[]; /* a field's `choices` */
extern const char *const rule_tiers[];

/* The rows `page` and `per_page` of a query. */
#define FIELD_PAGE(in)                                                                             \
    {                                                                                              \
        .name = "page", .type = FIELD_INT, .flags = FIELD_CLAMP, .min = 1, .max = INT32_MAX,       \
        .offset = offsetof(in, page), .help = "Page, from 1", .example = "1"                       \
    }
#define FIELD_PER_PAGE(in, most, usual)                                                            \
    {                                                                                              \
        .name = "per_page", .type = FIELD_INT, .flags = FIELD_CLAMP, .min = 1, .max = (most),      \
        .offset = offsetof(in, per_page), .help = "Items a page; " #usual " by default",           \
        .example = #usual                                                                          \
    }

/* The rows `entity_type` and `entity_id` of a body. */
#define FIELD_ENTITY_TYPE(in, shown)                                                               \
    {                                                                                              \
        .name = "entity_type", .type = FIELD_TEXT, .flags = FIELD_REQUIRED,                        \
        .choices = rule_entity_types, .offset = offsetof(in, entity_type),                         \
        .help = "Kind of entity", .example = "\"" shown "\""                                       \
    }
#define FIELD_ENTITY_ID(in, shown)                                                                 \
    {                                                                                              \
        .name = "entity_id", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 128,    \
        .rule = rule_entity_id, .offset = offsetof(in, entity_id),                                 \
        .help = "Id of the entity in the caller's own system", .example = "\"" shown "\""          \
    }

#endif
