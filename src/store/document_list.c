// SPDX-License-Identifier: Apache-2.0
/*
 * Lists of documents: the one statement of the store that is put together at run time, from the
 * fragments below. Values never become text; each is a parameter.
 *
 * SQLite knows nothing of how rows are spread, so here it is told from which end to read: by the
 * sums of store/digest.h. PostgreSQL has statistics.
 */
#include "base/buf.h"
#include "store/digest.h"
#include "store/document_row.h"
#include "store/document_search.h"

#define VALUES_MAX (14 + DOCUMENT_TAGS_MAX)

struct query {
    struct buf text;
    struct db_value values[VALUES_MAX];
    size_t n;
    struct id bounds[2];
    const char *from; /* what is read, in which order */
    const char *id;   /* the column of it that has the document's id */
};

static const char *
sort_column(const struct query *q, enum document_sort sort)
{
    return sort == SORT_NAME ? "d.name" : sort == SORT_UPDATED ? "d.updated_at" : q->id;
}

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
add_tags(struct query *q, const struct document_filter *f, size_t but)
{
    for (size_t i = 0; i < f->n_tags; i++) {
        if (i == but)
            continue;
        buf_printf(&q->text,
                   " AND EXISTS (SELECT 1 FROM document_tag t WHERE t.workspace_id = $1"
                   " AND t.tag = $%zu AND t.document_id = %s)",
                   param(q, db_text(f->tags[i])), q->id);
    }
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

/* All conditions but that of the folder and that of tag number `but`. */
static void
add_filter(struct query *q, TALLOC_CTX *pool, const struct document_filter *f, size_t but)
{
    add_tags(q, f, but);
    if (f->mime_type)
        add_mime_type(q, pool, f->mime_type);
    if (f->search)
        buf_printf(&q->text, " AND d.search_text LIKE $%zu ESCAPE '\\'",
                   param(q, db_text(like_pattern(pool, f->search))));
    if (f->after_ms >= 0) {
        q->bounds[0] = id_floor(f->after_ms);
        buf_printf(&q->text, " AND %s >= $%zu", q->id, param(q, db_id(&q->bounds[0])));
    }
    if (f->before_ms >= 0) {
        q->bounds[1] = id_floor(f->before_ms);
        buf_printf(&q->text, " AND %s < $%zu", q->id, param(q, db_id(&q->bounds[1])));
    }
}

static void
add_cursor(struct query *q, const struct document_filter *f)
{
    const char *op = f->descending ? "<" : ">";
    struct db_value at = f->sort == SORT_NAME ? db_text(f->cursor_text) : db_int(f->cursor_number);

    if (f->sort == SORT_CREATED) {
        buf_printf(&q->text, " AND %s %s $%zu", q->id, op, param(q, db_id(&f->cursor_id)));
        return;
    }
    buf_printf(&q->text, " AND (%s, %s) %s ($%zu, $%zu)", sort_column(q, f->sort), q->id, op,
               param(q, at), param(q, db_id(&f->cursor_id)));
}

/* ---- from which end to read ---- */

static const struct sql by_folder = {.sqlite = "document d INDEXED BY document_folder",
                                     .pg = "document d"};
static const struct sql by_order[] = {
    [SORT_CREATED] = {.sqlite = "document d NOT INDEXED", .pg = "document d"},
    [SORT_UPDATED] = {.sqlite = "document d INDEXED BY document_updated", .pg = "document d"},
    [SORT_NAME] = {.sqlite = "document d INDEXED BY document_name", .pg = "document d"},
};
/* CROSS: this one first, whatever the planner thinks of it */
static const char by_tag[] = "document_tag x CROSS JOIN document d"
                             " ON d.workspace_id = x.workspace_id AND d.id = x.document_id";
static const struct sql told = {.sqlite = "yes", .pg = ""};

/* What is known of a filter before it is asked. */
struct sight {
    bool tells; /* false: the server finds the way itself */
    struct digest digest;
    int64_t tag_total; /* of the rarest tag */
    size_t tag;
    int64_t here, below; /* documents in the folder itself, and below it */
};

static enum rc
look_at_tags(struct tx *tx, int64_t workspace, const struct document_filter *f, struct sight *s,
             struct err *err)
{
    enum rc rc = RC_OK;

    s->tag_total = INT64_MAX;
    for (size_t i = 0; i < f->n_tags && !rc; i++) {
        int64_t n = 0;

        rc = digest_total(tx, workspace, FACET_TAG, f->tags[i], &n, err);
        if (n < s->tag_total) {
            s->tag_total = n;
            s->tag = i;
        }
    }
    return rc;
}

static enum rc
look_at_folder(struct tx *tx, int64_t workspace, const struct document_filter *f, struct sight *s,
               struct err *err)
{
    /* '0' follows '/': the range holds exactly the paths that begin with folder + "/" */
    const char *from = mem_printf(tx->pool, "%s/", f->folder);
    const char *to = mem_printf(tx->pool, "%s0", f->folder);
    enum rc rc = digest_total(tx, workspace, FACET_FOLDER, f->folder, &s->here, err);

    return rc ? rc : digest_total_between(tx, workspace, FACET_FOLDER, from, to, &s->below, err);
}

static enum rc
look(struct tx *tx, int64_t workspace, const struct document_filter *f, struct sight *s,
     struct err *err)
{
    enum rc rc;

    memset(s, 0, sizeof(*s));
    s->tells = *db_piece(tx->conn, &told) != '\0';
    if (!s->tells)
        return RC_OK;
    rc = digest_read(tx, workspace, &s->digest, err);
    if (!rc)
        rc = look_at_tags(tx, workspace, f, s, err);
    return rc || !f->folder ? rc : look_at_folder(tx, workspace, f, s, err);
}

bool
document_few(int64_t matches, int64_t documents)
{
    /* reading and sorting a match costs some twice what it costs to pass by a document */
    return matches < 1000 || matches <= 12 * documents / matches;
}

static bool
tag_first(const struct sight *s, const struct document_filter *f)
{
    if (!s->tells || f->n_tags == 0)
        return false;
    if (f->folder && s->here + s->below < s->tag_total)
        return false;
    return f->sort == SORT_CREATED || document_few(s->tag_total, s->digest.documents);
}

/* Among `few` documents of a folder: by the folder, and sorted. */
static const char *
folder_way(struct tx *tx, const struct sight *s, enum document_sort sort, int64_t matches)
{
    bool few = !s->tells || document_few(matches, s->digest.documents);

    return db_piece(tx->conn, few ? &by_folder : &by_order[sort]);
}

/* ---- the statement ---- */

static void
begin(struct query *q, struct tx *tx, int64_t workspace, const struct document_filter *f,
      const struct sight *s, enum document_sort sort)
{
    bool tag = tag_first(s, f);

    q->n = 0;
    buf_init(&q->text, tx->pool, (size_t)KIB(16));
    q->from = tag ? by_tag : db_piece(tx->conn, &by_order[sort]);
    q->id = tag ? "x.document_id" : "d.id";
    buf_printf(&q->text, " WHERE %s.workspace_id = $%zu", tag ? "x" : "d",
               param(q, db_int(workspace)));
    if (tag)
        buf_printf(&q->text, " AND x.tag = $%zu", param(q, db_text(f->tags[s->tag])));
    add_filter(q, tx->pool, f, tag ? s->tag : SIZE_MAX);
}

/* Of a column, by name or by its place in DOCUMENT_COLUMNS. */
static const char *
order(const struct query *q, TALLOC_CTX *pool, const struct document_filter *f, bool by_place)
{
    static const char *const places[] = {
        [SORT_CREATED] = "1", [SORT_UPDATED] = "10", [SORT_NAME] = "2"};
    const char *column = by_place ? places[f->sort] : sort_column(q, f->sort);
    const char *id = by_place ? places[SORT_CREATED] : q->id;
    const char *direction = f->descending ? "DESC" : "ASC";

    if (f->sort == SORT_CREATED)
        return mem_printf(pool, " ORDER BY %s %s", column, direction);
    return mem_printf(pool, " ORDER BY %s %s, %s %s", column, direction, id, direction);
}

/*
 * One part of the answer, as far as it can be needed. `narrow`: chosen by what stands in the index,
 * so that what has to be sorted for it is no row, but an id.
 */
static const char *
part(struct query *q, TALLOC_CTX *pool, const struct document_filter *f, const char *from,
     const char *condition, bool narrow)
{
    const char *rest =
        mem_printf(pool, " FROM %s%s AND %s%s LIMIT %lld", from, q->text.bytes, condition,
                   order(q, pool, f, false), (long long)f->limit + (long long)f->offset);

    if (narrow)
        return mem_printf(pool,
                          "SELECT " DOCUMENT_COLUMNS " FROM document WHERE workspace_id = $1"
                          " AND id IN (SELECT d.id%s)",
                          rest);
    return mem_printf(pool, "SELECT * FROM (SELECT " DOCUMENT_COLUMNS "%s) p", rest);
}

/*
 * What is in a folder and what is below it are two questions: the first is answered from one place
 * of an index, in order, however much is there. With OR all of it would be read and sorted.
 */
static const char *
list_text(struct query *q, struct tx *tx, const struct document_filter *f, const struct sight *s)
{
    TALLOC_CTX *pool = tx->pool;
    const char *page =
        mem_printf(pool, " LIMIT %lld OFFSET %lld", (long long)f->limit, (long long)f->offset);
    struct folder_conditions folder = {0};
    const char *here, *below;
    bool narrow;

    if (f->folder)
        folder = folder_conditions(q, pool, f->folder);
    if (f->folder && !tag_first(s, f)) {
        /* in its own order what is in a folder needs no sorting */
        here = folder_way(tx, s, f->sort, f->sort == SORT_CREATED ? 0 : s->here);
        below = folder_way(tx, s, f->sort, s->below);
        narrow = s->tells && f->sort == SORT_CREATED && document_few(s->below, s->digest.documents);
        return mem_printf(pool, "%s UNION ALL %s%s%s", part(q, pool, f, here, folder.here, false),
                          part(q, pool, f, below, folder.below, narrow), order(q, pool, f, true),
                          page);
    }
    if (f->folder)
        buf_printf(&q->text, " AND (%s OR %s)", folder.here, folder.below);
    return mem_printf(pool, "SELECT " DOCUMENT_COLUMNS " FROM %s%s%s%s", q->from, q->text.bytes,
                      order(q, pool, f, false), page);
}

static enum rc
list_rows(struct tx *tx, int64_t workspace, const struct document_filter *f, const struct sight *s,
          struct document **ret, size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct document *docs = MEM_ARRAY(tx->pool, struct document, f->limit + 1);
    struct query q;
    const char *text;
    bool row = true;
    size_t n = 0;
    enum rc rc;

    begin(&q, tx, workspace, f, s, f->sort);
    if (f->has_cursor)
        add_cursor(&q, f);
    text = list_text(&q, tx, f, s);
    rc = db_query_built(tx->conn, text, q.values, q.n, &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row)
        document_row_read(c, tx->pool, &docs[n++]);
    *ret = docs;
    *ret_n = n;
    return rc;
}

/* ---- how many ---- */

static enum rc
count_text(struct tx *tx, const struct query *q, const char *text, int64_t *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row;
    enum rc rc = db_query_built(tx->conn, text, q->values, q->n, &c, err);

    if (!rc)
        rc = db_next(c, &row, err);
    if (!rc)
        *ret = db_col_int(c, 0);
    return rc;
}

/* The documents themselves, where no sum says it. */
static enum rc
count_rows(struct tx *tx, int64_t workspace, const struct document_filter *f, const struct sight *s,
           int64_t *ret, struct err *err)
{
    struct folder_conditions folder;
    const char *from, *text;
    struct query q;
    bool only_tags;

    begin(&q, tx, workspace, f, s, SORT_CREATED);
    only_tags = tag_first(s, f) && !f->folder && !f->mime_type && !f->search;
    text = mem_printf(tx->pool, "SELECT count(*) FROM %s%s", only_tags ? "document_tag x" : q.from,
                      q.text.bytes);
    if (f->folder) {
        folder = folder_conditions(&q, tx->pool, f->folder);
        from = tag_first(s, f) ? q.from : db_piece(tx->conn, &by_folder);
        text = mem_printf(tx->pool,
                          "SELECT (SELECT count(*) FROM %s%s AND %s)"
                          " + (SELECT count(*) FROM %s%s AND %s)",
                          from, q.text.bytes, folder.here, from, q.text.bytes, folder.below);
    }
    return count_text(tx, &q, text, ret, err);
}

/* Those behind the digest. */
static enum rc
count_late(struct tx *tx, int64_t workspace, const struct document_filter *f, const struct sight *s,
           int64_t *ret, struct err *err)
{
    struct folder_conditions folder;
    struct query q;

    begin(&q, tx, workspace, f, s, SORT_CREATED);
    buf_printf(&q.text, " AND %s > $%zu", q.id, param(&q, db_id(&s->digest.upto)));
    if (f->folder) {
        folder = folder_conditions(&q, tx->pool, f->folder);
        buf_printf(&q.text, " AND (%s OR %s)", folder.here, folder.below);
    }
    return count_text(tx, &q,
                      mem_printf(tx->pool, "SELECT count(*) FROM %s%s",
                                 f->n_tags ? "document_tag x" : q.from, q.text.bytes),
                      ret, err);
}

static enum rc
sum_of_type(struct tx *tx, int64_t workspace, const char *type, int64_t *ret, struct err *err)
{
    int64_t more = 0;
    enum rc rc = digest_total(tx, workspace, FACET_TYPE, type, ret, err);

    if (!rc && !strchr(type, ';')) /* with any parameters: as add_mime_type() */
        rc = digest_total_between(tx, workspace, FACET_TYPE, mem_printf(tx->pool, "%s;", type),
                                  mem_printf(tx->pool, "%s<", type), &more, err);
    *ret += more;
    return rc;
}

static enum rc
count(struct tx *tx, int64_t workspace, const struct document_filter *f, const struct sight *s,
      int64_t *ret, struct err *err)
{
    bool timed = f->after_ms >= 0 || f->before_ms >= 0;
    size_t filters = f->n_tags + (f->folder != NULL) + (f->mime_type != NULL);
    struct document_filter unsorted = *f;
    int64_t sum = 0;
    enum rc rc = RC_OK;

    unsorted.sort = SORT_CREATED;
    if (!s->digest.there || filters != 1 || timed || f->search)
        return count_rows(tx, workspace, &unsorted, s, ret, err);
    if (f->mime_type)
        rc = sum_of_type(tx, workspace, f->mime_type, &sum, err);
    else
        sum = f->folder ? s->here + s->below : s->tag_total;
    if (!rc)
        rc = count_late(tx, workspace, &unsorted, s, ret, err);
    *ret += sum;
    return rc;
}

enum rc
document_list(struct tx *tx, int64_t workspace, const struct document_filter *f,
              struct document **ret, size_t *ret_n, int64_t *ret_total, struct err *err)
{
    struct sight s;
    bool done = false;
    enum rc rc = look(tx, workspace, f, &s, err);

    *ret_n = 0;
    if (!rc && s.digest.there && f->search && !f->folder && !f->mime_type && f->n_tags == 0)
        rc = document_search(tx, workspace, f, &s.digest, ret, ret_n, ret_total, &done, err);
    if (rc || done)
        return rc;
    if (ret_total && *ret_total < 0)
        rc = count(tx, workspace, f, &s, ret_total, err);
    if (rc || (ret_total && *ret_total <= f->offset))
        return rc; /* nothing stands there, which reading might take long to find out */
    return list_rows(tx, workspace, f, &s, ret, ret_n, err);
}

enum rc
document_count(struct tx *tx, int64_t workspace, const struct document_filter *f, int64_t *ret,
               struct err *err)
{
    struct document_filter nothing = *f;
    struct document *docs;
    size_t n;

    nothing.limit = 0;
    nothing.offset = INT64_MAX;
    nothing.has_cursor = false;
    *ret = -1;
    return document_list(tx, workspace, &nothing, &docs, &n, ret, err);
}
