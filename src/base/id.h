// SPDX-License-Identifier: Apache-2.0
/*
 * id: 128-bit identifiers (UUID version 7, RFC 9562) and their three spellings.
 *
 *  I1  Ids of one process grow strictly, also when the wall clock is set back; after
 *      id_resume(), so do those of one process after another.
 *  I2  The first 48 bits are milliseconds since 1970: the id of an object tells when it was made,
 *      and sorting by id is sorting by creation.
 *
 * Spellings: records "doc_" + 26 characters of Crockford base32 (a ULID's alphabet, upper case);
 * upload: the canonical UUID; docs: 26 digits of lower-case base36.
 */
#ifndef BASE_ID_H
#define BASE_ID_H
#include "base/base.h"

struct id {
    uint8_t b[16];
};

/* Kinds of object with an id; each has a prefix in the records spelling. */
enum id_kind {
    ID_DOCUMENT,
    ID_LINK,
    ID_USER,
    ID_KEY,
    ID_LOG,
    ID_FOLDER,
    ID_DOCS,
    ID_REQUEST,
    ID_UPLOAD
};

enum id_spelling { ID_RECORDS, ID_UUID, ID_BASE36 };

#define ID_TEXT_LEN 40 /* the longest spelling and NUL */

/* A new id. Thread-safe. */
struct id id_new(void);

/* Tells an id of an earlier process: those made from now on are greater. */
void id_resume(const struct id *newest);

/* The smallest id made at `ms` or later: a bound for "created at or after". */
struct id id_floor(int64_t ms);

int64_t id_time_ms(const struct id *id);
bool id_equal(const struct id *a, const struct id *b);

void id_format(const struct id *id, enum id_kind kind, enum id_spelling how, char out[ID_TEXT_LEN]);

/* Reads any of the three spellings of `kind`. False when it is none: no such object exists. */
bool id_parse(const char *text, enum id_kind kind, struct id *ret);

#endif
