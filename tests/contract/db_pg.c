// SPDX-License-Identifier: Apache-2.0
/* What the PostgreSQL driver promises beyond db.h: round trips, results, types. */
#include "postgres_case.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- round trips ---- */

static unsigned
trips(struct db_conn *conn)
{
    return ((struct pg_conn *)conn)->round_trips;
}

static void
test_round_trips(void **state)
{
    struct pg_case *s = *state;
    unsigned before;

    EXPECT(RC_OK, later(s, 1, "warm")); /* outside a transaction it does not wait for another */
    assert_int_equal(rows(s, s->reader), 1);

    before = trips(s->a);
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    for (int64_t i = 10; i < 15; i++)
        EXPECT(RC_OK, later(s, i, NULL));
    assert_int_equal(trips(s->a) - before, 0);
    EXPECT(RC_OK, db_commit(s->a, &s->err));
    assert_int_equal(trips(s->a) - before, 1);
    assert_int_equal(rows(s, s->reader), 6);

    before = trips(s->a);
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    for (int64_t i = 20; i < 25; i++)
        EXPECT(RC_OK, add(s->a, i, NULL, &s->err));
    EXPECT(RC_OK, db_commit(s->a, &s->err));
    assert_int_equal(trips(s->a) - before, 6);

    before = trips(s->reader);
    EXPECT(RC_OK, db_begin_read(s->reader, &s->err));
    assert_int_equal(rows(s, s->reader), 11);
    db_rollback(s->reader);
    assert_int_equal(trips(s->reader) - before, 1);

    before = trips(s->a);
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    db_rollback(s->a);
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, db_commit(s->a, &s->err));
    assert_int_equal(trips(s->a) - before, 0);
}

/* ---- questions ---- */

static struct db_cursor *
ask_above(struct pg_case *s, int64_t id)
{
    static const struct sql above = SQL("SELECT id FROM item WHERE id > $1 ORDER BY id");
    struct db_cursor *c = NULL;

    EXPECT(RC_OK, db_query(s->a, &above, DB_ARGS(db_int(id)), &c, &s->err));
    return c;
}

/* They share a round trip, each sees what was queued before it, and their order is their own. */
static void
test_questions(void **state)
{
    struct pg_case *s = *state;
    struct db_cursor *none, *one, *two, *spare;
    unsigned before = trips(s->a);

    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    none = ask_above(s, 0);
    EXPECT(RC_OK, later(s, 1, NULL));
    one = ask_above(s, 0);
    EXPECT(RC_OK, later(s, 2, NULL));
    two = ask_above(s, 1);
    spare = ask_above(s, 0);
    db_cursor_free(&spare); /* nobody wants to know */
    assert_int_equal(trips(s->a) - before, 0);
    EXPECT(RC_OK, db_first(two, &s->err));
    assert_int_equal(db_col_int(two, 0), 2);
    EXPECT(RC_NOT_FOUND, db_first(none, &s->err));
    EXPECT(RC_OK, db_first(one, &s->err));
    assert_int_equal(db_col_int(one, 0), 1);
    assert_int_equal(trips(s->a) - before, 1);
    db_cursor_free(&none);
    db_cursor_free(&one);
    db_cursor_free(&two);
    spare = ask_above(s, 0);
    EXPECT(RC_OK, db_commit(s->a, &s->err));
    db_cursor_free(&spare);
    assert_int_equal(rows(s, s->reader), 2);
}

/* An error spoils the answers that came before it, too, and those of nobody harm nobody. */
static void
test_questions_that_fail(void **state)
{
    struct pg_case *s = *state;
    struct db_cursor *good, *bad = NULL, *spare;

    EXPECT(RC_OK, add(s->a, 1, NULL, &s->err));
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    good = ask_above(s, 0);
    EXPECT(RC_OK, db_query(s->a, &fail_with, DB_ARGS(db_text("40001")), &bad, &s->err));
    spare = ask_above(s, 0);
    EXPECT(RC_RERUN, db_first(good, &s->err));
    EXPECT(RC_RERUN, db_first(bad, &s->err));
    EXPECT(RC_RERUN, db_first(spare, &s->err));
    db_cursor_free(&good);
    db_cursor_free(&bad);
    db_rollback(s->a);
    db_cursor_free(&spare);
    /* one that was sent with a rollback, and is freed before the answer is read */
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, later(s, 2, NULL));
    spare = ask_above(s, 0);
    db_rollback(s->a);
    db_cursor_free(&spare);
    assert_int_equal(rows(s, s->a), 1);
}

