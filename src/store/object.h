// SPDX-License-Identifier: Apache-2.0
/*
 * object: bytes that arrived by a signed URL and wait for a document to register them, and the
 * signed URLs that have been used up.
 */
#ifndef STORE_OBJECT_H
#define STORE_OBJECT_H
#include "base/crypto.h"
#include "db/db.h"

struct object {
    const char *storage_path;
    struct id blob_id;
    int64_t size_bytes;
    uint8_t sha256[SHA256_LEN]; /* all zero: not known */
    int64_t created_ms;
};

/* NOT_FOUND when nothing waits at the path. */
MUST_CHECK enum rc object_read(struct tx *tx, int64_t workspace, const char *storage_path,
                               struct object *ret, struct err *err);
/* The path must be free. */
MUST_CHECK enum rc object_insert(struct tx *tx, int64_t workspace, const struct object *o,
                                 struct err *err);
MUST_CHECK enum rc object_delete(struct tx *tx, int64_t workspace, const char *storage_path,
                                 struct err *err);
MUST_CHECK enum rc object_has_blob(struct tx *tx, int64_t workspace, const struct id *blob_id,
                                   bool *ret, struct err *err);
/* Visits every waiting object of a workspace. */
MUST_CHECK enum rc object_each(struct tx *tx, int64_t workspace,
                               enum rc (*fn)(void *arg, const struct object *o, struct err *err),
                               void *arg, struct err *err);

struct stale_object {
    int64_t workspace;
    struct object object;
};

/* Objects of every workspace that have waited since before `before_ms`, oldest first. */
MUST_CHECK enum rc object_stale(struct tx *tx, int64_t before_ms, int64_t max,
                                struct stale_object **ret, size_t *ret_n, struct err *err);

/* Objects that claim to be from after `far_ms`, when the clock was ahead, count as new. */
MUST_CHECK enum rc object_redate(struct tx *tx, int64_t far_ms, struct err *err);

/* Marks the signed upload URL `id` as used; BAD_SIGNATURE when it was already. */
MUST_CHECK enum rc object_use_url(struct tx *tx, int64_t workspace, const struct id *id,
                                  int64_t expires_ms, struct err *err);
/* Forgets up to `max` used URLs that expired before `before_ms`; tells how many. */
MUST_CHECK enum rc object_forget_urls(struct tx *tx, int64_t before_ms, int64_t max, int64_t *ret_n,
                                      struct err *err);

#endif
