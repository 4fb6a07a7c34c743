// SPDX-License-Identifier: Apache-2.0
#include "store/budget.h"

#define CLOCKS_MS 60000 /* between the clocks of nodes */

static const struct sql read_one =
    SQL("SELECT day, used, last_used_at FROM budget WHERE workspace_id = $1 AND subject = $2");
/*
 * $6: from when on a time in the row is of a clock that was ahead, and not of another node whose
 * clock differs a little: around midnight some nodes are in the next day already.
 */
static const struct sql add_one =
    SQL("INSERT INTO budget (workspace_id, subject, day, used, last_used_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (workspace_id, subject) DO UPDATE SET"
        " day = CASE WHEN budget.day > excluded.day AND budget.last_used_at < $6"
        " THEN budget.day ELSE excluded.day END,"
        " used = CASE WHEN budget.day = excluded.day THEN budget.used + excluded.used"
        " WHEN budget.day > excluded.day AND budget.last_used_at < $6 THEN budget.used"
        " ELSE excluded.used END,"
        " last_used_at = CASE WHEN budget.last_used_at > excluded.last_used_at"
        " AND budget.last_used_at < $6 THEN budget.last_used_at ELSE excluded.last_used_at END"
        " RETURNING day, used, last_used_at");

static struct budget
row(struct db_cursor *c, int64_t workspace, const struct id *subject)
{
    return (struct budget){.workspace = workspace,
                           .subject = *subject,
                           .day = db_col_int(c, 0),
                           .used = db_col_int(c, 1),
                           .last_used_ms = db_col_int(c, 2)};
}

enum rc
budget_read(struct tx *tx, int64_t workspace, const struct id *subject, struct budget *ret,
            struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc =
        db_query_one(tx->conn, &read_one, DB_ARGS(db_int(workspace), db_id(subject)), &c, err);

    if (rc)
        return rc;
    *ret = row(c, workspace, subject);
    return RC_OK;
}

enum rc
budget_add(struct tx *tx, const struct budget *added, struct budget *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &add_one,
                              DB_ARGS(db_int(added->workspace), db_id(&added->subject),
                                      db_int(added->day), db_int(added->used),
                                      db_int(added->last_used_ms), db_int(tx->now_ms + CLOCKS_MS)),
                              &c, err);

    if (rc)
        return rc;
    *ret = row(c, added->workspace, &added->subject);
    return RC_OK;
}
