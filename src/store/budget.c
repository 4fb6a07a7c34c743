// SPDX-License-Identifier: Apache-2.0
#include "store/budget.h"

static const struct sql read_one =
    SQL("SELECT day, used, last_used_at FROM budget WHERE workspace_id = $1 AND subject = $2");
static const struct sql write_one =
    SQL("INSERT INTO budget (workspace_id, subject, day, used, last_used_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (workspace_id, subject) DO UPDATE SET"
        " day = excluded.day, used = excluded.used, last_used_at = excluded.last_used_at");

enum rc
budget_read(struct tx *tx, int64_t workspace, const struct id *subject, struct budget *ret,
            struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc =
        db_query_one(tx->conn, &read_one, DB_ARGS(db_int(workspace), db_id(subject)), &c, err);

    if (rc)
        return rc;
    *ret = (struct budget){.workspace = workspace,
                           .subject = *subject,
                           .day = db_col_int(c, 0),
                           .used = db_col_int(c, 1),
                           .last_used_ms = db_col_int(c, 2)};
    return RC_OK;
}

enum rc
budget_write(struct tx *tx, const struct budget *b, struct err *err)
{
    return db_exec(tx->conn, &write_one,
                   DB_ARGS(db_int(b->workspace), db_id(&b->subject), db_int(b->day),
                           db_int(b->used), db_int(b->last_used_ms)),
                   NULL, err);
}
