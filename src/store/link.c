// SPDX-License-Identifier: Apache-2.0
#include "store/link.h"

#include <stdlib.h>

#include "store/document_row.h"

static const struct sql insert =
    SQL("INSERT INTO link (workspace_id, document_id, entity_type, entity_id, id, role)"
        " VALUES ($1, $2, $3, $4, $5, $6)");
static const struct sql by_triple =
    SQL("SELECT id, role FROM link WHERE workspace_id = $1 AND document_id = $2"
        " AND entity_type = $3 AND entity_id = $4");
#define OF_DOCUMENT                                                                                \
    "SELECT id, entity_type, entity_id, role FROM link"                                            \
    " WHERE workspace_id = $1 AND document_id = $2"
static const struct sql of_document = SQL(OF_DOCUMENT " ORDER BY id LIMIT $3 OFFSET $4");
/* In no order: SQLite makes a table to sort into even when there is nothing to sort. */
static const struct sql some_of_document = SQL(OF_DOCUMENT " LIMIT $3");
static const struct sql delete_one =
    SQL("DELETE FROM link WHERE workspace_id = $1 AND document_id = $2 AND id = $3");
static const struct sql delete_entity =
    SQL("DELETE FROM link WHERE workspace_id = $1 AND entity_type = $2 AND entity_id = $3");
/*
 * Without a role the index alone answers. With one, SQLite would rather go through all links of the
 * workspace by the primary key than look up the rows of one entity.
 */
#define OF_ENTITY " WHERE workspace_id = $1 AND entity_type = $2 AND entity_id = $3"
#define IN_ROLE " AND role = $4"
#define COUNT(from, condition) "SELECT count(*) FROM " from OF_ENTITY condition
static const struct sql count_entity[] = {
    {.sqlite = COUNT("link INDEXED BY link_entity", ""), .pg = COUNT("link", "")},
    {.sqlite = COUNT("link INDEXED BY link_entity", IN_ROLE), .pg = COUNT("link", IN_ROLE)},
};
/* The page is cut before rows are looked up. Without a role $4 is there all the same. */
#define PAGE(from, condition)                                                                      \
    "SELECT d.id, d.name, d.description, d.mime_type, d.size_bytes, d.storage_path, d.folder,"     \
    " d.tags, d.created_by, d.updated_at, d.blob_id, d.sha256, l.id, l.role"                       \
    " FROM (SELECT document_id, id FROM " from OF_ENTITY condition                                 \
    " ORDER BY id DESC LIMIT $5 OFFSET $6) p JOIN link l ON l.workspace_id = $1"                   \
    " AND l.document_id = p.document_id AND l.entity_type = $2 AND l.entity_id = $3"               \
    " JOIN document d ON d.workspace_id = $1 AND d.id = p.document_id ORDER BY l.id DESC"
#define ANY_ROLE " AND CAST($4 AS TEXT) IS NULL"
/* PostgreSQL's planner, without statistics, would take the cut page for a thousand rows. */
#define PAGE_PG                                                                                    \
    "SELECT d.id, d.name, d.description, d.mime_type, d.size_bytes, d.storage_path, d.folder,"     \
    " d.tags, d.created_by, d.updated_at, d.blob_id, d.sha256, l.id, l.role"                       \
    " FROM link l JOIN document d ON d.workspace_id = l.workspace_id AND d.id = l.document_id"     \
    " WHERE l.workspace_id = $1 AND l.entity_type = $2 AND l.entity_id = $3"                       \
    " AND (CAST($4 AS TEXT) IS NULL OR l.role = $4) ORDER BY l.id DESC LIMIT $5 OFFSET $6"
static const struct sql page_entity[] = {
    {.sqlite = PAGE("link INDEXED BY link_entity", ANY_ROLE), .pg = PAGE_PG},
    {.sqlite = PAGE("link INDEXED BY link_entity", IN_ROLE), .pg = PAGE_PG},
};

enum rc
link_ask(struct tx *tx, int64_t workspace, const struct link *l, struct db_cursor **ret,
         struct err *err)
{
    return db_query(tx->conn, &by_triple,
                    DB_ARGS(db_int(workspace), db_id(&l->document_id), db_int(l->entity_type),
                            db_text(l->entity_id)),
                    ret, err);
}

enum rc
link_ensure(struct tx *tx, int64_t workspace, struct link *l, struct db_cursor *asked,
            bool *ret_new, struct err *err)
{
    enum rc rc = db_first(asked, err);

    *ret_new = rc == RC_NOT_FOUND;
    if (*ret_new)
        return db_insert_later(tx->conn, &insert,
                               DB_ARGS(db_int(workspace), db_id(&l->document_id),
                                       db_int(l->entity_type), db_text(l->entity_id), db_id(&l->id),
                                       db_text(l->role)),
                               RC_RERUN, err);
    if (rc)
        return rc;
    (void)db_col_id(asked, 0, &l->id);
    l->role = db_col_strdup(asked, 1, tx->pool);
    return RC_OK;
}

