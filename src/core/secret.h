// SPDX-License-Identifier: Apache-2.0
/*
 * secret: the one secret of an installation, kept in a file of its own, and the keys derived from
 * it. A copy of the database alone lets nobody forge a URL or test guesses of an API key.
 */
#ifndef CORE_SECRET_H
#define CORE_SECRET_H
#include "base/crypto.h"

struct secret {
    uint8_t key_pepper[SHA256_LEN];
    uint8_t upload_url[SHA256_LEN];
    uint8_t download_url[SHA256_LEN];
    uint8_t idempotency[SHA256_LEN];
    uint8_t cursor[SHA256_LEN];
    uint8_t audit_seal[SHA256_LEN]; /* of the state of a chain (store/audit_chain.h) */
    uint8_t audit_sign[SHA256_LEN]; /* seed of the key that signs heads (store/audit_head.h) */
};

/*
 * Reads the file `path` (64 hexadecimal digits). When it is absent, `may_make` makes it (mode
 * 0600); else that is INVALID: a new secret would void every API key there is. With `may_make` the
 * file is on disk when this returns, its name included.
 */
MUST_CHECK enum rc secret_load(const char *path, bool may_make, struct secret *ret,
                               struct err *err);

#endif
