// SPDX-License-Identifier: Apache-2.0
/*
 * multipart: a push parser of multipart/form-data (RFC 7578, framing by RFC 2046 §5.1).
 *
 *  I1  Verdict and events are the same however the input is cut into pieces; only the cuts between
 *      part_data() calls move.
 *  I2  Events come as (part_begin part_data* part_end)*. part_end() says that the delimiter behind
 *      the part was seen; whether the body as a whole is good only multipart_end() says.
 *  I3  Memory is bounded: a part's header block is held, its content never.
 *  I4  After any failure the parser has failed for good: each later call says the same again.
 *
 * Threads: a parser belongs to one thread at a time.
 *
 * Stricter than the RFCs: lines end in CR LF only, what follows a delimiter on its line is white
 * space, base64 and quoted-printable parts are refused (RFC 7578 §4.7 deprecates them). Wider: a
 * `filename*` or `name*` (RFC 8187) is understood, and believed before its plain twin; a boundary
 * without quotes may hold what is no token ("=", "/"); header lines may be folded; a body without
 * any part is well-formed, since browsers send it for an empty form.
 * Deliberately no nested multipart: a part of that type is content like any other.
 */
#ifndef HTTP_MULTIPART_H
#define HTTP_MULTIPART_H
#include "base/base.h"

#define MULTIPART_HEAD_MAX 8192   /* bytes of a part's header block */
#define MULTIPART_HEADERS_MAX 16  /* lines in it */
#define MULTIPART_SKIP_MAX 1024   /* bytes before the first and behind the last delimiter */
#define MULTIPART_BOUNDARY_MAX 70 /* RFC 2046 §5.1.1 */

struct multipart;

struct multipart_limits {
    size_t parts;
};

/*
 * The header of a part. Texts live until part_end() has returned. `name` and `filename` are valid
 * UTF-8 without control characters; they are what the client said: a file name may be empty or
 * look like a path.
 */
struct multipart_part {
    const char *name;
    const char *filename;     /* NULL when absent: an ordinary field */
    const char *content_type; /* as sent, unchecked; NULL when absent or empty */
};

/*
 * All required. `arg` is what multipart_new() was given. A function that fails fills *err; its
 * outcome is passed on by multipart_feed() as it is.
 */
struct multipart_events {
    enum rc (*part_begin)(void *arg, const struct multipart_part *part, struct err *err);
    enum rc (*part_data)(void *arg, const char *bytes, size_t len, struct err *err);
    enum rc (*part_end)(void *arg, struct err *err);
};

/*
 * Makes a parser, in `pool`, for a body whose Content-Type is `content_type` (may be NULL). `ev`
 * and `arg` must outlive it. MALFORMED when it is not multipart/form-data, or its boundary is
 * missing, repeated, longer than MULTIPART_BOUNDARY_MAX or of characters RFC 2046 §5.1.1 forbids.
 */
MUST_CHECK enum rc multipart_new(TALLOC_CTX *pool, const char *content_type,
                                 const struct multipart_limits *lim,
                                 const struct multipart_events *ev, void *arg,
                                 struct multipart **ret, struct err *err);

/*
 * Takes the next bytes of the body and calls the events they complete. MALFORMED: no good
 * multipart, or beyond a limit named above. TOO_LARGE: more parts than allowed. Or what an event
 * returned.
 */
MUST_CHECK enum rc multipart_feed(struct multipart *m, const char *bytes, size_t len,
                                  struct err *err);

/* Says that the body is over. MALFORMED when its closing delimiter was not seen. */
MUST_CHECK enum rc multipart_end(struct multipart *m, struct err *err);

#endif
