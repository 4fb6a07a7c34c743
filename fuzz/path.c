// SPDX-License-Identifier: Apache-2.0
/* A name that passes holds what path.h promises; a refusal always says why. */
#include "core/path.h"
#include "fuzz.h"

/* True when `s` between slashes is an I1 name, checked by other means than path.c's. */
static bool
is_clean(TALLOC_CTX *pool, const char *s)
{
    const char *wrapped = mem_printf(pool, "/%s/", s);

    return !strstr(wrapped, "//") && !strstr(wrapped, "/./") && !strstr(wrapped, "/../") &&
           !strpbrk(wrapped, "\\\r\n\t\x01\x1b\x7f");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    const char *s = fuzz_text(pool, data, size);
    const char *why = NULL;
    char *folder = NULL;
    char *again = NULL;

    if (path_storage_valid(s, &why))
        BUG_ON(!is_clean(pool, s) || strlen(s) > PATH_STORAGE_MAX);
    else
        BUG_ON(!why);
    why = NULL;
    if (!path_folder_normalise(pool, s, &folder, &why)) {
        BUG_ON(!why || folder);
        return 0;
    }
    BUG_ON(folder[0] != '/' || !is_clean(pool, folder + 1));
    BUG_ON(!path_folder_normalise(pool, folder, &again, &why) || !streq(folder, again));
    return 0;
}
