// SPDX-License-Identifier: Apache-2.0
/*
 * schema: brings a database to the version this program knows.
 *
 * Migrations are numbered files, forward only, each in its own transaction with the new version:
 * a crash in the middle leaves the old version whole.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H
#include "db/db.h"

#define SCHEMA_SMALL_BLOBS 6 /* programs from there on know where the fs driver keeps small blobs */

/* The newest version this program knows. */
int schema_known(void);

/* The version of the database behind `conn`; 0 when it is empty. */
MUST_CHECK enum rc schema_version(struct db_conn *conn, int *ret, struct err *err);

/*
 * Runs what is missing on the writer `conn`; `audit_key` as in struct tx. *ret_from and *ret_to
 * tell what was done. A newer database is refused (INVALID) and not touched; so is, in the end, one
 * that was made with another secret.
 */
MUST_CHECK enum rc schema_migrate(struct db_conn *conn, const uint8_t *audit_key, int *ret_from,
                                  int *ret_to, struct err *err);

/* From now on programs that know no `version` as new as this one are refused, as by a migration. */
MUST_CHECK enum rc schema_refuse_older(struct db_conn *conn, int version, struct err *err);

#endif
