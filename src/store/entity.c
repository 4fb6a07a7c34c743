// SPDX-License-Identifier: Apache-2.0
#include "store/entity.h"

static const char *const names[] = {
    [ENTITY_CONTACT] = "contact", [ENTITY_COMPANY] = "company", [ENTITY_DEAL] = "deal",
    [ENTITY_EVENT] = "event",     [ENTITY_MATTER] = "matter",   [ENTITY_TASK] = "task",
};

static const struct sql read_one =
    SQL("SELECT name, created_at, updated_at FROM entity"
        " WHERE workspace_id = $1 AND entity_type = $2 AND entity_id = $3");
static const struct sql insert =
    SQL("INSERT INTO entity (workspace_id, entity_type, entity_id, name, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $5)"
        " ON CONFLICT (workspace_id, entity_type, entity_id) DO NOTHING");
static const struct sql update_name =
    SQL("UPDATE entity SET name = $4, updated_at = $5"
        " WHERE workspace_id = $1 AND entity_type = $2 AND entity_id = $3");
static const struct sql delete_one =
    SQL("DELETE FROM entity WHERE workspace_id = $1 AND entity_type = $2 AND entity_id = $3");

const char *
entity_type_name(enum entity_type type)
{
    BUG_ON(type < ENTITY_CONTACT || type >= ENTITY_MAX_);
    return names[type];
}

bool
entity_type_parse(const char *name, enum entity_type *ret)
{
    for (enum entity_type t = ENTITY_CONTACT; t < ENTITY_MAX_; t++) {
        if (streq(name, names[t])) {
            *ret = t;
            return true;
        }
    }
    return false;
}

enum rc
entity_ask(struct tx *tx, int64_t workspace, enum entity_type type, const char *id,
           struct db_cursor **ret, struct err *err)
{
    return db_query(tx->conn, &read_one, DB_ARGS(db_int(workspace), db_int(type), db_text(id)), ret,
                    err);
}

enum rc
entity_answer(struct tx *tx, enum entity_type type, const char *id, struct db_cursor *asked,
              struct entity *ret, struct err *err)
{
    enum rc rc = db_first(asked, err);

    if (rc)
        return rc;
    ret->type = type;
    ret->id = mem_strdup(tx->pool, id);
    ret->name = db_col_strdup(asked, 0, tx->pool);
    ret->created_ms = db_col_int(asked, 1);
    ret->updated_ms = db_col_int(asked, 2);
    return RC_OK;
}

enum rc
entity_read(struct tx *tx, int64_t workspace, enum entity_type type, const char *id,
            struct entity *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = entity_ask(tx, workspace, type, id, &c, err);

    return rc ? rc : entity_answer(tx, type, id, c, ret, err);
}

enum rc
entity_put(struct tx *tx, int64_t workspace, struct entity *e, bool rename, bool *ret_new,
           struct err *err)
{
    const char *name = e->name;
    int64_t changed = 0;
    enum rc rc;

    e->created_ms = e->updated_ms = tx->now_ms;
    rc = db_exec(tx->conn, &insert,
                 DB_ARGS(db_int(workspace), db_int(e->type), db_text(e->id), db_text(e->name),
                         db_int(tx->now_ms)),
                 &changed, err);
    *ret_new = changed == 1;
    if (rc || *ret_new)
        return rc;
    rc = entity_read(tx, workspace, e->type, e->id, e, err);
    if (rc || !rename)
        return rc;
    e->name = name;
    e->updated_ms = tx->now_ms;
    return db_exec(tx->conn, &update_name,
                   DB_ARGS(db_int(workspace), db_int(e->type), db_text(e->id), db_text(name),
                           db_int(tx->now_ms)),
                   NULL, err);
}

enum rc
entity_delete(struct tx *tx, int64_t workspace, enum entity_type type, const char *id,
              struct err *err)
{
    int64_t changed = 0;
    enum rc rc = db_exec(tx->conn, &delete_one,
                         DB_ARGS(db_int(workspace), db_int(type), db_text(id)), &changed, err);

    if (!rc && changed == 0)
        rc = err_set(err, RC_NOT_FOUND, "no such entity");
    return rc;
}
