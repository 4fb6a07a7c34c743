// SPDX-License-Identifier: Apache-2.0
/*
 * field: one row says all about one member of a body, a query or an answer: how it is read, what
 * is allowed, and how it is documented. Bodies and queries are read by these tables only; the
 * OpenAPI document is printed from the same rows.
 */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H
#include <jansson.h>

#include "base/base.h"

enum field_type {
    FIELD_END = 0,
    FIELD_TEXT,
    FIELD_INT,
    FIELD_BOOL,
    FIELD_TIME,    /* RFC 3339, or a date */
    FIELD_TEXTS,   /* an array of strings; in a query: the parameter, repeated */
    FIELD_OBJECT,  /* `members` */
    FIELD_OBJECTS, /* an array of objects of `members` */
    FIELD_ANY,     /* answers only: described by `help` */
};

enum field_flags {
    FIELD_REQUIRED = 1,
    FIELD_NULLABLE = 2,  /* answers: may be null. bodies: null clears it */
    FIELD_CLAMP = 4,     /* a number out of range is moved to the nearest bound */
    FIELD_LINES = 8,     /* line feeds and tabs are allowed */
    FIELD_OPTIONAL = 16, /* answers: may be left out */
    FIELD_KEEP = 32,     /* bodies: may be changed, but null does not clear it */
};

/* What was read of one field; all zero when it was not given. */
struct value {
    bool given; /* also when it was null */
    bool null;
    const char *text;   /* TEXT */
    int64_t number;     /* INT; BOOL as 0 or 1; TIME in milliseconds */
    const char **texts; /* TEXTS */
    size_t n;           /* of texts or items */
    void *items;        /* OBJECTS: an array of structs of `item_size` */
};

struct field {
    const char *name;
    enum field_type type;
    unsigned flags;
    int64_t min, max; /* characters of TEXT(S), value of INT */
    size_t max_items; /* TEXTS, OBJECTS; always given */
    size_t offset;    /* of the struct value, or of the OBJECT's first member */
    /*
     * A rule beyond the above: NULL when `in` is good, else the reason, for the client. May put
     * another spelling (in `pool`) into *ret.
     */
    const char *(*rule)(TALLOC_CTX *pool, const char *in, const char **ret);
    const char *const *choices; /* the only texts allowed, ended by NULL */
    const struct field *members;
    size_t item_size;
    const char *help;
    const char *example; /* JSON */
};

static inline int64_t
value_number(const struct value *v, int64_t otherwise)
{
    return v->given && !v->null ? v->number : otherwise;
}

/* Faults of a body or a query, gathered so that all come back in one answer. */
struct faults {
    TALLOC_CTX *pool;
    json_t *fields; /* name -> reason; NULL while there are none */
    bool missing;   /* at least one of them is an absent required field */
};

/* Reads the object `body` into the zeroed struct at `into`. Unknown members are let be. */
void field_read_body(const struct field *fields, const json_t *body, void *into, struct faults *f);

/* One decoded query parameter. */
struct query_param {
    const char *name;
    const char *value;
};
void field_read_query(const struct field *fields, const struct query_param *params, size_t n,
                      void *into, struct faults *f);

void faults_add(struct faults *f, const char *name, const char *reason);
void faults_free(struct faults *f);

#endif
