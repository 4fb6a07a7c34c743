// SPDX-License-Identifier: Apache-2.0
/*
 * document_search: a search that is alone in its filter, through the texts of store/digest.h: fifty
 * times as many documents in the same time as row by row. Private to lists of documents.
 */
#ifndef STORE_DOCUMENT_SEARCH_H
#define STORE_DOCUMENT_SEARCH_H
#include "store/digest.h"

/* Whether it is better to read and sort so many of all documents than to go through them in the
 * order of the list, for a page. */
bool document_few(int64_t matches, int64_t documents);

/*
 * As document_list(). *ret_done is false when so many match that the order of the list has a page
 * of them soon; ret_total is set nevertheless.
 */
MUST_CHECK enum rc document_search(struct tx *tx, int64_t workspace,
                                   const struct document_filter *f, const struct digest *digest,
                                   struct document **ret, size_t *ret_n, int64_t *ret_total,
                                   bool *ret_done, struct err *err);

#endif
