// SPDX-License-Identifier: Apache-2.0
/*
 * record: how small blobs stand in a journal that an older program left (recover.c).
 *
 * A journal begins with one sector that tells its number, a random one of this filling. Records
 * follow: a sector of header, then the bytes, filled up with zeros to a whole sector. A sector of
 * 512 bytes is what a disk writes whole or not at all, so that a header is never half of each.
 *
 *  I1  Nobody outside knows the number of a filling: neither what an earlier one left in the blocks
 *      of the file nor a client's bytes are taken for a record.
 *
 * Threads: any.
 */
#ifndef BLOB_FS_RECORD_H
#define BLOB_FS_RECORD_H
#include "blob/blob.h"

#define RECORD_SECTOR 512
#define RECORD_NUMBER_LEN 16
#define RECORD_SIZE_MAX KIB(256) /* of the bytes: no record has more */

struct record {
    struct blob_key key;
    int64_t size;
    uint8_t sha256[SHA256_LEN];
    bool erased; /* its bytes are gone, and it is not replayed */
};

/* Bytes of the journal that a record with so many bytes takes. */
static inline size_t
record_room(int64_t size)
{
    return (size_t)(RECORD_SECTOR + (size + RECORD_SECTOR - 1) / RECORD_SECTOR * RECORD_SECTOR);
}

/* Reads the first sector of a filling. False: it is none. */
MUST_CHECK bool record_begin_read(const uint8_t sector[RECORD_SECTOR],
                                  uint8_t ret_number[RECORD_NUMBER_LEN]);

/* Reads the header of a record. False: it is none of this filling. */
MUST_CHECK bool record_read(const uint8_t number[RECORD_NUMBER_LEN],
                            const uint8_t sector[RECORD_SECTOR], struct record *ret);

#endif
