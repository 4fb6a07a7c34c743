// SPDX-License-Identifier: Apache-2.0
/*
 * signing: the tokens of signed URLs. A token carries all it allows and HMAC-SHA-256 over that,
 * with a key of its own for each verb; whoever holds it needs no API key until it expires.
 */
#ifndef CORE_SIGNING_H
#define CORE_SIGNING_H
#include "base/id.h"
#include "core/secret.h"

/* May put bytes at a storage_path, once. */
struct upload_token {
    int64_t workspace;
    struct id id; /* of the URL: it works once */
    int64_t expires_ms;
    struct id key_id; /* who asked for it, for the audit trail */
    struct id user_id;
    int64_t size_bytes; /* -1: any */
    bool has_sha256;
    uint8_t sha256[SHA256_LEN];
    const char *mime_type; /* NULL: any */
    const char *storage_path;
};

/* May read the bytes of a document. */
struct download_token {
    int64_t workspace;
    struct id document_id;
    int64_t expires_ms;
};

char *signing_upload(TALLOC_CTX *pool, const struct secret *secret, const struct upload_token *t);
char *signing_download(TALLOC_CTX *pool, const struct secret *secret,
                       const struct download_token *t);

/* BAD_SIGNATURE when the text is not one of ours, was changed, or has expired at `now_ms`. */
MUST_CHECK enum rc signing_read_upload(TALLOC_CTX *pool, const struct secret *secret,
                                       const char *text, int64_t now_ms, struct upload_token *ret,
                                       struct err *err);
MUST_CHECK enum rc signing_read_download(TALLOC_CTX *pool, const struct secret *secret,
                                         const char *text, int64_t now_ms,
                                         struct download_token *ret, struct err *err);

#endif
