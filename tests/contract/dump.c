// SPDX-License-Identifier: Apache-2.0
/*
 * dump.h's contract: every table and column is known, what goes out of one database is what comes
 * out of the one it was put into, between every pair of drivers; and what becomes of audit chains.
 */
#include "postgres.h"

#include "base/buf.h"
#include "store/audit_verify.h"
#include "store/dump.h"
#include "store/importing.h"

struct place {
    const char *name;
    support_open_fn *open;
    void (*remove)(const char *dir);
    char dir[64];
    struct db *db;
    struct db_conn *conn;
    struct err err;
};

/* Moves go from the first to the second and back. */
struct pair {
    const char *name;
    struct place a, b;
};

#define SQLITE                                                                                     \
    {                                                                                              \
        .name = "sqlite", .open = support_open_sqlite                                              \
    }
#define POSTGRES                                                                                   \
    {                                                                                              \
        .name = "postgres", .open = postgres_open, .remove = postgres_remove                       \
    }

static struct pair pairs[] = {
    {"sqlite to sqlite", SQLITE, SQLITE},
    {"sqlite to postgres", SQLITE, POSTGRES},
    {"postgres to sqlite", POSTGRES, SQLITE},
    {"postgres to postgres", POSTGRES, POSTGRES},
};

static void
open_place(struct place *p)
{
    int from, to;

    support_make_dir(p->dir);
    EXPECT(RC_OK, p->open(p->dir, &p->db, &p->err));
    EXPECT(RC_OK, db_connect(p->db, DB_WRITER, &p->conn, &p->err));
    EXPECT(RC_OK, schema_migrate(p->conn, support_audit_key, &from, &to, &p->err));
}

static void
close_place(struct place *p)
{
    db_conn_free(&p->conn);
    db_free(&p->db);
    if (p->remove)
        p->remove(p->dir);
    support_remove_dir(p->dir);
}

static int
set_up(void **state)
{
    struct pair *pair = *state;

    open_place(&pair->a);
    open_place(&pair->b);
    return 0;
}

static int
tear_down(void **state)
{
    struct pair *pair = *state;

    close_place(&pair->a);
    close_place(&pair->b);
    return 0;
}

static struct tx
tx_of(struct place *p, TALLOC_CTX *pool)
{
    return (struct tx){
        .conn = p->conn, .pool = pool, .now_ms = 1000, .audit_key = support_audit_key};
}

static void
run(struct place *p, const char *text)
{
    const struct sql script = SQL(text);

    if (db_script(p->conn, &script, &p->err))
        fail_msg("%s: %s", text, p->err.detail);
}

/* ---- all rows as text ---- */

static void
write_value(struct buf *b, const struct db_value *v)
{
    switch (v->type) {
    case DB_NULL:
        buf_puts(b, " null");
        break;
    case DB_INT:
        buf_printf(b, " %lld", (long long)v->number);
        break;
    case DB_TEXT:
        assert_int_equal(strlen(v->bytes), v->len);
        buf_printf(b, " '%s'", (const char *)v->bytes);
        break;
    case DB_BLOB:
        buf_puts(b, " x");
        for (size_t i = 0; i < v->len; i++)
            buf_printf(b, "%02x", ((const uint8_t *)v->bytes)[i]);
        break;
    }
}

static void
write_table(struct place *p, const struct dump_table *t, struct buf *b)
{
    SCOPED_POOL(pool);
    struct tx tx = tx_of(p, pool);
    struct dump_walk walk;
    struct db_value *rows;
    size_t n = 1;

    dump_begin(pool, t, &walk);
    while (n > 0) {
        EXPECT(RC_OK, dump_next(&tx, &walk, &rows, &n, &p->err));
        for (size_t i = 0; i < n; i++) {
            buf_printf(b, "%s:", t->name);
            for (size_t j = 0; j < t->n; j++)
                write_value(b, &rows[i * t->n + j]);
            buf_puts(b, "\n");
        }
    }
}

static const char *
text_of(struct place *p, TALLOC_CTX *pool)
{
    struct buf b;

    buf_init(&b, pool, MIB(64));
    buf_puts(&b, "");
    for (size_t i = 0; i < DUMP_TABLES; i++)
        write_table(p, &dump_tables[i], &b);
    return b.bytes;
}

