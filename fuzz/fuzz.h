// SPDX-License-Identifier: Apache-2.0
/* fuzz: what the libFuzzer targets share. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as text in `pool`: it ends at its first NUL. */
static inline char *
fuzz_text(TALLOC_CTX *pool, const uint8_t *data, size_t size)
{
    return mem_strndup(pool, size ? (const char *)data : "", size);
}

#endif
