// SPDX-License-Identifier: Apache-2.0
/*
 * param: the parameters behind a header value, `; name=value; name="value"` (RFC 9110 §5.6.6).
 *
 *  I1  A parameter points into the text it was read from; nothing is copied or changed.
 *  I2  Every byte is looked at: text with anything that is no parameter is PARAM_BROKEN.
 *
 * No state of its own; any thread.
 */
#ifndef CORE_PARAM_H
#define CORE_PARAM_H
#include "base/base.h"

struct param {
    const char *name; /* a token, as written */
    size_t name_len;
    const char *value; /* without its quotes, escapes still in it */
    size_t value_len;
    bool quoted;
};

enum param_step { PARAM_END, PARAM_ONE, PARAM_BROKEN };

/*
 * Reads the parameter at *cursor, which stands on the ';' before it (or white space before that),
 * and moves *cursor past it. Empty parameters (";;") are skipped, as RFC 9110 has it. An unquoted
 * value runs to the next ';' or white space: callers ask param_is_token() where only a token will
 * do. Control bytes other than a tab in quotes are refused. *ret is filled on PARAM_ONE only.
 */
MUST_CHECK enum param_step param_next(const char **cursor, struct param *ret);

/* True when the parameter is called `name`; the case of letters does not matter. */
bool param_named(const struct param *p, const char *name);

/* True when the value is not empty and holds token characters only (RFC 9110 §5.6.2). */
bool param_is_token(const struct param *p);

/*
 * The value in `pool`, with \" and \\ of a quoted one resolved. Any other backslash stays: some
 * clients send Windows paths as they are.
 */
char *param_value(TALLOC_CTX *pool, const struct param *p);

#endif
