// SPDX-License-Identifier: Apache-2.0
#include "base/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "base/rand.h"
#include "base/text.h"

#define GCM_NONCE 12
#define GCM_TAG 16
#define HMAC_BLOCK 64

struct sha256 {
    EVP_MD_CTX *ctx;
};

/*
 * What a hash by OpenSSL 3 costs above the hash itself is looking its implementation up and making
 * a context, several times over: so the one is done once, the other once a thread. A cipher is
 * looked up once, too; its context has the key in it, and goes each time.
 */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const EVP_MD *implementation;
static const EVP_CIPHER *cipher;
static pthread_key_t context_key;

static void
free_context(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

static void
find_implementations(void)
{
    implementation = EVP_MD_fetch(NULL, "SHA256", NULL);
    cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    BUG_ON(!implementation || !cipher || pthread_key_create(&context_key, free_context));
}

static const EVP_MD *
sha256_implementation(void)
{
    BUG_ON(pthread_once(&once, find_implementations));
    return implementation;
}

static const EVP_CIPHER *
cipher_implementation(void)
{
    BUG_ON(pthread_once(&once, find_implementations));
    return cipher;
}

/* The thread's own, for hashes that begin and end in one call. */
static EVP_MD_CTX *
thread_context(void)
{
    const EVP_MD *md = sha256_implementation();
    EVP_MD_CTX *ctx = pthread_getspecific(context_key);

    if (!ctx) {
        ctx = EVP_MD_CTX_new();
        BUG_ON(!ctx || pthread_setspecific(context_key, ctx));
    }
    BUG_ON(EVP_DigestInit_ex(ctx, md, NULL) != 1);
    return ctx;
}

struct sha256 *
sha256_new(void)
{
    struct sha256 *s = MEM_NEW(NULL, struct sha256);

    s->ctx = EVP_MD_CTX_new();
    BUG_ON(!s->ctx || EVP_DigestInit_ex(s->ctx, sha256_implementation(), NULL) != 1);
    return s;
}

void
sha256_add(struct sha256 *s, const void *bytes, size_t len)
{
    BUG_ON(EVP_DigestUpdate(s->ctx, bytes, len) != 1);
}

void
sha256_done(struct sha256 **s, uint8_t out[SHA256_LEN])
{
    BUG_ON(EVP_DigestFinal_ex((*s)->ctx, out, NULL) != 1);
    sha256_free(s);
}

void
sha256_free(struct sha256 **s)
{
    if (!*s)
        return;
    EVP_MD_CTX_free((*s)->ctx);
    (void)talloc_free(*s);
    *s = NULL;
}

bool
sha256_known(const uint8_t hash[SHA256_LEN])
{
    uint8_t any = 0;

    for (size_t i = 0; i < SHA256_LEN; i++)
        any |= hash[i];
    return any != 0;
}

void
crypto_sha256(const void *bytes, size_t len, uint8_t out[SHA256_LEN])
{
    EVP_MD_CTX *ctx = thread_context();

    BUG_ON(EVP_DigestUpdate(ctx, bytes, len) != 1 || EVP_DigestFinal_ex(ctx, out, NULL) != 1);
}

/* One block of `pad` over the key, then what may come: RFC 2104 says it twice. */
static void
keyed_hash(const uint8_t block[HMAC_BLOCK], uint8_t pad, const void *bytes, size_t len,
           uint8_t out[SHA256_LEN])
{
    EVP_MD_CTX *ctx = thread_context();
    uint8_t padded[HMAC_BLOCK];

    for (int i = 0; i < HMAC_BLOCK; i++)
        padded[i] = block[i] ^ pad;
    BUG_ON(EVP_DigestUpdate(ctx, padded, sizeof(padded)) != 1);
    BUG_ON(EVP_DigestUpdate(ctx, bytes, len) != 1 || EVP_DigestFinal_ex(ctx, out, NULL) != 1);
    explicit_bzero(padded, sizeof(padded));
}

/*
 * The plain construction of RFC 2104 over the hash: OpenSSL 3's EVP_MAC spends several times the
 * hash on fetching and contexts, and this runs once a request.
 */
void
crypto_hmac_with(const void *key, size_t key_len, const void *bytes, size_t len,
                 uint8_t out[SHA256_LEN])
{
    uint8_t block[HMAC_BLOCK] = {0}, inner[SHA256_LEN];

    if (key_len > HMAC_BLOCK)
        crypto_sha256(key, key_len, block);
    else
        memcpy(block, key, key_len);
    keyed_hash(block, 0x36, bytes, len, inner);
    keyed_hash(block, 0x5c, inner, sizeof(inner), out);
    explicit_bzero(block, sizeof(block));
    explicit_bzero(inner, sizeof(inner));
}

void
crypto_hmac(const uint8_t key[SHA256_LEN], const void *bytes, size_t len, uint8_t out[SHA256_LEN])
{
    crypto_hmac_with(key, SHA256_LEN, bytes, len, out);
}

/* HKDF-Expand of one block; the secret is uniformly random already, so Extract adds nothing. */
void
crypto_derive(const uint8_t secret[SHA256_LEN], const void *label, size_t label_len,
              uint8_t out[SHA256_LEN])
{
    uint8_t info[512 + 1];

    BUG_ON(label_len > 512);
    memcpy(info, label, label_len);
    info[label_len] = 1;
    crypto_hmac(secret, info, label_len + 1, out);
}

bool
crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void
crypto_seal(TALLOC_CTX *pool, const uint8_t key[SHA256_LEN], const void *bytes, size_t len,
            uint8_t **ret, size_t *ret_len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *p = mem_zalloc(pool, GCM_NONCE + len + GCM_TAG);
    int n = 0, tail = 0;

    BUG_ON(!ctx || len > INT32_MAX);
    rand_bytes(p, GCM_NONCE);
    BUG_ON(EVP_EncryptInit_ex(ctx, cipher_implementation(), NULL, key, p) != 1);
    BUG_ON(EVP_EncryptUpdate(ctx, p + GCM_NONCE, &n, bytes, (int)len) != 1);
    BUG_ON(EVP_EncryptFinal_ex(ctx, p + GCM_NONCE + n, &tail) != 1 || (size_t)(n + tail) != len);
    BUG_ON(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, GCM_TAG, p + GCM_NONCE + len) != 1);
    EVP_CIPHER_CTX_free(ctx);
    *ret = p;
    *ret_len = GCM_NONCE + len + GCM_TAG;
}

