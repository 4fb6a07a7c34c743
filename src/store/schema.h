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

#endif
