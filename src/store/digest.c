// SPDX-License-Identifier: Apache-2.0
#include "store/digest.h"

#include <stdlib.h>

#include "base/buf.h"
#include "store/document_row.h"
#include "store/text_sign.h"

/*
 * What fits into a page of the index with others of its kind. A longer one goes to pages of its
 * own, each of which is read by itself and copied.
 */
#define BLOCK_BYTES 800

static const struct sql kept = {.sqlite = "yes", .pg = ""};
static const struct sql read_state =
    SQL("SELECT upto, documents FROM digest WHERE workspace_id = $1");
static const struct sql write_state =
    SQL("INSERT INTO digest (workspace_id, upto, documents) VALUES ($1, $2, $3)"
        " ON CONFLICT (workspace_id) DO UPDATE SET upto = excluded.upto,"
        " documents = digest.documents + excluded.documents");
static const struct sql add_total =
    SQL("INSERT INTO facet_total (workspace_id, facet, value, documents) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (workspace_id, facet, value) DO UPDATE SET"
        " documents = facet_total.documents + excluded.documents");
/* a tag that nothing has any more leaves nothing behind */
static const struct sql forget_total =
    SQL("DELETE FROM facet_total WHERE workspace_id = $1 AND facet = $2 AND value = $3"
        " AND documents = 0");
static const struct sql read_total = SQL("SELECT documents FROM facet_total WHERE workspace_id = $1"
                                         " AND facet = $2 AND value = $3");
static const struct sql read_between =
    SQL("SELECT coalesce(sum(documents), 0) FROM facet_total WHERE workspace_id = $1"
        " AND facet = $2 AND value >= $3 AND value < $4");
static const struct sql block_of =
    SQL("SELECT after_id, last_id FROM text_block WHERE workspace_id = $1 AND last_id >= $2"
        " ORDER BY last_id LIMIT 1");
static const struct sql texts_of =
    SQL("SELECT search_text FROM document WHERE workspace_id = $1 AND id > $2 AND id <= $3"
        " ORDER BY id");
static const struct sql write_block =
    SQL("INSERT INTO text_block (workspace_id, last_id, after_id, documents, texts)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (workspace_id, last_id) DO UPDATE SET"
        " after_id = excluded.after_id, documents = excluded.documents, texts = excluded.texts");
static const struct sql delete_block =
    SQL("DELETE FROM text_block WHERE workspace_id = $1 AND last_id = $2");
static const struct sql widen_block =
    SQL("UPDATE text_block SET after_id = $3 WHERE workspace_id = $1 AND after_id = $2"
        " AND last_id = (SELECT min(last_id) FROM text_block WHERE workspace_id = $1"
        " AND last_id > $2)");
static const struct sql next_documents =
    SQL("SELECT id, folder, tags, mime_type, search_text FROM document WHERE workspace_id = $1"
        " AND id > $2 ORDER BY id LIMIT $3");
static const struct sql due =
    SQL("SELECT u.workspace_id FROM usage u LEFT JOIN digest d ON d.workspace_id = u.workspace_id"
        " GROUP BY u.workspace_id HAVING sum(u.documents) - coalesce(max(d.documents), 0) >= $1"
        " ORDER BY u.workspace_id LIMIT $2");

enum rc
digest_read(struct tx *tx, int64_t workspace, struct digest *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc;

    memset(ret, 0, sizeof(*ret));
    if (!*db_piece(tx->conn, &kept))
        return RC_OK;
    rc = db_query_one(tx->conn, &read_state, DB_ARGS(db_int(workspace)), &c, err);
    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    ret->there = true;
    (void)db_col_id(c, 0, &ret->upto);
    ret->documents = db_col_int(c, 1);
    return RC_OK;
}

static enum rc
total(struct tx *tx, const struct sql *sql, const struct db_value *values, size_t n, int64_t *ret,
      struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, sql, values, n, &c, err);

    *ret = rc ? 0 : db_col_int(c, 0);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc
digest_total(struct tx *tx, int64_t workspace, enum facet facet, const char *value, int64_t *ret,
             struct err *err)
{
    return total(tx, &read_total, DB_ARGS(db_int(workspace), db_int(facet), db_text(value)), ret,
                 err);
}

enum rc
digest_total_between(struct tx *tx, int64_t workspace, enum facet facet, const char *from,
                     const char *to, int64_t *ret, struct err *err)
{
    return total(tx, &read_between,
                 DB_ARGS(db_int(workspace), db_int(facet), db_text(from), db_text(to)), ret, err);
}

/* ---- changes of single documents ---- */

