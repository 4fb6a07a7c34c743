// SPDX-License-Identifier: Apache-2.0
#include "store/importing.h"

static const struct sql noted = {
    .sqlite = "SELECT 1 FROM sqlite_master WHERE name = 'importing'",
    .pg = "SELECT 1 FROM pg_tables WHERE tablename = 'importing'"
          " AND schemaname = current_schema()",
};
/* whoever opens a file has its lock */
static const struct sql others = {
    .sqlite = "SELECT 1 WHERE 0",
    .pg = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
          " AND application_name = current_setting('application_name')"
          " AND pid <> pg_backend_pid() LIMIT 1",
};
/* no table of the schema: it is there as long as it is needed */
static const struct sql make = {
    .sqlite = "CREATE TABLE importing (only_row INTEGER PRIMARY KEY, owner BLOB, export BLOB,"
              " step INTEGER, at INTEGER)",
    .pg = "CREATE TABLE importing (only_row BIGINT PRIMARY KEY, owner BYTEA, export BYTEA,"
          " step BIGINT, at BIGINT)",
};
static const struct sql insert =
    SQL("INSERT INTO importing (only_row, export, step, at) VALUES (1, $1, 0, 0)");
static const struct sql take = SQL("UPDATE importing SET owner = $1 WHERE only_row = 1");
#define READ "SELECT owner, export, step, at FROM importing WHERE only_row = 1"
static const struct sql read = {.sqlite = READ, .pg = READ " FOR UPDATE"};
static const struct sql update =
    SQL("UPDATE importing SET export = $1, step = $2, at = $3 WHERE only_row = 1");
static const struct sql drop = SQL("DROP TABLE importing");

enum rc
importing_noted(struct tx *tx, bool *ret, struct err *err)
{
    return db_exists(tx->conn, &noted, DB_NO_ARGS, ret, err);
}

enum rc
importing_alone(struct tx *tx, bool *ret, struct err *err)
{
    bool any = false;
    enum rc rc = db_exists(tx->conn, &others, DB_NO_ARGS, &any, err);

    *ret = !any;
    return rc;
}

enum rc
importing_begin(struct tx *tx, const uint8_t export[SHA256_LEN], struct err *err)
{
    enum rc rc = db_exec(tx->conn, &make, DB_NO_ARGS, NULL, err);

    return rc ? rc : db_exec(tx->conn, &insert, DB_ARGS(db_blob(export, SHA256_LEN)), NULL, err);
}

enum rc
importing_take(struct tx *tx, const struct id *owner, struct err *err)
{
    return db_exec(tx->conn, &take, DB_ARGS(db_id(owner)), NULL, err);
}

enum rc
importing_read(struct tx *tx, const struct id *owner, struct importing *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct id now;
    const void *export;
    size_t len = 0;
    enum rc rc = db_query_one(tx->conn, &read, DB_NO_ARGS, &c, err);

    if (rc)
        return rc;
    if (!db_col_id(c, 0, &now) || !id_equal(&now, owner))
        return err_set(err, RC_CONFLICT, "another import into this database has begun");
    *ret = (struct importing){.step = db_col_int(c, 2), .at = db_col_int(c, 3)};
    export = db_col_blob(c, 1, &len);
    if (export && len == SHA256_LEN)
        memcpy(ret->export, export, SHA256_LEN);
    return RC_OK;
}

enum rc
importing_write(struct tx *tx, const struct importing *im, struct err *err)
{
    return db_exec_later(tx->conn, &update,
                         DB_ARGS(db_blob(im->export, SHA256_LEN), db_int(im->step), db_int(im->at)),
                         err);
}

enum rc
importing_end(struct tx *tx, struct err *err)
{
    return db_exec(tx->conn, &drop, DB_NO_ARGS, NULL, err);
}
