// SPDX-License-Identifier: Apache-2.0
/* keys: making and revoking API keys. */
#ifndef CORE_KEYS_H
#define CORE_KEYS_H
#include "core/caller.h"
#include "core/key_text.h"
#include "core/secret.h"
#include "store/api_key.h"

/*
 * Makes a key for caller->workspace. `k` holds name, description, permissions, tier, expires_ms;
 * id, prefix and user are filled in, and *ret_text is the key itself, shown only now.
 * `may_grant`: the permissions the maker holds; FORBIDDEN for one beyond them.
 */
MUST_CHECK enum rc keys_create(struct tx *tx, const struct caller *caller,
                               const struct secret *secret, uint32_t may_grant, struct api_key *k,
                               struct key_text *ret_text, struct err *err);

/*
 * Revokes a key for good; one that is revoked stays so. NOT_FOUND. FORBIDDEN for the last key in
 * force that may manage keys, unless `by_operator`.
 */
MUST_CHECK enum rc keys_revoke(struct tx *tx, const struct caller *caller, const struct id *id,
                               bool by_operator, struct err *err);

#endif
