// SPDX-License-Identifier: Apache-2.0
/* The PostgreSQL driver and what can become of a connection: cut, frozen, refused; and the URL. */
#include "postgres_case.h"
#include "proxy.h"

/* Bounds are wide: other work runs beside the tests. They only have to be far from "for ever". */
#define SOON_MS 20000

/* ---- terminated by the server ---- */

static const struct sql terminate = SQL("SELECT pg_terminate_backend($1::int, 10000)");
static const struct sql is_sleeping =
    SQL("SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'");

/* Returns when the end of the connection has arrived here, though nobody has looked at it. */
static void
wait_for_end(struct db_conn *conn)
{
    struct pollfd fd = {.fd = PQsocket(((struct pg_conn *)conn)->link), .events = POLLRDHUP};

    assert_int_equal(poll(&fd, 1, SOON_MS), 1);
}

/* Ends the process of the server that serves a connection. */
static void
kill_pid(struct pg_case *s, int pid)
{
    SCOPED(db_cursor) c = NULL;

    EXPECT(RC_OK, db_query_one(s->b, &terminate, DB_ARGS(db_int(pid)), &c, &s->err));
    assert_int_equal(db_col_int(c, 0), 1);
}

static int
pid_of(struct db_conn *conn)
{
    return PQbackendPID(((struct pg_conn *)conn)->link);
}

static void
kill_conn(struct pg_case *s, struct db_conn *conn)
{
    kill_pid(s, pid_of(conn));
    wait_for_end(conn);
}

/* The connection is as good as new: a transaction with all it may have. */
static void
works_again(struct pg_case *s)
{
    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    EXPECT(RC_OK, later(s, 100, "again"));
    EXPECT(RC_OK, db_savepoint(s->a, &s->err));
    EXPECT(RC_CONFLICT, add(s->a, 100, NULL, &s->err));
    db_savepoint_rollback(s->a);
    EXPECT(RC_OK, db_commit(s->a, &s->err));
    assert_int_equal(rows(s, s->b), 1);
    EXPECT(RC_OK, run_script(s->b, "DELETE FROM item", &s->err));
}

static void
test_killed_while_idle(void **state)
{
    struct pg_case *s = *state;

    kill_conn(s, s->a);
    works_again(s);
    kill_conn(s, s->a);
    assert_int_equal(rows(s, s->a), 0); /* outside a transaction */
    kill_conn(s, s->reader);
    EXPECT(RC_OK, db_begin_read(s->reader, &s->err));
    assert_int_equal(rows(s, s->reader), 0);
    db_rollback(s->reader);
    /* the new one is read-only, too */
    EXPECT(RC_UNAVAILABLE, db_exec(s->reader, &touch, DB_ARGS(db_int(1)), NULL, &s->err));
}

static void
test_killed_after_begin(void **state)
{
    struct pg_case *s = *state;

    EXPECT(RC_OK, db_begin_write(s->a, &s->err));
    kill_conn(s, s->a);
    EXPECT(RC_UNAVAILABLE, add(s->a, 1, NULL, &s->err));
    EXPECT(RC_UNAVAILABLE, db_commit(s->a, &s->err));
    assert_int_equal(rows(s, s->b), 0);
    works_again(s);
}

enum next { ADD, LATER, SAVEPOINT, SCRIPT, UNDO, COMMIT, QUEUED, QUEUED_WIDE, NEXT_COUNT };

