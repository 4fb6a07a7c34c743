// SPDX-License-Identifier: Apache-2.0
#include "store/schema.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "store/audit_chain.h"
#include "store/secret_check.h"

#define WITH_OLDEST 3 /* the first version that says who can work beside it */
#define RERUNS_MAX 50
#define RERUN_PAUSE_US 100000

static const char migration_0001_sqlite[] =
#include "0001_library.sqlite.inc"
    ;
static const char migration_0001_pg[] =
#include "0001_library.pg.inc"
    ;
static const char migration_0002_sqlite[] =
#include "0002_audit_seal.sqlite.inc"
    ;

static const char migration_0003_sqlite[] =
#include "0003_nodes.sqlite.inc"
    ;

static const char migration_0004_sqlite[] =
#include "0004_digest.sqlite.inc"
    ;

static const char migration_0005_sqlite[] =
#include "0005_kept_answers.sqlite.inc"
    ;

static const char migration_0006_sqlite[] =
#include "0006_small_blobs.sqlite.inc"
    ;

/*
 * `oldest`: the oldest program, by the version it knows, that can go on working beside the newer
 * ones once this step is done. A step that changes what that one relies on comes a release later.
 */
static const struct migration {
    struct sql script; /* NULL: nothing to do there */
    int oldest;
    /* What SQL cannot do, in the same transaction. May be NULL. */
    enum rc (*finish)(struct tx *tx, struct err *err);
} migrations[] = {
    /* on PostgreSQL, which came with version 3, the first one brings all of these */
    {.script = {migration_0001_sqlite, migration_0001_pg}, .oldest = 1},
    {.script = {migration_0002_sqlite, NULL}, .oldest = 2, .finish = audit_chain_seal_all},
    {.script = {migration_0003_sqlite, NULL}, .oldest = 3},
    /* only where there is one writer, and an older one would not keep it up */
    {.script = {migration_0004_sqlite, NULL}, .oldest = 4},
    /* the statements of those of version 4 work with it as they are */
    {.script = {migration_0005_sqlite, NULL}, .oldest = 4},
    {.script = {migration_0006_sqlite, NULL}, .oldest = 6},
};

static const struct sql make_meta = {
    .sqlite = "CREATE TABLE IF NOT EXISTS schema_version"
              " (only_row INTEGER PRIMARY KEY, version INTEGER)",
    .pg = "CREATE TABLE IF NOT EXISTS schema_version"
          " (only_row BIGINT PRIMARY KEY, version BIGINT, oldest BIGINT)",
};
static const struct sql has_meta = {
    .sqlite = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'",
    .pg = "SELECT 1 FROM pg_tables WHERE tablename = 'schema_version'"
          " AND schemaname = current_schema()",
};
static const struct sql begin_meta = SQL("INSERT INTO schema_version (only_row, version)"
                                         " VALUES (1, 0) ON CONFLICT (only_row) DO NOTHING");
static const struct sql read_version = SQL("SELECT version FROM schema_version WHERE only_row = 1");
static const struct sql lock_version = {
    .sqlite = "SELECT version FROM schema_version WHERE only_row = 1",
    .pg = "SELECT version FROM schema_version WHERE only_row = 1 FOR UPDATE",
};
static const struct sql write_version =
    SQL("UPDATE schema_version SET version = $1 WHERE only_row = 1");
/* there from version 3 on */
static const struct sql write_oldest =
    SQL("UPDATE schema_version SET oldest = $1 WHERE only_row = 1");
static const struct sql read_oldest = SQL("SELECT oldest FROM schema_version WHERE only_row = 1");
static const struct sql raise_oldest =
    SQL("UPDATE schema_version SET oldest = $1 WHERE only_row = 1 AND oldest < $1");

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
note_secret(struct db_conn *conn, struct tx *tx, struct err *err)
{
    enum rc rc = db_begin_write(conn, err);

    if (rc)
        return rc;
    rc = secret_check_note(tx, err);
    if (!rc)
        return db_commit(conn, err);
    db_rollback(conn);
    return rc;
}

