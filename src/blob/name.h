// SPDX-License-Identifier: Apache-2.0
/*
 * name: what a blob is called where names are texts: a path below the store's root, in a directory
 * of files and in a bucket alike, so that the one can be copied to the other as it is.
 *
 *   objects/ab/cd/<16 hex of the workspace>-<32 hex of the id>   ab, cd: last two bytes of the id
 *
 * These bytes are random, so blobs are spread evenly, whenever they were made.
 *
 *  I1  One name for one key: digits are lower case.
 */
#ifndef BLOB_NAME_H
#define BLOB_NAME_H
#include "blob/blob.h"

#define ID_HEX 32
#define WORKSPACE_HEX 16
#define NAME_HEX (WORKSPACE_HEX + 1 + ID_HEX)
#define NAME_FOLDER "objects/"
#define NAME_PATH_LEN (sizeof(NAME_FOLDER "ab/cd/") - 1 + NAME_HEX)

/* The last part of the path. */
void name_of(const struct blob_key *key, char out[NAME_HEX + 1]);
MUST_CHECK bool name_parse(const char *name, struct blob_key *ret);

/* The whole path. */
void name_path(const struct blob_key *key, char out[NAME_PATH_LEN + 1]);
MUST_CHECK bool name_parse_path(const char *path, struct blob_key *ret);

/* Reads 2 * len digits at the start of `text`, lower case only. */
MUST_CHECK bool name_hex(const char *text, uint8_t *out, size_t len);

#endif
