// SPDX-License-Identifier: Apache-2.0
/* postgres_case: what the cases for the PostgreSQL driver alone share: a schema and connections. */
#ifndef CONTRACT_POSTGRES_CASE_H
#define CONTRACT_POSTGRES_CASE_H
#include "postgres.h"

#include <pthread.h>

#include "db/pg/pg.h"

#define BRIEF_MS 500 /* the server's limit for statements of `brief` */

struct pg_case {
    char dir[64];
    TALLOC_CTX *pool;
    struct db *db, *brief_db;
    struct db_conn *a, *b, *reader;
    struct db_conn *brief; /* a writer whose statements the server ends after BRIEF_MS */
    struct err err;
};

static const struct sql add_row UNUSED = SQL("INSERT INTO item (id, name) VALUES ($1, $2)");
static const struct sql count_rows UNUSED = SQL("SELECT count(*) FROM item");
static const struct sql rename_above UNUSED = SQL("UPDATE item SET name = NULL WHERE id > $1");
static const struct sql touch UNUSED = SQL("UPDATE item SET name = 'touched' WHERE id = $1");
static const struct sql fail_with UNUSED = SQL("SELECT fail_with($1)");
static const struct sql sleep_long UNUSED = SQL("SELECT 1 FROM pg_sleep(60)");

static const char pg_case_setup[] =
    "CREATE TABLE item (id BIGINT PRIMARY KEY, name TEXT);"
    "CREATE FUNCTION fail_with(code TEXT) RETURNS INT LANGUAGE plpgsql AS"
    " $$BEGIN RAISE EXCEPTION USING ERRCODE = code; END$$";

/* A row whose name is an SQLSTATE makes COMMIT fail with it; `warn` makes it give a warning. */
static const char raise_at_commit[] UNUSED =
    "CREATE FUNCTION raise_name() RETURNS TRIGGER LANGUAGE plpgsql AS $$BEGIN"
    " IF NEW.name = 'warn' THEN RAISE WARNING 'it might not have been replicated';"
    " ELSIF NEW.name IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = NEW.name; END IF;"
    " RETURN NULL; END$$;"
    "CREATE CONSTRAINT TRIGGER raise_name AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION raise_name()";

/* The URL of the case's own schema, with more parameters. */
static inline const char *
pg_case_url(struct pg_case *s, const char *parameters)
{
    return postgres_url_with(s->pool, postgres_url_of(s->pool, postgres_url(), s->dir), parameters);
}

static inline void
pg_case_connect(struct pg_case *s, const char *url, enum db_mode mode, struct db **db,
                struct db_conn **conn)
{
    EXPECT(RC_OK, db_open_postgres(url, db, &s->err));
    EXPECT(RC_OK, db_connect(*db, mode, conn, &s->err));
}

#define PATIENT_MS 60000

/*
 * Sets how long this side waits for an answer and for a connection: long as a rule, since the
 * machine may be slow, and short where nothing is going to come.
 */
static inline void
pg_case_limits(struct db *db, int64_t statement_ms, int64_t connect_ms)
{
    ((struct pg *)db)->statement_ms = statement_ms;
    ((struct pg *)db)->connect_ms = connect_ms;
}

static inline int
pg_case_set_up(void **state)
{
    struct pg_case *s = MEM_NEW(NULL, struct pg_case);
    const char *brief = mem_printf(s, "dossier_statement_ms=%d", BRIEF_MS);

    s->pool = base_pool_new(NULL);
    support_make_dir(s->dir);
    EXPECT(RC_OK, postgres_open(s->dir, &s->db, &s->err));
    EXPECT(RC_OK, db_connect(s->db, DB_WRITER, &s->a, &s->err));
    EXPECT(RC_OK, db_connect(s->db, DB_WRITER, &s->b, &s->err));
    EXPECT(RC_OK, db_connect(s->db, DB_READER, &s->reader, &s->err));
    pg_case_connect(s, pg_case_url(s, brief), DB_WRITER, &s->brief_db, &s->brief);
    pg_case_limits(s->brief_db, PATIENT_MS, PATIENT_MS);
    EXPECT(RC_OK, run_script(s->a, pg_case_setup, &s->err));
    *state = s;
    return 0;
}

static inline int
pg_case_tear_down(void **state)
{
    struct pg_case *s = *state;

    db_conn_free(&s->a);
    db_conn_free(&s->b);
    db_conn_free(&s->reader);
    db_conn_free(&s->brief);
    db_free(&s->db);
    db_free(&s->brief_db);
    postgres_remove(s->dir);
    support_remove_dir(s->dir);
    base_pool_free(&s->pool);
    (void)talloc_free(s);
    return 0;
}

#define PG_CASE(name)                                                                              \
    {                                                                                              \
#name, name, pg_case_set_up, pg_case_tear_down, NULL                                       \
    }

static inline enum rc
add(struct db_conn *conn, int64_t id, const char *name, struct err *err)
{
    return db_exec(conn, &add_row, DB_ARGS(db_int(id), db_text(name)), NULL, err);
}

/* Queues a row on connection `a`. */
static inline enum rc
later(struct pg_case *s, int64_t id, const char *name)
{
    return db_exec_later(s->a, &add_row, DB_ARGS(db_int(id), db_text(name)), &s->err);
}

static inline enum rc
exec_later(struct db_conn *conn, const struct sql *sql, struct db_value value, struct err *err)
{
    return db_exec_later(conn, sql, DB_ARGS(value), err);
}

static inline int64_t
rows(struct pg_case *s, struct db_conn *conn)
{
    SCOPED(db_cursor) c = NULL;

    EXPECT(RC_OK, db_query_one(conn, &count_rows, DB_NO_ARGS, &c, &s->err));
    return db_col_int(c, 0);
}

#endif
