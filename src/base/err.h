// SPDX-License-Identifier: Apache-2.0
/*
 * err: how a function says that it failed. The table of outcomes is rc.def.
 *
 *  I1  A fallible function returns enum rc and takes struct err * last; the function where the
 *      failure begins fills *err, once; those between pass it on unchanged.
 *  I2  `detail` is for the log and never reaches a client; `field` and `hint` may.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum rc {
    RC_OK = 0,
#define RC(name, http, code, docs, message, retry) RC_##name,
#include "base/rc.def"
#undef RC
    RC_MAX_
};

struct err {
    enum rc code;
    char field[64];   /* name of the input at fault, "" when none; sent to the client */
    char hint[160];   /* what is wrong with that input, or at all; sent to the client */
    char detail[256]; /* for the log; never sent to a client */
};

/* One row of rc.def. */
struct rc_info {
    const char *name;
    int http;
    const char *code;
    const char *docs_code;
    const char *message;
    int retryable;
};

const struct rc_info *rc_info(enum rc code);

/* Fills *err and returns `code`. `fmt` is the private detail. */
enum rc err_set(struct err *err, enum rc code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A fault of one input: `field` names it, `hint` tells the client what is wrong. Returns `code`. */
enum rc err_field(struct err *err, enum rc code, const char *field, const char *hint);

/* A reason that the client may read in place of the code's usual message. Returns `code`. */
enum rc err_say(struct err *err, enum rc code, const char *hint);

/* Like err_set() with errno's text appended. */
enum rc err_errno(struct err *err, enum rc code, const char *what);

#endif
