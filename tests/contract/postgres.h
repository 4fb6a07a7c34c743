// SPDX-License-Identifier: Apache-2.0
/*
 * postgres: a place of its own for each test in the server of DOSSIER_TEST_DATABASE (a postgres://
 * URL of a database where we may make schemas). The place is a schema named after the directory
 * which support_make_dir() made, so that a test reopens it by that.
 */
#ifndef CONTRACT_POSTGRES_H
#define CONTRACT_POSTGRES_H
#include "../unit/support.h"

/* NULL: no server to test with. */
static inline const char *
postgres_url(void)
{
    const char *url = getenv("DOSSIER_TEST_DATABASE");

    return url && strncmp(url, "postgres", 8) == 0 ? url : NULL;
}

/* For main(): says so when the cases for PostgreSQL cannot run. */
static inline bool
postgres_missing(void)
{
    if (postgres_url())
        return false;
    print_message("SKIPPED on postgres: DOSSIER_TEST_DATABASE names no server\n");
    return true;
}

static inline const char *
postgres_schema_of(const char *dir)
{
    const char *dot = strrchr(dir, '.');

    assert_non_null(dot);
    return dot + 1;
}

/* A URL with one more parameter. */
static inline char *
postgres_url_with(TALLOC_CTX *pool, const char *url, const char *parameter)
{
    return mem_printf(pool, "%s%c%s", url, strchr(url, '?') ? '&' : '?', parameter);
}

static inline char *
postgres_url_of(TALLOC_CTX *pool, const char *url, const char *dir)
{
    /* relaxed: a server for tests may have been made quick, on a machine that is slow */
    char *parameter = mem_printf(pool,
                                 "dossier_relaxed=1&dossier_statement_ms=60000&connect_timeout=60"
                                 "&options=-csearch_path%%3D%%22test_%s%%22",
                                 postgres_schema_of(dir));

    return postgres_url_with(pool, url, parameter);
}

/* A script for this driver alone. */
static inline enum rc
run_script(struct db_conn *conn, const char *text, struct err *err)
{
    const struct sql script = {.pg = text};

    return db_script(conn, &script, err);
}

/* Runs one on a connection of its own, outside any place. */
static inline enum rc
postgres_script(const char *script, struct err *err)
{
    SCOPED_POOL(pool);
    SCOPED(db) db = NULL;
    SCOPED(db_conn) conn = NULL;
    enum rc rc =
        db_open_postgres(postgres_url_with(pool, postgres_url(), "dossier_relaxed=1"), &db, err);

    if (!rc)
        rc = db_connect(db, DB_WRITER, &conn, err);
    return rc ? rc : run_script(conn, script, err);
}

/* As support_open_fn: makes the place when it is not there. */
static inline enum rc
postgres_open(const char *dir, struct db **ret, struct err *err)
{
    SCOPED_POOL(pool);
    enum rc rc = postgres_script(
        mem_printf(pool, "CREATE SCHEMA IF NOT EXISTS \"test_%s\"", postgres_schema_of(dir)), err);

    return rc ? rc : db_open_postgres(postgres_url_of(pool, postgres_url(), dir), ret, err);
}

/* All connections to it are closed. */
static inline void
postgres_remove(const char *dir)
{
    SCOPED_POOL(pool);
    struct err err;

    EXPECT(RC_OK, postgres_script(mem_printf(pool, "DROP SCHEMA IF EXISTS \"test_%s\" CASCADE",
                                             postgres_schema_of(dir)),
                                  &err));
}

#endif
