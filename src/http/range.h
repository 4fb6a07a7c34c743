// SPDX-License-Identifier: Apache-2.0
/*
 * range: conditions on a download: Range, If-Range (RFC 9110 §14.2, §13.1.5), If-None-Match
 * (§13.1.2).
 *
 *  I1  After RANGE_PART: first <= last < size.
 *
 * Deliberately no multipart/byteranges: a request for several ranges gets the whole, as the RFC
 * allows. No state; any thread.
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H
#include "base/base.h"

enum range_kind {
    RANGE_WHOLE,         /* 200: no Range, or one that is to be ignored */
    RANGE_PART,          /* 206 */
    RANGE_UNSATISFIABLE, /* 416 */
};

/* Positions of the first and the last byte, both included. */
struct range {
    uint64_t first;
    uint64_t last;
};

/*
 * What the Range header `value` (NULL when absent) asks of `size` bytes. *ret is filled on
 * RANGE_PART only. Another unit, broken text and several ranges are RANGE_WHOLE; so is a suffix
 * of nothing, which no Content-Range can express.
 */
enum range_kind range_parse(const char *value, uint64_t size, struct range *ret);

/*
 * Whether If-Range lets the Range header count: true when it is absent (NULL) or is `etag`, a
 * strong entity tag with its quotes, by strong comparison. A date never matches: we send none.
 */
bool range_if_range_matches(const char *if_range, const char *etag);

/*
 * Whether the list `if_none_match` (NULL when absent) holds `etag` by weak comparison
 * (RFC 9110 §8.8.3.2) or is "*". A list is believed up to the first thing that is no entity tag.
 */
bool etag_list_matches(const char *if_none_match, const char *etag);

#endif
