// SPDX-License-Identifier: Apache-2.0
#include "store/reference.h"

static const char *const names[] = {
    [REFERENCE_TEMPLATE] = "template", [REFERENCE_WORKFLOW] = "workflow"};

static const struct sql insert =
    SQL("INSERT INTO document_reference (workspace_id, document_id, ref_type, ref_id, created_at)"
        " VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (workspace_id, document_id, ref_type, ref_id) DO NOTHING");
static const struct sql delete_one =
    SQL("DELETE FROM document_reference WHERE workspace_id = $1 AND document_id = $2"
        " AND ref_type = $3 AND ref_id = $4");
static const struct sql list =
    SQL("SELECT ref_type, ref_id, created_at FROM document_reference"
        " WHERE workspace_id = $1 AND document_id = $2 ORDER BY ref_type, ref_id LIMIT $3");

const char *
reference_type_name(enum reference_type type)
{
    return names[type];
}

bool
reference_type_parse(const char *name, enum reference_type *ret)
{
    for (enum reference_type t = REFERENCE_TEMPLATE; t < REFERENCE_MAX_; t++) {
        if (streq(name, names[t])) {
            *ret = t;
            return true;
        }
    }
    return false;
}

enum rc
reference_put(struct tx *tx, int64_t workspace, const struct id *document_id,
              enum reference_type type, const char *ref_id, bool *ret_changed, struct err *err)
{
    int64_t changed = 0;
    enum rc rc = db_exec(tx->conn, &insert,
                         DB_ARGS(db_int(workspace), db_id(document_id), db_int(type),
                                 db_text(ref_id), db_int(tx->now_ms)),
                         &changed, err);

    *ret_changed = changed > 0;
    return rc;
}

enum rc
reference_delete(struct tx *tx, int64_t workspace, const struct id *document_id,
                 enum reference_type type, const char *ref_id, bool *ret_changed, struct err *err)
{
    int64_t changed = 0;
    enum rc rc =
        db_exec(tx->conn, &delete_one,
                DB_ARGS(db_int(workspace), db_id(document_id), db_int(type), db_text(ref_id)),
                &changed, err);

    *ret_changed = changed > 0;
    return rc;
}

enum rc
reference_ask(struct tx *tx, int64_t workspace, const struct id *document_id, size_t max,
              struct db_cursor **ret, struct err *err)
{
    return db_query(
        tx->conn, &list,
        DB_ARGS(db_int(workspace), db_id(document_id), db_int(max ? (int64_t)max : INT64_MAX)), ret,
        err);
}

enum rc
reference_answer(struct tx *tx, struct db_cursor *asked, struct reference **ret, size_t *ret_n,
                 struct err *err)
{
    struct reference *refs = NULL;
    bool row = true;
    size_t n = 0;
    enum rc rc = RC_OK;

    while (!rc && (rc = db_next(asked, &row, err)) == RC_OK && row) {
        refs = talloc_realloc(tx->pool, refs, struct reference, (unsigned)n + 1);
        BUG_ON(!refs);
        refs[n++] = (struct reference){.type = (enum reference_type)db_col_int(asked, 0),
                                       .ref_id = db_col_strdup(asked, 1, tx->pool),
                                       .created_ms = db_col_int(asked, 2)};
    }
    *ret = refs;
    *ret_n = n;
    return rc;
}

enum rc
reference_list(struct tx *tx, int64_t workspace, const struct id *document_id, size_t max,
               struct reference **ret, size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = reference_ask(tx, workspace, document_id, max, &c, err);

    return rc ? rc : reference_answer(tx, c, ret, ret_n, err);
}
