// SPDX-License-Identifier: Apache-2.0
/* db.h's contract: the same cases on every driver. A second driver is one row of `subjects`. */
#include "postgres.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct subject {
    const char *name;
    support_open_fn *open;
    void (*remove)(const char *dir); /* what is not in the directory */
    char dir[64];
    struct db *db;
    struct db_conn *writer, *reader;
    struct err err;
};

static struct subject subjects[] = {
    {.name = "sqlite", .open = support_open_sqlite},
    {.name = "postgres", .open = postgres_open, .remove = postgres_remove},
};

static const struct sql make_table = {
    .sqlite = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB)",
    .pg = "CREATE TABLE item (id BIGINT PRIMARY KEY, name TEXT UNIQUE, data BYTEA)",
};
static const struct sql insert = SQL("INSERT INTO item (id, name, data) VALUES ($1, $2, $3)");
static const struct sql insert_backwards =
    SQL("INSERT INTO item (data, name, id) VALUES ($3, $2, $1)");
static const struct sql by_id = SQL("SELECT id, name, data FROM item WHERE id = $1");
static const struct sql two_tables = SQL("CREATE TABLE a (x INTEGER); CREATE TABLE b (x INTEGER);");
static const struct sql all = SQL("SELECT id FROM item ORDER BY id");
static const struct sql count = SQL("SELECT count(*) FROM item");
static const struct sql rename_above = SQL("UPDATE item SET name = NULL WHERE id > $1");
static const struct sql endless =
    SQL("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)"
        " SELECT count(*) FROM n");

static int
set_up(void **state)
{
    struct subject *s = *state;

    support_make_dir(s->dir);
    EXPECT(RC_OK, s->open(s->dir, &s->db, &s->err));
    EXPECT(RC_OK, db_connect(s->db, DB_WRITER, &s->writer, &s->err));
    EXPECT(RC_OK, db_exec(s->writer, &make_table, DB_NO_ARGS, NULL, &s->err));
    EXPECT(RC_OK, db_connect(s->db, DB_READER, &s->reader, &s->err));
    return 0;
}

static int
tear_down(void **state)
{
    struct subject *s = *state;

    db_conn_free(&s->reader);
    db_conn_free(&s->writer);
    db_conn_free(&s->writer);
    db_free(&s->db);
    if (s->remove)
        s->remove(s->dir);
    support_remove_dir(s->dir);
    return 0;
}

static enum rc
add(struct subject *s, int64_t id, const char *name)
{
    return db_exec(s->writer, &insert, DB_ARGS(db_int(id), db_text(name), db_null()), NULL,
                   &s->err);
}

static int64_t
rows(struct subject *s, struct db_conn *conn)
{
    SCOPED(db_cursor) c = NULL;

    EXPECT(RC_OK, db_query_one(conn, &count, DB_NO_ARGS, &c, &s->err));
    return db_col_int(c, 0);
}

static void
test_commit(void **state)
{
    struct subject *s = *state;

    EXPECT(RC_OK, db_begin_write(s->writer, &s->err));
    EXPECT(RC_OK, add(s, 1, "a"));
    assert_int_equal(rows(s, s->writer), 1);
    assert_int_equal(rows(s, s->reader), 0);
    EXPECT(RC_OK, db_commit(s->writer, &s->err));
    assert_int_equal(rows(s, s->reader), 1);
}

/* What was committed is there for who opens the database anew. */
static void
test_reopen(void **state)
{
    struct subject *s = *state;

    EXPECT(RC_OK, add(s, 1, "a"));
    db_conn_free(&s->reader);
    db_conn_free(&s->writer);
    db_free(&s->db);
    EXPECT(RC_OK, s->open(s->dir, &s->db, &s->err));
    EXPECT(RC_OK, db_connect(s->db, DB_WRITER, &s->writer, &s->err));
    assert_int_equal(rows(s, s->writer), 1);
}

static void
test_rollback(void **state)
{
    struct subject *s = *state;

    EXPECT(RC_OK, db_begin_write(s->writer, &s->err));
    EXPECT(RC_OK, add(s, 1, "a"));
    db_rollback(s->writer);
    db_rollback(s->writer); /* harmless outside a transaction */
    assert_int_equal(rows(s, s->writer), 0);
    EXPECT(RC_OK, add(s, 1, "a"));
}

