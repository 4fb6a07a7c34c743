// SPDX-License-Identifier: Apache-2.0
#include "store/idempotency.h"

static const struct sql read_one = SQL("SELECT fingerprint, answer, completed_at FROM idempotency"
                                       " WHERE workspace_id = $1 AND key_hash = $2");
static const struct sql insert = SQL("INSERT INTO idempotency (workspace_id, key_hash, fingerprint,"
                                     " answer, completed_at) VALUES ($1, $2, $3, $4, $5)");
static const struct sql replace =
    SQL("INSERT INTO idempotency (workspace_id, key_hash, fingerprint, answer, completed_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (workspace_id, key_hash) DO UPDATE SET"
        " fingerprint = excluded.fingerprint, answer = excluded.answer,"
        " completed_at = excluded.completed_at WHERE idempotency.completed_at < $6");
static const struct sql expire =
    SQL("DELETE FROM idempotency WHERE (workspace_id, key_hash) IN"
        " (SELECT workspace_id, key_hash FROM idempotency WHERE completed_at < $1 LIMIT $2)");
static const struct sql redate =
    SQL("UPDATE idempotency SET completed_at = $1 WHERE completed_at > $2");
static const struct sql backlog =
    SQL("SELECT count(*), min(completed_at) FROM idempotency WHERE completed_at < $1");

enum rc
idempotency_read(struct tx *tx, int64_t workspace, const uint8_t key_hash[SHA256_LEN],
                 int64_t not_before_ms, struct idempotency *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    size_t len = 0;
    const void *p;
    enum rc rc;

    ret->replaces = false;
    rc = db_query_one(tx->conn, &read_one,
                      DB_ARGS(db_int(workspace), db_blob(key_hash, SHA256_LEN)), &c, err);
    if (rc)
        return rc;
    ret->completed_ms = db_col_int(c, 2);
    ret->replaces = ret->completed_ms < not_before_ms;
    if (ret->replaces)
        return err_set(err, RC_NOT_FOUND, "the answer is too old");
    p = db_col_blob(c, 0, &len);
    if (len != SHA256_LEN)
        return err_set(err, RC_INTERNAL, "a fingerprint of %zu bytes", len);
    memcpy(ret->fingerprint, p, SHA256_LEN);
    p = db_col_blob(c, 1, &ret->answer_len);
    ret->answer = mem_dup(tx->pool, p, ret->answer_len);
    return RC_OK;
}

enum rc
idempotency_write(struct tx *tx, int64_t workspace, const uint8_t key_hash[SHA256_LEN],
                  const struct idempotency *r, int64_t expired_ms, struct err *err)
{
    struct db_value values[] = {db_int(workspace),
                                db_blob(key_hash, SHA256_LEN),
                                db_blob(r->fingerprint, SHA256_LEN),
                                db_blob(r->answer, r->answer_len),
                                db_int(r->completed_ms),
                                db_int(expired_ms)};
    int64_t changed = 0;
    enum rc rc;

    if (!r->replaces)
        return db_insert_later(tx->conn, &insert, values, ARRAY_LEN(values) - 1, RC_RERUN, err);
    rc = db_exec(tx->conn, &replace, values, ARRAY_LEN(values), &changed, err);
    if (!rc && changed == 0)
        rc = err_set(err, RC_RERUN, "a request with the same key came first");
    return rc;
}

enum rc
idempotency_expire(struct tx *tx, int64_t before_ms, int64_t max, int64_t *ret_n, struct err *err)
{
    return db_exec(tx->conn, &expire, DB_ARGS(db_int(before_ms), db_int(max)), ret_n, err);
}

enum rc
idempotency_redate(struct tx *tx, int64_t far_ms, struct err *err)
{
    return db_exec(tx->conn, &redate, DB_ARGS(db_int(tx->now_ms), db_int(far_ms)), NULL, err);
}

enum rc
idempotency_backlog(struct tx *tx, int64_t before_ms, int64_t *ret_n, int64_t *ret_oldest_ms,
                    struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &backlog, DB_ARGS(db_int(before_ms)), &c, err);

    if (rc)
        return rc;
    *ret_n = db_col_int(c, 0);
    *ret_oldest_ms = db_col_null(c, 1) ? before_ms : db_col_int(c, 1);
    return RC_OK;
}