bool
crypto_open(TALLOC_CTX *pool, const uint8_t key[SHA256_LEN], const void *bytes, size_t len,
            uint8_t **ret, size_t *ret_len)
{
    const uint8_t *p = bytes;
    uint8_t tag[GCM_TAG], *plain;
    EVP_CIPHER_CTX *ctx;
    size_t body;
    int n = 0, tail = 0;
    bool ok;

    if (len < GCM_NONCE + GCM_TAG || len > INT32_MAX)
        return false;
    body = len - GCM_NONCE - GCM_TAG;
    plain = mem_zalloc(pool, body + 1);
    memcpy(tag, p + GCM_NONCE + body, GCM_TAG);
    ctx = EVP_CIPHER_CTX_new();
    BUG_ON(!ctx || EVP_DecryptInit_ex(ctx, cipher_implementation(), NULL, key, p) != 1);
    ok = EVP_DecryptUpdate(ctx, plain, &n, p + GCM_NONCE, (int)body) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, GCM_TAG, tag) == 1 &&
         EVP_DecryptFinal_ex(ctx, plain + n, &tail) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok)
        return false;
    *ret = plain;
    *ret_len = body;
    return true;
}

static EVP_PKEY *
ed25519_key(const uint8_t seed[SHA256_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SHA256_LEN);

    BUG_ON(!key);
    return key;
}

void
crypto_ed25519_public(const uint8_t seed[SHA256_LEN], uint8_t out[ED25519_PUBLIC_LEN])
{
    EVP_PKEY *key = ed25519_key(seed);
    size_t len = ED25519_PUBLIC_LEN;

    BUG_ON(EVP_PKEY_get_raw_public_key(key, out, &len) != 1 || len != ED25519_PUBLIC_LEN);
    EVP_PKEY_free(key);
}

void
crypto_ed25519_sign(const uint8_t seed[SHA256_LEN], const void *bytes, size_t len,
                    uint8_t out[ED25519_LEN])
{
    EVP_PKEY *key = ed25519_key(seed);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t out_len = ED25519_LEN;

    BUG_ON(!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1);
    BUG_ON(EVP_DigestSign(ctx, out, &out_len, bytes, len) != 1 || out_len != ED25519_LEN);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

bool
crypto_ed25519_verify(const uint8_t key[ED25519_PUBLIC_LEN], const void *bytes, size_t len,
                      const uint8_t signature[ED25519_LEN])
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_PUBLIC_LEN);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good;

    BUG_ON(!pkey || !ctx || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) != 1);
    good = EVP_DigestVerify(ctx, signature, ED25519_LEN, bytes, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return good;
}

void
crypto_hex(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}

bool
crypto_unhex(const char *text, void *out, size_t len)
{
    uint8_t *p = out;

    if (strlen(text) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int hi = text_hex(text[2 * i]), lo = text_hex(text[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        p[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

char *
crypto_base64(TALLOC_CTX *pool, const void *bytes, size_t len)
{
    char *out = mem_zalloc(pool, (len + 2) / 3 * 4 + 1);

    (void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    return out;
}

char *
crypto_base64url(TALLOC_CTX *pool, const void *bytes, size_t len)
{
    char *out = crypto_base64(pool, bytes, len);
    size_t n = strlen(out);

    while (n > 0 && out[n - 1] == '=')
        out[--n] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (out[i] == '+')
            out[i] = '-';
        else if (out[i] == '/')
            out[i] = '_';
    }
    return out;
}

bool
crypto_unbase64url(TALLOC_CTX *pool, const char *text, uint8_t **ret, size_t *ret_len)
{
    size_t len = strlen(text), padded = (len + 3) / 4 * 4;
    char *plain = mem_zalloc(pool, padded + 1);
    uint8_t *out = mem_zalloc(pool, padded + 1);
    int n;

    for (size_t i = 0; i < padded; i++) {
        char c = i < len ? text[i] : '=';

        plain[i] = c == '-' ? '+' : c == '_' ? '/' : c;
        if (i < len && strchr("+/=", c))
            return false;
    }
    n = EVP_DecodeBlock(out, (const unsigned char *)plain, (int)padded);
    if (n < 0 || len % 4 == 1)
        return false;
    *ret_len = (size_t)n - (padded - len);
    /* one text for one value: unused bits must be zero */
    if (!streq(crypto_base64url(pool, out, *ret_len), text))
        return false;
    *ret = out;
    return true;
}

uint32_t
crypto_crc32(const void *bytes, size_t len)
{
    /* what four bits that leave do to the rest */
    static const uint32_t by_digit[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const uint8_t *p = bytes;
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ by_digit[crc & 15];
        crc = crc >> 4 ^ by_digit[crc & 15];
    }
    return ~crc;
}
