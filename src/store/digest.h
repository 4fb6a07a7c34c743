// SPDX-License-Identifier: Apache-2.0
/*
 * digest: what lists know of older documents in sum: how many have a tag, are in a folder, are of a
 * type, and their texts for searching, packed densely.
 *
 *  I1  It says what the documents with an id up to `upto` say, in every committed state: changes of
 *      those change it in the same transaction. Later ones are not in it.
 *  I2  A new document costs nothing here: a job takes up many at once, behind the requests.
 *
 * For a database with one writer. With many, ids are not committed in their order, and each change
 * would meet the others in the same rows: there is no digest then, and the server has statistics
 * and reads with many threads.
 */
#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H
#include "store/document.h"

struct digest {
    bool there; /* false: nothing has been taken up, or never is in this database */
    struct id upto;
    int64_t documents;
};

/* Stored: never renumber. */
enum facet { FACET_TAG = 1, FACET_FOLDER = 2, FACET_TYPE = 3 };

MUST_CHECK enum rc digest_read(struct tx *tx, int64_t workspace, struct digest *ret,
                               struct err *err);

/* A document was added (`before` is NULL), changed, or removed (`after` is NULL), and its row is
 * written already. */
MUST_CHECK enum rc digest_change(struct tx *tx, int64_t workspace, const struct document *before,
                                 const struct document *after, struct err *err);

/* Documents of the digest with this value. */
MUST_CHECK enum rc digest_total(struct tx *tx, int64_t workspace, enum facet facet,
                                const char *value, int64_t *ret, struct err *err);
/* The same with a value in [from, to). */
MUST_CHECK enum rc digest_total_between(struct tx *tx, int64_t workspace, enum facet facet,
                                        const char *from, const char *to, int64_t *ret,
                                        struct err *err);

/* Up to `max` workspaces with at least `min` documents that are not taken up. */
MUST_CHECK enum rc digest_due(struct tx *tx, int64_t min, int64_t max, int64_t **ret, size_t *ret_n,
                              struct err *err);

/* Takes up the next documents, up to `max`; *ret is how many. */
MUST_CHECK enum rc digest_take(struct tx *tx, int64_t workspace, int64_t max, int64_t *ret,
                               struct err *err);

#endif
