// SPDX-License-Identifier: Apache-2.0
#include "store/purge.h"

#define COLUMNS "workspace_id, blob_id, document_id, size_bytes, due_at, hard"

#define INSERT                                                                                     \
    "INSERT INTO purge (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6)"                              \
    " ON CONFLICT (workspace_id, blob_id) DO UPDATE SET"
static const struct sql insert = {
    .sqlite = INSERT " due_at = min(purge.due_at, excluded.due_at),"
                     " hard = max(purge.hard, excluded.hard)",
    .pg = INSERT " due_at = least(purge.due_at, excluded.due_at),"
                 " hard = greatest(purge.hard, excluded.hard)",
};
static const struct sql of_document =
    SQL("SELECT " COLUMNS " FROM purge WHERE workspace_id = $1 AND document_id = $2 AND hard = 1");
/* alike, since each can be under way once at a time */
static const struct sql remove_one[] = {
    [0 ... 15] = SQL("DELETE FROM purge WHERE workspace_id = $1 AND blob_id = $2"
                     " RETURNING key_hash, fingerprint, answer")};
static const struct sql promise =
    SQL("UPDATE purge SET key_hash = $3, fingerprint = $4, answer = $5"
        " WHERE workspace_id = $1 AND blob_id = $2 AND key_hash IS NULL");
/*
 * Two ranges of one index, which an OR would read from end to end; each with a limit of its own,
 * or all that is due is read and sorted for each batch.
 */
#define RANGE(condition)                                                                           \
    "SELECT " COLUMNS " FROM (SELECT " COLUMNS " FROM purge WHERE " condition                      \
    " ORDER BY due_at LIMIT $3) r"
static const struct sql due =
    SQL(RANGE("due_at <= $1") " UNION ALL " RANGE("due_at > $2") " ORDER BY due_at LIMIT $3");
static const struct sql backlog =
    SQL("SELECT count(*), min(due_at) FROM purge WHERE due_at <= $1 OR due_at > $2");
static const struct sql waiting = SQL("SELECT count(*) FROM purge");
static const struct sql by_blob =
    SQL("SELECT 1 FROM purge WHERE workspace_id = $1 AND blob_id = $2");

static void
read_row(struct db_cursor *c, struct purge *p)
{
    p->workspace = db_col_int(c, 0);
    (void)db_col_id(c, 1, &p->blob_id);
    p->has_document = db_col_id(c, 2, &p->document_id);
    p->size_bytes = db_col_int(c, 3);
    p->due_ms = db_col_int(c, 4);
    p->hard = db_col_int(c, 5) != 0;
}

enum rc
purge_put(struct tx *tx, const struct purge *p, struct err *err)
{
    return db_exec_later(tx->conn, &insert,
                         DB_ARGS(db_int(p->workspace), db_id(&p->blob_id),
                                 p->has_document ? db_id(&p->document_id) : db_null(),
                                 db_int(p->size_bytes), db_int(p->due_ms), db_int(p->hard)),
                         err);
}

enum rc
purge_of_document(struct tx *tx, int64_t workspace, const struct id *document_id, struct purge *ret,
                  struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &of_document,
                              DB_ARGS(db_int(workspace), db_id(document_id)), &c, err);

    if (!rc)
        read_row(c, ret);
    return rc;
}

enum rc
purge_promise(struct tx *tx, int64_t workspace, const struct id *blob_id,
              const uint8_t key_hash[SHA256_LEN], const struct idempotency *answer, struct err *err)
{
    return db_exec(tx->conn, &promise,
                   DB_ARGS(db_int(workspace), db_id(blob_id), db_blob(key_hash, SHA256_LEN),
                           db_blob(answer->fingerprint, SHA256_LEN),
                           db_blob(answer->answer, answer->answer_len)),
                   NULL, err);
}