static void
test_savepoints(void **state)
{
    struct subject *s = *state;

    EXPECT(RC_OK, db_begin_write(s->writer, &s->err));
    for (int64_t i = 0; i < 10; i++) {
        EXPECT(RC_OK, db_savepoint(s->writer, &s->err));
        EXPECT(RC_OK, add(s, i, NULL));
        if (i % 2)
            db_savepoint_rollback(s->writer);
        else
            EXPECT(RC_OK, db_savepoint_release(s->writer, &s->err));
    }
    EXPECT(RC_OK, db_commit(s->writer, &s->err));
    assert_int_equal(rows(s, s->reader), 5);
}

/* A conflict spoils neither the statement nor, once undone, the transaction. */
static void
test_conflict(void **state)
{
    struct subject *s = *state;

    EXPECT(RC_OK, db_begin_write(s->writer, &s->err));
    EXPECT(RC_OK, add(s, 1, "a"));
    EXPECT(RC_OK, db_savepoint(s->writer, &s->err));
    EXPECT(RC_OK, add(s, 2, "b"));
    EXPECT(RC_CONFLICT, add(s, 1, "c"));
    db_savepoint_rollback(s->writer);
    EXPECT(RC_OK, db_savepoint(s->writer, &s->err));
    EXPECT(RC_CONFLICT, add(s, 3, "a"));
    assert_int_equal(s->err.code, RC_CONFLICT);
    db_savepoint_rollback(s->writer);
    EXPECT(RC_OK, add(s, 3, "b"));
    EXPECT(RC_OK, db_commit(s->writer, &s->err));
    assert_int_equal(rows(s, s->reader), 2);
}

/* An INSERT may say what it means that its key is taken, at once or by the commit. */
static void
test_insert_later(void **state)
{
    struct subject *s = *state;
    enum rc rc;

    for (int64_t id = 1; id <= 3; id++) {
        EXPECT(RC_OK, db_begin_write(s->writer, &s->err));
        rc = db_insert_later(s->writer, &insert,
                             DB_ARGS(db_int(id), db_text(id < 3 ? "a" : "b"), db_null()), RC_RERUN,
                             &s->err);
        if (!rc)
            rc = db_commit(s->writer, &s->err);
        else
            db_rollback(s->writer);
        assert_int_equal(rc, id == 2 ? RC_RERUN : RC_OK);
        if (rc)
            assert_int_equal(s->err.code, rc);
    }
    assert_int_equal(rows(s, s->reader), 2);
}

static const struct {
    struct db_value id, name, data;
} values[] = {
    {{.type = DB_INT, .number = 0}, {.type = DB_NULL}, {.type = DB_NULL}},
    {{.type = DB_INT, .number = INT64_MAX},
     {.type = DB_TEXT, .bytes = "", .len = 0},
     {.type = DB_BLOB, .bytes = "\0\xff\0", .len = 3}},
    {{.type = DB_INT, .number = INT64_MIN},
     {.type = DB_TEXT, .bytes = "caf\xc3\xa9", .len = 5},
     {.type = DB_BLOB, .bytes = "x", .len = 1}},
    {{.type = DB_INT, .number = -1},
     {.type = DB_TEXT, .bytes = "'; DROP TABLE item; --", .len = 22},
     {.type = DB_NULL}},
};

static void
check_row(struct db_cursor *c, size_t i)
{
    SCOPED_POOL(pool);
    size_t len = 99;
    const void *data = db_col_blob(c, 2, &len);
    char *copy = db_col_strdup(c, 1, pool);

    assert_int_equal(db_col_int(c, 0), values[i].id.number);
    assert_int_equal(db_col_null(c, 1), values[i].name.type == DB_NULL);
    assert_int_equal(db_col_null(c, 2), values[i].data.type == DB_NULL);
    if (values[i].name.type == DB_NULL) {
        assert_null(copy);
        assert_null(db_col_text(c, 1));
    } else {
        assert_string_equal(copy, values[i].name.bytes);
    }
    assert_int_equal(len, values[i].data.len);
    if (len)
        assert_memory_equal(data, values[i].data.bytes, len);
}

