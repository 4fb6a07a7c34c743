// SPDX-License-Identifier: Apache-2.0
#include "core/permission.h"

static const char *const names[] = {
#define PERMISSION(name, text) text,
#include "core/permission.def"
#undef PERMISSION
};

/* Older spellings of the upload API's own documentation. */
static const struct {
    const char *text;
    uint32_t bit;
} synonyms[] = {
    {"write:extractions", PERM_EXTRACTIONS_WRITE},
    {"write_extractions", PERM_EXTRACTIONS_WRITE},
};

uint32_t
permission_parse(const char *text)
{
    for (unsigned i = 0; i < PERMISSION_COUNT; i++) {
        if (streq(text, names[i]))
            return 1u << i;
    }
    for (size_t i = 0; i < ARRAY_LEN(synonyms); i++) {
        if (streq(text, synonyms[i].text))
            return synonyms[i].bit;
    }
    return 0;
}

const char *
permission_name(unsigned number)
{
    BUG_ON(number >= PERMISSION_COUNT);
    return names[number];
}
