// SPDX-License-Identifier: Apache-2.0
/* Normalising is idempotent, bounded and printable; what is served holds nothing of the input. */
#include "core/media_type.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    const char *text = fuzz_text(pool, data, size);
    const char *served = media_type_served(text);
    char *normal = NULL;
    char *again = NULL;

    BUG_ON(!media_type_normalise(pool, served, &again) || !streq(served, again));
    BUG_ON(!*media_type_extension(text));
    if (!media_type_normalise(pool, text, &normal))
        return 0;
    BUG_ON(strlen(normal) > MEDIA_TYPE_MAX);
    for (const char *p = normal; *p; p++)
        BUG_ON((*p < 0x20 && *p != '\t') || *p > 0x7e);
    BUG_ON(!media_type_normalise(pool, normal, &again) || !streq(normal, again));
    BUG_ON(media_type_served(normal) != served);
    BUG_ON(media_type_is_json(normal) != media_type_is_json(text));
    return 0;
}