/* Values come back as they went in, wherever the text names them. */
static void
test_values(void **state)
{
    struct subject *s = *state;

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        const struct sql *how = i % 2 ? &insert_backwards : &insert;

        SCOPED(db_cursor) c = NULL;
        EXPECT(RC_OK, db_exec(s->writer, how, DB_ARGS(values[i].id, values[i].name, values[i].data),
                              NULL, &s->err));
        EXPECT(RC_OK, db_query_one(s->writer, &by_id, DB_ARGS(values[i].id), &c, &s->err));
        check_row(c, i);
    }
    assert_int_equal(rows(s, s->writer), ARRAY_LEN(values));
}

static void
test_ids(void **state)
{
    struct subject *s = *state;
    struct id id = id_new(), back, zero = {{0}};
    SCOPED(db_cursor) c = NULL;
    SCOPED(db_cursor) none = NULL;

    EXPECT(RC_OK, db_exec(s->writer, &insert, DB_ARGS(db_int(1), db_text(NULL), db_id(&id)), NULL,
                          &s->err));
    EXPECT(RC_OK, db_query_one(s->writer, &by_id, DB_ARGS(db_int(1)), &c, &s->err));
    assert_true(db_col_id(c, 2, &back));
    assert_true(id_equal(&id, &back));
    db_cursor_free(&c);
    EXPECT(RC_OK, db_exec(s->writer, &insert, DB_ARGS(db_int(2), db_text(NULL), db_id(NULL)), NULL,
                          &s->err));
    EXPECT(RC_OK, db_query_one(s->writer, &by_id, DB_ARGS(db_int(2)), &none, &s->err));
    assert_false(db_col_id(none, 2, &back));
    assert_true(id_equal(&back, &zero));
}

static void
test_cursors(void **state)
{
    struct subject *s = *state;
    struct db_cursor *c = NULL, *other = NULL;
    bool row = true;
    int64_t n = 0;

    for (int64_t i = 0; i < 100; i++)
        EXPECT(RC_OK, add(s, i, NULL));
    EXPECT(RC_OK, db_query(s->writer, &all, DB_NO_ARGS, &c, &s->err));
    while (n < 50) {
        EXPECT(RC_OK, db_next(c, &row, &s->err));
        assert_true(row);
        assert_int_equal(db_col_int(c, 0), n++);
        /* another statement may run in between */
        EXPECT(RC_OK, db_query_one(s->writer, &by_id, DB_ARGS(db_int(n)), &other, &s->err));
        db_cursor_free(&other);
    }
    db_cursor_free(&c); /* half read */
    assert_null(c);
    db_cursor_free(&c);
    EXPECT(RC_OK, db_query(s->writer, &all, DB_NO_ARGS, &c, &s->err));
    for (n = 0; row; n++)
        EXPECT(RC_OK, db_next(c, &row, &s->err));
    assert_int_equal(n, 101);
    db_cursor_free(&c);
    EXPECT(RC_NOT_FOUND, db_query_one(s->writer, &by_id, DB_ARGS(db_int(100)), &c, &s->err));
    assert_null(c);
}

static void
test_changed_and_built(void **state)
{
    struct subject *s = *state;
    SCOPED(db_cursor) c = NULL;
    int64_t changed = -1;
    bool row;

    for (int64_t i = 0; i < 10; i++)
        EXPECT(RC_OK, add(s, i, NULL));
    EXPECT(RC_OK, db_exec(s->writer, &rename_above, DB_ARGS(db_int(6)), &changed, &s->err));
    assert_int_equal(changed, 3);
    EXPECT(RC_OK, db_exec(s->writer, &rename_above, DB_ARGS(db_int(9)), &changed, &s->err));
    assert_int_equal(changed, 0);
    EXPECT(RC_OK, db_query_built(s->writer, "SELECT count(*) FROM item WHERE id >= $2 AND id < $1",
                                 DB_ARGS(db_int(8), db_int(5)), &c, &s->err));
    EXPECT(RC_OK, db_next(c, &row, &s->err));
    assert_int_equal(db_col_int(c, 0), 3);
    assert_int_not_equal(db_script(s->writer, &(struct sql)SQL("SELECT FROM nothing"), &s->err),
                         RC_OK);
    EXPECT(RC_OK, db_script(s->writer, &two_tables, &s->err));
}

