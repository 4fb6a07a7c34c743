// SPDX-License-Identifier: Apache-2.0
/*
 * secret_check: whether the secret that was loaded is the one that this database was made with.
 * With another one every API key, signed URL and kept answer would be void, and nothing would say.
 */
#ifndef STORE_SECRET_CHECK_H
#define STORE_SECRET_CHECK_H
#include "base/crypto.h"
#include "db/db.h"

/* Compares, by tx->audit_key. INVALID: it is another one. NOT_FOUND: nothing is noted yet. */
MUST_CHECK enum rc secret_check(struct tx *tx, struct err *err);

/* Takes note of the secret; once in the life of a database. */
MUST_CHECK enum rc secret_check_note(struct tx *tx, struct err *err);

/* What stands for a secret where two are compared; it tells nothing else of it. */
void secret_check_mac(const uint8_t audit_key[SHA256_LEN], uint8_t out[SHA256_LEN]);

#endif
