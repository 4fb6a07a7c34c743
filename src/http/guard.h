// SPDX-License-Identifier: Apache-2.0
/*
 * guard: the first look at a request: is its framing beyond doubt (RFC 9112 §2.2, §3.2, §5, §6)?
 *
 * The parser underneath accepts framings that a proxy in front may read otherwise; whatever could
 * be read in two ways is refused here and the connection closed.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H
#include "http/request.h"

#define GUARD_TARGET_MAX 8192
#define GUARD_HEADERS_MAX 100
#define GUARD_HEADER_BYTES 32768

struct framing {
    bool chunked;
    int64_t length; /* of the body; -1 when no Content-Length was sent */
};

/* MALFORMED, HTTP_VERSION, URI_TOO_LONG, HEADERS_LARGE: answer and close. */
MUST_CHECK enum rc guard_check(const struct wire *wire, struct framing *ret, struct err *err);

/*
 * The path and query of a checked target; an absolute form (RFC 9112 §3.2.2) loses its authority,
 * which the guard has found to be that of the Host header.
 */
const char *guard_path(const struct wire *wire);

#endif
