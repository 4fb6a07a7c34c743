// SPDX-License-Identifier: Apache-2.0
/*
 * lease: work that one of many nodes does at a time.
 *
 * A lease ends by itself when its owner does not renew it, so the work of a node that died is taken
 * over. It keeps two nodes from doing the same in vain; it is no lock to rely on: what runs under
 * one must bear that another runs it too. Time is the database's, so that clocks need not agree.
 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H
#include "db/db.h"

/* Takes or renews the lease `name` for `life_ms`; *ret is false while another owner has it. */
MUST_CHECK enum rc lease_take(struct tx *tx, const char *name, const struct id *owner,
                              int64_t life_ms, bool *ret, struct err *err);

/* Gives it up, if it is still `owner`'s. */
MUST_CHECK enum rc lease_drop(struct tx *tx, const char *name, const struct id *owner,
                              struct err *err);

#endif