/* A key that is taken means what the caller says, and only of that statement. */
static void
test_taken(void **state)
{
    struct pg_case *s = *state;
    struct db_value row[] = {db_int(1), db_null()}, other[] = {db_int(2), db_null()};

    EXPECT(RC_OK, add(s->a, 1, NULL, &s->err));
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, db_insert_later(s->a, &add_row, other, 2, RC_DUPLICATE, &s->err));
    EXPECT(RC_OK, db_insert_later(s->a, &add_row, row, 2, RC_STORAGE_CONFLICT, &s->err));
    EXPECT(RC_STORAGE_CONFLICT, db_commit(s->a, &s->err));
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, db_insert_later(s->a, &add_row, other, 2, RC_DUPLICATE, &s->err));
    EXPECT(RC_OK, exec_later(s->a, &fail_with, db_text("40001"), &s->err));
    EXPECT(RC_RERUN, db_commit(s->a, &s->err));
    EXPECT(RC_STORAGE_CONFLICT,
           db_insert_later(s->a, &add_row, row, 2, RC_STORAGE_CONFLICT, &s->err));
    assert_int_equal(rows(s, s->a), 1);
}

/* ---- what is queued ---- */

/* The outcome of what was queued comes with what is waited for, and the first error is told. */
static void
test_later_errors(void **state)
{
    struct pg_case *s = *state;
    int64_t changed;

    EXPECT(RC_OK, add(s->a, 1, "a", &s->err));
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, later(s, 1, "first"));
    EXPECT(RC_OK, exec_later(s->a, &fail_with, db_text("40001"), &s->err));
    EXPECT(RC_CONFLICT, db_exec(s->a, &rename_above, DB_ARGS(db_int(0)), &changed, &s->err));
    /* who goes on regardless is told so, and the commit says what it was */
    EXPECT(RC_INTERNAL, add(s->a, 5, NULL, &s->err));
    EXPECT(RC_INTERNAL, later(s, 5, NULL));
    EXPECT(RC_CONFLICT, db_commit(s->a, &s->err));
    assert_int_equal(rows(s, s->a), 1);

    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, later(s, 2, NULL));
    EXPECT(RC_OK, later(s, 1, NULL));
    EXPECT(RC_CONFLICT, db_commit(s->a, &s->err));
    assert_int_equal(rows(s, s->a), 1);

    EXPECT(RC_CONFLICT, later(s, 1, NULL)); /* outside a transaction: at once */
    EXPECT(RC_OK, later(s, 3, NULL));
    assert_int_equal(rows(s, s->reader), 2);
}

/* So many that the driver looks after them in between. */
static void
test_later_many(void **state)
{
    struct pg_case *s = *state;
    unsigned before;

    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    before = trips(s->a);
    for (int64_t i = 0; i < 3000; i++)
        EXPECT(RC_OK, later(s, i, NULL));
    assert_in_range(trips(s->a) - before, 5, 50);
    EXPECT(RC_OK, db_commit(s->a, &s->err));
    assert_int_equal(rows(s, s->reader), 3000);
}

/* A statement that was prepared behind an error, and so was not, can be used afterwards. */
static void
test_prepared_behind_an_error(void **state)
{
    struct pg_case *s = *state;

    EXPECT(RC_OK, add(s->a, 1, NULL, &s->err));
    for (int i = 0; i < 3; i++) {
        EXPECT(RC_OK, db_begin_write(s->a, &s->err));
        EXPECT(RC_OK, later(s, 1, NULL));
        EXPECT(RC_OK, exec_later(s->a, &rename_above, db_int(0), &s->err));
        if (i == 0) {
            EXPECT(RC_CONFLICT, db_commit(s->a, &s->err));
        } else {
            db_rollback(s->a);
        }
    }
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, exec_later(s->a, &rename_above, db_int(0), &s->err));
    EXPECT(RC_OK, db_commit(s->a, &s->err));
}

