// SPDX-License-Identifier: Apache-2.0
/*
 * blob_home: which store the bytes of this database are in.
 *
 * A node that was given another one would serve documents without bytes, and sweep the bytes of
 * others as ones that no row names.
 */
#ifndef STORE_BLOB_HOME_H
#define STORE_BLOB_HOME_H
#include "db/db.h"

/* The id that the store had; NOT_FOUND when none was noted yet. */
MUST_CHECK enum rc blob_home_read(struct tx *tx, struct id *ret, struct err *err);

/* Notes it, unless one was noted. */
MUST_CHECK enum rc blob_home_note(struct tx *tx, const struct id *id, struct err *err);

/* Notes another one: the bytes were moved to it. */
MUST_CHECK enum rc blob_home_move(struct tx *tx, const struct id *id, struct err *err);

#endif
