// SPDX-License-Identifier: Apache-2.0
/* document_row: how a row of the table `document` is read; shared by the store's own files. */
#ifndef STORE_DOCUMENT_ROW_H
#define STORE_DOCUMENT_ROW_H
#include "store/document.h"

#define DOCUMENT_COLUMNS                                                                           \
    "id, name, description, mime_type, size_bytes, storage_path, folder, tags, created_by,"        \
    " updated_at, blob_id, sha256"

/* Reads the columns above from the current row; texts go to `pool`. */
void document_row_read(struct db_cursor *c, TALLOC_CTX *pool, struct document *ret);

/* Splits "a\nb" into an array in `pool`; NULL and "" give none. */
void document_row_tags(TALLOC_CTX *pool, const char *lines, const char ***ret, size_t *ret_n);

#endif