static enum rc
read_links(struct tx *tx, const struct id *document_id, struct db_cursor *c, struct link **ret,
           size_t *ret_n, struct err *err)
{
    struct link *links = NULL;
    bool row = true;
    size_t n = 0;
    enum rc rc = RC_OK;

    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        /* room doubles: 1, 2, 4 … */
        if ((n & (n - 1)) == 0)
            links = talloc_realloc(tx->pool, links, struct link, (unsigned)(n ? n * 2 : 1));
        BUG_ON(!links);
        (void)db_col_id(c, 0, &links[n].id);
        links[n].document_id = *document_id;
        links[n].entity_type = (enum entity_type)db_col_int(c, 1);
        links[n].entity_id = db_col_strdup(c, 2, tx->pool);
        links[n].role = db_col_strdup(c, 3, tx->pool);
        n++;
    }
    *ret = links;
    *ret_n = n;
    return rc;
}

enum rc
link_of_document(struct tx *tx, int64_t workspace, const struct id *document_id, int64_t limit,
                 int64_t offset, struct link **ret, size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query(
        tx->conn, &of_document,
        DB_ARGS(db_int(workspace), db_id(document_id), db_int(limit), db_int(offset)), &c, err);

    return rc ? rc : read_links(tx, document_id, c, ret, ret_n, err);
}

enum rc
link_ask_shown(struct tx *tx, int64_t workspace, const struct id *document_id,
               struct db_cursor **ret, struct err *err)
{
    return db_query(tx->conn, &some_of_document,
                    DB_ARGS(db_int(workspace), db_id(document_id), db_int(LINKS_SHOWN_MAX + 1)),
                    ret, err);
}

static int
by_id(const void *a, const void *b)
{
    return memcmp(&((const struct link *)a)->id, &((const struct link *)b)->id, sizeof(struct id));
}

enum rc
link_answer_shown(struct tx *tx, int64_t workspace, const struct id *document_id,
                  struct db_cursor *asked, struct link **ret, size_t *ret_n, struct err *err)
{
    enum rc rc = read_links(tx, document_id, asked, ret, ret_n, err);

    if (!rc && *ret_n > LINKS_SHOWN_MAX) /* which are the first, only the database can say */
        return link_of_document(tx, workspace, document_id, LINKS_SHOWN_MAX, 0, ret, ret_n, err);
    if (!rc && *ret_n > 1)
        qsort(*ret, *ret_n, sizeof(**ret), by_id);
    return rc;
}

enum rc
link_delete(struct tx *tx, int64_t workspace, const struct id *document_id,
            const struct id *link_id, struct err *err)
{
    int64_t changed = 0;
    enum rc rc =
        db_exec(tx->conn, &delete_one,
                DB_ARGS(db_int(workspace), db_id(document_id), db_id(link_id)), &changed, err);

    if (!rc && changed == 0)
        rc = err_set(err, RC_NOT_FOUND, "no such link");
    return rc;
}

enum rc
link_detach_entity(struct tx *tx, int64_t workspace, enum entity_type type, const char *entity_id,
                   int64_t *ret_n, struct err *err)
{
    return db_exec(tx->conn, &delete_entity,
                   DB_ARGS(db_int(workspace), db_int(type), db_text(entity_id)), ret_n, err);
}

static enum rc
count_links(struct tx *tx, int64_t workspace, enum entity_type type, const char *entity_id,
            const char *role, int64_t *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct db_value values[] = {db_int(workspace), db_int(type), db_text(entity_id), db_text(role)};
    enum rc rc = db_query_one(tx->conn, &count_entity[role != NULL], values, role ? 4 : 3, &c, err);

    if (!rc)
        *ret = db_col_int(c, 0);
    return rc;
}

enum rc
link_documents(struct tx *tx, int64_t workspace, enum entity_type type, const char *entity_id,
               const char *role, int64_t limit, int64_t offset, struct linked_document **ret,
               size_t *ret_n, int64_t *ret_total, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct linked_document *docs = MEM_ARRAY(tx->pool, struct linked_document, limit + 1);
    bool row = true;
    size_t n = 0;
    enum rc rc;

    rc = count_links(tx, workspace, type, entity_id, role, ret_total, err);
    if (!rc)
        rc = db_query(tx->conn, &page_entity[role != NULL],
                      DB_ARGS(db_int(workspace), db_int(type), db_text(entity_id), db_text(role),
                              db_int(limit), db_int(offset)),
                      &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        document_row_read(c, tx->pool, &docs[n].document);
        (void)db_col_id(c, 12, &docs[n].link_id);
        docs[n++].role = db_col_strdup(c, 13, tx->pool);
    }
    *ret = docs;
    *ret_n = n;
    return rc;
}
