// SPDX-License-Identifier: Apache-2.0
/*
 * workspace: the tenants. The store's functions take the internal number `workspace` of one, never
 * a default: what they read and change belongs to it alone.
 */
#ifndef STORE_WORKSPACE_H
#define STORE_WORKSPACE_H
#include "db/db.h"

struct workspace {
    int64_t number;  /* internal; the key of every table */
    char *public_id; /* "ws_…" */
    char *name;
    struct id owner_id;
    bool verify_bytes;
    bool open_entities;
    int64_t quota_bytes;     /* -1: unlimited */
    int64_t quota_documents; /* -1: unlimited */
    int64_t audit_days;
    int64_t created_ms;
};

/*
 * Adds one, with an empty audit trail; number, owner_id and created_ms are filled in. CONFLICT: the
 * public id is taken.
 */
MUST_CHECK enum rc workspace_insert(struct tx *tx, struct workspace *w, struct err *err);

/* NOT_FOUND when there is none. Texts are in tx->pool. */
MUST_CHECK enum rc workspace_by_public_id(struct tx *tx, const char *public_id,
                                          struct workspace *ret, struct err *err);
MUST_CHECK enum rc workspace_by_number(struct tx *tx, int64_t number, struct workspace *ret,
                                       struct err *err);

/* The one with the next number after `number`; NOT_FOUND after the last. */
MUST_CHECK enum rc workspace_after(struct tx *tx, int64_t number, struct workspace *ret,
                                   struct err *err);

/* Calls `fn` for each workspace, in the order of their numbers. */
MUST_CHECK enum rc workspace_each(struct tx *tx,
                                  enum rc (*fn)(struct tx *tx, const struct workspace *w, void *arg,
                                                struct err *err),
                                  void *arg, struct err *err);

#endif
