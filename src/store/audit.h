// SPDX-License-Identifier: Apache-2.0
/*
 * audit: who did what, one line an effect, written in the effect's own transaction.
 *
 *  I1  Lines of a workspace form sealed chains (audit_chain.h); audit_verify.h looks at them.
 *  I2  Lines are never changed and added at the end only; retention removes the first ones only.
 *      SQLite itself refuses anything else.
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H
#include "base/crypto.h"
#include "db/db.h"

/* `key_id`, `user_id`, `request_id`, `address` and `details` may be NULL: the service itself. */
struct audit_line {
    struct id id; /* made by audit_append(); tells the time */
    int64_t seq;  /* likewise; its place in the chain: time may have been set back, order is not */
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

/* Whether the line of this mark is there; waits for whoever is about to write to its chain. */
MUST_CHECK enum rc audit_has(struct tx *tx, const struct tx_mark *mark, bool *ret, struct err *err);

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

/*
 * Removes up to `max` of the lines of a chain made before `before_ms`; *ret_n tells how many. Where
 * the clock was ahead for a while, old lines behind newer ones stay until these are old as well.
 */
MUST_CHECK enum rc audit_trim(struct tx *tx, int64_t workspace, int64_t chain, int64_t before_ms,
                              int64_t max, int64_t *ret_n, struct err *err);

/* How many lines of a chain were made before `before_ms`, and when the oldest of them was. */
MUST_CHECK enum rc audit_count_before(struct tx *tx, int64_t workspace, int64_t chain,
                                      int64_t before_ms, int64_t *ret_n, int64_t *ret_oldest_ms,
                                      struct err *err);

/*
 * Gets a line, valid for the call, and its stored hash, all zero when a column holds what we do not
 * write; false ends the walk.
 */
typedef bool audit_visit_fn(void *arg, const struct audit_line *line,
                            const uint8_t hash[SHA256_LEN]);

/* All lines of a chain, in its order. */
MUST_CHECK enum rc audit_each(struct tx *tx, int64_t workspace, int64_t chain,
                              audit_visit_fn *visit, void *arg, struct err *err);

#endif
