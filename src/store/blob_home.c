// SPDX-License-Identifier: Apache-2.0
#include "store/blob_home.h"

static const struct sql read_id = SQL("SELECT id FROM blob_home WHERE only_row = 1");
static const struct sql note =
    SQL("INSERT INTO blob_home (only_row, id) VALUES (1, $1) ON CONFLICT (only_row) DO NOTHING");
static const struct sql move = SQL("INSERT INTO blob_home (only_row, id) VALUES (1, $1)"
                                   " ON CONFLICT (only_row) DO UPDATE SET id = excluded.id");

enum rc
blob_home_read(struct tx *tx, struct id *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &read_id, DB_NO_ARGS, &c, err);

    if (!rc)
        (void)db_col_id(c, 0, ret);
    return rc;
}

enum rc
blob_home_note(struct tx *tx, const struct id *id, struct err *err)
{
    return db_exec(tx->conn, &note, DB_ARGS(db_id(id)), NULL, err);
}

enum rc
blob_home_move(struct tx *tx, const struct id *id, struct err *err)
{
    return db_exec(tx->conn, &move, DB_ARGS(db_id(id)), NULL, err);
}
