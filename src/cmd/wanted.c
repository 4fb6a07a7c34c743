// SPDX-License-Identifier: Apache-2.0
#include "cmd/wanted.h"

/* Where the columns are in a table that names bytes. */
struct place {
    const struct dump_table *table;
    size_t workspace, blob, size, sha256, path;
};

struct wanted_walk {
    const struct carry *carry;
    struct place places[2]; /* documents, then objects */
    size_t at;
    size_t document; /* the column with a document's id */
    struct rows_reader *rows;
    struct rows_reader *hashes; /* NULL: they are being made */
};

static const struct dump_column hash_columns[] = {
    {"workspace_id", DUMP_INT, NULL},
    {"blob_id", DUMP_BLOB, NULL},
    {"sha256", DUMP_BLOB, NULL},
};
static const struct dump_table hashes = {MANIFEST_HASHES, hash_columns, ARRAY_LEN(hash_columns), 2,
                                         ""};

const struct dump_table *
carry_hashes(void)
{
    return &hashes;
}

static struct place
place_of(const char *name)
{
    const struct dump_table *t = dump_table_find(name);

    BUG_ON(!t);
    return (struct place){t,
                          dump_column_find(t, "workspace_id"),
                          dump_column_find(t, "blob_id"),
                          dump_column_find(t, "size_bytes"),
                          dump_column_find(t, "sha256"),
                          dump_column_find(t, "storage_path")};
}

bool
carry_names(const struct dump_table *table, const struct db_value *row, int64_t *ret_bytes)
{
    struct place p;

    if (!streq(table->name, "document") && !streq(table->name, "object"))
        return false;
    p = place_of(table->name);
    *ret_bytes = row[p.size].number;
    return row[p.blob].type != DB_NULL;
}

enum rc
wanted_begin(const struct carry *c, struct wanted_walk **ret, struct err *err)
{
    SCOPED_POOL(pool);
    struct wanted_walk *w = MEM_NEW(NULL, struct wanted_walk);
    enum rc rc = RC_OK;

    w->carry = c;
    w->places[0] = place_of("document");
    w->places[1] = place_of("object");
    w->document = dump_column_find(w->places[0].table, "id");
    if (!c->notes_hashes)
        rc = rows_open(carry_path(pool, c, MANIFEST_HASHES), &hashes, 0, &w->hashes, err);
    if (rc) {
        wanted_walk_free(&w);
        return rc;
    }
    *ret = w;
    return RC_OK;
}

static enum rc
damaged(const struct carry *c, const char *table, struct err *err)
{
    SCOPED_POOL(pool);

    return err_set(err, RC_INVALID, "%s is damaged", carry_path(pool, c, table));
}

static bool
take_id(const struct db_value *v, struct id *ret)
{
    if (v->type != DB_BLOB || v->len != sizeof(*ret))
        return false;
    memcpy(ret, v->bytes, sizeof(*ret));
    return true;
}

static bool
take_hash(const struct db_value *v, struct wanted *w)
{
    w->hashed = v->type == DB_BLOB && v->len == SHA256_LEN;
    if (w->hashed)
        memcpy(w->sha256, v->bytes, SHA256_LEN);
    return w->hashed || v->len == 0; /* the store has not told */
}

static enum rc
look_up_hash(struct wanted_walk *walk, struct wanted *w, struct err *err)
{
    const struct db_value *row = NULL;
    struct id id;
    enum rc rc;

    if (w->hashed || !walk->hashes)
        return RC_OK;
    rc = rows_read(walk->hashes, &row, err);
    if (rc)
        return rc;
    if (!row || row[0].number != w->key.workspace || !take_id(&row[1], &id) ||
        !id_equal(&id, &w->key.id) || !take_hash(&row[2], w) || !w->hashed)
        return damaged(walk->carry, MANIFEST_HASHES, err);
    return RC_OK;
}

/* *ret_row is NULL after the last row of all. */
static enum rc
next_row(struct wanted_walk *w, const struct db_value **ret_row, struct err *err)
{
    SCOPED_POOL(pool);
    enum rc rc = RC_OK;

    *ret_row = NULL;
    while (!rc && w->at < ARRAY_LEN(w->places)) {
        const struct dump_table *t = w->places[w->at].table;

        if (!w->rows)
            rc = rows_open(carry_path(pool, w->carry, t->name), t, 0, &w->rows, err);
        if (!rc)
            rc = rows_read(w->rows, ret_row, err);
        if (rc || *ret_row)
            return rc;
        rows_reader_free(&w->rows);
        w->at++;
    }
    return rc;
}

enum rc
wanted_next(struct wanted_walk *w, TALLOC_CTX *pool, struct wanted *ret, bool *ret_more,
            struct err *err)
{
    const struct db_value *row = NULL;
    const struct place *p;
    enum rc rc;

    do {
        rc = next_row(w, &row, err);
        *ret_more = row != NULL;
        if (rc || !row)
            return rc;
        p = &w->places[w->at];
    } while (row[p->blob].type == DB_NULL);
    *ret = (struct wanted){.key.workspace = row[p->workspace].number,
                           .size = row[p->size].type == DB_NULL ? -1 : row[p->size].number,
                           .is_object = w->at > 0};
    if (row[p->path].type != DB_TEXT || row[p->workspace].number < 0 ||
        !take_id(&row[p->blob], &ret->key.id) || !take_hash(&row[p->sha256], ret) ||
        (!ret->is_object && !take_id(&row[w->document], &ret->document)))
        return damaged(w->carry, p->table->name, err);
    ret->storage_path = mem_strdup(pool, row[p->path].bytes);
    return look_up_hash(w, ret, err);
}

void
wanted_walk_free(struct wanted_walk **w)
{
    if (!*w)
        return;
    rows_reader_free(&(*w)->rows);
    rows_reader_free(&(*w)->hashes);
    (void)talloc_free(*w);
    *w = NULL;
}