static enum rc
add_facet(struct tx *tx, int64_t workspace, enum facet facet, const char *value, int64_t n,
          struct err *err)
{
    enum rc rc;

    if (!value)
        return RC_OK;
    rc = db_exec(tx->conn, &add_total,
                 DB_ARGS(db_int(workspace), db_int(facet), db_text(value), db_int(n)), NULL, err);
    if (!rc && n < 0)
        rc = db_exec(tx->conn, &forget_total,
                     DB_ARGS(db_int(workspace), db_int(facet), db_text(value)), NULL, err);
    return rc;
}

static enum rc
add_facets(struct tx *tx, int64_t workspace, const struct document *d, int64_t n, struct err *err)
{
    enum rc rc = add_facet(tx, workspace, FACET_FOLDER, d->folder, n, err);

    if (!rc)
        rc = add_facet(tx, workspace, FACET_TYPE, d->mime_type, n, err);
    for (size_t i = 0; i < d->n_tags && !rc; i++)
        rc = add_facet(tx, workspace, FACET_TAG, d->tags[i], n, err);
    return rc;
}

struct block {
    struct id after;
    struct id last;
    int64_t documents;
    struct buf texts;
};

static enum rc
put_block(struct tx *tx, int64_t workspace, const struct block *b, struct err *err)
{
    return db_exec(tx->conn, &write_block,
                   DB_ARGS(db_int(workspace), db_id(&b->last), db_id(&b->after),
                           db_int(b->documents), db_blob(b->texts.bytes, b->texts.len)),
                   NULL, err);
}

/* One that holds nothing leaves its place to the next; the last has none, and stays. */
static enum rc
drop_block(struct tx *tx, int64_t workspace, const struct block *b, struct err *err)
{
    int64_t widened = 0;
    enum rc rc =
        db_exec(tx->conn, &widen_block,
                DB_ARGS(db_int(workspace), db_id(&b->last), db_id(&b->after)), &widened, err);

    if (rc || widened == 0)
        return rc ? rc : put_block(tx, workspace, b, err);
    return db_exec(tx->conn, &delete_block, DB_ARGS(db_int(workspace), db_id(&b->last)), NULL, err);
}

static void
block_begin(struct block *b, TALLOC_CTX *pool, const struct id *after)
{
    b->after = *after;
    b->documents = 0;
    buf_init(&b->texts, pool, (size_t)MIB(64));
    buf_puts(&b->texts, "");
}

/* False when it would be too long; one text always fits. */
static bool
block_add(struct block *b, const char *text)
{
    size_t len = strlen(text) + 1;

    if (b->documents > 0 && b->texts.len + len > BLOCK_BYTES)
        return false;
    BUG_ON(!buf_append(&b->texts, text, len));
    b->documents++;
    return true;
}

/* Makes the block that a document belongs to anew from the rows. */
static enum rc
refresh_block(struct tx *tx, int64_t workspace, const struct id *id, bool added, struct err *err)
{
    SCOPED(db_cursor) at = NULL;
    SCOPED(db_cursor) c = NULL;
    struct block b;
    struct id after;
    bool row = true;
    enum rc rc = db_query_one(tx->conn, &block_of, DB_ARGS(db_int(workspace), db_id(id)), &at, err);

    if (rc)
        return rc;
    (void)db_col_id(at, 0, &after);
    (void)db_col_id(at, 1, &b.last);
    block_begin(&b, tx->pool, &after);
    rc = db_query(tx->conn, &texts_of, DB_ARGS(db_int(workspace), db_id(&after), db_id(&b.last)),
                  &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        const char *text = db_col_text(c, 0);

        BUG_ON(!buf_append(&b.texts, text, strlen(text) + 1));
        b.documents++;
    }
    if (rc)
        return rc;
    rc = b.documents > 0 ? put_block(tx, workspace, &b, err) : drop_block(tx, workspace, &b, err);
    return rc || !added ? rc : text_sign_stale(tx, workspace, &b.last, err);
}

enum rc
digest_change(struct tx *tx, int64_t workspace, const struct document *before,
              const struct document *after, struct err *err)
{
    const struct id *id = before ? &before->id : &after->id;
    struct digest g;
    enum rc rc = digest_read(tx, workspace, &g, err);

    if (rc || !g.there || memcmp(id, &g.upto, sizeof(*id)) > 0)
        return rc;
    if (before)
        rc = add_facets(tx, workspace, before, -1, err);
    if (!rc && after)
        rc = add_facets(tx, workspace, after, 1, err);
    if (!rc)
        rc = refresh_block(tx, workspace, id, after != NULL, err);
    if (!rc && (!before || !after))
        rc = db_exec(tx->conn, &write_state,
                     DB_ARGS(db_int(workspace), db_id(&g.upto), db_int(after ? 1 : -1)), NULL, err);
    return rc;
}