/* The part between savepoints answers for its own statements, and only for them. */
static void
test_later_and_savepoints(void **state)
{
    struct pg_case *s = *state;

    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, add(s->a, 1, NULL, &s->err));
    EXPECT(RC_OK, db_savepoint(s->a, &s->err));
    EXPECT(RC_OK, later(s, 2, NULL));
    EXPECT(RC_OK, later(s, 1, NULL));
    EXPECT(RC_CONFLICT, db_savepoint_release(s->a, &s->err));
    db_savepoint_rollback(s->a);
    EXPECT(RC_OK, db_savepoint(s->a, &s->err));
    EXPECT(RC_OK, later(s, 1, NULL));
    db_savepoint_rollback(s->a); /* before anyone asked */
    EXPECT(RC_OK, db_savepoint(s->a, &s->err));
    EXPECT(RC_OK, later(s, 3, NULL));
    EXPECT(RC_OK, db_savepoint_release(s->a, &s->err));
    EXPECT(RC_OK, db_commit(s->a, &s->err));
    assert_int_equal(rows(s, s->reader), 2);

    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, later(s, 1, NULL));
    EXPECT(RC_CONFLICT, db_savepoint(s->a, &s->err));
    db_savepoint_rollback(s->a); /* there is none */
    EXPECT(RC_CONFLICT, db_commit(s->a, &s->err));
}

/* A rollback does not wait, yet what comes next on the connection or another sees its effect. */
static void
test_rollback_is_sent(void **state)
{
    struct pg_case *s = *state;

    for (int64_t i = 0; i < 20; i++) {
        EXPECT(RC_OK, db_begin_write(s->a, &s->err));
        EXPECT(RC_OK, add(s->a, 1, "a", &s->err));
        db_rollback(s->a);
        EXPECT(RC_OK, db_begin_write(s->b, &s->err));
        EXPECT(RC_OK, add(s->b, 1, "a", &s->err)); /* waits for the other's row at most */
        db_rollback(s->b);
        assert_int_equal(rows(s, s->a), 0);
    }
}

/* ---- results ---- */

static void
test_types(void **state)
{
    static const struct sql text =
        SQL("SELECT true, (-2)::int2, (-3)::int4, (-4)::int8, 'five'::text, 'six'::varchar,"
            " 'seven'::name, '\\x0800'::bytea, NULL::int4, NULL::text, NULL::bytea, ''::bytea,"
            " false");
    struct pg_case *s = *state;
    SCOPED(db_cursor) c = NULL;
    size_t len = 9;

    EXPECT(RC_OK, db_query_one(s->a, &text, DB_NO_ARGS, &c, &s->err));
    assert_int_equal(db_col_int(c, 0), 1);
    assert_int_equal(db_col_int(c, 1), -2);
    assert_int_equal(db_col_int(c, 2), -3);
    assert_int_equal(db_col_int(c, 3), -4);
    assert_string_equal(db_col_text(c, 4), "five");
    assert_string_equal(db_col_text(c, 5), "six");
    assert_string_equal(db_col_text(c, 6), "seven");
    assert_memory_equal(db_col_blob(c, 7, &len), "\x08\0", 2);
    assert_int_equal(len, 2);
    assert_int_equal(db_col_int(c, 8), 0);
    assert_true(db_col_null(c, 8));
    assert_null(db_col_text(c, 9));
    assert_null(db_col_blob(c, 10, &len));
    assert_true(db_col_null(c, 10));
    (void)db_col_blob(c, 11, &len);
    assert_int_equal(len, 0);
    assert_false(db_col_null(c, 11));
    assert_int_equal(db_col_int(c, 12), 0);
}

