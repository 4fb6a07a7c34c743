// SPDX-License-Identifier: Apache-2.0
/*
 * link: ties between documents and the entities of a business.
 *
 *  I1  (document, entity type, entity id) is unique; the first link stays as it was made.
 */
#ifndef STORE_LINK_H
#define STORE_LINK_H
#include "store/document.h"
#include "store/entity.h"

struct link {
    struct id id; /* tells created_at */
    struct id document_id;
    enum entity_type entity_type;
    const char *entity_id;
    const char *role; /* NULL when absent */
};

/* Asks whether the triple is there; link_ensure() wants to know. */
MUST_CHECK enum rc link_ask(struct tx *tx, int64_t workspace, const struct link *l,
                            struct db_cursor **ret, struct err *err);

/*
 * Adds `l`; when the triple is there already, *l becomes what stands and *ret_new is false. `asked`
 * is the cursor of link_ask(). RERUN when another adds it at the same time; with DB_MANY_WRITERS as
 * late as the commit.
 */
MUST_CHECK enum rc link_ensure(struct tx *tx, int64_t workspace, struct link *l,
                               struct db_cursor *asked, bool *ret_new, struct err *err);

#define LINKS_SHOWN_MAX 1000 /* in one answer: a document may have any number of links */

/* Links of a document, oldest first, at most `limit` behind the first `offset`, in tx->pool. */
MUST_CHECK enum rc link_of_document(struct tx *tx, int64_t workspace, const struct id *document_id,
                                    int64_t limit, int64_t offset, struct link **ret, size_t *ret_n,
                                    struct err *err);

/*
 * The first LINKS_SHOWN_MAX in two steps, between which other questions can be asked:
 * link_ask_shown() gives the cursor that link_answer_shown() takes.
 */
MUST_CHECK enum rc link_ask_shown(struct tx *tx, int64_t workspace, const struct id *document_id,
                                  struct db_cursor **ret, struct err *err);
MUST_CHECK enum rc link_answer_shown(struct tx *tx, int64_t workspace, const struct id *document_id,
                                     struct db_cursor *asked, struct link **ret, size_t *ret_n,
                                     struct err *err);

/* NOT_FOUND when the document has no such link. */
MUST_CHECK enum rc link_delete(struct tx *tx, int64_t workspace, const struct id *document_id,
                               const struct id *link_id, struct err *err);

/* Removes every link of an entity; tells how many. */
MUST_CHECK enum rc link_detach_entity(struct tx *tx, int64_t workspace, enum entity_type type,
                                      const char *entity_id, int64_t *ret_n, struct err *err);

struct linked_document {
    struct document document;
    struct id link_id;
    const char *role;
};

/* A page of an entity's documents, the newest link first; `role` NULL: any. */
MUST_CHECK enum rc link_documents(struct tx *tx, int64_t workspace, enum entity_type type,
                                  const char *entity_id, const char *role, int64_t limit,
                                  int64_t offset, struct linked_document **ret, size_t *ret_n,
                                  int64_t *ret_total, struct err *err);

#endif