/* Moves what the removed entry promised to where kept answers are looked for. */
static enum rc
keep_promise(struct tx *tx, int64_t workspace, struct db_cursor *c, struct err *err)
{
    struct idempotency kept = {.completed_ms = tx->now_ms, .replaces = true};
    uint8_t key_hash[SHA256_LEN];
    size_t hash_len = 0, print_len = 0;
    const void *hash = db_col_blob(c, 0, &hash_len), *print;

    if (hash_len != SHA256_LEN)
        return RC_OK; /* none was made */
    memcpy(key_hash, hash, SHA256_LEN);
    print = db_col_blob(c, 1, &print_len);
    if (print_len != SHA256_LEN)
        return err_set(err, RC_INTERNAL, "a fingerprint of %zu bytes", print_len);
    memcpy(kept.fingerprint, print, SHA256_LEN);
    kept.answer = db_col_blob(c, 2, &kept.answer_len);
    return idempotency_write(tx, workspace, key_hash, &kept, INT64_MAX, err);
}

static enum rc
ask_done(struct tx *tx, int64_t workspace, const struct id *blob_id, size_t nth,
         struct db_cursor **ret, struct err *err)
{
    return db_query(tx->conn, &remove_one[nth], DB_ARGS(db_int(workspace), db_id(blob_id)), ret,
                    err);
}

static enum rc
answer_done(struct tx *tx, int64_t workspace, struct db_cursor *c, bool *ret_changed,
            struct err *err)
{
    enum rc rc = db_first(c, err);

    *ret_changed = rc == RC_OK;
    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    return keep_promise(tx, workspace, c, err);
}

enum rc
purge_done(struct tx *tx, int64_t workspace, const struct id *blob_id, bool *ret_changed,
           struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = ask_done(tx, workspace, blob_id, 0, &c, err);

    return rc ? rc : answer_done(tx, workspace, c, ret_changed, err);
}

/* As many as there are statements for. */
static enum rc
done_some(struct tx *tx, int64_t workspace, const struct purge *const *list, size_t n,
          bool *ret_changed, struct err *err)
{
    struct db_cursor *asked[ARRAY_LEN(remove_one)] = {0};
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n && !rc; i++)
        rc = ask_done(tx, workspace, &list[i]->blob_id, i, &asked[i], err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = answer_done(tx, workspace, asked[i], &ret_changed[i], err);
    for (size_t i = 0; i < n; i++)
        db_cursor_free(&asked[i]);
    return rc;
}

enum rc
purge_done_all(struct tx *tx, int64_t workspace, const struct purge *const *list, size_t n,
               bool *ret_changed, struct err *err)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n && !rc; i += ARRAY_LEN(remove_one)) {
        size_t some = n - i < ARRAY_LEN(remove_one) ? n - i : ARRAY_LEN(remove_one);

        rc = done_some(tx, workspace, list + i, some, ret_changed + i, err);
    }
    return rc;
}

enum rc
purge_due(struct tx *tx, int64_t now_ms, int64_t far_ms, int64_t max, struct purge **ret,
          size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct purge *list = MEM_ARRAY(tx->pool, struct purge, max + 1);
    bool row = true;
    size_t n = 0;
    enum rc rc;

    rc = db_query(tx->conn, &due, DB_ARGS(db_int(now_ms), db_int(far_ms), db_int(max)), &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row)
        read_row(c, &list[n++]);
    *ret = list;
    *ret_n = n;
    return rc;
}

enum rc
purge_backlog(struct tx *tx, int64_t now_ms, int64_t far_ms, int64_t *ret_waiting, int64_t *ret_due,
              int64_t *ret_oldest_ms, struct err *err)
{
    SCOPED(db_cursor) all = NULL;
    SCOPED(db_cursor) c = NULL;
    enum rc rc;

    rc = db_query_one(tx->conn, &waiting, DB_NO_ARGS, &all, err);
    if (!rc)
        rc = db_query_one(tx->conn, &backlog, DB_ARGS(db_int(now_ms), db_int(far_ms)), &c, err);
    if (rc)
        return rc;
    *ret_waiting = db_col_int(all, 0);
    *ret_due = db_col_int(c, 0);
    *ret_oldest_ms = db_col_null(c, 1) ? now_ms : db_col_int(c, 1);
    return RC_OK;
}

enum rc
purge_has_blob(struct tx *tx, int64_t workspace, const struct id *blob_id, bool *ret,
               struct err *err)
{
    return db_exists(tx->conn, &by_blob, DB_ARGS(db_int(workspace), db_id(blob_id)), ret, err);
}
