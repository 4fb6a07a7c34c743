// SPDX-License-Identifier: Apache-2.0
#include "core/signing.h"

#include "base/buf.h"

#define TOKEN_MAX 2048 /* bytes before encoding: the longest path, type and the fixed part */

/* Fixed parts are copied as they stand: tokens are read by the installation that made them. */
struct upload_fixed {
    int64_t workspace;
    struct id id;
    int64_t expires_ms;
    struct id key_id;
    struct id user_id;
    int64_t size_bytes;
    uint8_t sha256[SHA256_LEN];
    uint8_t has_sha256;
    uint8_t has_mime_type;
    uint8_t pad[6];
};

struct download_fixed {
    int64_t workspace;
    struct id document_id;
    int64_t expires_ms;
};

static char *
seal(struct buf *b, const uint8_t key[SHA256_LEN])
{
    uint8_t mac[SHA256_LEN];

    crypto_hmac(key, b->bytes, b->len, mac);
    BUG_ON(!buf_append(b, mac, sizeof(mac)));
    return crypto_base64url(b->pool, b->bytes, b->len);
}

/* The signed bytes; those after the first `fixed` are text, made NUL-terminated. */
static enum rc
unseal(TALLOC_CTX *pool, const uint8_t key[SHA256_LEN], const char *text, size_t fixed,
       uint8_t **ret, size_t *ret_len, struct err *err)
{
    uint8_t mac[SHA256_LEN], *bytes;
    size_t len;

    if (strlen(text) > 2 * TOKEN_MAX || !crypto_unbase64url(pool, text, &bytes, &len) ||
        len < fixed + SHA256_LEN)
        return err_set(err, RC_BAD_SIGNATURE, "not a token");
    len -= SHA256_LEN;
    crypto_hmac(key, bytes, len, mac);
    if (!crypto_equal(mac, bytes + len, SHA256_LEN))
        return err_set(err, RC_BAD_SIGNATURE, "wrong signature");
    bytes[len] = '\0';
    *ret = bytes;
    *ret_len = len;
    return RC_OK;
}

char *
signing_upload(TALLOC_CTX *pool, const struct secret *secret, const struct upload_token *t)
{
    struct upload_fixed f = {
        .workspace = t->workspace,
        .id = t->id,
        .expires_ms = t->expires_ms,
        .key_id = t->key_id,
        .user_id = t->user_id,
        .size_bytes = t->size_bytes,
        .has_sha256 = t->has_sha256,
        .has_mime_type = t->mime_type != NULL,
    };
    struct buf b;

    if (t->has_sha256)
        memcpy(f.sha256, t->sha256, SHA256_LEN);
    buf_init(&b, pool, TOKEN_MAX);
    BUG_ON(!buf_append(&b, &f, sizeof(f)));
    /* neither text holds a line feed */
    buf_printf(&b, "%s\n%s", t->storage_path, t->mime_type ? t->mime_type : "");
    return seal(&b, secret->upload_url);
}

enum rc
signing_read_upload(TALLOC_CTX *pool, const struct secret *secret, const char *text, int64_t now_ms,
                    struct upload_token *t, struct err *err)
{
    struct upload_fixed f;
    uint8_t *bytes;
    size_t len;
    char *path, *type;
    enum rc rc;

    rc = unseal(pool, secret->upload_url, text, sizeof(f), &bytes, &len, err);
    if (rc)
        return rc;
    memcpy(&f, bytes, sizeof(f));
    path = (char *)bytes + sizeof(f);
    type = strchr(path, '\n');
    if (f.expires_ms <= now_ms || !type)
        return err_set(err, RC_BAD_SIGNATURE, "expired");
    *type++ = '\0';
    *t = (struct upload_token){
        .workspace = f.workspace,
        .id = f.id,
        .expires_ms = f.expires_ms,
        .key_id = f.key_id,
        .user_id = f.user_id,
        .size_bytes = f.size_bytes,
        .has_sha256 = f.has_sha256,
        .mime_type = f.has_mime_type ? type : NULL,
        .storage_path = path,
    };
    memcpy(t->sha256, f.sha256, SHA256_LEN);
    return RC_OK;
}

char *
signing_download(TALLOC_CTX *pool, const struct secret *secret, const struct download_token *t)
{
    struct download_fixed f = {
        .workspace = t->workspace, .document_id = t->document_id, .expires_ms = t->expires_ms};
    struct buf b;

    buf_init(&b, pool, TOKEN_MAX);
    BUG_ON(!buf_append(&b, &f, sizeof(f)));
    return seal(&b, secret->download_url);
}

enum rc
signing_read_download(TALLOC_CTX *pool, const struct secret *secret, const char *text,
                      int64_t now_ms, struct download_token *t, struct err *err)
{
    struct download_fixed f;
    uint8_t *bytes;
    size_t len;
    enum rc rc;

    rc = unseal(pool, secret->download_url, text, sizeof(f), &bytes, &len, err);
    if (rc)
        return rc;
    memcpy(&f, bytes, sizeof(f));
    if (f.expires_ms <= now_ms)
        return err_set(err, RC_BAD_SIGNATURE, "expired");
    *t = (struct download_token){
        .workspace = f.workspace, .document_id = f.document_id, .expires_ms = f.expires_ms};
    return RC_OK;
}
