// SPDX-License-Identifier: Apache-2.0
/*
 * text_sign: which blocks of texts (store/digest.h) a needle can be in, so that a search for
 * something rare does not read the others. A bit-sliced signature: for each of 2^15 classes of
 * three bytes in a row one word, with a bit for each of the 64 segments of a group.
 *
 *  I1  A segment whose bit is not set has no text with such three bytes; one whose bit is set may.
 *
 * Private to digests and searches.
 */
#ifndef STORE_TEXT_SIGN_H
#define STORE_TEXT_SIGN_H
#include "db/db.h"

#define TEXT_SEGMENTS 64
#define TEXT_SIGN_MIN 3 /* bytes of a needle; with fewer, nothing can be told */

/* Signs the blocks behind the last group, if they are enough for one. */
MUST_CHECK enum rc text_sign_next(struct tx *tx, int64_t workspace, struct err *err);

/* Makes a group anew in which many segments are stale; *ret tells whether there was one. */
MUST_CHECK enum rc text_sign_mend(struct tx *tx, bool *ret, struct err *err);

/* The block that ends with `last` may have got new texts. */
MUST_CHECK enum rc text_sign_stale(struct tx *tx, int64_t workspace, const struct id *last,
                                   struct err *err);

struct text_group {
    struct id after, last;
    struct id ends[TEXT_SEGMENTS];
    uint64_t stale;
};

/* All groups of a workspace, oldest first, in tx->pool. */
MUST_CHECK enum rc text_sign_groups(struct tx *tx, int64_t workspace, struct text_group **ret,
                                    size_t *ret_n, struct err *err);
/* A bit for each segment of it that the needle can be in. */
MUST_CHECK enum rc text_sign_ask(struct tx *tx, int64_t workspace, const struct text_group *group,
                                 const char *needle, uint64_t *ret, struct err *err);

#endif