/* A read transaction sees one state, however long it lasts. */
static void
test_snapshot(void **state)
{
    struct subject *s = *state;

    EXPECT(RC_OK, add(s, 1, NULL));
    EXPECT(RC_OK, db_begin_read(s->reader, &s->err));
    assert_int_equal(rows(s, s->reader), 1);
    EXPECT(RC_OK, add(s, 2, NULL));
    assert_int_equal(rows(s, s->reader), 1);
    db_rollback(s->reader);
    assert_int_equal(rows(s, s->reader), 2);
}

static void
test_reader_cannot_write(void **state)
{
    struct subject *s = *state;

    assert_int_not_equal(
        db_exec(s->reader, &insert, DB_ARGS(db_int(1), db_null(), db_null()), NULL, &s->err),
        RC_OK);
    assert_int_equal(rows(s, s->reader), 0);
}

static void
test_deadline(void **state)
{
    struct subject *s = *state;
    int64_t start = clock_mono_ms();
    struct db_cursor *c = NULL;

    db_conn_deadline(s->reader, start + 50);
    EXPECT(RC_BUSY, db_query_one(s->reader, &endless, DB_NO_ARGS, &c, &s->err));
    assert_null(c);
    assert_in_range(clock_mono_ms() - start, 50, 10000);
    db_conn_deadline(s->reader, clock_mono_ms() - 1);
    EXPECT(RC_BUSY, db_query_one(s->reader, &endless, DB_NO_ARGS, &c, &s->err));
    db_conn_deadline(s->reader, 0);
    assert_int_equal(rows(s, s->reader), 0);
}

/* In a transaction, too; the next one is as good as ever. */
static void
test_deadline_in_transaction(void **state)
{
    struct subject *s = *state;
    struct db_cursor *c = NULL;

    db_conn_deadline(s->reader, clock_mono_ms() + 50);
    EXPECT(RC_OK, db_begin_read(s->reader, &s->err));
    EXPECT(RC_BUSY, db_query_one(s->reader, &endless, DB_NO_ARGS, &c, &s->err));
    db_rollback(s->reader);
    db_conn_deadline(s->reader, clock_mono_ms() + 60000);
    EXPECT(RC_OK, db_begin_read(s->reader, &s->err));
    assert_int_equal(rows(s, s->reader), 0);
    db_rollback(s->reader);
}

/* Adds pairs, each pair in one transaction, until told to stop. */
struct pump {
    struct subject *subject;
    atomic_bool stop;
    atomic_int pairs;
};

static void *
pump_main(void *arg)
{
    struct pump *p = arg;
    struct subject *s = p->subject;

    for (int64_t i = 0; !atomic_load(&p->stop); i += 2) {
        struct err err;
        enum rc rc = db_begin_write(s->writer, &err);

        for (int64_t j = 0; j < 2 && !rc; j++)
            rc = db_exec(s->writer, &insert, DB_ARGS(db_int(i + j), db_null(), db_null()), NULL,
                         &err);
        if (rc || db_commit(s->writer, &err))
            return p;
        atomic_fetch_add(&p->pairs, 1);
    }
    return NULL;
}

static int64_t
rows_of_copy(struct subject *s, const char *dir)
{
    struct db *copy = NULL;
    struct db_conn *conn = NULL;
    int64_t n;

    EXPECT(RC_OK, s->open(dir, &copy, &s->err));
    EXPECT(RC_OK, db_connect(copy, DB_WRITER, &conn, &s->err));
    EXPECT(RC_OK, db_verify(conn, false, &s->err));
    EXPECT(RC_OK, db_verify(conn, true, &s->err));
    n = rows(s, conn);
    db_conn_free(&conn);
    db_free(&copy);
    return n;
}

/* Copies taken beside a writer hold whole transactions, and at least what was there before. */
static void
test_backup(void **state)
{
    struct subject *s = *state;
    struct pump pump = {.subject = s};
    void *failed = NULL;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, pump_main, &pump), 0);
    for (int i = 0; i < 5; i++) {
        char dir[64], path[96];
        int before;

        (void)usleep(20000);
        support_make_dir(dir);
        (void)snprintf(path, sizeof(path), "%s/db", dir);
        before = atomic_load(&pump.pairs);
        EXPECT(RC_OK, db_backup(s->db, path, &s->err));
        assert_true(rows_of_copy(s, dir) >= 2 * before);
        assert_int_equal(rows_of_copy(s, dir) % 2, 0);
        support_remove_dir(dir);
    }
    atomic_store(&pump.stop, true);
    (void)pthread_join(thread, &failed);
    assert_null(failed);
    assert_int_equal(rows(s, s->reader), 2 * atomic_load(&pump.pairs));
}