/* Between two statements; whatever is called next, the transaction is known to be undone. */
static void
test_killed_in_between(void **state)
{
    struct pg_case *s = *state;
    char *wide = mem_zalloc(s->pool, KIB(256)); /* more than libpq keeps to itself */

    memset(wide, 'x', KIB(256) - 1);
    for (enum next next = ADD; next < NEXT_COUNT; next++) {
        EXPECT(RC_OK, db_begin_write(s->a, &s->err));
        EXPECT(RC_OK, add(s->a, 1, NULL, &s->err));
        if (next == QUEUED || next == QUEUED_WIDE)
            EXPECT(RC_OK, later(s, 2, next == QUEUED ? "narrow" : wide));
        kill_conn(s, s->a);
        if (next == ADD)
            EXPECT(RC_UNAVAILABLE, add(s->a, 2, NULL, &s->err));
        if (next == LATER)
            EXPECT(RC_OK, later(s, 2, NULL));
        if (next == SAVEPOINT)
            EXPECT(RC_OK, db_savepoint(s->a, &s->err));
        if (next == SAVEPOINT)
            EXPECT(RC_UNAVAILABLE, db_savepoint_release(s->a, &s->err));
        if (next == SCRIPT)
            EXPECT(RC_UNAVAILABLE, run_script(s->a, "SELECT 1", &s->err));
        if (next == UNDO)
            db_savepoint_rollback(s->a); /* not to be had */
        EXPECT(RC_UNAVAILABLE, db_commit(s->a, &s->err));
        assert_int_equal(rows(s, s->b), 0);
        works_again(s);
    }
}

struct killer {
    struct pg_case *s;
    int pid;
};

static void *
kill_the_sleeper(void *arg)
{
    struct killer *k = arg;
    struct err err;
    bool sleeping = false;

    while (!sleeping)
        EXPECT(RC_OK, db_exists(k->s->b, &is_sleeping, DB_ARGS(db_int(k->pid)), &sleeping, &err));
    kill_pid(k->s, k->pid);
    return NULL;
}

static void
test_killed_in_a_statement(void **state)
{
    struct pg_case *s = *state;

    for (int i = 0; i < 4; i++) {
        bool in_transaction = i % 2, script = i / 2;
        enum rc want = in_transaction ? RC_UNAVAILABLE : RC_COMMIT_UNKNOWN;
        struct killer k = {.s = s, .pid = pid_of(s->a)};
        struct db_cursor *c = NULL;
        pthread_t thread;

        if (in_transaction)
            EXPECT(RC_OK, db_begin_write(s->a, &s->err));
        assert_int_equal(pthread_create(&thread, NULL, kill_the_sleeper, &k), 0);
        if (script)
            EXPECT(want, run_script(s->a, "SELECT pg_sleep(60)", &s->err));
        else
            EXPECT(want, db_query_one(s->a, &sleep_long, DB_NO_ARGS, &c, &s->err));
        (void)pthread_join(thread, NULL);
        db_rollback(s->a);
        works_again(s);
    }
}

/* A cursor of rows that come in parts has those that had come, and ends with its connection. */
static void
test_killed_under_a_cursor(void **state)
{
    static const struct sql many = SQL_LARGE("SELECT n FROM generate_series(1, 1000) n");
    struct pg_case *s = *state;
    struct db_cursor *c = NULL;
    enum rc rc = RC_OK;
    bool row = true;
    int n = 0;

    EXPECT(RC_OK, db_begin_read(s->reader, &s->err));
    EXPECT(RC_OK, db_query_one(s->reader, &many, DB_NO_ARGS, &c, &s->err));
    kill_conn(s, s->reader);
    while (!rc && row) {
        n++;
        rc = db_next(c, &row, &s->err);
    }
    assert_int_equal(rc, RC_UNAVAILABLE);
    assert_int_equal(n, PG_FETCH_ROWS);
    db_cursor_free(&c);
    db_rollback(s->reader);
    assert_int_equal(rows(s, s->reader), 0);
}

/* ---- behind a proxy ---- */

/* Static in each case: the proxy's thread outlives a case that fails. */
struct behind {
    struct proxy proxy;
    struct db *db;
    struct db_conn *conn, *other;
    PQconninfoOption *options;
};

static const char *
option(const struct behind *b, const char *word)
{
    for (const PQconninfoOption *o = b->options; o->keyword; o++) {
        if (strcmp(o->keyword, word) == 0)
            return o->val;
    }
    return NULL;
}

