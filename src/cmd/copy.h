// SPDX-License-Identifier: Apache-2.0
/*
 * copy: what backup and restore have in common: a database file tells which bytes there must be,
 * and these are copied from one store to another, each checked against its row.
 *
 *  I1  A blob gets into the target only when its SHA-256 is what its row says. What was there
 *      before is told by its size; only copy_verify() reads it again.
 *
 * Threads: one.
 */
#ifndef CMD_COPY_H
#define CMD_COPY_H
#include "cmd/command.h"

#define COPY_FORMAT 1 /* of a backup's directory, as its manifest says */
#define COPY_MANIFEST "manifest.json"
#define COPY_DATABASE "dossier.db"
#define COPY_PARTIAL "dossier.db.partial"
#define COPY_SECRET "secret.key"
#define COPY_BLOBS "blobs"

struct copy {
    struct command_env *env;
    struct blob_store *from;
    struct blob_store *to;
    /* What the rows name; counted by copy_blobs() and copy_verify(). */
    int64_t documents; /* records, with bytes or without */
    int64_t blobs;
    int64_t bytes;
    int64_t lost;    /* of the blobs, how many the source does not have (any more) */
    int64_t damaged; /* how many copy_verify() removed */

    /* Opened, still to be copied: see copy.c. */
    struct opened *opened_;
    size_t n_opened_, max_opened_;
    int64_t opened_bytes_, opened_memory_;
    /* For showing progress. */
    const char *verb_;
    int64_t done_blobs_, done_bytes_, all_blobs_, all_bytes_, shown_ms_;
};

/* Copies what the rows behind `conn` name and the target does not have, or not in that size. */
MUST_CHECK enum rc copy_blobs(struct copy *c, struct db_conn *conn, struct err *err);

/* Reads everything in the target again and removes what is not as its row says. */
MUST_CHECK enum rc copy_verify(struct copy *c, struct db_conn *conn, struct err *err);

/* Removes from the target what no row behind `conn` names. */
MUST_CHECK enum rc copy_prune(struct copy *c, struct db_conn *conn, struct err *err);

/* Writes `from` to the new file `to` (mode 0600); `synced`: it is on disk then. */
MUST_CHECK enum rc copy_file(const char *from, const char *to, bool synced, struct err *err);

/* Gives a synced file its name, for good. */
MUST_CHECK enum rc copy_rename(const char *from, const char *to, const char *dir, struct err *err);

/* Puts a file, or the names in a directory, on disk. */
MUST_CHECK enum rc copy_sync(const char *path, struct err *err);

/* True when the directory holds nothing but, perhaps, `allowed`; also when it is absent. */
MUST_CHECK enum rc copy_dir_empty(const char *dir, const char *allowed, bool *ret, struct err *err);

#endif