static void
test_backup_nowhere(void **state)
{
    struct subject *s = *state;

    assert_int_not_equal(db_backup(s->db, "/nonexistent/directory/db", &s->err), RC_OK);
    EXPECT(RC_OK, add(s, 1, NULL));
}

/* After a checkpoint no trace of what was deleted is in any file of the database. */
static bool
found_in(const char *dir, const char *needle)
{
    char command[200];

    (void)snprintf(command, sizeof(command), "grep -rqa '%s' %s", needle, dir);
    return system(command) == 0;
}

static void
test_checkpoint_erases(void **state)
{
    static const struct sql delete_all = SQL("DELETE FROM item");
    struct subject *s = *state;

    EXPECT(RC_OK, add(s, 1, "a secret that must go"));
    EXPECT(RC_OK, db_checkpoint(s->writer, &s->err));
    assert_true(found_in(s->dir, "secret that must"));
    EXPECT(RC_OK, db_exec(s->writer, &delete_all, DB_NO_ARGS, NULL, &s->err));
    EXPECT(RC_OK, db_checkpoint(s->writer, &s->err));
    assert_false(found_in(s->dir, "secret that must"));
}

/*
 * Migrating twice changes nothing; a newer database is refused and left alone, unless it says that
 * this program can work beside the newer one.
 */
static void
test_schema(void **state)
{
    static const struct sql newer = SQL("UPDATE schema_version SET version = 1000, oldest = $1");
    struct subject *s = *state;
    int from, to, version;

    EXPECT(RC_OK, schema_version(s->writer, &version, &s->err));
    assert_int_equal(version, 0);
    EXPECT(RC_OK, schema_migrate(s->writer, support_audit_key, &from, &to, &s->err));
    assert_int_equal(from, 0);
    assert_int_equal(to, schema_known());
    EXPECT(RC_OK, schema_migrate(s->writer, support_audit_key, &from, &to, &s->err));
    assert_int_equal(from, schema_known());
    assert_int_equal(to, schema_known());
    EXPECT(RC_OK, db_exec(s->writer, &newer, DB_ARGS(db_int(schema_known())), NULL, &s->err));
    EXPECT(RC_OK, schema_migrate(s->writer, support_audit_key, &from, &to, &s->err));
    assert_int_equal(to, 1000);
    EXPECT(RC_OK, db_exec(s->writer, &newer, DB_ARGS(db_int(schema_known() + 1)), NULL, &s->err));
    EXPECT(RC_INVALID, schema_migrate(s->writer, support_audit_key, &from, &to, &s->err));
    EXPECT(RC_OK, schema_version(s->writer, &version, &s->err));
    assert_int_equal(version, 1000);
}

#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name, set_up, tear_down, NULL                                                       \
    }

static struct CMUnitTest cases[] = {
    CASE(test_commit),
    CASE(test_reopen),
    CASE(test_rollback),
    CASE(test_savepoints),
    CASE(test_conflict),
    CASE(test_insert_later),
    CASE(test_values),
    CASE(test_ids),
    CASE(test_cursors),
    CASE(test_changed_and_built),
    CASE(test_snapshot),
    CASE(test_reader_cannot_write),
    CASE(test_deadline),
    CASE(test_deadline_in_transaction),
    CASE(test_backup_nowhere),
    CASE(test_schema),
    /* of a database in files only, from here on */
    CASE(test_backup),
    CASE(test_checkpoint_erases),
};
#define FILES_ONLY 2

int
main(void)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
        bool served = subjects[i].open == postgres_open;
        size_t n = ARRAY_LEN(cases) - (served ? FILES_ONLY : 0);

        if (served && postgres_missing())
            continue;
        for (size_t j = 0; j < ARRAY_LEN(cases); j++)
            cases[j].initial_state = &subjects[i];
        failed += _cmocka_run_group_tests(subjects[i].name, cases, n, NULL, NULL);
    }
    return failed;
}
