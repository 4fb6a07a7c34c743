// SPDX-License-Identifier: Apache-2.0
/* Any name gives one line of printable ASCII with two quotes and no backslash, or none. */
#include "fuzz.h"
#include "http/disposition.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    const char *name = fuzz_text(pool, data, size);
    const char *value = disposition_attachment(pool, name);
    int quotes = 0;

    for (const char *p = value; *p; p++) {
        BUG_ON(*p < 0x20 || *p > 0x7e || *p == '\\');
        quotes += *p == '"';
    }
    BUG_ON(quotes != (*name ? 2 : 0));
    return 0;
}