/* A sum that nobody cast would come out as something else than an integer: a bug of ours. */
static void
test_unknown_type(void **state)
{
    static const struct sql text = SQL("SELECT 1, sum(id) AS total FROM item");
    struct pg_case *s = *state;
    int end[2], status;
    char said[512] = "";
    pid_t child;

    assert_int_equal(pipe(end), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        struct db_cursor *c;

        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(end[1], STDERR_FILENO);
        _exit(db_query(s->a, &text, DB_NO_ARGS, &c, &s->err) ? 1 : 0);
    }
    (void)close(end[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_true(read(end[0], said, sizeof(said) - 1) > 0);
    assert_non_null(strstr(said, "column total"));
    (void)close(end[0]);
}

static void
test_most_parameters(void **state)
{
    struct pg_case *s = *state;
    struct db_value values[PG_ARGS_MAX];
    SCOPED_POOL(pool);
    SCOPED(db_cursor) c = NULL;
    char *text = mem_strdup(pool, "SELECT 0");
    bool row;

    for (int i = 0; i < PG_ARGS_MAX; i++) {
        values[i] = db_int(1 << (i % 20));
        text = mem_printf(pool, "%s + $%d", text, i + 1);
    }
    EXPECT(RC_OK, db_query_built(s->a, text, values, PG_ARGS_MAX, &c, &s->err));
    EXPECT(RC_OK, db_next(c, &row, &s->err));
    assert_int_equal(db_col_int(c, 0), 2 * ((1 << 20) - 1) + (1 << 8) - 1);
}

/* A parameter may be NULL first, whatever the server takes it for then. */
static void
test_null_first(void **state)
{
    static const struct sql plus = SQL("SELECT ($1 + 1)::int8, coalesce($2, 'none')");
    static const struct db_value ints[] = {{.type = DB_NULL},
                                           {.type = DB_INT, .number = 1LL << 40},
                                           {.type = DB_NULL},
                                           {.type = DB_INT, .number = 7}};
    struct pg_case *s = *state;

    for (size_t i = 0; i < ARRAY_LEN(ints); i++) {
        const char *text = i >= 2 ? "some" : NULL;
        SCOPED(db_cursor) c = NULL;

        EXPECT(RC_OK, db_query_one(s->a, &plus, DB_ARGS(ints[i], db_text(text)), &c, &s->err));
        assert_int_equal(db_col_null(c, 0), ints[i].type == DB_NULL);
        if (ints[i].type == DB_INT)
            assert_int_equal(db_col_int(c, 0), ints[i].number + 1);
        assert_string_equal(db_col_text(c, 1), text ? text : "none");
    }
}

/* Several at once, of one statement, too, and large ones with other statements between. */
static void
test_cursors_at_once(void **state)
{
    static const struct sql all = SQL("SELECT id FROM item WHERE id >= $1 ORDER BY id");
    static const struct sql all_large = SQL_LARGE("SELECT id FROM item WHERE id >= $1 ORDER BY id");
    const struct sql *how[] = {&all, &all_large, &all, &all_large};
    struct db_cursor *c[4] = {0};
    struct pg_case *s = *state;
    bool row;

    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    for (int64_t i = 0; i < 1024; i++)
        EXPECT(RC_OK, later(s, i, NULL));
    for (size_t k = 0; k < 4; k++)
        EXPECT(RC_OK, db_query(s->a, how[k], DB_ARGS(db_int((int64_t)k)), &c[k], &s->err));
    for (int64_t i = 0; i < 1021; i++) {
        for (size_t k = 0; k < 4; k++) {
            EXPECT(RC_OK, db_next(c[k], &row, &s->err));
            assert_true(row);
            assert_int_equal(db_col_int(c[k], 0), i + (int64_t)k);
        }
        EXPECT(RC_OK, later(s, 10000 + i, NULL)); /* not seen by those that are open */
    }
    for (size_t k = 0; k < 4; k++) {
        for (int64_t i = 1021 + (int64_t)k; i < 1024; i++)
            EXPECT(RC_OK, db_next(c[k], &row, &s->err));
        EXPECT(RC_OK, db_next(c[k], &row, &s->err));
        assert_int_equal(row, false);
        EXPECT(RC_OK, db_next(c[k], &row, &s->err)); /* and again */
        assert_int_equal(row, false);
        db_cursor_free(&c[k]);
    }
    EXPECT(RC_OK, db_commit(s->a, &s->err));
}

/* Of a large result only some rows are here at a time. */
static void
test_large_in_parts(void **state)
{
    static const struct sql wide =
        SQL_LARGE("SELECT repeat('x', 100000), n FROM generate_series(1, 1500) n");
    struct pg_case *s = *state;
    SCOPED(db_cursor) c = NULL;
    unsigned before;
    bool row = true;
    int64_t n = 0;

    EXPECT(RC_OK, db_begin_read(s->reader, &s->err));
    before = trips(s->reader);
    EXPECT(RC_OK, db_query(s->reader, &wide, DB_NO_ARGS, &c, &s->err));
    while (db_next(c, &row, &s->err) == RC_OK && row)
        assert_int_equal(db_col_int(c, 1), ++n);
    assert_false(row);
    assert_int_equal(n, 1500);
    assert_int_equal(trips(s->reader) - before, 1500 / PG_FETCH_ROWS + 1);
    db_rollback(s->reader);
}

/* ---- outcomes ---- */

/* What an SQLSTATE in a statement means, and that the connection works afterwards. */
static void
test_sqlstates(void **state)
{
    static const struct {
        const char *sqlstate;
        enum rc rc;
    } cases[] = {
        {"23505", RC_CONFLICT},     {"23503", RC_CONFLICT},    {"P0001", RC_CONFLICT},
        {"40001", RC_RERUN},        {"40P01", RC_RERUN},       {"55P03", RC_RERUN},
        {"53100", RC_STORAGE_FULL}, {"53200", RC_UNAVAILABLE}, {"53300", RC_UNAVAILABLE},
        {"57014", RC_BUSY},         {"25006", RC_UNAVAILABLE}, {"57P01", RC_UNAVAILABLE},
        {"57P02", RC_UNAVAILABLE},  {"57P03", RC_UNAVAILABLE}, {"08006", RC_UNAVAILABLE},
        {"08007", RC_UNAVAILABLE},  {"40003", RC_UNAVAILABLE}, {"25P03", RC_UNAVAILABLE},
        {"0A000", RC_INTERNAL},     {"42601", RC_INTERNAL},    {"58030", RC_INTERNAL},
        {"XX001", RC_INTERNAL},
    };
    struct pg_case *s = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT(RC_OK, db_begin_write(s->a, &s->err));
        EXPECT(RC_OK, add(s->a, 1, NULL, &s->err));
        EXPECT(cases[i].rc,
               db_exec(s->a, &fail_with, DB_ARGS(db_text(cases[i].sqlstate)), NULL, &s->err));
        assert_non_null(strstr(s->err.detail, cases[i].sqlstate));
        EXPECT(cases[i].rc, db_commit(s->a, &s->err));
        assert_int_equal(rows(s, s->a), 0);
    }
}

/* The same where COMMIT itself fails: undone, unless the server says that it does not know. */
static void
test_commit_that_fails(void **state)
{
    static const struct {
        const char *sqlstate;
        enum rc rc;
    } cases[] = {{"23505", RC_CONFLICT},       {"40001", RC_RERUN},
                 {"53100", RC_STORAGE_FULL},   {"40003", RC_COMMIT_UNKNOWN},
                 {"08007", RC_COMMIT_UNKNOWN}, {"57014", RC_BUSY}};
    struct pg_case *s = *state;

    EXPECT(RC_OK, run_script(s->a, raise_at_commit, &s->err));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT(RC_OK, db_begin_write(s->a, &s->err));
        EXPECT(RC_OK, add(s->a, 1, cases[i].sqlstate, &s->err));
        EXPECT(cases[i].rc, db_commit(s->a, &s->err));
        assert_int_equal(rows(s, s->a), 0);
    }
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, later(s, 1, "23505"));
    EXPECT(RC_CONFLICT, db_commit(s->a, &s->err));
    EXPECT(RC_CONFLICT, add(s->a, 1, "23505", &s->err)); /* its own transaction */
    assert_int_equal(rows(s, s->a), 0);
}

