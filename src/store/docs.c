// SPDX-License-Identifier: Apache-2.0
#include "store/docs.h"

static const struct sql entity_insert =
    SQL("INSERT INTO docs_entity (entity_id, workspace_id, id, trust_header, created_at)"
        " VALUES ($1, $2, $3, $4, $5)");
static const struct sql entity_read =
    SQL("SELECT workspace_id, id, trust_header FROM docs_entity WHERE entity_id = $1");
static const struct sql user_by_id =
    SQL("SELECT id, external_id FROM docs_user WHERE workspace_id = $1 AND id = $2");
static const struct sql user_by_external =
    SQL("SELECT id, external_id FROM docs_user WHERE workspace_id = $1 AND external_id = $2");
static const struct sql user_insert =
    SQL("INSERT INTO docs_user (workspace_id, id, external_id) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING");
static const struct sql insert =
    SQL("INSERT INTO docs (workspace_id, id, type, status, owner_id) VALUES ($1, $2, $3, $4, $5)");
static const struct sql by_id =
    SQL("SELECT d.id, d.type, d.status, u.id, u.external_id FROM docs d JOIN docs_user u"
        " ON u.workspace_id = d.workspace_id AND u.id = d.owner_id"
        " WHERE d.workspace_id = $1 AND d.id = $2");
static const struct sql by_external =
    SQL("SELECT d.id, d.type, d.status, u.id, u.external_id FROM docs_user u JOIN docs d"
        " ON d.workspace_id = u.workspace_id AND d.owner_id = u.id"
        " WHERE u.workspace_id = $1 AND u.external_id = $2 ORDER BY d.id");
static const struct sql set_status =
    SQL("UPDATE docs SET status = $3 WHERE workspace_id = $1 AND id = $2");

enum rc
docs_entity_insert(struct tx *tx, const struct docs_entity *e, struct err *err)
{
    return db_exec(tx->conn, &entity_insert,
                   DB_ARGS(db_text(e->entity_id), db_int(e->workspace), db_id(&e->id),
                           db_int(e->trust_header), db_int(tx->now_ms)),
                   NULL, err);
}

enum rc
docs_entity_read(struct tx *tx, const char *entity_id, struct docs_entity *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &entity_read, DB_ARGS(db_text(entity_id)), &c, err);

    if (rc)
        return rc;
    ret->entity_id = mem_strdup(tx->pool, entity_id);
    ret->workspace = db_col_int(c, 0);
    (void)db_col_id(c, 1, &ret->id);
    ret->trust_header = db_col_int(c, 2) != 0;
    return RC_OK;
}

static enum rc
read_user(struct tx *tx, const struct sql *sql, int64_t workspace, const char *by,
          struct docs_user *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, sql, DB_ARGS(db_int(workspace), db_text(by)), &c, err);

    if (rc)
        return rc;
    ret->id = db_col_strdup(c, 0, tx->pool);
    ret->external_id = db_col_strdup(c, 1, tx->pool);
    return RC_OK;
}

enum rc
docs_user_by_id(struct tx *tx, int64_t workspace, const char *id, struct docs_user *ret,
                struct err *err)
{
    return read_user(tx, &user_by_id, workspace, id, ret, err);
}

enum rc
docs_user_by_external(struct tx *tx, int64_t workspace, const char *external_id,
                      struct docs_user *ret, struct err *err)
{
    return read_user(tx, &user_by_external, workspace, external_id, ret, err);
}

enum rc
docs_user_insert(struct tx *tx, int64_t workspace, const struct docs_user *u, struct err *err)
{
    int64_t changed = 0;
    enum rc rc =
        db_exec(tx->conn, &user_insert,
                DB_ARGS(db_int(workspace), db_text(u->id), db_text(u->external_id)), &changed, err);

    if (!rc && changed == 0)
        rc = err_set(err, RC_RERUN, "another has made this user");
    return rc;
}

enum rc
docs_insert(struct tx *tx, int64_t workspace, const struct docs *d, struct err *err)
{
    return db_exec(tx->conn, &insert,
                   DB_ARGS(db_int(workspace), db_id(&d->id), db_text(d->type), db_text(d->status),
                           db_text(d->owner.id)),
                   NULL, err);
}

static void
read_row(struct db_cursor *c, TALLOC_CTX *pool, struct docs *d)
{
    (void)db_col_id(c, 0, &d->id);
    d->type = db_col_strdup(c, 1, pool);
    d->status = db_col_strdup(c, 2, pool);
    d->owner.id = db_col_strdup(c, 3, pool);
    d->owner.external_id = db_col_strdup(c, 4, pool);
}

enum rc
docs_read(struct tx *tx, int64_t workspace, const struct id *id, struct docs *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &by_id, DB_ARGS(db_int(workspace), db_id(id)), &c, err);

    if (!rc)
        read_row(c, tx->pool, ret);
    return rc;
}

enum rc
docs_set_status(struct tx *tx, int64_t workspace, const struct id *id, const char *status,
                struct err *err)
{
    int64_t changed = 0;
    enum rc rc = db_exec(tx->conn, &set_status,
                         DB_ARGS(db_int(workspace), db_id(id), db_text(status)), &changed, err);

    if (!rc && changed == 0)
        rc = err_set(err, RC_NOT_FOUND, "no such Docs object");
    return rc;
}

enum rc
docs_of_external(struct tx *tx, int64_t workspace, const char *external_id, struct docs **ret,
                 size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct docs *list = NULL;
    bool row = true;
    size_t n = 0;
    enum rc rc;

    rc =
        db_query(tx->conn, &by_external, DB_ARGS(db_int(workspace), db_text(external_id)), &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        list = talloc_realloc(tx->pool, list, struct docs, (unsigned)n + 1);
        BUG_ON(!list);
        read_row(c, tx->pool, &list[n++]);
    }
    *ret = list;
    *ret_n = n;
    return rc;
}
