// SPDX-License-Identifier: Apache-2.0
/* folder: the folders of a workspace, made on demand when a document is put into one. */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H
#include "db/db.h"

/* Makes `path` ("/a/b", already checked) and every folder above it that is not there yet. */
MUST_CHECK enum rc folder_ensure(struct tx *tx, int64_t workspace, const char *path,
                                 struct err *err);

#endif
