// SPDX-License-Identifier: Apache-2.0
/* idempotency: answers kept for a repeated idempotency key. What they hold is the caller's. */
#ifndef STORE_IDEMPOTENCY_H
#define STORE_IDEMPOTENCY_H
#include "base/crypto.h"
#include "db/db.h"

struct idempotency {
    uint8_t fingerprint[SHA256_LEN]; /* of the request that was answered */
    const void *answer;              /* in tx->pool */
    size_t answer_len;
    int64_t completed_ms;
    bool replaces; /* for writing: an answer of the same key may stand, see idempotency_read() */
};

/*
 * NOT_FOUND when the key is new, or its answer older than `not_before_ms`: then ret->replaces is
 * true.
 */
MUST_CHECK enum rc idempotency_read(struct tx *tx, int64_t workspace,
                                    const uint8_t key_hash[SHA256_LEN], int64_t not_before_ms,
                                    struct idempotency *ret, struct err *err);

/*
 * Keeps an answer; with record->replaces in the place of one of the same key that was completed
 * before `expired_ms`. RERUN when there is another: its request ran beside this one; with
 * DB_MANY_WRITERS as late as the commit.
 */
MUST_CHECK enum rc idempotency_write(struct tx *tx, int64_t workspace,
                                     const uint8_t key_hash[SHA256_LEN],
                                     const struct idempotency *record, int64_t expired_ms,
                                     struct err *err);

/* Removes up to `max` answers completed before `before_ms`. */
MUST_CHECK enum rc idempotency_expire(struct tx *tx, int64_t before_ms, int64_t max, int64_t *ret_n,
                                      struct err *err);

/* Answers that claim to be from after `far_ms`, when the clock was ahead, count as new. */
MUST_CHECK enum rc idempotency_redate(struct tx *tx, int64_t far_ms, struct err *err);

/* How many answers were completed before `before_ms`, and when the oldest of them was. */
MUST_CHECK enum rc idempotency_backlog(struct tx *tx, int64_t before_ms, int64_t *ret_n,
                                       int64_t *ret_oldest_ms, struct err *err);

#endif
