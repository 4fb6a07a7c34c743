// SPDX-License-Identifier: Apache-2.0
/* A key that is accepted is its parts and their checksum; with one character changed it is not. */
#include "core/key_text.h"
#include "fuzz.h"

#define BODY (KEY_TEXT_LEN - 1 - 7) /* the characters that the checksum covers */

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

/* Puts the checksum of the first BODY characters behind them. */
static void
sum(char text[KEY_TEXT_LEN])
{
    uint32_t crc = crypto_crc32(text, BODY);

    for (size_t i = KEY_TEXT_LEN - 2; i >= BODY; i--, crc /= 36)
        text[i] = alphabet[crc % 36];
    text[KEY_TEXT_LEN - 1] = '\0';
}

static void
check(const char *text, const struct key_text *k)
{
    char again[KEY_TEXT_LEN];

    BUG_ON(!streq(text, k->text));
    BUG_ON(strlen(k->handle) != KEY_HANDLE_LEN - 1 || strlen(k->secret) != KEY_SECRET_LEN - 1);
    memcpy(again, "wbk_", 4);
    memcpy(again + 4, k->handle, KEY_HANDLE_LEN - 1);
    memcpy(again + 4 + KEY_HANDLE_LEN - 1, k->secret, KEY_SECRET_LEN - 1);
    sum(again);
    BUG_ON(!streq(again, text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    char made[KEY_TEXT_LEN] = "wbk_";
    const char *text = fuzz_text(pool, data, size);
    struct key_text k;
    size_t at;
    char was;

    if (key_text_parse(text, &k))
        check(text, &k);
    if (size < 2)
        return 0;
    for (size_t i = 4; i < BODY; i++)
        made[i] = alphabet[data[i % size] % 36];
    sum(made);
    BUG_ON(!key_text_parse(made, &k));
    check(made, &k);
    at = data[0] % (KEY_TEXT_LEN - 1);
    was = made[at];
    made[at] = (char)data[1];
    BUG_ON(key_text_parse(made, &k) != (made[at] == was));
    return 0;
}
