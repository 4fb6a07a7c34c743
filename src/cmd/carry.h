// SPDX-License-Identifier: Apache-2.0
/*
 * carry: the bytes that the rows of an export name, from one store to another, several at a time.
 *
 *  I1  A blob gets into the target only after all its bytes were found to be what its row says.
 *      What was there before is told by its size; carry_verify() reads all of it again.
 *  I2  What cannot be had from the source is noted, and the others are carried all the same.
 *
 * A row may say no SHA-256 (the bytes came to the store without us). Then the export notes the one
 * that it found, in the table of hashes beside the rows.
 *
 * Threads: one; it has others work for it.
 */
#ifndef CMD_CARRY_H
#define CMD_CARRY_H
#include "blob/blob.h"
#include "cmd/command.h"
#include "cmd/manifest.h"

#define CARRY_SHOWN 100 /* of the faults */

struct carry {
    struct command_env *env;
    const char *dir;    /* of the rows */
    const char *suffix; /* of their files' names, behind ".jsonl" */
    bool notes_hashes;  /* this is the export */
    bool fresh;         /* the target was found empty: nobody need look at it for each blob */
    struct blob_store *from, *to;
    int64_t all_blobs, all_bytes; /* how many the rows name */

    /* Of the last run. */
    int64_t lost;                 /* the source does not have them, or cannot read them */
    int64_t faulty;               /* those, and those that are not what their row says */
    uint8_t lost_sum[SHA256_LEN]; /* tells which were lost */
    json_t *faults;               /* the first of the faulty ones; the caller's to drop */
    int64_t rejected;             /* removed by carry_verify() */
    struct rows_sum hashes;       /* written, with notes_hashes */
    /* Of all runs. */
    int64_t copied_blobs, copied_bytes, verified_blobs;
};

/* The file of a table in the directory of `c`, in `pool`. */
char *carry_path(TALLOC_CTX *pool, const struct carry *c, const char *table);

/* How many bytes a row of `table` names, and whether any: for all_blobs and all_bytes. */
bool carry_names(const struct dump_table *table, const struct db_value *row, int64_t *ret_bytes);

/* The table of hashes. */
const struct dump_table *carry_hashes(void);

/* Copies what the target does not have, or not in that size. */
MUST_CHECK enum rc carry_copy(struct carry *c, struct err *err);

/* Reads all in the target again and removes what is not as its row says. */
MUST_CHECK enum rc carry_verify(struct carry *c, struct err *err);

/* Removes from the target what no row names. */
MUST_CHECK enum rc carry_prune(struct carry *c, struct err *err);

/* What export and import answer: what there is, what was done, what could not be. */
json_t *carry_report(const struct carry *c, const struct manifest *m, bool finished);

#endif
