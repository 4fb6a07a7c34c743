// SPDX-License-Identifier: Apache-2.0
#include "store/dump.h"

#include "base/buf.h"
#include "store/dump_chain.h"

#define SQL_MAX 4096

struct dump_inserts {
    struct sql sql[DUMP_TABLES];
};

/* "name, name" of the first `n` columns, or "$1, $2" as many. */
static void
add_names(struct buf *b, const struct dump_table *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%s%s", i ? ", " : "", t->columns[i].name);
}

static void
add_numbers(struct buf *b, size_t n)
{
    for (size_t i = 1; i <= n; i++)
        buf_printf(b, "%s$%zu", i > 1 ? ", " : "", i);
}

static const char *
select_page(TALLOC_CTX *pool, const struct dump_table *t, bool from_start)
{
    struct buf b;

    buf_init(&b, pool, SQL_MAX);
    buf_puts(&b, "SELECT ");
    for (size_t i = 0; i < t->n; i++) {
        const struct dump_column *c = &t->columns[i];

        buf_printf(&b, "%s%s", i ? ", " : "", c->computed ? c->computed : c->name);
    }
    buf_printf(&b, " FROM %s", t->name);
    if (!from_start) {
        buf_puts(&b, " WHERE (");
        add_names(&b, t, t->keys);
        buf_puts(&b, ") > (");
        add_numbers(&b, t->keys);
        buf_puts(&b, ")");
    }
    buf_printf(&b, "%s ORDER BY ", t->group);
    add_names(&b, t, t->keys);
    buf_printf(&b, " LIMIT %d", DUMP_PAGE);
    return b.bytes;
}

/* Text stays NUL-terminated, and an empty one is not NULL. */
static struct db_value
copy_value(TALLOC_CTX *pool, const struct db_value *v)
{
    struct db_value out = *v;
    char *copy;

    if (!v->bytes)
        return out;
    copy = mem_zalloc(pool, v->len + 1);
    memcpy(copy, v->bytes, v->len);
    out.bytes = copy;
    return out;
}

static struct db_value
read_value(struct db_cursor *c, int col, enum dump_type type)
{
    struct db_value v = db_null();
    size_t len = 0;
    const void *p;

    if (db_col_null(c, col))
        return v;
    switch (type) {
    case DUMP_INT:
        return db_int(db_col_int(c, col));
    case DUMP_TEXT:
        return db_text(db_col_text(c, col));
    case DUMP_BLOB:
        p = db_col_blob(c, col, &len);
        return db_blob(p ? p : "", len);
    }
    return v;
}

static enum rc
read_page(struct tx *tx, const struct dump_walk *w, struct db_value *rows, size_t *ret_n,
          struct err *err)
{
    const struct dump_table *t = w->table;
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    size_t n = 0;
    enum rc rc = db_query_built(tx->conn, select_page(tx->pool, t, !w->begun), w->after,
                                w->begun ? t->keys : 0, &c, err);

    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        BUG_ON(n == DUMP_PAGE);
        for (size_t i = 0; i < t->n; i++) {
            struct db_value v = read_value(c, (int)i, t->columns[i].type);

            rows[n * t->n + i] = copy_value(tx->pool, &v);
        }
        n++;
    }
    *ret_n = n;
    return rc;
}

/* The next page begins behind this row. */
static void
go_behind(struct dump_walk *w, const struct db_value *row)
{
    TALLOC_CTX *pool = base_pool_new(w->pool);

    for (size_t i = 0; i < w->table->keys; i++)
        w->after[i] = copy_value(pool, &row[i]);
    base_pool_free(&w->after_pool);
    w->after_pool = pool;
    w->begun = true;
}

void
dump_begin(TALLOC_CTX *pool, const struct dump_table *table, struct dump_walk *ret)
{
    BUG_ON(table->keys > DUMP_KEYS_MAX || table->n > DUMP_COLUMNS_MAX);
    *ret = (struct dump_walk){.table = table, .pool = pool};
}

enum rc
dump_next(struct tx *tx, struct dump_walk *w, struct db_value **ret, size_t *ret_n, struct err *err)
{
    const struct dump_table *t = w->table;
    struct db_value *rows;
    enum rc rc;

    *ret_n = 0;
    if (w->ended)
        return RC_OK;
    if (!t->group)
        return dump_chain_next(tx, w, ret, ret_n, err);
    rows = MEM_ARRAY(tx->pool, struct db_value, DUMP_PAGE * t->n);
    rc = read_page(tx, w, rows, ret_n, err);
    if (rc)
        return rc;
    w->ended = *ret_n < DUMP_PAGE;
    if (!w->ended)
        go_behind(w, &rows[(*ret_n - 1) * t->n]);
    *ret = rows;
    return RC_OK;
}

static enum rc
has_rows(struct tx *tx, const char *table, bool *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_built(tx->conn, mem_printf(tx->pool, "SELECT 1 FROM %s LIMIT 1", table),
                                DB_NO_ARGS, &c, err);

    return rc ? rc : db_next(c, ret, err);
}

enum rc
dump_empty(struct tx *tx, bool *ret, struct err *err)
{
    bool any = false;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < DUMP_TABLES && !rc && !any; i++)
        rc = has_rows(tx, dump_tables[i].name, &any, err);
    if (!rc && !any)
        rc = has_rows(tx, "incoming", &any, err);
    *ret = !any;
    return rc;
}

struct dump_inserts *
dump_inserts_new(TALLOC_CTX *pool)
{
    struct dump_inserts *ins = MEM_NEW(pool, struct dump_inserts);

    for (size_t i = 0; i < DUMP_TABLES; i++) {
        const struct dump_table *t = &dump_tables[i];
        struct buf b;

        buf_init(&b, pool, SQL_MAX);
        buf_printf(&b, "INSERT INTO %s (", t->name);
        add_names(&b, t, t->n);
        buf_puts(&b, ") VALUES (");
        add_numbers(&b, t->n);
        buf_puts(&b, ")");
        ins->sql[i] = (struct sql)SQL(b.bytes);
    }
    return ins;
}

enum rc
dump_put(struct tx *tx, const struct dump_inserts *inserts, const struct dump_table *table,
         const struct db_value *row, struct err *err)
{
    if (!table->group)
        return dump_chain_put(tx, row, err);
    return db_exec_later(tx->conn, &inserts->sql[table - dump_tables], row, table->n, err);
}

enum rc
dump_seal_some(struct tx *tx, int64_t *after, struct err *err)
{
    return dump_chain_seal_some(tx, after, err);
}