/* A warning that comes with COMMIT: on this server's disk, not on its standby's. */
static void
test_commit_with_a_warning(void **state)
{
    struct pg_case *s = *state;

    EXPECT(RC_OK, run_script(s->a, raise_at_commit, &s->err));
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, add(s->a, 1, "warn", &s->err));
    EXPECT(RC_COMMIT_UNKNOWN, db_commit(s->a, &s->err));
    assert_non_null(strstr(s->err.detail, "replicated"));
    assert_int_equal(rows(s, s->a), 1);
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, add(s->a, 2, NULL, &s->err));
    EXPECT(RC_OK, db_commit(s->a, &s->err));
}

/* Two transactions that wait for each other: one of them is to run again, the other goes on. */
struct crossing {
    struct db_conn *conn;
    int64_t first, second;
    pthread_barrier_t *both;
    enum rc rc;
};

static void *
cross(void *arg)
{
    struct crossing *x = arg;
    struct err err;
    enum rc rc = db_begin_write(x->conn, &err);

    if (!rc)
        rc = db_exec(x->conn, &touch, DB_ARGS(db_int(x->first)), NULL, &err);
    (void)pthread_barrier_wait(x->both);
    if (!rc)
        rc = exec_later(x->conn, &touch, db_int(x->second), &err);
    if (!rc)
        rc = db_commit(x->conn, &err);
    else
        db_rollback(x->conn);
    x->rc = rc;
    return NULL;
}

