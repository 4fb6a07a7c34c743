// SPDX-License-Identifier: Apache-2.0
/*
 * ballast: a file that holds disk space back, so that deleting still works when the disk is full.
 *
 * Deleting needs room (the log grows before the bytes go); the file is given up for it, and laid
 * down again when there is room to spare. Thread-safe.
 */
#ifndef BASE_BALLAST_H
#define BASE_BALLAST_H
#include "base/base.h"

struct ballast;

/* For the file `path` of `bytes`; nothing is written yet. */
struct ballast *ballast_new(const char *path, int64_t bytes);
/* The file stays. */
void ballast_free(struct ballast **b);

/* Lays the file down if it is not there and the disk has at least twice its size free. */
void ballast_lay(struct ballast *b);

/* Gives its space up; false when it was not there. */
bool ballast_drop(struct ballast *b);

#endif
