// SPDX-License-Identifier: Apache-2.0
/*
 * disposition: the Content-Disposition of a download (RFC 6266, file name by RFC 8187).
 *
 *  I1  Whatever the name, the value is printable ASCII with exactly the quotes of its grammar: a
 *      name can end neither the header nor the parameter it stands in.
 *
 * No state; any thread.
 */
#ifndef HTTP_DISPOSITION_H
#define HTTP_DISPOSITION_H
#include "base/base.h"

/*
 * `attachment; filename="ascii"; filename*=UTF-8''percent-encoded`, in `pool`, for a file called
 * `name`. In the first, each quote, backslash, slash, percent sign, control and non-ASCII
 * character is a '_', and all of a name that would be none (".." or " "); the second is there only
 * when that changed the name. Control characters are '_' in both. A name that is no UTF-8 gets the
 * first only, an empty one neither.
 */
char *disposition_attachment(TALLOC_CTX *pool, const char *name);

#endif