static void
test_deadlock(void **state)
{
    struct pg_case *s = *state;
    pthread_barrier_t both;
    struct crossing x[2] = {{.conn = s->a, .first = 1, .second = 2, .both = &both},
                            {.conn = s->b, .first = 2, .second = 1, .both = &both}};
    pthread_t thread;

    EXPECT(RC_OK, add(s->a, 1, NULL, &s->err));
    EXPECT(RC_OK, add(s->a, 2, NULL, &s->err));
    assert_int_equal(pthread_barrier_init(&both, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, cross, &x[0]), 0);
    (void)cross(&x[1]);
    (void)pthread_join(thread, NULL);
    pthread_barrier_destroy(&both);
    assert_int_equal(x[0].rc + x[1].rc, RC_RERUN);
    assert_true(x[0].rc == RC_OK || x[1].rc == RC_OK);
}

/* Where the server cannot order two transactions, the later one is to run again. */
static void
test_serialisation(void **state)
{
    struct pg_case *s = *state;

    EXPECT(RC_OK, add(s->a, 1, NULL, &s->err));
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, run_script(s->a, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", &s->err));
    assert_int_equal(rows(s, s->a), 1);
    EXPECT(RC_OK, db_exec(s->b, &touch, DB_ARGS(db_int(1)), NULL, &s->err));
    EXPECT(RC_RERUN, db_exec(s->a, &touch, DB_ARGS(db_int(1)), NULL, &s->err));
    db_rollback(s->a);
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, db_exec(s->a, &touch, DB_ARGS(db_int(1)), NULL, &s->err));
    EXPECT(RC_OK, db_commit(s->a, &s->err));
}

/* A transaction that writes sees what others have committed meanwhile: READ COMMITTED. */
static void
test_read_committed(void **state)
{
    struct pg_case *s = *state;

    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    assert_int_equal(rows(s, s->a), 0);
    EXPECT(RC_OK, add(s->b, 1, NULL, &s->err));
    assert_int_equal(rows(s, s->a), 1);
    EXPECT(RC_OK, db_commit(s->a, &s->err));
}

/* ---- limits in time ---- */

/* What the server would end a statement after, in ms. */
static int64_t
server_limit(struct pg_case *s)
{
    static const struct sql text =
        SQL("SELECT setting::int8 FROM pg_settings WHERE name = 'statement_timeout'");
    SCOPED(db_cursor) c = NULL;

    EXPECT(RC_OK, db_query_one(s->brief, &text, DB_NO_ARGS, &c, &s->err));
    return db_col_int(c, 0);
}

