// SPDX-License-Identifier: Apache-2.0
/*
 * media_type: media types as text (RFC 6838 §4.2, RFC 9110 §8.3.1): checked, compared, served,
 * guessed from bytes.
 *
 *  I1  What media_type_normalise() returns, it returns again unchanged when given it.
 *  I2  What media_type_served() returns comes from a fixed table, never from a client: nothing a
 *      browser would run as a page or a script is in it.
 *
 * Threads: all functions may be called from any thread; a detector is shared.
 */
#ifndef CORE_MEDIA_TYPE_H
#define CORE_MEDIA_TYPE_H
#include "base/base.h"

#define MEDIA_TYPE_UNKNOWN "application/octet-stream"
#define MEDIA_TYPE_MAX 512 /* bytes of a normalised media type */

/*
 * Checks `type/subtype[; parameters]`: each half 1–127 restricted-name characters, a parameter
 * token=token or token="text", ASCII only. Writes to *ret, in `pool`, the same in lower case with
 * "; " between. False, *ret untouched, when it is none or
 * comes out longer than MEDIA_TYPE_MAX.
 */
MUST_CHECK bool media_type_normalise(TALLOC_CTX *pool, const char *text, char **ret);

/*
 * The Content-Type to send for a document stored as `stored`: its row of the allow list, else
 * MEDIA_TYPE_UNKNOWN. Plain text is said to be UTF-8 unless `stored` names another charset.
 * Static text.
 */
const char *media_type_served(const char *stored);

/* The usual file extension of `type`, without a dot; "bin" when it is not in the table. Static. */
const char *media_type_extension(const char *type);

/*
 * True when `value` (a Content-Type, may be NULL) is of the media type `type` ("application/json"),
 * whatever its parameters and the case of its letters.
 */
bool media_type_is(const char *value, const char *type);

/* True for application/json and application/anything+json (RFC 6839 §3.1). NULL is neither. */
bool media_type_is_json(const char *value);

/* Guesses media types from bytes (libmagic). */
struct media_detector;

/* Loads media_types.magic. On RC_OK the caller ends *ret with media_detector_free(). Error: IO */
MUST_CHECK enum rc media_detector_new(struct media_detector **ret, struct err *err);

/* Accepts NULL; leaves NULL behind. */
void media_detector_free(struct media_detector **d);

/*
 * The media type of a file that begins with `first_bytes`, normalised, in `pool`: one of those in
 * media_types.magic, or that libmagic tells by itself. At most the first 64 KiB are looked at.
 * MEDIA_TYPE_UNKNOWN when there are none or they say nothing. Takes 5 to 40 us for 4 KiB.
 */
char *media_type_detect(struct media_detector *d, TALLOC_CTX *pool, const void *first_bytes,
                        size_t len);

#endif
