// SPDX-License-Identifier: Apache-2.0
/*
 * crypto: hashes, message authentication and the encodings around them (OpenSSL underneath).
 *
 * SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869), AES-256-GCM (NIST SP 800-38D), Ed25519
 * (RFC 8032), base64url without padding (RFC 4648 §5). Failures of the library abort: they mean it
 * is broken.
 */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H
#include "base/base.h"

#define SHA256_LEN 32
#define SHA256_HEX_LEN 65 /* 64 digits and NUL */
#define ED25519_PUBLIC_LEN 32
#define ED25519_LEN 64 /* of a signature */

/* A running SHA-256. One thread at a time. End it with sha256_free(), done or not. */
struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *s, const void *bytes, size_t len);
/* Ends the hash and frees it; *s is NULL afterwards. */
void sha256_done(struct sha256 **s, uint8_t out[SHA256_LEN]);
void sha256_free(struct sha256 **s);

/* All zero stands for a hash that is not known. */
bool sha256_known(const uint8_t hash[SHA256_LEN]);

void crypto_sha256(const void *bytes, size_t len, uint8_t out[SHA256_LEN]);
void crypto_hmac(const uint8_t key[SHA256_LEN], const void *bytes, size_t len,
                 uint8_t out[SHA256_LEN]);
/* With a key of any length, as others' protocols have it. */
void crypto_hmac_with(const void *key, size_t key_len, const void *bytes, size_t len,
                      uint8_t out[SHA256_LEN]);

/* A sub-key of `secret` for one purpose, named by `label`. */
void crypto_derive(const uint8_t secret[SHA256_LEN], const void *label, size_t label_len,
                   uint8_t out[SHA256_LEN]);

/* True when the two are equal; takes the same time wherever they differ. */
bool crypto_equal(const void *a, const void *b, size_t len);

/*
 * Authenticated encryption: nonce, ciphertext and tag in one run of bytes in `pool`.
 * crypto_open() is false when the bytes were not made by crypto_seal() with this key.
 */
void crypto_seal(TALLOC_CTX *pool, const uint8_t key[SHA256_LEN], const void *bytes, size_t len,
                 uint8_t **ret, size_t *ret_len);
MUST_CHECK bool crypto_open(TALLOC_CTX *pool, const uint8_t key[SHA256_LEN], const void *bytes,
                            size_t len, uint8_t **ret, size_t *ret_len);

/* Signatures that anybody can check who has the public key of `seed`. */
void crypto_ed25519_public(const uint8_t seed[SHA256_LEN], uint8_t out[ED25519_PUBLIC_LEN]);
void crypto_ed25519_sign(const uint8_t seed[SHA256_LEN], const void *bytes, size_t len,
                         uint8_t out[ED25519_LEN]);
MUST_CHECK bool crypto_ed25519_verify(const uint8_t key[ED25519_PUBLIC_LEN], const void *bytes,
                                      size_t len, const uint8_t signature[ED25519_LEN]);

void crypto_hex(const void *bytes, size_t len, char *out); /* 2 * len digits and NUL */
/* Reads exactly 2 * len hexadecimal digits of either case; false when there is anything else. */
bool crypto_unhex(const char *text, void *out, size_t len);

/* The common alphabet, with padding (RFC 4648 §4). */
char *crypto_base64(TALLOC_CTX *pool, const void *bytes, size_t len);

char *crypto_base64url(TALLOC_CTX *pool, const void *bytes, size_t len);
/* False for anything that crypto_base64url() would not have written. */
bool crypto_unbase64url(TALLOC_CTX *pool, const char *text, uint8_t **ret, size_t *ret_len);

uint32_t crypto_crc32(const void *bytes, size_t len); /* ISO 3309, as in gzip */

#endif
