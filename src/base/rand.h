// SPDX-License-Identifier: Apache-2.0
/* rand: unpredictable bytes from getrandom(2). Thread-safe; aborts if the kernel has none. */
#ifndef BASE_RAND_H
#define BASE_RAND_H
#include "base/base.h"

void rand_bytes(void *out, size_t len);

#endif