static void
behind_open(struct pg_case *s, struct behind *b)
{
    char *there, *why = NULL;

    memset(b, 0, sizeof(*b));
    b->options = PQconninfoParse(postgres_url(), &why);
    assert_non_null(b->options);
    proxy_start(&b->proxy, option(b, "host"), option(b, "port") ? option(b, "port") : "5432");
    there = mem_printf(s->pool, "host=127.0.0.1&port=%u", b->proxy.own_port);
    EXPECT(RC_OK, db_open_postgres(pg_case_url(s, there), &b->db, &s->err));
    EXPECT(RC_OK, db_connect(b->db, DB_WRITER, &b->conn, &s->err));
    EXPECT(RC_OK, db_connect(b->db, DB_WRITER, &b->other, &s->err));
}

/* Nothing is going to come from there, and all that waits for it gives up soon. */
static void
freeze(struct behind *b, enum proxy_way way)
{
    proxy_set(&b->proxy, way);
    pg_case_limits(b->db, 100, 500);
}

static void
thaw(struct behind *b)
{
    proxy_set(&b->proxy, PROXY_PASS);
    pg_case_limits(b->db, PATIENT_MS, PATIENT_MS);
}

static void
behind_close(struct behind *b)
{
    db_conn_free(&b->conn);
    db_conn_free(&b->other);
    db_free(&b->db);
    proxy_stop(&b->proxy);
    PQconninfoFree(b->options);
}

/* Until the breaker lets it. */
static void
begin_soon(struct pg_case *s, struct db_conn *conn)
{
    int64_t until = clock_mono_ms() + SOON_MS;
    enum rc rc;

    while ((rc = db_begin_write(conn, &s->err)) == RC_UNAVAILABLE && clock_mono_ms() < until)
        (void)usleep(10000);
    EXPECT(RC_OK, rc);
}

/* Cut in COMMIT: nobody knows, and both answers occur. */
static void
test_cut_in_commit(void **state)
{
    struct pg_case *s = *state;
    int64_t before = 0;

    for (int queued = 0; queued < 2; queued++) {
        for (int after = 0; after < 2; after++) {
            static struct behind b;

            behind_open(s, &b);
            EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
            if (queued)
                EXPECT(RC_OK,
                       db_exec_later(b.conn, &add_row, DB_ARGS(db_int(2), db_null()), &s->err));
            else
                EXPECT(RC_OK, add(b.conn, 1, NULL, &s->err));
            proxy_set(&b.proxy, after ? PROXY_CUT_AFTER : PROXY_CUT_BEFORE);
            EXPECT(RC_COMMIT_UNKNOWN, db_commit(b.conn, &s->err));
            proxy_set(&b.proxy, PROXY_PASS);
            assert_int_equal(rows(s, s->b), before + after);
            before += after;
            begin_soon(s, b.conn);
            EXPECT(RC_OK, db_commit(b.conn, &s->err));
            behind_close(&b);
        }
    }
}

/* A transaction of which the server knows better is not taken for committed. */
static void
test_commit_that_rolls_back(void **state)
{
    struct pg_case *s = *state;
    static struct behind b;

    behind_open(s, &b);
    EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
    EXPECT(RC_OK, add(b.conn, 1, NULL, &s->err));
    b.proxy.ours = "COMMIT";
    b.proxy.theirs = "ABORT ";
    proxy_set(&b.proxy, PROXY_SWAP);
    EXPECT(RC_RERUN, db_commit(b.conn, &s->err));
    assert_int_equal(rows(s, s->b), 0);
    assert_int_equal(rows(s, b.conn), 0);
    behind_close(&b);
}

