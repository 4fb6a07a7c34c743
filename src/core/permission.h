// SPDX-License-Identifier: Apache-2.0
/* permission: what a key may do. Exact strings; none implies another. */
#ifndef CORE_PERMISSION_H
#define CORE_PERMISSION_H
#include "base/base.h"

enum permission_number {
#define PERMISSION(name, text) PERMISSION_##name##_NUMBER,
#include "core/permission.def"
#undef PERMISSION
    PERMISSION_COUNT
};

/* A set of them is their bits or-ed. */
enum permission {
#define PERMISSION(name, text) PERM_##name = 1 << PERMISSION_##name##_NUMBER,
#include "core/permission.def"
#undef PERMISSION
};

/* The bit of a name or one of its synonyms; 0 when there is no such permission. */
uint32_t permission_parse(const char *text);

/* The name of permission number 0 … PERMISSION_COUNT-1; its bit is 1 << number. */
const char *permission_name(unsigned number);

#endif
