// SPDX-License-Identifier: Apache-2.0
#include "store/object.h"

#define COLUMNS "storage_path, blob_id, size_bytes, sha256, created_at"

static const struct sql read_one =
    SQL("SELECT " COLUMNS " FROM object WHERE workspace_id = $1 AND storage_path = $2");
static const struct sql insert =
    SQL("INSERT INTO object (workspace_id, " COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6)");
static const struct sql delete_one =
    SQL("DELETE FROM object WHERE workspace_id = $1 AND storage_path = $2");
static const struct sql by_blob =
    SQL("SELECT 1 FROM object WHERE workspace_id = $1 AND blob_id = $2");
static const struct sql each =
    SQL_LARGE("SELECT " COLUMNS " FROM object WHERE workspace_id = $1 ORDER BY storage_path");
static const struct sql stale =
    SQL("SELECT " COLUMNS ", workspace_id FROM object WHERE created_at < $1"
        " ORDER BY created_at LIMIT $2");
static const struct sql redate = SQL("UPDATE object SET created_at = $1 WHERE created_at > $2");
static const struct sql use_url =
    SQL("INSERT INTO upload_used (workspace_id, id, expires_at) VALUES ($1, $2, $3)"
        " ON CONFLICT (workspace_id, id) DO NOTHING");
static const struct sql forget_urls =
    SQL("DELETE FROM upload_used WHERE (workspace_id, id) IN"
        " (SELECT workspace_id, id FROM upload_used WHERE expires_at < $1 LIMIT $2)");

static void
read_row(struct db_cursor *c, TALLOC_CTX *pool, struct object *o)
{
    size_t len = 0;
    const void *sha;

    o->storage_path = db_col_strdup(c, 0, pool);
    (void)db_col_id(c, 1, &o->blob_id);
    o->size_bytes = db_col_int(c, 2);
    sha = db_col_blob(c, 3, &len);
    memset(o->sha256, 0, sizeof(o->sha256));
    if (sha && len == SHA256_LEN)
        memcpy(o->sha256, sha, SHA256_LEN);
    o->created_ms = db_col_int(c, 4);
}

enum rc
object_read(struct tx *tx, int64_t workspace, const char *storage_path, struct object *ret,
            struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &read_one,
                              DB_ARGS(db_int(workspace), db_text(storage_path)), &c, err);

    if (!rc)
        read_row(c, tx->pool, ret);
    return rc;
}

enum rc
object_insert(struct tx *tx, int64_t workspace, const struct object *o, struct err *err)
{
    return db_exec(tx->conn, &insert,
                   DB_ARGS(db_int(workspace), db_text(o->storage_path), db_id(&o->blob_id),
                           db_int(o->size_bytes),
                           /* the column takes no NULL */
                           db_blob(o->sha256, sha256_known(o->sha256) ? SHA256_LEN : 0),
                           db_int(o->created_ms)),
                   NULL, err);
}

enum rc
object_delete(struct tx *tx, int64_t workspace, const char *storage_path, struct err *err)
{
    int64_t changed = 0;
    enum rc rc = db_exec(tx->conn, &delete_one, DB_ARGS(db_int(workspace), db_text(storage_path)),
                         &changed, err);

    if (!rc && changed == 0)
        rc = err_set(err, RC_RERUN, "another has taken the bytes");
    return rc;
}

enum rc
object_has_blob(struct tx *tx, int64_t workspace, const struct id *blob_id, bool *ret,
                struct err *err)
{
    return db_exists(tx->conn, &by_blob, DB_ARGS(db_int(workspace), db_id(blob_id)), ret, err);
}

enum rc
object_each(struct tx *tx, int64_t workspace,
            enum rc (*fn)(void *arg, const struct object *o, struct err *err), void *arg,
            struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc;

    rc = db_query(tx->conn, &each, DB_ARGS(db_int(workspace)), &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        SCOPED_POOL(pool);
        struct object o;

        read_row(c, pool, &o);
        rc = fn(arg, &o, err);
    }
    return rc;
}

enum rc
object_stale(struct tx *tx, int64_t before_ms, int64_t max, struct stale_object **ret,
             size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct stale_object *list = MEM_ARRAY(tx->pool, struct stale_object, max + 1);
    bool row = true;
    size_t n = 0;
    enum rc rc;

    rc = db_query(tx->conn, &stale, DB_ARGS(db_int(before_ms), db_int(max)), &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        read_row(c, tx->pool, &list[n].object);
        list[n++].workspace = db_col_int(c, 5);
    }
    *ret = list;
    *ret_n = n;
    return rc;
}

enum rc
object_redate(struct tx *tx, int64_t far_ms, struct err *err)
{
    return db_exec(tx->conn, &redate, DB_ARGS(db_int(tx->now_ms), db_int(far_ms)), NULL, err);
}

enum rc
object_use_url(struct tx *tx, int64_t workspace, const struct id *id, int64_t expires_ms,
               struct err *err)
{
    int64_t changed = 0;
    enum rc rc = db_exec(tx->conn, &use_url,
                         DB_ARGS(db_int(workspace), db_id(id), db_int(expires_ms)), &changed, err);

    if (!rc && changed == 0)
        rc = err_set(err, RC_BAD_SIGNATURE, "the upload URL was used before");
    return rc;
}

enum rc
object_forget_urls(struct tx *tx, int64_t before_ms, int64_t max, int64_t *ret_n, struct err *err)
{
    return db_exec(tx->conn, &forget_urls, DB_ARGS(db_int(before_ms), db_int(max)), ret_n, err);
}