/* A transaction that was not ended does not become part of the next one. */
static void
test_rollback_that_fails(void **state)
{
    struct pg_case *s = *state;
    static struct behind b;
    enum rc rc;

    behind_open(s, &b);
    EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
    EXPECT(RC_OK, add(b.conn, 1, NULL, &s->err));
    b.proxy.ours = "ROLLBACK";
    b.proxy.theirs = "ROLLBUCK";
    proxy_set(&b.proxy, PROXY_SWAP);
    db_rollback(b.conn);
    proxy_set(&b.proxy, PROXY_PASS);
    do {
        begin_soon(s, b.conn);
        rc = add(b.conn, 2, NULL, &s->err);
        if (rc)
            db_rollback(b.conn);
    } while (rc == RC_UNAVAILABLE); /* at most the first time */
    EXPECT(RC_OK, rc);
    EXPECT(RC_OK, db_commit(b.conn, &s->err));
    assert_int_equal(rows(s, s->b), 1);
    behind_close(&b);
}

/* A statement that had failed before the cut has made COMMIT impossible. */
static void
test_cut_after_an_error(void **state)
{
    struct pg_case *s = *state;
    static struct behind b;

    behind_open(s, &b);
    EXPECT(RC_OK, add(b.conn, 1, NULL, &s->err));
    EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
    EXPECT(RC_CONFLICT, add(b.conn, 1, NULL, &s->err));
    proxy_set(&b.proxy, PROXY_CLOSED);
    wait_for_end(b.conn);
    EXPECT(RC_CONFLICT, db_commit(b.conn, &s->err));
    behind_close(&b);
}

/* Cut when COMMIT itself was answered: that counts, and so does an error of what came before. */
static void
test_cut_short(void **state)
{
    struct pg_case *s = *state;
    static struct behind b;

    for (int fails = 0; fails < 2; fails++) {
        behind_open(s, &b);
        EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
        EXPECT(RC_OK, db_exec_later(b.conn, &add_row, DB_ARGS(db_int(1), db_null()), &s->err));
        proxy_set(&b.proxy, PROXY_CUT_SHORT);
        EXPECT(fails ? RC_CONFLICT : RC_OK, db_commit(b.conn, &s->err));
        assert_int_equal(rows(s, s->b), 1);
        proxy_set(&b.proxy, PROXY_PASS);
        begin_soon(s, b.conn);
        EXPECT(RC_OK, add(b.conn, 2, NULL, &s->err));
        db_rollback(b.conn);
        behind_close(&b);
    }
}

/* The server stands still: every call ends, each with the right code. */
static void
test_frozen(void **state)
{
    struct pg_case *s = *state;
    int64_t start = clock_mono_ms();
    struct db_cursor *c = NULL;
    static struct behind b;

    behind_open(s, &b);
    EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
    EXPECT(RC_OK, add(b.conn, 1, NULL, &s->err));
    freeze(&b, PROXY_FROZEN);
    EXPECT(RC_UNAVAILABLE, add(b.conn, 2, NULL, &s->err));
    EXPECT(RC_UNAVAILABLE, db_commit(b.conn, &s->err));
    EXPECT(RC_UNAVAILABLE, db_begin_write(b.conn, &s->err)); /* cannot connect */

    db_conn_deadline(b.other, clock_mono_ms() + 100);
    EXPECT(RC_OK, db_begin_read(b.other, &s->err));
    EXPECT(RC_BUSY, db_query_one(b.other, &count_rows, DB_NO_ARGS, &c, &s->err));
    db_rollback(b.other);
    assert_true(clock_mono_ms() - start < SOON_MS);
    thaw(&b);
    begin_soon(s, b.conn);
    EXPECT(RC_OK, add(b.conn, 1, NULL, &s->err));
    EXPECT(RC_OK, db_commit(b.conn, &s->err));
    behind_close(&b);
}

