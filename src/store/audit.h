// SPDX-License-Identifier: Apache-2.0
/*
 * audit: who did what, one line an effect, written in the effect's own transaction.
 *
 *  I1  Lines of a workspace form a chain: each holds SHA-256 over itself and the one before.
 *  I2  Lines are never changed; retention removes the oldest ones only.
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H
#include "base/crypto.h"
#include "db/db.h"

/* `key_id`, `user_id`, `request_id`, `address` and `details` may be NULL: the service itself. */
struct audit_line {
    struct id id; /* made by audit_append(); tells the time */
    const char *action;
    const char *resource_type;
    const char *resource_id;
    const struct id *key_id;
    const struct id *user_id;
    const char *request_id;
    const char *address;
    const char *details; /* a JSON object */
};

MUST_CHECK enum rc audit_append(struct tx *tx, int64_t workspace, const struct audit_line *line,
                                struct err *err);

struct audit_filter {
    const char *action; /* NULL: any; the same for the others */
    const char *resource_type;
    const char *resource_id;
    int64_t from_ms; /* inclusive; -1: no bound */
    int64_t to_ms;   /* exclusive; -1: no bound */
    int64_t limit;
    int64_t offset;
};

/* Lines that match, newest first, in tx->pool; *ret_total counts all that match. */
MUST_CHECK enum rc audit_list(struct tx *tx, int64_t workspace, const struct audit_filter *filter,
                              struct audit_line **ret, size_t *ret_n, int64_t *ret_total,
                              struct err *err);

struct audit_report {
    int64_t lines; /* checked */
    bool intact;
    struct id broken_at; /* the first line that does not fit, when not intact */
};

/* Walks the chain of a workspace and recomputes it. */
MUST_CHECK enum rc audit_verify(struct tx *tx, int64_t workspace, struct audit_report *ret,
                                struct err *err);

/* Removes up to `max` of the lines made before `before_ms`; *ret_n tells how many. */
MUST_CHECK enum rc audit_trim(struct tx *tx, int64_t workspace, int64_t before_ms, int64_t max,
                              int64_t *ret_n, struct err *err);

/* How many lines were made before `before_ms`, and when the oldest of them was. */
MUST_CHECK enum rc audit_count_before(struct tx *tx, int64_t workspace, int64_t before_ms,
                                      int64_t *ret_n, int64_t *ret_oldest_ms, struct err *err);

#endif