/* ---- moving ---- */

static void
move_table(struct place *from, struct place *to, const struct dump_inserts *inserts,
           const struct dump_table *t)
{
    SCOPED_POOL(pool);
    struct tx out = tx_of(from, pool), in = tx_of(to, pool);
    struct dump_walk walk;
    struct db_value *rows;
    size_t n = 1;

    dump_begin(pool, t, &walk);
    while (n > 0) {
        EXPECT(RC_OK, dump_next(&out, &walk, &rows, &n, &from->err));
        for (size_t i = 0; i < n; i++)
            EXPECT(RC_OK, dump_put(&in, inserts, t, &rows[i * t->n], &to->err));
    }
}

static void
move(struct place *from, struct place *to)
{
    TALLOC_CTX *pool = base_pool_new(NULL);
    struct dump_inserts *inserts = dump_inserts_new(pool);
    struct tx tx = tx_of(to, pool);
    int64_t after = 0;

    EXPECT(RC_OK, db_begin_write(to->conn, &to->err));
    for (size_t i = 0; i < DUMP_TABLES; i++)
        move_table(from, to, inserts, &dump_tables[i]);
    do
        EXPECT(RC_OK, dump_seal_some(&tx, &after, &to->err));
    while (after != 0);
    EXPECT(RC_OK, db_commit(to->conn, &to->err));
    db_conn_free(&to->conn); /* before its statements */
    EXPECT(RC_OK, db_connect(to->db, DB_WRITER, &to->conn, &to->err));
    base_pool_free(&pool);
}

static void
expect_same(struct place *a, struct place *b)
{
    SCOPED_POOL(pool);

    assert_string_equal(text_of(a, pool), text_of(b, pool));
}

/* ---- a library with something in each table ---- */

static const char *
made_value(TALLOC_CTX *pool, const struct place *p, const struct dump_column *c, int64_t row)
{
    bool pg = streq(p->name, "postgres");
    char hex[2 * SHA256_LEN + 1];
    uint8_t hash[SHA256_LEN];

    if (c->type == DUMP_INT)
        return mem_printf(pool, "%lld", (long long)row);
    if (c->type == DUMP_TEXT)
        return mem_printf(pool, "'%s %lld \"\\ \xf0\x9f\x93\x84'", c->name, (long long)row);
    crypto_sha256(&row, sizeof(row), hash);
    crypto_hex(hash, 16, hex);
    return mem_printf(pool, pg ? "'\\x%s'::bytea" : "x'%s'", hex);
}

