// SPDX-License-Identifier: Apache-2.0
#include "core/key_text.h"

#include "base/rand.h"

#define HANDLE (KEY_HANDLE_LEN - 1)
#define SECRET (KEY_SECRET_LEN - 1)
#define CHECK 7
#define START 4 /* "wbk_" */

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

/* Bytes of 252 and above are thrown away: 252 is 7 times 36, so each character is as likely. */
static void
random_text(char *out, size_t n)
{
    uint8_t b;

    while (n > 0) {
        rand_bytes(&b, 1);
        if (b >= 252)
            continue;
        *out++ = alphabet[b % 36];
        n--;
    }
}

static void
checksum(const char *text, char out[CHECK])
{
    uint32_t crc = crypto_crc32(text, START + HANDLE + SECRET);

    for (int i = CHECK - 1; i >= 0; i--, crc /= 36)
        out[i] = alphabet[crc % 36];
}

static void
split(struct key_text *k)
{
    memcpy(k->handle, k->text + START, HANDLE);
    k->handle[HANDLE] = '\0';
    memcpy(k->secret, k->text + START + HANDLE, SECRET);
    k->secret[SECRET] = '\0';
}

void
key_text_make(struct key_text *k)
{
    memcpy(k->text, "wbk_", START);
    random_text(k->text + START, HANDLE + SECRET);
    checksum(k->text, k->text + START + HANDLE + SECRET);
    k->text[KEY_TEXT_LEN - 1] = '\0';
    split(k);
}

bool
key_text_parse(const char *text, struct key_text *k)
{
    char check[CHECK];

    if (strlen(text) != KEY_TEXT_LEN - 1 || memcmp(text, "wbk_", START) != 0)
        return false;
    for (const char *p = text + START; *p; p++) {
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9'))
            return false;
    }
    checksum(text, check);
    if (memcmp(check, text + START + HANDLE + SECRET, CHECK) != 0)
        return false;
    memcpy(k->text, text, KEY_TEXT_LEN);
    split(k);
    return true;
}

void
key_text_mac(const uint8_t pepper[SHA256_LEN], const struct key_text *key, uint8_t out[SHA256_LEN])
{
    crypto_hmac(pepper, key->secret, SECRET, out);
}