static void
test_frozen_in_commit(void **state)
{
    struct pg_case *s = *state;
    static struct behind b;

    behind_open(s, &b);
    EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
    EXPECT(RC_OK, add(b.conn, 1, NULL, &s->err));
    freeze(&b, PROXY_FREEZE_AT);
    EXPECT(RC_COMMIT_UNKNOWN, db_commit(b.conn, &s->err));
    thaw(&b);
    begin_soon(s, b.conn);
    EXPECT(RC_OK, db_commit(b.conn, &s->err));
    behind_close(&b);
}

/* A rollback of what hangs does not hang, and neither does closing. */
static void
test_frozen_rollback(void **state)
{
    struct pg_case *s = *state;
    int64_t start = clock_mono_ms();
    static struct behind b;

    behind_open(s, &b);
    EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
    EXPECT(RC_OK, add(b.conn, 1, NULL, &s->err));
    freeze(&b, PROXY_FROZEN);
    db_rollback(b.conn);
    EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
    EXPECT(RC_UNAVAILABLE, add(b.conn, 1, NULL, &s->err));
    db_rollback(b.conn);
    behind_close(&b);
    assert_true(clock_mono_ms() - start < SOON_MS);
}

/* A dead server is asked seldom, whoever wants it; a live one is found soon. */
static void
test_breaker(void **state)
{
    struct pg_case *s = *state;
    struct db_conn *extra;
    static struct behind b;
    int64_t start;
    int before;

    behind_open(s, &b);
    proxy_set(&b.proxy, PROXY_CLOSED);
    wait_for_end(b.conn);
    wait_for_end(b.other);
    before = atomic_load(&b.proxy.accepted);
    start = clock_mono_ms();
    for (int i = 0; i < 5000; i++) {
        EXPECT(RC_UNAVAILABLE, db_begin_write(b.conn, &s->err));
        EXPECT(RC_UNAVAILABLE, db_connect(b.db, DB_READER, &extra, &s->err));
    }
    /* a pause grows from 25 to 500 ms; half of it may be left out */
    assert_true(atomic_load(&b.proxy.accepted) - before <=
                8 + (clock_mono_ms() - start) / (PG_RETRY_MAX_MS / 2));
    assert_true(atomic_load(&b.proxy.accepted) - before >= 1);
    (void)usleep(PG_RETRY_MAX_MS * 1000);
    EXPECT(RC_UNAVAILABLE, db_begin_write(b.other, &s->err));
    before = atomic_load(&b.proxy.accepted);
    proxy_set(&b.proxy, PROXY_PASS);
    (void)usleep(PG_RETRY_MAX_MS * 1000);
    EXPECT(RC_OK, db_begin_write(b.conn, &s->err));
    EXPECT(RC_OK, db_begin_write(b.other, &s->err));
    assert_int_equal(atomic_load(&b.proxy.accepted) - before, 2);
    assert_int_equal(((struct pg *)b.db)->failures, 0);
    behind_close(&b);
}

struct seeker {
    struct db_conn *conn;
    enum rc rc;
};

static void *
seek(void *arg)
{
    struct seeker *k = arg;
    struct err err;

    k->rc = db_begin_write(k->conn, &err);
    return NULL;
}

/* While one connection waits for a frozen server, the others do not wait beside it. */
static void
test_breaker_frozen(void **state)
{
    struct pg_case *s = *state;
    static struct behind b;
    struct seeker first;
    pthread_t thread;
    int before;

    behind_open(s, &b);
    first = (struct seeker){.conn = b.conn};
    proxy_set(&b.proxy, PROXY_CLOSED);
    wait_for_end(b.conn);
    wait_for_end(b.other);
    EXPECT(RC_UNAVAILABLE, db_begin_write(b.other, &s->err));
    proxy_set(&b.proxy, PROXY_FROZEN);
    (void)usleep(PG_RETRY_MAX_MS * 1000); /* the next try is due */
    before = atomic_load(&b.proxy.accepted);
    assert_int_equal(pthread_create(&thread, NULL, seek, &first), 0);
    while (atomic_load(&b.proxy.accepted) == before)
        (void)usleep(1000);
    for (int i = 0; i < 100; i++)
        EXPECT(RC_UNAVAILABLE, db_begin_write(b.other, &s->err));
    assert_int_equal(atomic_load(&b.proxy.accepted), before + 1);
    proxy_set(&b.proxy, PROXY_CLOSED);
    (void)pthread_join(thread, NULL);
    assert_int_equal(first.rc, RC_UNAVAILABLE);
    behind_close(&b);
}

