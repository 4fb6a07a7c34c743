// SPDX-License-Identifier: Apache-2.0
/*
 * A sector: magic 8, kind 1, zeros 7, number 16, workspace 8, id 16, size 8, SHA-256 32, zeros, and
 * in the last 32 bytes the SHA-256 of all before. Numbers are little-endian.
 */
#include "blob/fs/record.h"

#include <endian.h>

#define MAGIC "DossJrn1"
#define AT_KIND 8
#define AT_NUMBER 16
#define AT_WORKSPACE 32
#define AT_ID 40
#define AT_SIZE 56
#define AT_SHA256 64
#define AT_CHECK (RECORD_SECTOR - SHA256_LEN)

enum kind { BEGIN = 1, BLOB = 2, ERASED = 3 };

static int64_t
get_number(const uint8_t *at)
{
    uint64_t le;

    memcpy(&le, at, sizeof(le));
    return (int64_t)le64toh(le);
}

static bool
is_whole(const uint8_t sector[RECORD_SECTOR])
{
    uint8_t check[SHA256_LEN];

    if (memcmp(sector, MAGIC, sizeof(MAGIC) - 1) != 0)
        return false;
    crypto_sha256(sector, AT_CHECK, check);
    return memcmp(check, sector + AT_CHECK, sizeof(check)) == 0;
}

bool
record_begin_read(const uint8_t sector[RECORD_SECTOR], uint8_t ret_number[RECORD_NUMBER_LEN])
{
    if (!is_whole(sector) || sector[AT_KIND] != BEGIN)
        return false;
    memcpy(ret_number, sector + AT_NUMBER, RECORD_NUMBER_LEN);
    return true;
}

bool
record_read(const uint8_t number[RECORD_NUMBER_LEN], const uint8_t sector[RECORD_SECTOR],
            struct record *ret)
{
    if (!is_whole(sector) || (sector[AT_KIND] != BLOB && sector[AT_KIND] != ERASED) ||
        memcmp(sector + AT_NUMBER, number, RECORD_NUMBER_LEN) != 0)
        return false;
    ret->erased = sector[AT_KIND] == ERASED;
    ret->key.workspace = get_number(sector + AT_WORKSPACE);
    memcpy(ret->key.id.b, sector + AT_ID, sizeof(ret->key.id.b));
    ret->size = get_number(sector + AT_SIZE);
    memcpy(ret->sha256, sector + AT_SHA256, SHA256_LEN);
    return ret->key.workspace >= 0 && ret->size >= 0 && ret->size <= RECORD_SIZE_MAX;
}
