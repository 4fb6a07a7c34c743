// SPDX-License-Identifier: Apache-2.0
/*
 * pack: the small blobs of the fs driver, as rows of one SQLite file.
 *
 * A file for each would cost an inode, a name and a sync. Here those that are written at once share
 * a commit, and so do those that are erased. Whoever comes first does it for all who wait.
 *
 *  I1  RC_OK of pack_put() and pack_erase() is on disk.
 *  I2  What was erased is neither in the file nor in its log: SQLite overwrites it with zeros
 *      (secure_delete), and the log is emptied before pack_erase() returns RC_OK.
 *  I3  One connection writes and checkpoints, for one thread at a time; readers never checkpoint.
 *  I4  After COMMIT_UNKNOWN nothing is written any more: `broken` is set (fs.c, I2).
 *
 * Threads: any, all at once; they wait for the disk. Other processes may read meanwhile. Nothing in
 * this process may open the file but SQLite: to close it would drop the locks of all connections.
 */
#ifndef BLOB_FS_PACK_H
#define BLOB_FS_PACK_H
#include <stdatomic.h>

#include "blob/blob.h"

#define PACK_FILE "small.db" /* in the directory of the store */

struct pack;

/*
 * Opens the file `path`. With `create` one that is absent is made, and its name is on disk.
 * `broken` is borrowed. Errors: NOT_FOUND (without `create`), STORAGE_FULL, UNAVAILABLE, IO.
 */
MUST_CHECK enum rc pack_open(const char *path, bool create, atomic_bool *broken, struct pack **ret,
                             struct err *err);
void pack_free(struct pack **p);

/* Borrows `bytes` for the call. Errors: CONFLICT, STORAGE_FULL, UNAVAILABLE, IO, COMMIT_UNKNOWN. */
MUST_CHECK enum rc pack_put(struct pack *p, const struct blob_key *key, const void *bytes,
                            size_t len, struct err *err);

/*
 * An absent key succeeds, once whatever erases it is done too. Errors: STORAGE_FULL, UNAVAILABLE
 * (also while a reader of another process holds the log), IO, COMMIT_UNKNOWN.
 */
MUST_CHECK enum rc pack_erase(struct pack *p, const struct blob_key *key, struct err *err);

/* The bytes, in `pool`. Errors: NOT_FOUND, UNAVAILABLE, IO. */
MUST_CHECK enum rc pack_get(struct pack *p, const struct blob_key *key, TALLOC_CTX *pool,
                            const uint8_t **ret, int64_t *ret_size, struct err *err);

/* Errors: NOT_FOUND, UNAVAILABLE, IO. */
MUST_CHECK enum rc pack_stat(struct pack *p, const struct blob_key *key, int64_t *ret_size,
                             struct err *err);

/* As blob_each(). */
MUST_CHECK enum rc pack_each(struct pack *p, blob_visit_fn *visit, void *arg, struct err *err);

#endif
