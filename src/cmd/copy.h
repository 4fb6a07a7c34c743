// SPDX-License-Identifier: Apache-2.0
/*
 * copy: what backup and restore have in common: a database file tells which bytes there must be,
 * and these are copied from one store to another, each checked against its row.
 *
 *  I1  A blob is in the target only when its SHA-256 is what its row says; it is read back from
 *      nowhere but the source, and written once.
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
    /* What the rows name; counted by copy_blobs(). */
    int64_t documents; /* records, with bytes or without */
    int64_t blobs;
    int64_t bytes;
    int64_t lost; /* of these, how many the source does not have (any more) */

    int64_t shown_ms_; /* when progress was last shown */
};

/* Copies what the rows behind `conn` name and the target does not have yet. */
MUST_CHECK enum rc copy_blobs(struct copy *c, struct db_conn *conn, struct err *err);

/* Removes from the target what no row behind `conn` names. */
MUST_CHECK enum rc copy_prune(struct copy *c, struct db_conn *conn, struct err *err);

/* Writes `from` to the new file `to` (mode 0600), synced. */
MUST_CHECK enum rc copy_file(const char *from, const char *to, struct err *err);

/* Gives a synced file its name, for good. */
MUST_CHECK enum rc copy_rename(const char *from, const char *to, const char *dir, struct err *err);

/* Puts the names in a directory on disk. */
MUST_CHECK enum rc copy_sync_dir(const char *dir, struct err *err);

/* True when the directory holds nothing but, perhaps, `allowed`; also when it is absent. */
MUST_CHECK enum rc copy_dir_empty(const char *dir, const char *allowed, bool *ret, struct err *err);

#endif
