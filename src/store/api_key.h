// SPDX-License-Identifier: Apache-2.0
/* api_key: the keys of a workspace. Only an HMAC of a key's secret is ever stored. */
#ifndef STORE_API_KEY_H
#define STORE_API_KEY_H
#include "base/crypto.h"
#include "db/db.h"

struct api_key {
    int64_t workspace;
    struct id id; /* tells created_at */
    uint8_t secret_mac[SHA256_LEN];
    const char *name;
    const char *description; /* NULL when absent */
    const char *prefix;      /* the first characters of its text */
    uint32_t permissions;    /* bits of core/permission.def */
    int tier;                /* enum tier of core/tier.h */
    struct id user_id;
    int64_t expires_ms;   /* -1: never */
    int64_t revoked_ms;   /* -1: it is not */
    int64_t last_used_ms; /* -1: never; filled by api_key_list() only */
};

/* `handle`: the public part of the key's text, unique over all workspaces (else CONFLICT). */
MUST_CHECK enum rc api_key_insert(struct tx *tx, const struct api_key *k, const char *handle,
                                  struct err *err);

/* NOT_FOUND when no key has the handle. */
MUST_CHECK enum rc api_key_by_handle(struct tx *tx, const char *handle, struct api_key *ret,
                                     struct err *err);
/* Any key, for doing as much for one that is not there as for one that is. NOT_FOUND: none. */
MUST_CHECK enum rc api_key_any(struct tx *tx, struct api_key *ret, struct err *err);
MUST_CHECK enum rc api_key_read(struct tx *tx, int64_t workspace, const struct id *id,
                                struct api_key *ret, struct err *err);

/* Marks it revoked now; a revoked key stays as it is. */
MUST_CHECK enum rc api_key_revoke(struct tx *tx, int64_t workspace, const struct id *id,
                                  struct err *err);

/* How many keys with every bit of `permissions` are in force. */
MUST_CHECK enum rc api_key_count_active(struct tx *tx, int64_t workspace, uint32_t permissions,
                                        int64_t *ret, struct err *err);

/* A page, newest first. `search` (folded; NULL: any) is looked for in name and description. */
MUST_CHECK enum rc api_key_list(struct tx *tx, int64_t workspace, bool include_revoked,
                                const char *search, int64_t limit, int64_t offset,
                                struct api_key **ret, size_t *ret_n, int64_t *ret_total,
                                struct err *err);

/* Finds the workspace of a key by its id alone, for the operator; NOT_FOUND. */
MUST_CHECK enum rc api_key_find(struct tx *tx, const struct id *id, int64_t *ret_workspace,
                                struct err *err);

#endif
