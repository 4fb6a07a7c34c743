// SPDX-License-Identifier: Apache-2.0
/*
 * journal: small blobs of the fs driver made durable together.
 *
 * Whoever writes one appends it to the journal; one sync of that serves all who wait. Then it
 * becomes a file of its own, as every blob, and nothing waits until that is on disk. The journal is
 * read by nobody but the next start after a crash (recover.c). Two take turns: when one is full, or
 * some seconds old, the other is written to, and once the whole file system was synced the first is
 * emptied.
 *
 *  I1  A record is on disk when journal_write() returns RC_OK, and stays until its file is.
 *  I2  journal_erase() returns RC_OK when no record of the key is left on disk, nor its bytes.
 *  I3  A key has at most one record.
 *  I4  No sync is called again after one failed: `broken` is set and nothing is promised any more.
 *  I5  Records are written in order by one thread at a time, each sync after all of them: what is
 *      torn after a crash is behind all that was promised.
 *
 * Threads: any, all at once; they wait for the disk.
 */
#ifndef BLOB_FS_JOURNAL_H
#define BLOB_FS_JOURNAL_H
#include <stdatomic.h>

#include "blob/fs/record.h"

#define JOURNALS 2

struct journal;

/* What a writer holds of a journal: it is not emptied meanwhile. */
struct journal_hold {
    struct record record;
    unsigned file;
    unsigned entry;
};

/* The file's name in the store's directory: "journal-0" and "journal-1". */
const char *journal_name(unsigned number);

/*
 * Makes both files in the directory `root`, which is borrowed, and locks them; they have to be
 * empty. `broken` is borrowed, too; it is set after a failed sync, and `untold` with it when that
 * was no caller's. Errors: STORAGE_FULL, UNAVAILABLE (also when another process has them), IO.
 */
MUST_CHECK enum rc journal_new(int root, atomic_bool *broken, atomic_bool *untold,
                               struct journal **ret, struct err *err);

/* Empties them, if all files can be synced; else the next start replays them. */
void journal_free(struct journal **j);

/*
 * Takes room for a record with this key; the caller ends the hold with journal_release(). Errors:
 * BUSY (both are full: the disk is behind), CONFLICT (there is one of this key).
 */
MUST_CHECK enum rc journal_reserve(struct journal *j, const struct record *record,
                                   struct journal_hold *ret, struct err *err);

/*
 * Appends the record and returns when it is on disk. `buffer` has record_room() bytes; the first
 * sector is filled in here. Errors: STORAGE_FULL, UNAVAILABLE, IO (it is not there),
 * COMMIT_UNKNOWN.
 */
MUST_CHECK enum rc journal_write(struct journal *j, const struct journal_hold *hold,
                                 uint8_t *buffer, struct err *err);

/* `kept`: the record was written, and its file has its name. Else there must be no record. */
void journal_release(struct journal *j, const struct journal_hold *hold, bool kept);

/* Errors: UNAVAILABLE, IO, COMMIT_UNKNOWN. */
MUST_CHECK enum rc journal_erase(struct journal *j, const struct blob_key *key, struct err *err);

/* Empties what is written so far and waits for that: for tests. */
void journal_settle(struct journal *j);

#endif
