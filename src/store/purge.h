// SPDX-License-Identifier: Apache-2.0
/*
 * purge: bytes to erase, and when at the latest.
 *
 *  I1  A blob stands here from the transaction that made it unreachable until its bytes are gone.
 */
#ifndef STORE_PURGE_H
#define STORE_PURGE_H
#include "db/db.h"
#include "store/idempotency.h"

struct purge {
    int64_t workspace;
    struct id blob_id;
    bool has_document;
    struct id document_id;
    int64_t size_bytes;
    int64_t due_ms;
    bool hard; /* its deleter waits, or may come back, for the bytes to be gone */
};

/* Schedules; a blob that is scheduled already gets the earlier due time. */
MUST_CHECK enum rc purge_put(struct tx *tx, const struct purge *p, struct err *err);

/* The unfinished hard delete of a document; NOT_FOUND when there is none. */
MUST_CHECK enum rc purge_of_document(struct tx *tx, int64_t workspace, const struct id *document_id,
                                     struct purge *ret, struct err *err);

/*
 * What is to be kept for the deleter's idempotency key when the bytes are gone, by whoever erases
 * them: its retry after a crash gets its answer. The first promise of an entry stands.
 */
MUST_CHECK enum rc purge_promise(struct tx *tx, int64_t workspace, const struct id *blob_id,
                                 const uint8_t key_hash[SHA256_LEN],
                                 const struct idempotency *answer, struct err *err);

/*
 * The bytes are gone: keeps what was promised and forgets the entry. *ret_changed is false when
 * another did it already.
 */
MUST_CHECK enum rc purge_done(struct tx *tx, int64_t workspace, const struct id *blob_id,
                              bool *ret_changed, struct err *err);

/* The same of `n` entries of one workspace; ret_changed has room for as many. */
MUST_CHECK enum rc purge_done_all(struct tx *tx, int64_t workspace, const struct purge *const *list,
                                  size_t n, bool *ret_changed, struct err *err);

/*
 * Up to `max` entries due at `now_ms`, oldest first, in tx->pool. So are those due after `far_ms`:
 * nothing is put off for so long, they were scheduled while the clock was ahead.
 */
MUST_CHECK enum rc purge_due(struct tx *tx, int64_t now_ms, int64_t far_ms, int64_t max,
                             struct purge **ret, size_t *ret_n, struct err *err);

/* How many wait in all; how many are due as above, and since when (now_ms when none). */
MUST_CHECK enum rc purge_backlog(struct tx *tx, int64_t now_ms, int64_t far_ms,
                                 int64_t *ret_waiting, int64_t *ret_due, int64_t *ret_oldest_ms,
                                 struct err *err);

/* True when the blob is scheduled. */
MUST_CHECK enum rc purge_has_blob(struct tx *tx, int64_t workspace, const struct id *blob_id,
                                  bool *ret, struct err *err);

#endif
