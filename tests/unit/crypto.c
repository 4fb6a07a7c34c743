// SPDX-License-Identifier: Apache-2.0
/* crypto: published vectors, and that nothing changed or foreign is ever accepted. */
#include "support.h"

#include "base/crypto.h"

static void
check_hex(const uint8_t hash[SHA256_LEN], const char *want)
{
    char text[SHA256_HEX_LEN];

    crypto_hex(hash, SHA256_LEN, text);
    assert_string_equal(text, want);
}

/* FIPS 180-4's examples, and sizes around the block. */
static const struct {
    const char *text;
    const char *hash;
} hashes[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void
test_sha256(void **state)
{
    uint8_t out[SHA256_LEN];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        struct sha256 *s = sha256_new();

        crypto_sha256(hashes[i].text, strlen(hashes[i].text), out);
        check_hex(out, hashes[i].hash);
        for (const char *p = hashes[i].text; *p; p++)
            sha256_add(s, p, 1);
        sha256_done(&s, out);
        assert_null(s);
        check_hex(out, hashes[i].hash);
    }
}

static void
test_sha256_dropped(void **state)
{
    struct sha256 *s = sha256_new();

    (void)state;
    sha256_add(s, "x", 1);
    sha256_free(&s);
    assert_null(s);
    sha256_free(&s);
}

/* Made with Python's hmac over keys of 32 bytes; the long ones leave the stack. */
static const struct {
    uint8_t key; /* repeated */
    char byte;   /* of the message, repeated */
    size_t len;
    const char *mac;
} macs[] = {
    {0x0b, 'a', 0, "5177e637aaac0b50e5dca8bb05b0b571444bd59b9b0d834d50681af21fc14b1e"},
    {0x0b, 'a', 8, "105c7ae6a8ef252e0e5c5e9b08c89443693e23ba4ce66470beebb9c4a3dedf67"},
    {0xaa, 'b', 64, "fa08c4525e4bf45cabec6ee274f10d2cd39036dd2ef57499d8a0c7a53a7be3ce"},
    {0xff, 'c', 512, "052567d258cbfabd0c75781a21327b5426eb256fb3be4edb98f5ec84a9be636f"},
    {0x00, 'd', 513, "30c8f0364466b3eb9a5d04c53837c7cfef51470171740325262400b44daf39c8"},
    {0x01, 'e', 4096, "8e7e363db0d3b2add582d93c59dccd2940d70a0a7923d259b29cce17157b2bf7"},
};

static void
test_hmac(void **state)
{
    uint8_t key[SHA256_LEN], out[SHA256_LEN];
    char *message = test_malloc(4096);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(macs); i++) {
        memset(key, macs[i].key, sizeof(key));
        memset(message, macs[i].byte, 4096);
        crypto_hmac(key, message, macs[i].len, out);
        check_hex(out, macs[i].mac);
    }
    test_free(message);
}

