// SPDX-License-Identifier: Apache-2.0
/*
 * multipart_head: what multipart reads from headers: the boundary of the request's Content-Type,
 * and the header block of a part. Private to the parser; limits and rules are in multipart.h.
 *
 * No state; any thread.
 */
#ifndef HTTP_MULTIPART_HEAD_H
#define HTTP_MULTIPART_HEAD_H
#include "http/multipart.h"

/*
 * Writes the boundary parameter of `content_type` and a NUL. On false *ret_why is static text.
 */
MUST_CHECK bool multipart_boundary(const char *content_type, char out[MULTIPART_BOUNDARY_MAX + 1],
                                   const char **ret_why);

/*
 * Reads `head`: lines that each end in CR LF, then an empty one; unfolded, no NUL and no other
 * control bytes but tabs. Changes it; *ret points into it and into `pool`. On false *ret_why is
 * static text.
 */
MUST_CHECK bool multipart_head(TALLOC_CTX *pool, char *head, struct multipart_part *ret,
                               const char **ret_why);

#endif
