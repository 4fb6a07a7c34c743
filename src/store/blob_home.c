// SPDX-License-Identifier: Apache-2.0
#include "store/blob_home.h"

#define READ "SELECT id, settled FROM blob_home WHERE only_row = 1"
static const struct sql read_row = SQL(READ);
static const struct sql lock_row = {.sqlite = READ, .pg = READ " FOR UPDATE"};
static const struct sql note = SQL("INSERT INTO blob_home (only_row, id, settled) VALUES (1, $1, 0)"
                                   " ON CONFLICT (only_row) DO NOTHING");
static const struct sql settle = SQL("UPDATE blob_home SET settled = 1 WHERE only_row = 1");
static const struct sql move =
    SQL("INSERT INTO blob_home (only_row, id, settled) VALUES (1, $1, 1)"
        " ON CONFLICT (only_row) DO UPDATE SET id = excluded.id, settled = 1");

static enum rc
read_by(struct tx *tx, const struct sql *sql, struct blob_home *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, sql, DB_NO_ARGS, &c, err);

    if (!rc) {
        (void)db_col_id(c, 0, &ret->id);
        ret->settled = db_col_int(c, 1) != 0;
    }
    return rc;
}

enum rc
blob_home_read(struct tx *tx, struct blob_home *ret, struct err *err)
{
    return read_by(tx, &read_row, ret, err);
}

enum rc
blob_home_lock(struct tx *tx, struct blob_home *ret, struct err *err)
{
    return read_by(tx, &lock_row, ret, err);
}

enum rc
blob_home_note(struct tx *tx, const struct id *id, struct err *err)
{
    return db_exec(tx->conn, &note, DB_ARGS(db_id(id)), NULL, err);
}

enum rc
blob_home_settle(struct tx *tx, struct err *err)
{
    return db_exec(tx->conn, &settle, DB_NO_ARGS, NULL, err);
}

enum rc
blob_home_move(struct tx *tx, const struct id *id, struct err *err)
{
    return db_exec(tx->conn, &move, DB_ARGS(db_id(id)), NULL, err);
}
