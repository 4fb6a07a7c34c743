// SPDX-License-Identifier: Apache-2.0
/*
 * census: what the rows of a workspace say in sum, for comparing them with each other and with
 * the bytes. Read in pages, so that no read transaction lasts while bytes are looked at.
 */
#ifndef STORE_CENSUS_H
#define STORE_CENSUS_H
#include "base/crypto.h"
#include "db/db.h"

/* A row that names bytes: a document that has its own, or an object that waits for one. */
struct census_row {
    bool is_object;
    struct id document_id;    /* of a document */
    const char *storage_path; /* in tx->pool */
    struct id blob_id;
    int64_t size_bytes;
    uint8_t sha256[SHA256_LEN];
};

/* Up to `max` documents with bytes whose id is greater than `after`, in the order of their ids. */
MUST_CHECK enum rc census_documents(struct tx *tx, int64_t workspace, const struct id *after,
                                    int64_t max, struct census_row **ret, size_t *ret_n,
                                    struct err *err);

/* Up to `max` waiting objects whose path is greater than `after`, in the order of their paths. */
MUST_CHECK enum rc census_objects(struct tx *tx, int64_t workspace, const char *after, int64_t max,
                                  struct census_row **ret, size_t *ret_n, struct err *err);

/*
 * What the totals of a workspace should be: its documents, and the bytes of those whose size is
 * known and of the waiting objects.
 */
MUST_CHECK enum rc census_totals(struct tx *tx, int64_t workspace, int64_t *ret_documents,
                                 int64_t *ret_bytes, struct err *err);

/* Up to `max` links (their ids) whose document is not there. */
MUST_CHECK enum rc census_dangling_links(struct tx *tx, int64_t workspace, int64_t max,
                                         struct id **ret, size_t *ret_n, struct err *err);

/* The newest id among the last lines of all audit trails. NOT_FOUND when there is none. */
MUST_CHECK enum rc census_newest(struct tx *tx, struct id *ret, struct err *err);

#endif