/* A deadline takes the place of the limit in the URL, be it sooner or later. */
static void
test_limits(void **state)
{
    struct pg_case *s = *state;
    struct db_cursor *c = NULL;

    assert_int_equal(server_limit(s), BRIEF_MS);
    EXPECT(RC_BUSY, db_query_one(s->brief, &sleep_long, DB_NO_ARGS, &c, &s->err));
    assert_non_null(strstr(s->err.detail, "57014"));
    db_conn_deadline(s->brief, clock_mono_ms() + PATIENT_MS);
    EXPECT(RC_OK, db_begin_read(s->brief, &s->err));
    assert_in_range(server_limit(s), BRIEF_MS + 1, PATIENT_MS);
    db_rollback(s->brief);
    db_conn_deadline(s->brief, clock_mono_ms() + 100);
    EXPECT(RC_OK, db_begin_read(s->brief, &s->err));
    EXPECT(RC_BUSY, db_query_one(s->brief, &sleep_long, DB_NO_ARGS, &c, &s->err));
    db_rollback(s->brief);
    assert_int_equal(server_limit(s), BRIEF_MS);
}

/* ---- scripts ---- */

/* They have no limit in time, and leave that of other statements as it was. */
static void
test_scripts(void **state)
{
    struct pg_case *s = *state;

    for (int i = 0; i < 2; i++) {
        const char *slow = mem_printf(s->pool, "SELECT pg_sleep(1.2); CREATE TABLE a%d (x int)", i);

        if (i == 1)
            EXPECT(RC_OK, db_begin_write(s->brief, &s->err));
        pg_case_limits(s->brief_db, BRIEF_MS, PATIENT_MS);
        EXPECT(RC_OK, run_script(s->brief, slow, &s->err));
        pg_case_limits(s->brief_db, PATIENT_MS, PATIENT_MS);
        assert_int_equal(server_limit(s), BRIEF_MS);
        db_rollback(s->brief);
    }
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, later(s, 1, NULL));
    EXPECT(RC_CONFLICT, run_script(s->a, "INSERT INTO item (id) VALUES (2), (1)", &s->err));
    EXPECT(RC_CONFLICT, db_commit(s->a, &s->err));
    EXPECT(RC_INTERNAL, run_script(s->a, "CREATE TABLE c (x int); SELECT FROM nothing", &s->err));
    EXPECT(RC_OK,
           run_script(s->a, "CREATE TABLE c (x int);;", &s->err)); /* it was one transaction */
    assert_int_equal(rows(s, s->a), 0);
}

/* A migration by another node: what was planned before is planned anew. */
static void
test_changed_schema(void **state)
{
    static const struct sql names = SQL("SELECT name FROM item");
    struct pg_case *s = *state;
    SCOPED(db_cursor) c = NULL;

    EXPECT(RC_NOT_FOUND, db_query_one(s->a, &names, DB_NO_ARGS, &c, &s->err));
    EXPECT(RC_OK, run_script(s->b, "ALTER TABLE item ALTER name TYPE BYTEA USING NULL", &s->err));
    EXPECT(RC_RERUN, db_query_one(s->a, &names, DB_NO_ARGS, &c, &s->err));
    EXPECT(RC_NOT_FOUND, db_query_one(s->a, &names, DB_NO_ARGS, &c, &s->err));
}

static const struct CMUnitTest cases[] = {
    PG_CASE(test_round_trips),
    PG_CASE(test_questions),
    PG_CASE(test_questions_that_fail),
    PG_CASE(test_taken),
    PG_CASE(test_later_errors),
    PG_CASE(test_later_many),
    PG_CASE(test_prepared_behind_an_error),
    PG_CASE(test_later_and_savepoints),
    PG_CASE(test_rollback_is_sent),
    PG_CASE(test_types),
    PG_CASE(test_unknown_type),
    PG_CASE(test_most_parameters),
    PG_CASE(test_null_first),
    PG_CASE(test_cursors_at_once),
    PG_CASE(test_large_in_parts),
    PG_CASE(test_sqlstates),
    PG_CASE(test_commit_that_fails),
    PG_CASE(test_commit_with_a_warning),
    PG_CASE(test_deadlock),
    PG_CASE(test_serialisation),
    PG_CASE(test_read_committed),
    PG_CASE(test_limits),
    PG_CASE(test_scripts),
    PG_CASE(test_changed_schema),
};

int
main(void)
{
    return postgres_missing() ? 0 : cmocka_run_group_tests(cases, NULL, NULL);
}
