// SPDX-License-Identifier: Apache-2.0
/*
 * Lists of documents: the one statement of the store that is put together at run time, from the
 * fragments below. Values never become text; each is a parameter.
 */
#include "base/buf.h"
#include "store/document_row.h"

#define VALUES_MAX (14 + DOCUMENT_TAGS_MAX)

struct query {
    struct buf text;
    struct db_value values[VALUES_MAX];
    size_t n;
    struct id bounds[2];
};

static const char *const sort_columns[] = {
    [SORT_CREATED] = "d.id",
    [SORT_UPDATED] = "d.updated_at",
    [SORT_NAME] = "d.name",
};

/* Adds a parameter; returns its number for the text. */
static size_t
param(struct query *q, struct db_value v)
{
    BUG_ON(q->n == VALUES_MAX);
    q->values[q->n++] = v;
    return q->n;
}

/* "%needle%" with LIKE's own signs escaped. */
static char *
like_pattern(TALLOC_CTX *pool, const char *needle)
{
    struct buf b;

    buf_init(&b, pool, (size_t)KIB(64));
    buf_puts(&b, "%");
    for (; *needle; needle++) {
        if (strchr("%_\\", *needle))
            buf_puts(&b, "\\");
        BUG_ON(!buf_append(&b, needle, 1));
    }
    buf_puts(&b, "%");
    return b.bytes;
}

/* Which documents are in a folder itself, and which in those below it. */
struct folder_conditions {
    const char *here;
    const char *below;
};

static struct folder_conditions
folder_conditions(struct query *q, TALLOC_CTX *pool, const char *folder)
{
    /* '0' follows '/': the range holds exactly the paths that begin with folder + "/" */
    size_t a = param(q, db_text(folder));
    size_t b = param(q, db_text(mem_printf(pool, "%s/", folder)));
    size_t c = param(q, db_text(mem_printf(pool, "%s0", folder)));

    return (struct folder_conditions){
        .here = mem_printf(pool, "d.folder = $%zu", a),
        .below = mem_printf(pool, "d.folder >= $%zu AND d.folder < $%zu", b, c),
    };
}

static void
add_tags(struct query *q, const struct document_filter *f)
{
    for (size_t i = 0; i < f->n_tags; i++)
        buf_printf(&q->text,
                   " AND EXISTS (SELECT 1 FROM document_tag t WHERE t.workspace_id = $1"
                   " AND t.tag = $%zu AND t.document_id = d.id)",
                   param(q, db_text(f->tags[i])));
}

/* A type asked for without parameters is meant with any: '<' follows ';'. */
static void
add_mime_type(struct query *q, TALLOC_CTX *pool, const char *type)
{
    size_t a = param(q, db_text(type)), b, c;

    if (strchr(type, ';')) {
        buf_printf(&q->text, " AND d.mime_type = $%zu", a);
        return;
    }
    b = param(q, db_text(mem_printf(pool, "%s;", type)));
    c = param(q, db_text(mem_printf(pool, "%s<", type)));
    buf_printf(&q->text,
               " AND (d.mime_type = $%zu OR (d.mime_type >= $%zu AND d.mime_type < $%zu))", a, b,
               c);
}

/* All conditions but that of the folder. */
static void
add_filter(struct query *q, TALLOC_CTX *pool, const struct document_filter *f)
{
    add_tags(q, f);
    if (f->mime_type)
        add_mime_type(q, pool, f->mime_type);
    if (f->search)
        buf_printf(&q->text, " AND d.search_text LIKE $%zu ESCAPE '\\'",
                   param(q, db_text(like_pattern(pool, f->search))));
    if (f->after_ms >= 0) {
        q->bounds[0] = id_floor(f->after_ms);
        buf_printf(&q->text, " AND d.id >= $%zu", param(q, db_id(&q->bounds[0])));
    }
    if (f->before_ms >= 0) {
        q->bounds[1] = id_floor(f->before_ms);
        buf_printf(&q->text, " AND d.id < $%zu", param(q, db_id(&q->bounds[1])));
    }
}

static void
add_cursor(struct query *q, const struct document_filter *f)
{
    const char *op = f->descending ? "<" : ">";
    struct db_value at = f->sort == SORT_NAME ? db_text(f->cursor_text) : db_int(f->cursor_number);

    if (f->sort == SORT_CREATED) {
        buf_printf(&q->text, " AND d.id %s $%zu", op, param(q, db_id(&f->cursor_id)));
        return;
    }
    buf_printf(&q->text, " AND (%s, d.id) %s ($%zu, $%zu)", sort_columns[f->sort], op, param(q, at),
               param(q, db_id(&f->cursor_id)));
}

static void
begin(struct query *q, TALLOC_CTX *pool, int64_t workspace)
{
    q->n = 0;
    buf_init(&q->text, pool, (size_t)KIB(16));
    buf_printf(&q->text, " WHERE d.workspace_id = $%zu", param(q, db_int(workspace)));
}

/* Of a column, by name or by its place in DOCUMENT_COLUMNS. */
static const char *
order(TALLOC_CTX *pool, const struct document_filter *f, bool by_place)
{
    static const char *const places[] = {
        [SORT_CREATED] = "1", [SORT_UPDATED] = "10", [SORT_NAME] = "2"};
    const char *column = by_place ? places[f->sort] : sort_columns[f->sort];
    const char *id = by_place ? places[SORT_CREATED] : sort_columns[SORT_CREATED];
    const char *direction = f->descending ? "DESC" : "ASC";

    if (f->sort == SORT_CREATED)
        return mem_printf(pool, " ORDER BY %s %s", column, direction);
    return mem_printf(pool, " ORDER BY %s %s, %s %s", column, direction, id, direction);
}

