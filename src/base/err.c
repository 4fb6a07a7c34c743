// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/base.h"

enum { NO = 0, YES = 1 };

static const struct rc_info infos[RC_MAX_] = {
    [RC_OK] = {"OK", 200, "", "", "", NO},
#define RC(name, http, code, docs, message, retry)                                                 \
    [RC_##name] = {#name, http, code, docs, message, retry},
#include "base/rc.def"
#undef RC
};

const struct rc_info *
rc_info(enum rc code)
{
    BUG_ON(code < 0 || code >= RC_MAX_);
    return &infos[code];
}

enum rc
err_set(struct err *err, enum rc code, const char *fmt, ...)
{
    va_list ap;

    memset(err, 0, sizeof(*err));
    err->code = code;
    va_start(ap, fmt);
    (void)vsnprintf(err->detail, sizeof(err->detail), fmt, ap);
    va_end(ap);
    return code;
}

enum rc
err_field(struct err *err, enum rc code, const char *field, const char *hint)
{
    memset(err, 0, sizeof(*err));
    err->code = code;
    (void)snprintf(err->field, sizeof(err->field), "%s", field);
    (void)snprintf(err->hint, sizeof(err->hint), "%s", hint);
    (void)snprintf(err->detail, sizeof(err->detail), "%s: %s", field, hint);
    return code;
}

enum rc
err_say(struct err *err, enum rc code, const char *hint)
{
    err_field(err, code, "", hint);
    return code;
}

enum rc
err_errno(struct err *err, enum rc code, const char *what)
{
    char text[128];
    int saved = errno;

    /* the GNU strerror_r, which returns the text */
    return err_set(err, code, "%s: %s", what, strerror_r(saved, text, sizeof(text)));
}
