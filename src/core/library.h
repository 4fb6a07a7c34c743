// SPDX-License-Identifier: Apache-2.0
/*
 * library: what may happen to documents and their bytes, in which order.
 *
 *  I1  A row names bytes only when they are on disk; bytes that no row names stand in `purge` from
 *      the same transaction on.
 *  I2  Every effect has its audit line and its share of the quota in the same transaction.
 */
#ifndef CORE_LIBRARY_H
#define CORE_LIBRARY_H
#include "blob/blob.h"
#include "core/caller.h"
#include "store/usage.h"
#include "core/signing.h"
#include "store/document.h"
#include "store/object.h"
#include "store/purge.h"
#include "store/reference.h"

/*
 * Registers a record. `d` holds what the client declared (storage_path checked); id, created_by,
 * times and, when the bytes are there already, the real size are filled in.
 * STORAGE_CONFLICT; QUOTA; INVALID on size_bytes (the bytes have another size) or on storage_path
 * (the workspace wants to see the bytes first).
 */
MUST_CHECK enum rc library_register(struct tx *tx, const struct caller *caller, struct document *d,
                                    struct err *err);

/* Adds a document whose bytes (d->blob_id, size_bytes, sha256) are on disk already. QUOTA. */
MUST_CHECK enum rc library_store(struct tx *tx, const struct caller *caller, struct document *d,
                                 struct err *err);

/* Writes the changed record `after`; `before` is what was read in this transaction. */
MUST_CHECK enum rc library_update(struct tx *tx, const struct caller *caller,
                                  const struct document *before, struct document *after,
                                  struct err *err);

#define LIBRARY_REFERENCES_SHOWN 10

struct library_removal {
    struct reference *references; /* IN_USE: why, at most LIBRARY_REFERENCES_SHOWN */
    size_t n_references;
    bool erase; /* the caller waits for the bytes of `purge` to be gone */
    struct purge purge;
};

/*
 * Removes a document, its links and references; its bytes are due `grace_ms` later. `hard`: due
 * now, and ret->erase asks the caller to erase them before it answers; a hard delete that was cut
 * short is taken up again. NOT_FOUND; IN_USE (see ret->references).
 */
MUST_CHECK enum rc library_delete(struct tx *tx, const struct caller *caller, const struct id *id,
                                  bool hard, int64_t grace_ms, struct library_removal *ret,
                                  struct err *err);

/* The bytes of a purge entry are gone: forgets it and says so in the audit trail. */
MUST_CHECK enum rc library_purged(struct tx *tx, const struct caller *caller, const struct purge *p,
                                  struct err *err);
/* The same of `n` entries of the caller's workspace. */
MUST_CHECK enum rc library_purged_all(struct tx *tx, const struct caller *caller,
                                      const struct purge *const *list, size_t n, struct err *err);

/*
 * Bytes have arrived by a signed URL. They wait for a document, or go to the record that waits for
 * them. BAD_SIGNATURE (used before); STORAGE_CONFLICT (a document has its bytes there); QUOTA.
 */
MUST_CHECK enum rc library_receive(struct tx *tx, const struct caller *caller,
                                   const struct upload_token *token, const struct object *object,
                                   struct err *err);

/* The same without a signed URL of ours. */
MUST_CHECK enum rc library_arrive(struct tx *tx, const struct caller *caller,
                                  const struct object *object, struct err *err);

/* Removes an object that has waited for a document too long; its bytes are due at once. */
MUST_CHECK enum rc library_abandon(struct tx *tx, const struct caller *caller,
                                   const struct object *object, struct err *err);

/* "workspaces/<ws>/documents/<id>.<ext>": a fresh path in the workspace's own name space. */
char *library_make_path(TALLOC_CTX *pool, const struct caller *caller, const struct id *id,
                        const char *name, const char *mime_type);

#endif
