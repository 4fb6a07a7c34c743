// SPDX-License-Identifier: Apache-2.0
#include "store/workspace.h"

#include "base/rand.h"
#include "store/audit_chain.h"

#define COLUMNS                                                                                    \
    "workspace_id, public_id, name, owner_id, verify_bytes, open_entities, quota_bytes,"           \
    " quota_documents, audit_days, created_at"

static const struct sql insert =
    SQL("INSERT INTO workspace (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
static const struct sql by_public_id =
    SQL("SELECT " COLUMNS " FROM workspace WHERE public_id = $1");
static const struct sql by_number =
    SQL("SELECT " COLUMNS " FROM workspace WHERE workspace_id = $1");
static const struct sql next_after =
    SQL("SELECT " COLUMNS " FROM workspace WHERE workspace_id > $1 ORDER BY workspace_id LIMIT 1");

static struct db_value
limit_value(int64_t v)
{
    return v < 0 ? db_null() : db_int(v);
}

enum rc
workspace_insert(struct tx *tx, struct workspace *w, struct err *err)
{
    uint64_t r;
    enum rc rc;

    rand_bytes(&r, sizeof(r));
    w->number = (int64_t)(r >> 1 | 1); /* positive and never 0 */
    w->owner_id = id_new();
    w->created_ms = tx->now_ms;
    rc = db_exec(tx->conn, &insert,
                 DB_ARGS(db_int(w->number), db_text(w->public_id), db_text(w->name),
                         db_id(&w->owner_id), db_int(w->verify_bytes), db_int(w->open_entities),
                         limit_value(w->quota_bytes), limit_value(w->quota_documents),
                         db_int(w->audit_days), db_int(w->created_ms)),
                 NULL, err);
    return rc ? rc : audit_chain_begin(tx, w->number, w->audit_days, err);
}

static void
read_row(struct db_cursor *c, TALLOC_CTX *pool, struct workspace *w)
{
    w->number = db_col_int(c, 0);
    w->public_id = db_col_strdup(c, 1, pool);
    w->name = db_col_strdup(c, 2, pool);
    (void)db_col_id(c, 3, &w->owner_id);
    w->verify_bytes = db_col_int(c, 4) != 0;
    w->open_entities = db_col_int(c, 5) != 0;
    w->quota_bytes = db_col_null(c, 6) ? -1 : db_col_int(c, 6);
    w->quota_documents = db_col_null(c, 7) ? -1 : db_col_int(c, 7);
    w->audit_days = db_col_int(c, 8);
    w->created_ms = db_col_int(c, 9);
}

static enum rc
read_one(struct tx *tx, const struct sql *sql, struct db_value by, struct workspace *ret,
         struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, sql, &by, 1, &c, err);

    if (!rc)
        read_row(c, tx->pool, ret);
    return rc;
}

enum rc
workspace_by_public_id(struct tx *tx, const char *public_id, struct workspace *ret, struct err *err)
{
    return read_one(tx, &by_public_id, db_text(public_id), ret, err);
}

enum rc
workspace_by_number(struct tx *tx, int64_t number, struct workspace *ret, struct err *err)
{
    return read_one(tx, &by_number, db_int(number), ret, err);
}

enum rc
workspace_after(struct tx *tx, int64_t number, struct workspace *ret, struct err *err)
{
    return read_one(tx, &next_after, db_int(number), ret, err);
}

enum rc
workspace_each(struct tx *tx,
               enum rc (*fn)(struct tx *tx, const struct workspace *w, void *arg, struct err *err),
               void *arg, struct err *err)
{
    struct workspace w = {.number = 0};
    enum rc rc;

    /* one query a step: `fn` may use the statement itself */
    for (;;) {
        rc = workspace_after(tx, w.number, &w, err);
        if (rc)
            return rc == RC_NOT_FOUND ? RC_OK : rc;
        rc = fn(tx, &w, arg, err);
        if (rc)
            return rc;
    }
}
