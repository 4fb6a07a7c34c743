// SPDX-License-Identifier: Apache-2.0
/*
 * key_text: the text of an API key.
 *
 * "wbk_" + 14 characters of handle + 31 of secret (160 bits) + 7 of CRC-32, all of [a-z0-9]. The
 * checksum finds typing errors and leaked keys without a look-up; it protects nothing.
 */
#ifndef CORE_KEY_TEXT_H
#define CORE_KEY_TEXT_H
#include "base/crypto.h"

#define KEY_TEXT_LEN 57 /* with NUL */
#define KEY_HANDLE_LEN 15
#define KEY_SECRET_LEN 32
#define KEY_PREFIX_LEN 11 /* "wbk_" and six more, shown in lists */

struct key_text {
    char text[KEY_TEXT_LEN];
    char handle[KEY_HANDLE_LEN];
    char secret[KEY_SECRET_LEN];
};

/* A new random key. Wipe it when shown. */
void key_text_make(struct key_text *ret);

/* False when `text` is not well-formed or its checksum is wrong. */
bool key_text_parse(const char *text, struct key_text *ret);

/* What is stored of the secret. */
void key_text_mac(const uint8_t pepper[SHA256_LEN], const struct key_text *key,
                  uint8_t out[SHA256_LEN]);

#endif
