// SPDX-License-Identifier: Apache-2.0
/*
 * dump_chain: the rows of audit_chain as they go out and in: the part of dump that knows of seals.
 *
 *  I1  What is told of a chain is what audit_verify() makes of it: a row whose seal is good is
 *      `sealed`, one whose seal is not, or that the first chain of its workspace does not know of,
 *      is not; a chain of which there should be a row and is none comes as a row without a seal.
 *  I2  So a trail that was broken stays broken, whatever number of chains the other engine has.
 */
#ifndef STORE_DUMP_CHAIN_H
#define STORE_DUMP_CHAIN_H
#include "store/dump.h"

/* As dump_next() and so on, for this table. */
MUST_CHECK enum rc dump_chain_next(struct tx *tx, struct dump_walk *walk, struct db_value **ret,
                                   size_t *ret_n, struct err *err);
MUST_CHECK enum rc dump_chain_put(struct tx *tx, const struct db_value *row, struct err *err);
MUST_CHECK enum rc dump_chain_seal_some(struct tx *tx, int64_t *after, struct err *err);

#endif
