// SPDX-License-Identifier: Apache-2.0
/*
 * rows: the rows of a table as a file of JSON Lines in one canonical form.
 *
 *  I1  A line is an object with all columns in the order of the table, without spaces: numbers in
 *      decimal, bytes as lower-case hexadecimal, null where there is none, text as UTF-8 in which
 *      only '"', '\' and control characters below U+0020 are escaped, the latter as \u00xx.
 *      So the same rows make the same bytes.
 *
 * Threads: a writer or a reader belongs to one thread.
 */
#ifndef CMD_ROWS_H
#define CMD_ROWS_H
#include "base/crypto.h"
#include "store/dump.h"

struct rows_writer;
struct rows_reader;

/* What a file holds. */
struct rows_sum {
    int64_t rows;
    uint8_t sha256[SHA256_LEN];
};

/* Begins the new file `path`; NULL: only counts and hashes. The caller ends *ret with
 * rows_writer_free(). */
MUST_CHECK enum rc rows_create(const char *path, const struct dump_table *table,
                               struct rows_writer **ret, struct err *err);
/* INVALID: a text is no UTF-8. */
MUST_CHECK enum rc rows_write(struct rows_writer *w, const struct db_value *row, struct err *err);
/* Puts it on disk. Once only. */
MUST_CHECK enum rc rows_finish(struct rows_writer *w, struct rows_sum *ret, struct err *err);
void rows_writer_free(struct rows_writer **w);

/* Opens at the byte `at`, where a line begins. NOT_FOUND: there is no such file. */
MUST_CHECK enum rc rows_open(const char *path, const struct dump_table *table, int64_t at,
                             struct rows_reader **ret, struct err *err);
/* The next row, good until the one after; *ret is NULL at the end. INVALID: not in our form. */
MUST_CHECK enum rc rows_read(struct rows_reader *r, const struct db_value **ret, struct err *err);
/* Where the next line begins. */
int64_t rows_at(const struct rows_reader *r);
void rows_reader_free(struct rows_reader **r);

/* Counts and hashes a file as it is. */
MUST_CHECK enum rc rows_sum_file(const char *path, struct rows_sum *ret, struct err *err);

#endif
