// SPDX-License-Identifier: Apache-2.0
#include "store/api_key.h"

#include "base/text.h"

#define COLUMNS                                                                                    \
    "k.workspace_id, k.id, k.secret_mac, k.name, k.description, k.prefix, k.permissions, k.tier,"  \
    " k.user_id, k.expires_at, k.revoked_at"

static const struct sql insert =
    SQL("INSERT INTO api_key (workspace_id, id, secret_mac, name, description, prefix,"
        " permissions, tier, user_id, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
static const struct sql insert_handle =
    SQL("INSERT INTO api_key_handle (handle, workspace_id, key_id) VALUES ($1, $2, $3)");
static const struct sql by_handle =
    SQL("SELECT " COLUMNS " FROM api_key_handle h JOIN api_key k"
        " ON k.workspace_id = h.workspace_id AND k.id = h.key_id WHERE h.handle = $1");
static const struct sql any = SQL("SELECT " COLUMNS " FROM api_key k LIMIT 1");
static const struct sql by_id =
    SQL("SELECT " COLUMNS " FROM api_key k WHERE k.workspace_id = $1 AND k.id = $2");
static const struct sql revoke = SQL("UPDATE api_key SET revoked_at = $3"
                                     " WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL");
static const struct sql count_active =
    SQL("SELECT count(*) FROM api_key WHERE workspace_id = $1 AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > $2) AND (permissions & $3) = $3");
static const struct sql all_of_workspace =
    SQL("SELECT " COLUMNS ", b.last_used_at FROM api_key k LEFT JOIN budget b"
        " ON b.workspace_id = k.workspace_id AND b.subject = k.id"
        " WHERE k.workspace_id = $1 ORDER BY k.id DESC");
static const struct sql find_workspace =
    SQL("SELECT workspace_id FROM api_key_handle WHERE key_id = $1");

enum rc
api_key_insert(struct tx *tx, const struct api_key *k, const char *handle, struct err *err)
{
    enum rc rc;

    rc = db_exec(tx->conn, &insert_handle,
                 DB_ARGS(db_text(handle), db_int(k->workspace), db_id(&k->id)), NULL, err);
    if (rc)
        return rc;
    return db_exec(tx->conn, &insert,
                   DB_ARGS(db_int(k->workspace), db_id(&k->id), db_blob(k->secret_mac, SHA256_LEN),
                           db_text(k->name), db_text(k->description), db_text(k->prefix),
                           db_int(k->permissions), db_int(k->tier), db_id(&k->user_id),
                           db_int(tx->now_ms),
                           k->expires_ms < 0 ? db_null() : db_int(k->expires_ms)),
                   NULL, err);
}

static void
read_row(struct db_cursor *c, TALLOC_CTX *pool, struct api_key *k)
{
    size_t len = 0;
    const void *mac;

    memset(k, 0, sizeof(*k));
    k->workspace = db_col_int(c, 0);
    (void)db_col_id(c, 1, &k->id);
    mac = db_col_blob(c, 2, &len);
    if (mac && len == SHA256_LEN)
        memcpy(k->secret_mac, mac, SHA256_LEN);
    k->name = db_col_strdup(c, 3, pool);
    k->description = db_col_strdup(c, 4, pool);
    k->prefix = db_col_strdup(c, 5, pool);
    k->permissions = (uint32_t)db_col_int(c, 6);
    k->tier = (int)db_col_int(c, 7);
    (void)db_col_id(c, 8, &k->user_id);
    k->expires_ms = db_col_null(c, 9) ? -1 : db_col_int(c, 9);
    k->revoked_ms = db_col_null(c, 10) ? -1 : db_col_int(c, 10);
    k->last_used_ms = -1;
}

enum rc
api_key_by_handle(struct tx *tx, const char *handle, struct api_key *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &by_handle, DB_ARGS(db_text(handle)), &c, err);

    if (!rc)
        read_row(c, tx->pool, ret);
    return rc;
}

enum rc
api_key_any(struct tx *tx, struct api_key *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &any, DB_NO_ARGS, &c, err);

    if (!rc)
        read_row(c, tx->pool, ret);
    return rc;
}

enum rc
api_key_read(struct tx *tx, int64_t workspace, const struct id *id, struct api_key *ret,
             struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &by_id, DB_ARGS(db_int(workspace), db_id(id)), &c, err);

    if (!rc)
        read_row(c, tx->pool, ret);
    return rc;
}

enum rc
api_key_revoke(struct tx *tx, int64_t workspace, const struct id *id, struct err *err)
{
    return db_exec(tx->conn, &revoke, DB_ARGS(db_int(workspace), db_id(id), db_int(tx->now_ms)),
                   NULL, err);
}

enum rc
api_key_count_active(struct tx *tx, int64_t workspace, uint32_t permissions, int64_t *ret,
                     struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc =
        db_query_one(tx->conn, &count_active,
                     DB_ARGS(db_int(workspace), db_int(tx->now_ms), db_int(permissions)), &c, err);

    if (!rc)
        *ret = db_col_int(c, 0);
    return rc;
}

static bool
matches(TALLOC_CTX *pool, const struct api_key *k, bool include_revoked, const char *search)
{
    if (k->revoked_ms >= 0 && !include_revoked)
        return false;
    if (!search)
        return true;
    return strstr(text_fold(pool, k->name), search) ||
           (k->description && strstr(text_fold(pool, k->description), search));
}

/* A workspace has few keys: they are read whole and filtered here. */
enum rc
api_key_list(struct tx *tx, int64_t workspace, bool include_revoked, const char *search,
             int64_t limit, int64_t offset, struct api_key **ret, size_t *ret_n, int64_t *ret_total,
             struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct api_key *keys = MEM_ARRAY(tx->pool, struct api_key, limit + 1), k;
    int64_t seen = 0;
    bool row = true;
    size_t n = 0;
    enum rc rc;

    rc = db_query(tx->conn, &all_of_workspace, DB_ARGS(db_int(workspace)), &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        read_row(c, tx->pool, &k);
        k.last_used_ms = db_col_null(c, 11) ? -1 : db_col_int(c, 11);
        if (!matches(tx->pool, &k, include_revoked, search))
            continue;
        if (seen++ >= offset && (int64_t)n < limit)
            keys[n++] = k;
    }
    *ret = keys;
    *ret_n = n;
    *ret_total = seen;
    return rc;
}

enum rc
api_key_find(struct tx *tx, const struct id *id, int64_t *ret_workspace, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &find_workspace, DB_ARGS(db_id(id)), &c, err);

    if (!rc)
        *ret_workspace = db_col_int(c, 0);
    return rc;
}
