// SPDX-License-Identifier: Apache-2.0
#include "store/incoming.h"

#define COLUMNS "workspace_id, storage_path, upload_id, sha256, expires_at, key_id, user_id"

static const struct sql insert =
    SQL("INSERT INTO incoming (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7)");
static const struct sql at =
    SQL("SELECT " COLUMNS " FROM incoming WHERE workspace_id = $1 AND storage_path = $2"
        " ORDER BY upload_id DESC LIMIT $3");
static const struct sql expired =
    SQL("SELECT " COLUMNS " FROM incoming WHERE expires_at < $1 ORDER BY expires_at LIMIT $2");
static const struct sql delete_one = SQL("DELETE FROM incoming WHERE workspace_id = $1"
                                         " AND storage_path = $2 AND upload_id = $3");

enum rc
incoming_insert(struct tx *tx, const struct incoming *in, struct err *err)
{
    return db_exec_later(tx->conn, &insert,
                         DB_ARGS(db_int(in->workspace), db_text(in->storage_path),
                                 db_id(&in->upload_id),
                                 in->has_sha256 ? db_blob(in->sha256, SHA256_LEN) : db_null(),
                                 db_int(in->expires_ms), db_id(&in->key_id), db_id(&in->user_id)),
                         err);
}

static enum rc
read_rows(struct tx *tx, const struct sql *sql, const struct db_value *values, size_t n,
          int64_t max, struct incoming **ret, size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct incoming *list = MEM_ARRAY(tx->pool, struct incoming, max + 1);
    bool row = true;
    enum rc rc = db_query(tx->conn, sql, values, n, &c, err);

    *ret = list;
    *ret_n = 0;
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        struct incoming *in = &list[(*ret_n)++];
        size_t len = 0;
        const void *sha;

        *in = (struct incoming){.workspace = db_col_int(c, 0),
                                .storage_path = db_col_strdup(c, 1, tx->pool),
                                .expires_ms = db_col_int(c, 4)};
        (void)db_col_id(c, 2, &in->upload_id);
        (void)db_col_id(c, 5, &in->key_id);
        (void)db_col_id(c, 6, &in->user_id);
        sha = db_col_blob(c, 3, &len);
        in->has_sha256 = sha && len == SHA256_LEN;
        if (in->has_sha256)
            memcpy(in->sha256, sha, SHA256_LEN);
    }
    return rc;
}

enum rc
incoming_at(struct tx *tx, int64_t workspace, const char *storage_path, int64_t max,
            struct incoming **ret, size_t *ret_n, struct err *err)
{
    return read_rows(tx, &at, DB_ARGS(db_int(workspace), db_text(storage_path), db_int(max)), max,
                     ret, ret_n, err);
}

enum rc
incoming_expired(struct tx *tx, int64_t before_ms, int64_t max, struct incoming **ret,
                 size_t *ret_n, struct err *err)
{
    return read_rows(tx, &expired, DB_ARGS(db_int(before_ms), db_int(max)), max, ret, ret_n, err);
}

enum rc
incoming_delete(struct tx *tx, const struct incoming *in, bool *ret_changed, struct err *err)
{
    int64_t changed = 0;
    enum rc rc =
        db_exec(tx->conn, &delete_one,
                DB_ARGS(db_int(in->workspace), db_text(in->storage_path), db_id(&in->upload_id)),
                &changed, err);

    *ret_changed = changed == 1;
    return rc;
}
