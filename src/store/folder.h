// SPDX-License-Identifier: Apache-2.0
/* folder: the folders of a workspace, made on demand when a document is put into one. */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H
#include "db/db.h"

/* Asks whether `path` is there; folder_ensure() wants to know. */
MUST_CHECK enum rc folder_ask(struct tx *tx, int64_t workspace, const char *path,
                              struct db_cursor **ret, struct err *err);

/*
 * Makes `path` ("/a/b", already checked) and every folder above it that is not there yet. `*asked`
 * is the cursor of folder_ask(), which is ended here, or NULL: then it asks itself.
 */
MUST_CHECK enum rc folder_ensure(struct tx *tx, int64_t workspace, const char *path,
                                 struct db_cursor **asked, struct err *err);

#endif
