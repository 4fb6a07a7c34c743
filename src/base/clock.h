// SPDX-License-Identifier: Apache-2.0
/*
 * clock: the only way the program reads time.
 *
 * Wall time (milliseconds since 1970, UTC) is for what is stored and shown; monotonic time is for
 * deadlines and rates. Text is RFC 3339 in UTC, whole seconds, "Z". Thread-safe.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include "base/base.h"

#define CLOCK_TEXT_LEN 21 /* "2026-04-17T10:45:00Z" and NUL */

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);

/* Writes `ms` as RFC 3339; years 0000 to 9999. */
void clock_format(int64_t ms, char out[CLOCK_TEXT_LEN]);

/*
 * Reads RFC 3339 (any offset, fraction ignored) or a bare date (midnight UTC); a space may stand
 * for the T. False when it is neither, or no such day. *ret_ms is untouched then.
 */
bool clock_parse(const char *text, int64_t *ret_ms);

/* Wall milliseconds of the first instant of the UTC day after `ms`. */
int64_t clock_next_day_ms(int64_t ms);

#endif
