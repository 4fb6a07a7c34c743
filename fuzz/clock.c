// SPDX-License-Identifier: Apache-2.0
/* A moment that was read is a whole second, and the same when it is written and read again. */
#include "base/clock.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    const char *text = fuzz_text(pool, data, size);
    size_t len = strlen(text);
    char out[CLOCK_TEXT_LEN];
    int64_t ms = -1, again;

    if (!clock_parse(text, &ms)) {
        BUG_ON(ms != -1);
        return 0;
    }
    BUG_ON(ms % 1000 != 0);
    clock_format(ms, out);
    BUG_ON(!clock_parse(out, &again) || again != ms);
    if (len == 10)
        BUG_ON(memcmp(out, text, len) != 0 || !streq(out + len, "T00:00:00Z"));
    /* written as we write, and no leap second */
    if (len == CLOCK_TEXT_LEN - 1 && text[10] == 'T' && text[len - 1] == 'Z' && text[17] != '6')
        BUG_ON(!streq(out, text));
    clock_format(ms + 999, out);
    BUG_ON(!clock_parse(out, &again) || again != ms);
    return 0;
}