/* Rows whose columns are made of their number. */
static void
make_rows(struct place *p, const struct dump_table *t, int64_t rows)
{
    SCOPED_POOL(pool);
    struct buf b;

    buf_init(&b, pool, MIB(1));
    buf_printf(&b, "INSERT INTO %s (", t->name);
    for (size_t i = 0; i < t->n; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", t->columns[i].name);
    buf_puts(&b, ") VALUES ");
    for (int64_t row = 1; row <= rows; row++) {
        for (size_t i = 0; i < t->n; i++)
            buf_printf(&b, "%s%s",
                       i         ? ", "
                       : row > 1 ? ", ("
                                 : "(",
                       made_value(pool, p, &t->columns[i], row));
        buf_puts(&b, ")");
    }
    run(p, b.bytes);
}

static void
make_library(struct place *p, int64_t rows)
{
    for (size_t i = 0; i < DUMP_TABLES; i++) {
        if (dump_tables[i].group)
            make_rows(p, &dump_tables[i], rows);
    }
}

/* More rows than a page in each table, there and back. */
static void
test_every_table(void **state)
{
    struct pair *pair = *state;
    SCOPED_POOL(pool);
    const char *text;

    make_library(&pair->a, DUMP_PAGE + 10);
    text = text_of(&pair->a, pool);
    for (size_t i = 0; i < DUMP_TABLES; i++) {
        const char *begin = mem_printf(pool, "%s: ", dump_tables[i].name);

        assert_int_equal(strstr(text, begin) != NULL, dump_tables[i].group != NULL);
    }
    move(&pair->a, &pair->b);
    expect_same(&pair->a, &pair->b);
}

/* What is NULL, empty, or not in the order of the ids stays so. */
static void
test_odd_values(void **state)
{
    struct pair *pair = *state;
    SCOPED_POOL(pool);

    run(&pair->a,
        "INSERT INTO docs_user (workspace_id, id, external_id) VALUES (1, '', NULL),"
        " (1, 'a', ''), (1, 'A', 'x'), (1, '\xc3\xa4', 'y'), (1, '\xf0\x9f\x93\x84', 'z'),"
        " (1, '\xef\xbf\xbd', 'w')");
    run(&pair->a, "INSERT INTO usage (workspace_id, slot, documents, bytes) VALUES"
                  " (1, 0, 5, 50), (1, 3, -2, -20), (2, 1, 1, 9223372036854775807)");
    assert_string_equal(text_of(&pair->a, pool), "usage: 1 0 3 30\n"
                                                 "usage: 2 0 1 9223372036854775807\n"
                                                 "docs_user: 1 '' null\n"
                                                 "docs_user: 1 'A' 'x'\n"
                                                 "docs_user: 1 'a' ''\n"
                                                 "docs_user: 1 '\xc3\xa4' 'y'\n"
                                                 "docs_user: 1 '\xef\xbf\xbd' 'w'\n"
                                                 "docs_user: 1 '\xf0\x9f\x93\x84' 'z'\n");
    move(&pair->a, &pair->b);
    expect_same(&pair->a, &pair->b);
}

/* ---- the schema ---- */

/* "table.column" of each, in order; `*` behind those of the key. */
static const struct sql schema_columns = {
    .sqlite = "SELECT m.name, c.name, c.pk, c.type FROM sqlite_master AS m,"
              " pragma_table_info(m.name) AS c WHERE m.type = 'table' ORDER BY m.name, c.name",
    .pg = "SELECT CAST(c.table_name AS TEXT), CAST(c.column_name AS TEXT),"
          " (SELECT count(*) FROM information_schema.key_column_usage AS k"
          "  JOIN information_schema.table_constraints AS t"
          "  ON t.constraint_name = k.constraint_name AND t.table_schema = k.table_schema"
          "  WHERE t.constraint_type = 'PRIMARY KEY' AND k.table_schema = c.table_schema"
          "  AND k.table_name = c.table_name AND k.column_name = c.column_name),"
          " CAST(c.data_type AS TEXT)"
          " FROM information_schema.columns AS c WHERE c.table_schema = current_schema()"
          " ORDER BY 1, 2",
};

static bool
left_out(const char *table)
{
    for (size_t i = 0; dump_left_out[i]; i++) {
        if (streq(dump_left_out[i], table))
            return true;
    }
    return false;
}

/* What stays behind of tables that go along, and is made anew. */
static bool
column_left_out(const char *table, const char *column)
{
    return streq(table, "audit_chain") && (streq(column, "chains") || streq(column, "seal"));
}

static enum dump_type
type_of(const char *type)
{
    if (streq(type, "INTEGER") || streq(type, "bigint"))
        return DUMP_INT;
    if (streq(type, "TEXT") || streq(type, "text"))
        return DUMP_TEXT;
    assert_true(streq(type, "BLOB") || streq(type, "bytea"));
    return DUMP_BLOB;
}

static void
check_column(const char *table, const char *column, bool key, const char *type)
{
    const struct dump_table *t = dump_table_find(table);
    size_t at;

    if (!t && left_out(table))
        return;
    if (!t)
        fail_msg("nobody moves the table %s", table);
    if (column_left_out(table, column))
        return;
    for (at = 0; at < t->n && !streq(t->columns[at].name, column);)
        at++;
    if (at == t->n)
        fail_msg("nobody moves %s.%s", table, column);
    assert_int_equal(t->columns[at].type, type_of(type));
    if (!streq(column, "slot")) /* its sum has the workspace alone for a key */
        assert_int_equal(at < t->keys, key);
}

static void
test_schema(void **state)
{
    struct pair *pair = *state;
    SCOPED(db_cursor) c = NULL;
    size_t known = 0, seen = 0;
    bool row = true;

    for (size_t i = 0; i < DUMP_TABLES; i++)
        known += dump_tables[i].n;
    known += 1; /* `chains` and `seal` in the place of `sealed` */
    EXPECT(RC_OK, db_query(pair->a.conn, &schema_columns, DB_NO_ARGS, &c, &pair->a.err));
    while (db_next(c, &row, &pair->a.err) == RC_OK && row) {
        check_column(db_col_text(c, 0), db_col_text(c, 1), db_col_int(c, 2) > 0, db_col_text(c, 3));
        seen += !left_out(db_col_text(c, 0));
    }
    assert_int_equal(seen, known);
}

#include "dump_chains.h"

static void
test_empty(void **state)
{
    struct pair *pair = *state;
    SCOPED_POOL(pool);
    struct tx tx = tx_of(&pair->a, pool);
    bool is = false;

    EXPECT(RC_OK, db_script(pair->a.conn, &drop_triggers, &pair->a.err));
    EXPECT(RC_OK, dump_empty(&tx, &is, &pair->a.err));
    assert_true(is);
    for (size_t i = 0; i < DUMP_TABLES; i++) {
        if (!dump_tables[i].group)
            continue;
        make_rows(&pair->a, &dump_tables[i], 1);
        EXPECT(RC_OK, dump_empty(&tx, &is, &pair->a.err));
        assert_false(is);
        run(&pair->a, mem_printf(pool, "DELETE FROM %s", dump_tables[i].name));
    }
}

/* ---- the note of an import ---- */

static void
test_note(void **state)
{
    struct pair *pair = *state;
    struct place *p = &pair->b;
    SCOPED_POOL(pool);
    struct tx tx = tx_of(p, pool);
    struct id me = id_new(), other = id_new();
    struct importing im = {0};
    uint8_t export[SHA256_LEN] = {7};
    bool noted = true;

    EXPECT(RC_OK, importing_noted(&tx, &noted, &p->err));
    assert_false(noted);
    EXPECT(RC_OK, db_begin_write(p->conn, &p->err));
    EXPECT(RC_OK, importing_begin(&tx, export, &p->err));
    EXPECT(RC_OK, importing_take(&tx, &me, &p->err));
    EXPECT(RC_OK, importing_read(&tx, &me, &im, &p->err));
    assert_memory_equal(im.export, export, SHA256_LEN);
    assert_true(im.step == 0 && im.at == 0);
    im.step = 3;
    im.at = 1000;
    EXPECT(RC_OK, importing_write(&tx, &im, &p->err));
    EXPECT(RC_OK, db_commit(p->conn, &p->err));
    EXPECT(RC_OK, importing_noted(&tx, &noted, &p->err));
    assert_true(noted);

    EXPECT(RC_OK, db_begin_write(p->conn, &p->err));
    EXPECT(RC_OK, importing_take(&tx, &other, &p->err));
    EXPECT(RC_CONFLICT, importing_read(&tx, &me, &im, &p->err));
    EXPECT(RC_OK, importing_read(&tx, &other, &im, &p->err));
    assert_true(im.step == 3 && im.at == 1000);
    EXPECT(RC_OK, importing_end(&tx, &p->err));
    EXPECT(RC_OK, db_commit(p->conn, &p->err));
    EXPECT(RC_OK, importing_noted(&tx, &noted, &p->err));
    assert_false(noted);
}

#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name, set_up, tear_down, NULL                                                       \
    }

static struct CMUnitTest cases[] = {
    CASE(test_schema),
    CASE(test_every_table),
    CASE(test_odd_values),
    CASE(test_empty),
    CASE(test_chains),
    CASE(test_chains_broken),
    CASE(test_chains_of_before),
    CASE(test_many_trails),
    CASE(test_note),
};

int
main(void)
{
    bool missing = postgres_missing();
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (missing && (pairs[i].a.remove || pairs[i].b.remove))
            continue;
        for (size_t j = 0; j < ARRAY_LEN(cases); j++)
            cases[j].initial_state = &pairs[i];
        failed += cmocka_run_group_tests_name(pairs[i].name, cases, NULL, NULL);
    }
    return failed;
}