/* RFC 4231 §4.3 and §4.7: a key shorter than a block, and one that is longer. */
static void
test_hmac_of_any_key(void **state)
{
    const char *what = "what do ya want for nothing?";
    const char *larger = "Test Using Larger Than Block-Size Key - Hash Key First";
    uint8_t key[131], out[SHA256_LEN];

    (void)state;
    crypto_hmac_with("Jefe", 4, what, strlen(what), out);
    check_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    crypto_hmac_with(key, sizeof(key), larger, strlen(larger), out);
    check_hex(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* HKDF-Expand (RFC 5869 §2.3) of one block: HMAC over the label and 0x01. */
static void
test_derive(void **state)
{
    uint8_t key[SHA256_LEN], out[SHA256_LEN], other[SHA256_LEN];
    char label[512];

    (void)state;
    memset(key, 0x0b, sizeof(key));
    crypto_derive(key, "label", 5, out);
    check_hex(out, "2362c3dfe0d1079a3901e2b538a185a731cb9d12680683c03e1c6a6341f3a671");
    crypto_derive(key, "labem", 5, other);
    assert_memory_not_equal(out, other, SHA256_LEN);
    memset(label, 'x', sizeof(label));
    crypto_derive(key, label, sizeof(label), out);
    crypto_derive(key, "", 0, other);
    assert_memory_not_equal(out, other, SHA256_LEN);
}

static void
test_equal(void **state)
{
    (void)state;
    assert_true(crypto_equal("", "", 0));
    assert_true(crypto_equal("abc", "abc", 3));
    assert_false(crypto_equal("abc", "abd", 3));
    assert_false(crypto_equal("abc", "xbc", 3));
    assert_true(crypto_equal("abc", "abd", 2));
}

static const size_t seal_sizes[] = {0, 1, 15, 16, 17, 4096, 100000};

static void
test_seal(void **state)
{
    uint8_t key[SHA256_LEN] = {1}, other[SHA256_LEN] = {2};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(seal_sizes); i++) {
        SCOPED_POOL(pool);
        size_t len = seal_sizes[i], sealed_len, again_len, opened_len;
        uint8_t *plain = mem_zalloc(pool, len + 1), *sealed, *again, *opened;

        memset(plain, 'p', len);
        crypto_seal(pool, key, plain, len, &sealed, &sealed_len);
        crypto_seal(pool, key, plain, len, &again, &again_len);
        assert_int_equal(sealed_len, len + 28);
        assert_memory_not_equal(sealed, again, sealed_len); /* a nonce of its own */
        assert_true(crypto_open(pool, key, sealed, sealed_len, &opened, &opened_len));
        assert_int_equal(opened_len, len);
        assert_memory_equal(opened, plain, len);
        assert_int_equal(opened[len], 0);
        assert_false(crypto_open(pool, other, sealed, sealed_len, &opened, &opened_len));
    }
}

/* Every byte and every cut of a sealed text. */
static void
test_seal_tampered(void **state)
{
    SCOPED_POOL(pool);
    uint8_t key[SHA256_LEN] = {1}, *sealed, *opened;
    size_t len, opened_len;

    (void)state;
    crypto_seal(pool, key, "forty-two", 9, &sealed, &len);
    for (size_t i = 0; i < len; i++) {
        sealed[i] ^= 0x10;
        assert_false(crypto_open(pool, key, sealed, len, &opened, &opened_len));
        sealed[i] ^= 0x10;
        assert_false(crypto_open(pool, key, sealed, i, &opened, &opened_len));
    }
    assert_true(crypto_open(pool, key, sealed, len, &opened, &opened_len));
}

static void
test_hex(void **state)
{
    uint8_t out[4] = {0};
    char text[9];

    (void)state;
    crypto_hex("\x00\x7f\xa5\xff", 4, text);
    assert_string_equal(text, "007fa5ff");
    assert_true(crypto_unhex("007Fa5fF", out, 4));
    assert_memory_equal(out, "\x00\x7f\xa5\xff", 4);
    assert_true(crypto_unhex("", out, 0));
    assert_false(crypto_unhex("007fa5f", out, 4));
    assert_false(crypto_unhex("007fa5ff0", out, 4));
    assert_false(crypto_unhex("007fa5fg", out, 4));
    assert_false(crypto_unhex("0 7fa5ff", out, 4));
    assert_false(crypto_unhex("0x7fa5ff", out, 4));
}

/* RFC 4648 §10, without padding, and the two characters of §5. */
static const struct {
    const char *bytes;
    size_t len;
    const char *text;
} encodings[] = {
    {"", 0, ""},
    {"f", 1, "Zg"},
    {"fo", 2, "Zm8"},
    {"foo", 3, "Zm9v"},
    {"foob", 4, "Zm9vYg"},
    {"fooba", 5, "Zm9vYmE"},
    {"foobar", 6, "Zm9vYmFy"},
    {"\xff\xef\xbe", 3, "_---"},
    {"\0\0\0", 3, "AAAA"},
    {"\0", 1, "AA"},
};

static const char *const no_encodings[] = {
    "A",      "AAAAA", "Zg==", "Zg=",     "Z===", "Zm8=",   "Zh",        "Zm9",
    "Zm9vYh", "+___",  "/AAA", "A A",     "AA A", " AAAA",  "AAAA ",     "    ",
    "AAAA\n", "\tAA",  "A.AA", "AAA\x80", "====", "AA\r\n", "----\n---",
};

static void
test_base64url(void **state)
{
    SCOPED_POOL(pool);
    uint8_t *out;
    size_t len;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        assert_string_equal(crypto_base64url(pool, encodings[i].bytes, encodings[i].len),
                            encodings[i].text);
        assert_true(crypto_unbase64url(pool, encodings[i].text, &out, &len));
        assert_int_equal(len, encodings[i].len);
        assert_memory_equal(out, encodings[i].bytes, len);
    }
    for (size_t i = 0; i < ARRAY_LEN(no_encodings); i++) {
        if (crypto_unbase64url(pool, no_encodings[i], &out, &len))
            fail_msg("'%s' was read", no_encodings[i]);
    }
}

static void
test_crc32(void **state)
{
    (void)state;
    assert_int_equal(crypto_crc32("", 0), 0);
    assert_int_equal(crypto_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(crypto_crc32("\0\0\0\0", 4), 0x2144df1c);
}

/* RFC 8032 §7.1, test 2 */
static void
test_ed25519(void **state)
{
    uint8_t seed[SHA256_LEN], key[ED25519_PUBLIC_LEN], want_key[ED25519_PUBLIC_LEN];
    uint8_t signature[ED25519_LEN], want[ED25519_LEN], message = 0x72;

    (void)state;
    assert_true(crypto_unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                             seed, sizeof(seed)));
    assert_true(crypto_unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                             want_key, sizeof(want_key)));
    assert_true(crypto_unhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                             "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
                             want, sizeof(want)));
    crypto_ed25519_public(seed, key);
    assert_memory_equal(key, want_key, sizeof(key));
    crypto_ed25519_sign(seed, &message, 1, signature);
    assert_memory_equal(signature, want, sizeof(want));
    assert_true(crypto_ed25519_verify(key, &message, 1, signature));
    for (size_t bit = 0; bit < 8 * sizeof(signature); bit++) {
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(crypto_ed25519_verify(key, &message, 1, signature));
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_false(crypto_ed25519_verify(key, "s", 1, signature));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256), cmocka_unit_test(test_sha256_dropped),
        cmocka_unit_test(test_hmac),   cmocka_unit_test(test_hmac_of_any_key),
        cmocka_unit_test(test_derive), cmocka_unit_test(test_equal),
        cmocka_unit_test(test_seal),   cmocka_unit_test(test_seal_tampered),
        cmocka_unit_test(test_hex),    cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_crc32),  cmocka_unit_test(test_ed25519),
    };

    return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