/*
 * SQLite knows nothing of how rows are spread, and would walk through a whole workspace in the
 * order of the list for the few documents of a folder. PostgreSQL has statistics.
 */
static const struct sql by_folder = {.sqlite = " INDEXED BY document_folder", .pg = ""};
static const struct sql by_order[] = {
    [SORT_CREATED] = {.sqlite = "", .pg = ""},
    [SORT_UPDATED] = {.sqlite = " INDEXED BY document_updated", .pg = ""},
    [SORT_NAME] = {.sqlite = " INDEXED BY document_name", .pg = ""},
};
/* With more than these below a folder, the walk soon has a page of them. */
static const struct sql many_below = {
    .sqlite = "SELECT 1 FROM document INDEXED BY document_folder WHERE workspace_id = $1"
              " AND folder >= $2 AND folder < $3 LIMIT 1 OFFSET 1000"};

/* By which index each part of a folder's list is read, as a fragment. */
struct ways {
    const char *here;
    const char *below;
};

static enum rc
choose_ways(struct tx *tx, int64_t workspace, const struct document_filter *f, struct ways *ret,
            struct err *err)
{
    const char *from = mem_printf(tx->pool, "%s/", f->folder);
    const char *to = mem_printf(tx->pool, "%s0", f->folder);
    bool many = false;
    enum rc rc = RC_OK;

    *ret = (struct ways){db_piece(tx->conn, &by_folder), db_piece(tx->conn, &by_order[f->sort])};
    if (*ret->here)
        rc = db_exists(tx->conn, &many_below,
                       DB_ARGS(db_int(workspace), db_text(from), db_text(to)), &many, err);
    if (!many)
        ret->below = ret->here;
    return rc;
}

/* One part of the answer, as far as it can be needed. */
static const char *
part(struct query *q, TALLOC_CTX *pool, const struct document_filter *f, const char *way,
     const char *condition)
{
    return mem_printf(pool,
                      "SELECT * FROM (SELECT " DOCUMENT_COLUMNS " FROM document d%s%s AND %s%s"
                      " LIMIT %lld) p",
                      way, q->text.bytes, condition, order(pool, f, false),
                      (long long)f->limit + (long long)f->offset);
}

/*
 * What is in a folder and what is below it are two questions: the first is answered from one place
 * of an index, in order, however much is there. With OR all of it would be read and sorted.
 */
static const char *
list_text(struct query *q, TALLOC_CTX *pool, const struct document_filter *f,
          const struct ways *ways)
{
    const char *page =
        mem_printf(pool, " LIMIT %lld OFFSET %lld", (long long)f->limit, (long long)f->offset);
    struct folder_conditions folder;

    if (!f->folder)
        return mem_printf(pool, "SELECT " DOCUMENT_COLUMNS " FROM document d%s%s%s", q->text.bytes,
                          order(pool, f, false), page);
    folder = folder_conditions(q, pool, f->folder);
    return mem_printf(pool, "%s UNION ALL %s%s%s", part(q, pool, f, ways->here, folder.here),
                      part(q, pool, f, ways->below, folder.below), order(pool, f, true), page);
}

enum rc
document_list(struct tx *tx, int64_t workspace, const struct document_filter *f,
              struct document **ret, size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct document *docs = MEM_ARRAY(tx->pool, struct document, f->limit + 1);
    struct ways ways = {"", ""};
    struct query q;
    const char *text;
    bool row = true;
    size_t n = 0;
    enum rc rc = f->folder ? choose_ways(tx, workspace, f, &ways, err) : RC_OK;

    if (rc)
        return rc;
    begin(&q, tx->pool, workspace);
    add_filter(&q, tx->pool, f);
    if (f->has_cursor)
        add_cursor(&q, f);
    text = list_text(&q, tx->pool, f, &ways);
    rc = db_query_built(tx->conn, text, q.values, q.n, &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row)
        document_row_read(c, tx->pool, &docs[n++]);
    *ret = docs;
    *ret_n = n;
    return rc;
}

enum rc
document_count(struct tx *tx, int64_t workspace, const struct document_filter *f, int64_t *ret,
               struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    const char *way, *text;
    struct folder_conditions folder;
    struct query q;
    bool row;
    enum rc rc;

    begin(&q, tx->pool, workspace);
    add_filter(&q, tx->pool, f);
    text = mem_printf(tx->pool, "SELECT count(*) FROM document d%s", q.text.bytes);
    if (f->folder) {
        folder = folder_conditions(&q, tx->pool, f->folder);
        way = db_piece(tx->conn, &by_folder);
        text = mem_printf(tx->pool,
                          "SELECT (SELECT count(*) FROM document d%s%s AND %s)"
                          " + (SELECT count(*) FROM document d%s%s AND %s)",
                          way, q.text.bytes, folder.here, way, q.text.bytes, folder.below);
    }
    rc = db_query_built(tx->conn, text, q.values, q.n, &c, err);
    if (!rc)
        rc = db_next(c, &row, err);
    if (!rc)
        *ret = db_col_int(c, 0);
    return rc;
}
