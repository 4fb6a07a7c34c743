// SPDX-License-Identifier: Apache-2.0
/*
 * clock: the only way the program reads time.
 *
 * Wall time (milliseconds since 1970, UTC) is for what is stored and shown; monotonic time is for
 * deadlines and rates. Text is RFC 3339 in UTC, whole seconds, "Z". Thread-safe.
 *
 *  I1  The wall clock may be set at any moment. What judges the age of something stored asks
 *      clock_lead_ms() or clock_lag_ms() how far that age can be wrong. Each call of
 *      clock_wall_ms() looks at both clocks, so no stored time is from before a step that is not
 *      known yet.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include "base/base.h"

#define CLOCK_TEXT_LEN 21 /* "2026-04-17T10:45:00Z" and NUL */

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);

/*
 * By how much the wall clock has been set forward in the last `window_ms`: the age of something
 * stored in that time seems greater by up to this. 0 when it was not, or was set back again.
 */
int64_t clock_lead_ms(int64_t window_ms);

/* The same for being set back: something due at a stored time seems due later by up to this. */
int64_t clock_lag_ms(int64_t window_ms);

/*
 * Tells the newest time stored by an earlier process. Whether it was long ago or the clock was set
 * forward meanwhile, nobody knows; the latter is assumed. Once, before other threads.
 */
void clock_resume(int64_t newest_ms);

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
