// SPDX-License-Identifier: Apache-2.0
/*
 * document: the records of the library, one row each, with their tags and folders.
 *
 *  I1  storage_path is unique in a workspace.
 *  I2  blob_id names bytes that are on disk, or has_blob is false: the bytes have not arrived.
 *
 * Texts of the results are in tx->pool.
 */
#ifndef STORE_DOCUMENT_H
#define STORE_DOCUMENT_H
#include "base/crypto.h"
#include "db/db.h"

struct document {
    struct id id; /* tells created_at */
    const char *name;
    const char *description; /* NULL when absent */
    const char *mime_type;
    int64_t size_bytes; /* -1 when unknown */
    const char *storage_path;
    const char *folder; /* NULL when absent */
    const char **tags;
    size_t n_tags;
    struct id created_by;
    int64_t updated_ms;
    bool has_blob;
    struct id blob_id;
    uint8_t sha256[SHA256_LEN]; /* all zero: not known */
};

/*
 * Adds a record with its tags and, on demand, the rows of its folder; `*folder` as for
 * folder_ensure(). STORAGE_CONFLICT: I1; with DB_MANY_WRITERS as late as the commit.
 */
MUST_CHECK enum rc document_insert(struct tx *tx, int64_t workspace, const struct document *d,
                                   struct db_cursor **folder, struct err *err);

/* NOT_FOUND when the workspace has none. */
MUST_CHECK enum rc document_read(struct tx *tx, int64_t workspace, const struct id *id,
                                 struct document *ret, struct err *err);
/* The same, and nobody else changes, deletes, links or refers to it before the transaction has
 * ended. */
MUST_CHECK enum rc document_lock(struct tx *tx, int64_t workspace, const struct id *id,
                                 struct document *ret, struct err *err);

/* What others may do with a document before the transaction has ended. */
enum document_hold {
    DOCUMENT_FREE,   /* anything */
    DOCUMENT_KEPT,   /* they do not delete it; any number may hold it like this */
    DOCUMENT_LOCKED, /* nothing, see document_lock() */
};

/* Reading in two steps, between which other questions can be asked. */
MUST_CHECK enum rc document_ask(struct tx *tx, int64_t workspace, const struct id *id,
                                enum document_hold hold, struct db_cursor **ret, struct err *err);
MUST_CHECK enum rc document_answer(struct tx *tx, struct db_cursor *asked, struct document *ret,
                                   struct err *err);
MUST_CHECK enum rc document_by_path(struct tx *tx, int64_t workspace, const char *storage_path,
                                    struct document *ret, struct err *err);
/* True when a document's bytes are the blob `blob_id`. */
MUST_CHECK enum rc document_has_blob(struct tx *tx, int64_t workspace, const struct id *blob_id,
                                     bool *ret, struct err *err);

/* Writes name, description, mime_type, folder and tags of `after`; `before` is what stands. */
MUST_CHECK enum rc document_update(struct tx *tx, int64_t workspace, const struct document *before,
                                   const struct document *after, struct err *err);

/* The bytes of a record have arrived. */
MUST_CHECK enum rc document_attach(struct tx *tx, int64_t workspace, const struct id *id,
                                   const struct id *blob_id, int64_t size_bytes,
                                   const uint8_t sha256[SHA256_LEN], struct err *err);

/* Removes the record, its tags, links and references. Its blob is the caller's to purge. */
MUST_CHECK enum rc document_delete(struct tx *tx, int64_t workspace, const struct document *d,
                                   struct err *err);

/* Visits every document of the workspace that has bytes. */
MUST_CHECK enum rc document_each_blob(struct tx *tx, int64_t workspace,
                                      enum rc (*fn)(void *arg, const struct document *d,
                                                    struct err *err),
                                      void *arg, struct err *err);

enum document_sort { SORT_CREATED, SORT_UPDATED, SORT_NAME };

struct document_filter {
    const char *folder; /* this folder and all below it; NULL: any */
    const char **tags;  /* all of them */
    size_t n_tags;
    const char *mime_type; /* NULL: any */
    const char *search;    /* NULL: any; already folded (text_fold) */
    int64_t after_ms;      /* made at this time or later; -1: no bound */
    int64_t before_ms;     /* made before this time; -1: no bound */
    enum document_sort sort;
    bool descending;
    int64_t limit;
    int64_t offset;
    bool has_cursor; /* continue after the row that stands at (cursor_*, cursor_id) */
    struct id cursor_id;
    int64_t cursor_number;   /* SORT_UPDATED */
    const char *cursor_text; /* SORT_NAME */
};

#define DOCUMENT_TAGS_MAX 10 /* of a filter */

/*
 * `ret_total` gets how many match, whatever the limit, offset and cursor say; one that is not
 * negative is known to the caller already. NULL: nobody asks.
 */
MUST_CHECK enum rc document_list(struct tx *tx, int64_t workspace,
                                 const struct document_filter *filter, struct document **ret,
                                 size_t *ret_n, int64_t *ret_total, struct err *err);
/* The total alone. */
MUST_CHECK enum rc document_count(struct tx *tx, int64_t workspace,
                                  const struct document_filter *filter, int64_t *ret,
                                  struct err *err);

#endif
