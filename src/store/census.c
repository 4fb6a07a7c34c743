// SPDX-License-Identifier: Apache-2.0
#include "store/census.h"

static const struct sql documents =
    SQL("SELECT id, storage_path, blob_id, size_bytes, sha256 FROM document"
        " WHERE workspace_id = $1 AND id > $2 AND blob_id IS NOT NULL ORDER BY id LIMIT $3");
static const struct sql objects =
    SQL("SELECT NULL, storage_path, blob_id, size_bytes, sha256 FROM object"
        " WHERE workspace_id = $1 AND storage_path > $2 ORDER BY storage_path LIMIT $3");
/* row by row: over ten million of them one statement would take longer than a server lets it */
static const struct sql document_sizes =
    SQL_LARGE("SELECT coalesce(size_bytes, 0) FROM document WHERE workspace_id = $1");
static const struct sql object_sizes =
    SQL_LARGE("SELECT coalesce(size_bytes, 0) FROM object WHERE workspace_id = $1");
static const struct sql links =
    SQL_LARGE("SELECT id, CASE WHEN EXISTS (SELECT 1 FROM document WHERE document.workspace_id = $1"
              " AND document.id = link.document_id) THEN 1 ELSE 0 END"
              " FROM link WHERE workspace_id = $1 ORDER BY id");

/* By the number of a chain's last line: a LIMIT for each workspace would not go to the shards. */
static const struct sql newest =
    SQL("SELECT (SELECT a.id FROM audit a WHERE a.workspace_id = c.workspace_id"
        " AND a.chain = c.chain AND a.seq = c.lines) AS id FROM audit_chain c WHERE c.lines > 0"
        " ORDER BY id DESC NULLS LAST LIMIT 1");

static void
read_row(struct db_cursor *c, TALLOC_CTX *pool, struct census_row *r)
{
    size_t len = 0;
    const void *sha;

    r->is_object = !db_col_id(c, 0, &r->document_id);
    r->storage_path = db_col_strdup(c, 1, pool);
    (void)db_col_id(c, 2, &r->blob_id);
    r->size_bytes = db_col_null(c, 3) ? -1 : db_col_int(c, 3);
    sha = db_col_blob(c, 4, &len);
    if (sha && len == SHA256_LEN)
        memcpy(r->sha256, sha, SHA256_LEN);
}

static enum rc
read_page(struct tx *tx, const struct sql *sql, const struct db_value values[3],
          struct census_row **ret, size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct census_row *list = MEM_ARRAY(tx->pool, struct census_row, values[2].number);
    bool row = true;
    size_t n = 0;
    enum rc rc;

    rc = db_query(tx->conn, sql, values, 3, &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row)
        read_row(c, tx->pool, &list[n++]);
    *ret = list;
    *ret_n = n;
    return rc;
}

enum rc
census_documents(struct tx *tx, int64_t workspace, const struct id *after, int64_t max,
                 struct census_row **ret, size_t *ret_n, struct err *err)
{
    struct db_value values[3] = {db_int(workspace), db_id(after), db_int(max)};

    return read_page(tx, &documents, values, ret, ret_n, err);
}

enum rc
census_objects(struct tx *tx, int64_t workspace, const char *after, int64_t max,
               struct census_row **ret, size_t *ret_n, struct err *err)
{
    struct db_value values[3] = {db_int(workspace), db_text(after), db_int(max)};

    return read_page(tx, &objects, values, ret, ret_n, err);
}

static enum rc
add_sizes(struct tx *tx, const struct sql *sql, int64_t workspace, int64_t *rows, int64_t *bytes,
          struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc = db_query(tx->conn, sql, DB_ARGS(db_int(workspace)), &c, err);

    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        *rows += 1;
        *bytes += db_col_int(c, 0);
    }
    return rc;
}

enum rc
census_totals(struct tx *tx, int64_t workspace, int64_t *ret_documents, int64_t *ret_bytes,
              struct err *err)
{
    int64_t n_objects = 0;
    enum rc rc;

    *ret_documents = *ret_bytes = 0;
    rc = add_sizes(tx, &document_sizes, workspace, ret_documents, ret_bytes, err);
    return rc ? rc : add_sizes(tx, &object_sizes, workspace, &n_objects, ret_bytes, err);
}

enum rc
census_dangling_links(struct tx *tx, int64_t workspace, int64_t max, struct id **ret, size_t *ret_n,
                      struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct id *list = MEM_ARRAY(tx->pool, struct id, max);
    bool row = true;
    size_t n = 0;
    enum rc rc;

    rc = db_query(tx->conn, &links, DB_ARGS(db_int(workspace)), &c, err);
    while (!rc && (int64_t)n < max && (rc = db_next(c, &row, err)) == RC_OK && row) {
        if (!db_col_int(c, 1))
            (void)db_col_id(c, 0, &list[n++]);
    }
    *ret = list;
    *ret_n = n;
    return rc;
}

enum rc
census_newest(struct tx *tx, struct id *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &newest, DB_NO_ARGS, &c, err);

    if (rc)
        return rc;
    return db_col_id(c, 0, ret) ? RC_OK : err_set(err, RC_NOT_FOUND, "no line in any audit trail");
}
