// SPDX-License-Identifier: Apache-2.0
/*
 * incoming: uploads that clients were given a URL of the store itself for, until they have arrived
 * or the URL is long over. The store does not tell us when: whoever needs the bytes looks.
 */
#ifndef STORE_INCOMING_H
#define STORE_INCOMING_H
#include "base/crypto.h"
#include "db/db.h"

struct incoming {
    int64_t workspace;
    const char *storage_path;
    struct id upload_id; /* the store knows the bytes by it */
    bool has_sha256;     /* the store takes no bytes with another hash */
    uint8_t sha256[SHA256_LEN];
    int64_t expires_ms;
    struct id key_id; /* who asked for the URL */
    struct id user_id;
};

MUST_CHECK enum rc incoming_insert(struct tx *tx, const struct incoming *in, struct err *err);

/* Those of a path, the youngest first, at most `max`; in tx->pool. */
MUST_CHECK enum rc incoming_at(struct tx *tx, int64_t workspace, const char *storage_path,
                               int64_t max, struct incoming **ret, size_t *ret_n, struct err *err);

/* Those that expired before `before_ms`, the oldest first, at most `max`; in tx->pool. */
MUST_CHECK enum rc incoming_expired(struct tx *tx, int64_t before_ms, int64_t max,
                                    struct incoming **ret, size_t *ret_n, struct err *err);

/* *ret_changed is false when another has done so already. */
MUST_CHECK enum rc incoming_delete(struct tx *tx, const struct incoming *in, bool *ret_changed,
                                   struct err *err);

#endif