/* ---- the URL ---- */

static void
test_several_hosts(void **state)
{
    struct pg_case *s = *state;
    static struct behind b;
    struct db *db = NULL;
    struct db_conn *conn = NULL;
    char *hosts;
    int tried;

    behind_open(s, &b);
    hosts = mem_printf(s->pool, "host=127.0.0.1,127.0.0.1,%s&port=1,%u,%s", b.proxy.host,
                       b.proxy.own_port, b.proxy.port);
    proxy_set(&b.proxy, PROXY_FROZEN);
    tried = atomic_load(&b.proxy.accepted);
    /* one refuses, one stands still, one works */
    EXPECT(RC_OK, db_open_postgres(pg_case_url(s, hosts), &db, &s->err));
    do {
        pg_case_limits(db, PATIENT_MS, 1000);
    } while (db_connect(db, DB_WRITER, &conn, &s->err)); /* or is too slow */
    assert_int_not_equal(atomic_load(&b.proxy.accepted), tried);
    /* which is then tried first */
    pg_case_limits(db, PATIENT_MS, PATIENT_MS);
    tried = atomic_load(&b.proxy.accepted);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rows(s, conn), 0);
        kill_conn(s, conn);
    }
    assert_int_equal(atomic_load(&b.proxy.accepted), tried);
    db_conn_free(&conn);
    db_free(&db);
    behind_close(&b);
}

/* Of several hosts only one that takes writes will do; of one whatever it is, unless asked. */
static void
test_read_only_hosts(void **state)
{
    struct pg_case *s = *state;
    const char *host = "host=127.0.0.1,127.0.0.1",
               *read_only = "%20-cdefault_transaction_read_only%3Don";
    struct db *db = NULL;
    struct db_conn *conn = NULL;
    static struct behind b;
    const char *url;

    behind_open(s, &b);
    url = mem_printf(s->pool, "%s%s", postgres_url_of(s->pool, postgres_url(), s->dir), read_only);
    EXPECT(RC_OK, db_open_postgres(url, &db, &s->err));
    EXPECT(RC_OK, db_connect(db, DB_WRITER, &conn, &s->err));
    EXPECT(RC_OK, db_begin_write(conn, &s->err));
    EXPECT(RC_UNAVAILABLE, add(conn, 1, NULL, &s->err)); /* as on a primary of before */
    db_rollback(conn);
    db_conn_free(&conn);
    db_free(&db);
    url = mem_printf(s->pool, "%s&%s&port=%s", url, host, b.proxy.port);
    EXPECT(RC_OK, db_open_postgres(url, &db, &s->err));
    EXPECT(RC_UNAVAILABLE, db_connect(db, DB_WRITER, &conn, &s->err));
    assert_non_null(strstr(s->err.detail, "read-only"));
    db_free(&db);
    behind_close(&b);
}

