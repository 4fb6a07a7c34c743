// SPDX-License-Identifier: Apache-2.0
/* The first byte gives a size; the rest is a Range, an If-Range and an If-None-Match. */
#include "fuzz.h"
#include "http/range.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    struct range r = {0};
    uint64_t bytes;
    char *value;

    if (size == 0)
        return 0;
    bytes = data[0] < 64 ? data[0] : UINT64_MAX >> (data[0] & 0x3f);
    value = fuzz_text(pool, data + 1, size - 1);
    if (range_parse(value, bytes, &r) == RANGE_PART)
        BUG_ON(r.first > r.last || r.last >= bytes);
    if (range_if_range_matches(value, "\"a\""))
        BUG_ON(!etag_list_matches(value, "\"a\"") || !strstr(value, "\"a\""));
    if (etag_list_matches(value, "\"a\""))
        BUG_ON(!strchr(value, '*') && !strstr(value, "\"a\""));
    return 0;
}
