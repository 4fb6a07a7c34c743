// SPDX-License-Identifier: Apache-2.0
/*
 * path: the rules of names in a workspace's own name space: storage paths and folders.
 *
 *  I1  A name that passes has no segment that is empty, "." or "..", no backslash, no control
 *      character and no bidirectional override; it is valid UTF-8.
 *  I2  A folder that path_folder_normalise() returns, it returns again unchanged when given it.
 *
 * These are never names of files on our disk. No state; any thread.
 */
#ifndef CORE_PATH_H
#define CORE_PATH_H
#include "base/base.h"

#define PATH_STORAGE_MAX 1024 /* bytes */
#define PATH_FOLDER_MAX 1024  /* characters */
#define PATH_FOLDER_DEPTH 32  /* segments */
#define PATH_SEGMENT_MAX 255  /* characters, of a folder's segment */

/*
 * True when `s` may be a storage path: relative ("a/b.pdf"), 1–1,024 bytes. Otherwise *ret_why is
 * a static text for the client that says what is wrong.
 */
MUST_CHECK bool path_storage_valid(const char *s, const char **ret_why);

/*
 * Checks an absolute folder ("/a/b") and writes it to *ret, in `pool`, without the one trailing
 * slash it may have. "/" is refused: no folder is said by NULL. On false *ret is untouched and
 * *ret_why is a static text for the client that says what is wrong.
 */
MUST_CHECK bool path_folder_normalise(TALLOC_CTX *pool, const char *s, char **ret,
                                      const char **ret_why);

#endif
