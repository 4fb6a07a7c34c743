// SPDX-License-Identifier: Apache-2.0
/*
 * text: checks on UTF-8 (libutf8proc underneath) and small parsers that never overflow.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H
#include "base/base.h"

enum text_flags {
    TEXT_CONTROLS = 1, /* control characters are allowed (tab, line feed …); NUL never is */
    TEXT_BIDI = 2,     /* bidirectional overrides are allowed */
};

/*
 * Counts the characters (code points) of `s`. False when it is no valid UTF-8, or holds a control
 * character or a bidirectional override (U+202A–202E, U+2066–2069) that `flags` does not allow.
 */
bool text_check(const char *s, size_t len, unsigned flags, size_t *ret_chars);

/* `s` folded for comparing without regard to case (Unicode case folding); valid UTF-8 in. */
char *text_fold(TALLOC_CTX *pool, const char *s);

/* Reads a whole decimal number in [0, max]; digits only. */
bool text_uint(const char *s, int64_t max, int64_t *ret);

/* "true", "1", "false", "0"; anything else is false with *ret untouched. */
bool text_bool(const char *s, bool *ret);

/* Decodes %XX in place of `s`; false on a broken escape or %00. '+' stays unless `plus`. */
bool text_unescape(TALLOC_CTX *pool, const char *s, size_t len, bool plus, char **ret);

/* Value of a hexadecimal digit of either case, or -1. */
int text_hex(char c);

/* A byte that may stand in a token (RFC 9110 §5.6.2). */
bool text_is_tchar(unsigned char c);

void text_lower(char *s); /* ASCII only, in place */

#endif
