// SPDX-License-Identifier: Apache-2.0
/* belong: a database and the store of bytes that belongs to it, and no other: store/blob_home.h */
#ifndef CMD_BELONG_H
#define CMD_BELONG_H
#include "blob/blob.h"
#include "db/db.h"

/* Whether the database has settled which store is its own. */
MUST_CHECK enum rc belong_known(struct db_conn *conn, bool *ret, struct err *err);

/*
 * Makes sure that the bytes of the database are in this store, and that of a database that has none
 * yet they will be, and of no other. `conn` is outside of transactions, and a writer unless the
 * store is known. Errors: INVALID (with a message for the operator), those of database and store.
 */
MUST_CHECK enum rc belong_together(struct db_conn *conn, struct blob_store *blobs, struct err *err);

#endif