static enum rc
check_secret(struct db_conn *conn, const uint8_t *audit_key, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms(), .audit_key = audit_key};
    enum rc rc = secret_check(&tx, err);

    if (rc != RC_NOT_FOUND)
        return rc; /* only read: a start does not wait for whoever has the database locked */
    rc = note_secret(conn, &tx, err);
    return rc == RC_CONFLICT ? secret_check(&tx, err) : rc; /* another node has noted its own */
}

/* The version that no other node changes before this transaction ends. */
static enum rc
lock(struct db_conn *conn, int *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_exec(conn, &make_meta, DB_NO_ARGS, NULL, err);

    if (!rc)
        rc = db_exec(conn, &begin_meta, DB_NO_ARGS, NULL, err);
    if (!rc)
        rc = db_query_one(conn, &lock_version, DB_NO_ARGS, &c, err);
    if (!rc)
        *ret = (int)db_col_int(c, 0);
    return rc;
}

static enum rc
run(struct db_conn *conn, int version, const uint8_t *audit_key, struct err *err)
{
    const struct migration *m = &migrations[version - 1];
    enum rc rc = db_script(conn, &m->script, err);

    CRASH_POINT("migration.after-script");
    if (!rc)
        rc = finish(conn, m, audit_key, err);
    if (!rc)
        rc = db_exec(conn, &write_version, DB_ARGS(db_int(version)), NULL, err);
    /* where a step does nothing, it changes nothing for older programs */
    if (!rc && (version == WITH_OLDEST || (version > WITH_OLDEST && db_piece(conn, &m->script))))
        rc = db_exec(conn, &write_oldest, DB_ARGS(db_int(m->oldest)), NULL, err);
    CRASH_POINT("migration.before-commit");
    return rc;
}

/* One step from `version`, unless another node has made it meanwhile. */
static enum rc
step(struct db_conn *conn, int version, const uint8_t *audit_key, struct err *err)
{
    int now = version;
    enum rc rc = db_begin_write(conn, err);

    if (!rc)
        rc = lock(conn, &now, err);
    if (!rc && now == version)
        rc = run(conn, version + 1, audit_key, err);
    if (!rc)
        return db_commit(conn, err);
    db_rollback(conn);
    return rc;
}

/* A newer program was here: it says whether this one can go on beside it. */
static enum rc
check_newer(struct db_conn *conn, int version, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = version < WITH_OLDEST ? RC_NOT_FOUND
                                       : db_query_one(conn, &read_oldest, DB_NO_ARGS, &c, err);

    if (!rc && !db_col_null(c, 0) && db_col_int(c, 0) <= schema_known())
        return RC_OK;
    if (rc && rc != RC_NOT_FOUND)
        return rc;
    return err_set(err, RC_INVALID,
                   "the database has schema version %d, this program knows up to %d: "
                   "use the newer program",
                   version, schema_known());
}

enum rc
schema_migrate(struct db_conn *conn, const uint8_t *audit_key, int *ret_from, int *ret_to,
               struct err *err)
{
    int known = schema_known(), version = 0;
    enum rc rc = schema_version(conn, &version, err);

    *ret_from = *ret_to = version;
    for (int tries = 0; !rc && version < known;) {
        rc = step(conn, version, audit_key, err);
        CRASH_POINT("migration.after-step");
        /* two nodes that make the same table at once are in each other's way */
        if ((rc == RC_CONFLICT || rc == RC_RERUN) && tries++ < RERUNS_MAX) {
            (void)usleep(RERUN_PAUSE_US);
            rc = RC_OK;
        }
        if (!rc)
            rc = schema_version(conn, &version, err);
        *ret_to = version;
    }
    if (!rc && version > known)
        rc = check_newer(conn, version, err);
    return rc ? rc : check_secret(conn, audit_key, err);
}

enum rc
schema_refuse_older(struct db_conn *conn, int version, struct err *err)
{
    enum rc rc = db_begin_write(conn, err);

    if (rc)
        return rc;
    rc = db_exec(conn, &raise_oldest, DB_ARGS(db_int(version)), NULL, err);
    if (!rc)
        return db_commit(conn, err);
    db_rollback(conn);
    return rc;
}
