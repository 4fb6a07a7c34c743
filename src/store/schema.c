// SPDX-License-Identifier: Apache-2.0
#include "store/schema.h"

#include "base/clock.h"
#include "base/crash.h"
#include "store/audit_chain.h"
#include "store/secret_check.h"

static const char migration_0001_sqlite[] =
#include "0001_library.sqlite.inc"
    ;
static const char migration_0002_sqlite[] =
#include "0002_audit_seal.sqlite.inc"
    ;

static const struct migration {
    const char *sqlite;
    /* What SQL cannot do, in the same transaction. May be NULL. */
    enum rc (*finish)(struct tx *tx, struct err *err);
} migrations[] = {
    {.sqlite = migration_0001_sqlite},
    {.sqlite = migration_0002_sqlite, .finish = audit_chain_seal_all},
};

static const struct sql make_meta = SQL(
    "CREATE TABLE IF NOT EXISTS schema_version (only_row INTEGER PRIMARY KEY, version INTEGER)");
static const struct sql has_meta = {
    .sqlite = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'",
    .pg = "SELECT 1 FROM pg_tables WHERE tablename = 'schema_version'",
};
static const struct sql read_version = SQL("SELECT version FROM schema_version");
static const struct sql write_version =
    SQL("INSERT INTO schema_version (only_row, version) VALUES (1, $1)"
        " ON CONFLICT (only_row) DO UPDATE SET version = excluded.version");

int
schema_known(void)
{
    return (int)ARRAY_LEN(migrations);
}

enum rc
schema_version(struct db_conn *conn, int *ret, struct err *err)
{
    SCOPED(db_cursor) there = NULL;
    SCOPED(db_cursor) c = NULL;
    enum rc rc;

    *ret = 0;
    rc = db_query_one(conn, &has_meta, DB_NO_ARGS, &there, err);
    if (!rc)
        rc = db_query_one(conn, &read_version, DB_NO_ARGS, &c, err);
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    if (!rc)
        *ret = (int)db_col_int(c, 0);
    return rc;
}

static enum rc
finish(struct db_conn *conn, const struct migration *m, const uint8_t *audit_key, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms(), .audit_key = audit_key};

    return m->finish ? m->finish(&tx, err) : RC_OK;
}

static enum rc
check_secret(struct db_conn *conn, const uint8_t *audit_key, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms(), .audit_key = audit_key};
    enum rc rc = secret_check(&tx, err);

    if (rc != RC_NOT_FOUND)
        return rc; /* only read: a start does not wait for whoever has the database locked */
    rc = db_begin_write(conn, err);
    if (rc)
        return rc;
    rc = secret_check_note(&tx, err);
    if (!rc)
        return db_commit(conn, err);
    db_rollback(conn);
    return rc;
}

static enum rc
step(struct db_conn *conn, int version, const uint8_t *audit_key, struct err *err)
{
    const struct migration *m = &migrations[version - 1];
    enum rc rc;

    rc = db_begin_write(conn, err);
    if (!rc)
        rc = db_exec(conn, &make_meta, DB_NO_ARGS, NULL, err);
    if (!rc)
        rc = db_script(conn, m->sqlite, err);
    CRASH_POINT("migration.after-script");
    if (!rc)
        rc = finish(conn, m, audit_key, err);
    if (!rc)
        rc = db_exec(conn, &write_version, DB_ARGS(db_int(version)), NULL, err);
    CRASH_POINT("migration.before-commit");
    if (!rc)
        return db_commit(conn, err);
    db_rollback(conn);
    return rc;
}

enum rc
schema_migrate(struct db_conn *conn, const uint8_t *audit_key, int *ret_from, int *ret_to,
               struct err *err)
{
    int known = schema_known(), version = 0;
    enum rc rc;

    rc = schema_version(conn, &version, err);
    *ret_from = *ret_to = version;
    if (rc)
        return rc;
    if (version > known)
        return err_set(err, RC_INVALID,
                       "the database has schema version %d, this program knows up to %d: "
                       "use the newer program",
                       version, known);
    while (version < known) {
        rc = step(conn, version + 1, audit_key, err);
        if (rc)
            return rc;
        *ret_to = ++version;
        CRASH_POINT("migration.after-step");
    }
    return check_secret(conn, audit_key, err);
}
