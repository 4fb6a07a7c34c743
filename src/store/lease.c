// SPDX-License-Identifier: Apache-2.0
#include "store/lease.h"

#define TAKE(now)                                                                                  \
    "INSERT INTO lease (workspace_id, name, owner, until_at) VALUES (0, $1, $2, " now " + $3)"     \
    " ON CONFLICT (workspace_id, name) DO UPDATE SET owner = excluded.owner,"                      \
    " until_at = excluded.until_at WHERE lease.owner = excluded.owner OR lease.until_at < " now

static const struct sql take = {
    .sqlite = TAKE("$4"),
    .pg = TAKE("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)") " AND $4 > 0",
};
static const struct sql drop =
    SQL("DELETE FROM lease WHERE workspace_id = 0 AND name = $1 AND owner = $2");

enum rc
lease_take(struct tx *tx, const char *name, const struct id *owner, int64_t life_ms, bool *ret,
           struct err *err)
{
    int64_t changed = 0;
    enum rc rc = db_exec(tx->conn, &take,
                         DB_ARGS(db_text(name), db_id(owner), db_int(life_ms), db_int(tx->now_ms)),
                         &changed, err);

    *ret = changed == 1;
    return rc;
}

enum rc
lease_drop(struct tx *tx, const char *name, const struct id *owner, struct err *err)
{
    return db_exec(tx->conn, &drop, DB_ARGS(db_text(name), db_id(owner)), NULL, err);
}