static void
test_settings_of_the_server(void **state)
{
    static const struct sql settings = SQL(
        "SELECT current_setting('application_name'), current_setting('client_encoding'),"
        " current_setting('default_transaction_isolation'), current_setting('statement_timeout'),"
        " current_setting('default_transaction_read_only')");
    static const char off[] = "%20-csynchronous_commit%3Doff%20-cdefault_transaction_isolation%3D"
                              "serializable";
    struct pg_case *s = *state;
    char *url = mem_printf(s->pool, "%s%s", postgres_url_of(s->pool, postgres_url(), s->dir), off);
    struct db *db = NULL;
    struct db_conn *conn = NULL;
    SCOPED(db_cursor) c = NULL;

    EXPECT(RC_OK,
           db_open_postgres(postgres_url_with(s->pool, url, "dossier_relaxed=0"), &db, &s->err));
    EXPECT(RC_INTERNAL, db_connect(db, DB_WRITER, &conn, &s->err));
    assert_non_null(strstr(s->err.detail, "dossier_relaxed=1"));
    db_free(&db);
    pg_case_connect(s, postgres_url_with(s->pool, url, "dossier_statement_ms=1234"), DB_READER, &db,
                    &conn);
    EXPECT(RC_OK, db_query_one(conn, &settings, DB_NO_ARGS, &c, &s->err));
    assert_string_equal(db_col_text(c, 0), "dossier");
    assert_string_equal(db_col_text(c, 1), "UTF8");
    assert_string_equal(db_col_text(c, 2), "read committed");
    assert_string_equal(db_col_text(c, 3), "1234ms");
    assert_string_equal(db_col_text(c, 4), "on");
    db_cursor_free(&c);
    db_conn_free(&conn);
    db_free(&db);
}

static void
test_urls(void **state)
{
    static const char *const bad[] = {
        "",
        "dbname=x",
        "mysql://h/d",
        "postgres://u:secret%zz@h/d",
        "postgres://u:secret@[::1/d",
        "postgres://u:secret@h/d?nonsense=1",
        "postgres://u:secret@h/d?dossier_nonsense=1",
        "postgres://u:secret@h/d?dossier_statement_ms=0",
        "postgres://u:secret@h/d?dossier_statement_ms",
        "postgres://u:secret@h/d?dossier_relaxed=perhaps",
        "postgres://u:secret@a,b,c,d,e,f,g,h,i/d",
    };
    struct pg_case *s = *state;
    struct db *db = NULL;
    struct db_conn *conn = NULL;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        EXPECT(RC_INVALID, db_open_postgres(bad[i], &db, &s->err));
        assert_null(db);
        assert_null(strstr(s->err.detail, "secret"));
    }
    /* what libpq knows gets to it: this server has no TLS, or its certificate is of nobody known */
    EXPECT(RC_OK, db_open_postgres(pg_case_url(s, "sslmode=verify-full&sslrootcert=/nonexistent"),
                                   &db, &s->err));
    EXPECT(RC_UNAVAILABLE, db_connect(db, DB_WRITER, &conn, &s->err));
    assert_true(strstr(s->err.detail, "SSL") || strstr(s->err.detail, "root certificate"));
    db_free(&db);
    EXPECT(RC_OK, db_open_postgres(pg_case_url(s, "dbname=no_such_database"), &db, &s->err));
    EXPECT(RC_UNAVAILABLE, db_connect(db, DB_WRITER, &conn, &s->err));
    assert_non_null(strstr(s->err.detail, "no_such_database"));
    db_free(&db);
}

static const struct CMUnitTest cases[] = {
    PG_CASE(test_killed_while_idle),
    PG_CASE(test_killed_after_begin),
    PG_CASE(test_killed_in_between),
    PG_CASE(test_killed_in_a_statement),
    PG_CASE(test_killed_under_a_cursor),
    PG_CASE(test_cut_in_commit),
    PG_CASE(test_commit_that_rolls_back),
    PG_CASE(test_rollback_that_fails),
    PG_CASE(test_cut_after_an_error),
    PG_CASE(test_cut_short),
    PG_CASE(test_frozen),
    PG_CASE(test_frozen_in_commit),
    PG_CASE(test_frozen_rollback),
    PG_CASE(test_breaker),
    PG_CASE(test_breaker_frozen),
    PG_CASE(test_several_hosts),
    PG_CASE(test_read_only_hosts),
    PG_CASE(test_settings_of_the_server),
    PG_CASE(test_urls),
};

int
main(void)
{
    return postgres_missing() ? 0 : cmocka_run_group_tests(cases, NULL, NULL);
}
