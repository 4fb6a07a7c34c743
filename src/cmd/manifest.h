// SPDX-License-Identifier: Apache-2.0
/*
 * manifest: what a finished export holds, as its manifest.json says.
 *
 *  I1  It says nothing of when, where or from which engine it was made: the same library has the
 *      same manifest.
 *  I2  Its own hash is in it, over all that it says, and stands for the whole export.
 */
#ifndef CMD_MANIFEST_H
#define CMD_MANIFEST_H
#include <jansson.h>

#include "cmd/rows.h"

#define MANIFEST_FORMAT 1
#define MANIFEST_HASHES "hashes" /* the table of hashes (carry.h) */

struct manifest {
    struct rows_sum tables[DUMP_TABLES];
    struct rows_sum hashes; /* of MANIFEST_HASHES */
    int64_t blobs;
    int64_t bytes;
    uint8_t secret[SHA256_LEN]; /* secret_check_mac() of secret.key */
    uint8_t sha256[SHA256_LEN]; /* I2 */
};

/* A new reference; fills in m->sha256. */
json_t *manifest_json(struct manifest *m);

/*
 * Reads the one of the export `dir`. INVALID: there is none, or it is of another kind or of a
 * format that this program does not know; IO: it is damaged. The detail is fit to be shown.
 */
MUST_CHECK enum rc manifest_read(const char *dir, struct manifest *ret, struct err *err);

/* {"workspace":3,…}: how many rows. */
json_t *manifest_counts(const struct manifest *m);

#endif