/* ---- taking up many ---- */

enum rc
digest_due(struct tx *tx, int64_t min, int64_t max, int64_t **ret, size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc = RC_OK;

    *ret = MEM_ARRAY(tx->pool, int64_t, max);
    *ret_n = 0;
    if (!*db_piece(tx->conn, &kept))
        return RC_OK;
    rc = db_query(tx->conn, &due, DB_ARGS(db_int(min), db_int(max)), &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row)
        (*ret)[(*ret_n)++] = db_col_int(c, 0);
    return rc;
}

struct next {
    struct id id;
    const char *text;
    struct document facets; /* folder, mime_type and tags of it */
};

static enum rc
read_next(struct tx *tx, int64_t workspace, const struct id *after, int64_t max, struct next **ret,
          size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct next *list = MEM_ARRAY(tx->pool, struct next, max);
    bool row = true;
    size_t n = 0;
    enum rc rc = db_query(tx->conn, &next_documents,
                          DB_ARGS(db_int(workspace), db_id(after), db_int(max)), &c, err);

    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        struct document *d = &list[n].facets;

        (void)db_col_id(c, 0, &list[n].id);
        d->folder = db_col_strdup(c, 1, tx->pool);
        document_row_tags(tx->pool, db_col_text(c, 2), &d->tags, &d->n_tags);
        d->mime_type = db_col_strdup(c, 3, tx->pool);
        list[n++].text = db_col_strdup(c, 4, tx->pool);
    }
    *ret = list;
    *ret_n = n;
    return rc;
}

struct entry {
    enum facet facet;
    const char *value;
};

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->facet != y->facet ? (int)x->facet - (int)y->facet : strcmp(x->value, y->value);
}

/* One write for each value, in the order of the table, however many documents have it. */
static enum rc
take_facets(struct tx *tx, int64_t workspace, const struct next *list, size_t n, struct err *err)
{
    struct entry *all;
    size_t room = 2 * n, used = 0;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n; i++)
        room += list[i].facets.n_tags;
    all = MEM_ARRAY(tx->pool, struct entry, room);
    for (size_t i = 0; i < n; i++) {
        const struct document *d = &list[i].facets;

        if (d->folder)
            all[used++] = (struct entry){FACET_FOLDER, d->folder};
        all[used++] = (struct entry){FACET_TYPE, d->mime_type};
        for (size_t k = 0; k < d->n_tags; k++)
            all[used++] = (struct entry){FACET_TAG, d->tags[k]};
    }
    qsort(all, used, sizeof(*all), compare_entries);
    for (size_t from = 0, to; from < used && !rc; from = to) {
        for (to = from + 1; to < used && compare_entries(&all[from], &all[to]) == 0;)
            to++;
        rc = add_facet(tx, workspace, all[from].facet, all[from].value, (int64_t)(to - from), err);
    }
    return rc;
}

static enum rc
take_texts(struct tx *tx, int64_t workspace, const struct id *after, const struct next *list,
           size_t n, struct err *err)
{
    struct block b;
    enum rc rc = RC_OK;

    block_begin(&b, tx->pool, after);
    for (size_t i = 0; i < n && !rc; i++) {
        if (!block_add(&b, list[i].text)) {
            rc = put_block(tx, workspace, &b, err);
            block_begin(&b, tx->pool, &b.last);
            BUG_ON(!block_add(&b, list[i].text));
        }
        b.last = list[i].id;
    }
    return rc ? rc : put_block(tx, workspace, &b, err);
}

enum rc
digest_take(struct tx *tx, int64_t workspace, int64_t max, int64_t *ret, struct err *err)
{
    struct next *list;
    struct digest g;
    size_t n = 0;
    enum rc rc = digest_read(tx, workspace, &g, err);

    if (!rc)
        rc = read_next(tx, workspace, &g.upto, max, &list, &n, err);
    *ret = (int64_t)n;
    if (rc || n == 0)
        return rc;
    rc = take_facets(tx, workspace, list, n, err);
    if (!rc)
        rc = take_texts(tx, workspace, &g.upto, list, n, err);
    return rc ? rc
              : db_exec(tx->conn, &write_state,
                        DB_ARGS(db_int(workspace), db_id(&list[n - 1].id), db_int((int64_t)n)),
                        NULL, err);
}
