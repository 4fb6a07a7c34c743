// SPDX-License-Identifier: Apache-2.0
#include "base/crash.h"

#ifdef DOSSIER_CRASH_POINTS
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
crash_point(const char *name)
{
    static _Atomic long passed; /* of the one name that the environment asks for */
    const char *at = getenv("DOSSIER_CRASH_AT");
    size_t len = strlen(name);
    long nth = 1;

    if (!at || strncmp(at, name, len) != 0 || (at[len] != '\0' && at[len] != ':'))
        return;
    if (at[len] == ':')
        nth = strtol(at + len + 1, NULL, 10);
    if (atomic_fetch_add(&passed, 1) + 1 == nth)
        _exit(CRASH_STATUS);
}
#else
/* A file of a program may not be empty (C17 §6.9). */
extern const int crash_points_are_off;
#endif
