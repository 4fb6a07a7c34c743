// SPDX-License-Identifier: Apache-2.0
#include "store/document_search.h"

#include <stdlib.h>

#include "base/buf.h"
#include "store/document_row.h"
#include "store/text_sign.h"

#define IDS_MAX KIB(64) /* of matches that are read and sorted */

static const struct sql rows_down =
    SQL("SELECT id, search_text FROM document WHERE workspace_id = $1 AND id > $2 AND id <= $3"
        " ORDER BY id DESC");
static const struct sql rows_up =
    SQL("SELECT id, search_text FROM document WHERE workspace_id = $1 AND id > $2 AND id <= $3"
        " ORDER BY id");
static const struct sql top_block =
    SQL("SELECT last_id FROM text_block WHERE workspace_id = $1 AND last_id >= $2"
        " ORDER BY last_id LIMIT 1");
static const struct sql blocks_down =
    SQL("SELECT after_id, last_id, texts FROM text_block WHERE workspace_id = $1 AND last_id > $2"
        " AND last_id <= $3 ORDER BY last_id DESC");
static const struct sql blocks_up =
    SQL("SELECT after_id, last_id, texts FROM text_block WHERE workspace_id = $1 AND last_id > $2"
        " AND last_id <= $3 ORDER BY last_id");
static const struct sql nth_id = SQL("SELECT id FROM document WHERE workspace_id = $1 AND id > $2"
                                     " AND id <= $3 ORDER BY id LIMIT 1 OFFSET $4");

/* A walk through the documents of (after, upto], in either direction. */
struct walk {
    struct tx *tx;
    int64_t workspace;
    const char *needle;
    size_t len;
    bool down;
    struct id after, upto;
    int64_t skip; /* matches that are counted only */
    int64_t want; /* ids of those behind them */
    bool all;     /* goes on behind them, to count */
    int64_t matches;
    struct id *ids;
    int64_t n;
};

static bool
less(const struct id *a, const struct id *b)
{
    return memcmp(a, b, sizeof(*a)) < 0;
}

static bool
over(const struct walk *w)
{
    return !w->all && w->n == w->want;
}

/* Whether the id of the next match is needed; counts it. */
static bool
match(struct walk *w)
{
    return w->matches++ >= w->skip && w->n < w->want;
}

static enum rc
walk_rows(struct walk *w, const struct id *after, const struct id *upto, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc = db_query(w->tx->conn, w->down ? &rows_down : &rows_up,
                          DB_ARGS(db_int(w->workspace), db_id(after), db_id(upto)), &c, err);

    while (!rc && !over(w) && (rc = db_next(c, &row, err)) == RC_OK && row) {
        if (strstr(db_col_text(c, 1), w->needle) && match(w))
            (void)db_col_id(c, 0, &w->ids[w->n++]);
    }
    return rc;
}

static enum rc
add_nth(struct walk *w, const struct id *after, const struct id *last, int64_t n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc =
        db_query_one(w->tx->conn, &nth_id,
                     DB_ARGS(db_int(w->workspace), db_id(after), db_id(last), db_int(n)), &c, err);

    if (!rc)
        (void)db_col_id(c, 0, &w->ids[w->n++]);
    return rc;
}

/* Calls for each text with the needle: where it is among the texts of a block. */
static size_t
find_in_block(const struct walk *w, const char *texts, size_t len, int64_t *places)
{
    const char *p = texts, *end = texts + len, *hit, *nul;
    size_t n = 0;
    int64_t place = 0;

    while ((hit = memmem(p, (size_t)(end - p), w->needle, w->len)) != NULL) {
        for (; (nul = memchr(p, '\0', (size_t)(end - p))) < hit; p = nul + 1)
            place++;
        places[n++] = place++;
        p = nul + 1;
    }
    return n;
}

static int64_t
count_in_block(const struct walk *w, const char *texts, size_t len)
{
    const char *p = texts, *end = texts + len, *hit;
    int64_t n = 0;

    while ((hit = memmem(p, (size_t)(end - p), w->needle, w->len)) != NULL) {
        p = (const char *)memchr(hit, '\0', (size_t)(end - hit)) + 1;
        n++;
    }
    return n;
}

static enum rc
walk_block(struct walk *w, const struct id *after, const struct id *last, const char *texts,
           size_t len, struct err *err)
{
    int64_t *places;
    size_t n;
    enum rc rc = RC_OK;

    if (w->n == w->want) {
        w->matches += count_in_block(w, texts, len);
        return RC_OK;
    }
    if (!memmem(texts, len, w->needle, w->len))
        return RC_OK;
    places = MEM_ARRAY(w->tx->pool, int64_t, len);
    n = find_in_block(w, texts, len, places);
    for (size_t i = 0; i < n && !rc && !over(w); i++) {
        if (match(w))
            rc = add_nth(w, after, last, places[w->down ? n - 1 - i : i], err);
    }
    (void)talloc_free(places);
    return rc;
}

static const struct id *
later(const struct id *a, const struct id *b)
{
    return less(a, b) ? b : a;
}

static const struct id *
earlier(const struct id *a, const struct id *b)
{
    return less(a, b) ? a : b;
}

/*
 * The blocks that end in (from, to]. One may stand across an end of the walk: then its rows are
 * looked at.
 */
static enum rc
walk_blocks(struct walk *w, const struct id *from, const struct id *to, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct id after, last;
    bool row = true;
    enum rc rc =
        db_query(w->tx->conn, w->down ? &blocks_down : &blocks_up,
                 DB_ARGS(db_int(w->workspace), db_id(later(&w->after, from)), db_id(to)), &c, err);

    while (!rc && !over(w) && (rc = db_next(c, &row, err)) == RC_OK && row) {
        size_t len = 0;
        const char *texts;

        (void)db_col_id(c, 0, &after);
        (void)db_col_id(c, 1, &last);
        texts = db_col_blob(c, 2, &len);
        if (!less(&after, &w->after) && !less(&w->upto, &last))
            rc = walk_block(w, &after, &last, texts, len, err);
        else
            rc = walk_rows(w, later(&after, &w->after), earlier(&last, &w->upto), err);
    }
    return rc;
}

/* The next run of bits, from the top or from the bottom: [from, to). Takes them out of the mask. */
static void
next_run(uint64_t *mask, bool down, int *from, int *to)
{
    if (down) {
        *to = TEXT_SEGMENTS - __builtin_clzll(*mask);
        for (*from = *to - 1; *from > 0 && *mask >> (*from - 1) & 1;)
            *from -= 1;
    } else {
        *from = __builtin_ctzll(*mask);
        for (*to = *from + 1; *to < TEXT_SEGMENTS && *mask >> *to & 1;)
            *to += 1;
    }
    for (int i = *from; i < *to; i++)
        *mask &= ~(UINT64_C(1) << i);
}

/* The segments of a group that can have the needle, those side by side in one go. */
static enum rc
walk_group(struct walk *w, const struct text_group *g, const struct id *top, struct err *err)
{
    uint64_t mask = 0;
    int from, to;
    enum rc rc;

    if (!less(&w->after, &g->last) || !less(&g->after, top))
        return RC_OK;
    rc = text_sign_ask(w->tx, w->workspace, g, w->needle, &mask, err);
    while (!rc && mask && !over(w)) {
        next_run(&mask, w->down, &from, &to);
        rc = walk_blocks(w, from > 0 ? &g->ends[from - 1] : &g->after,
                         earlier(&g->ends[to - 1], top), err);
    }
    return rc;
}

/* Through the groups that are signed, and the blocks behind them that are not yet. */
static enum rc
walk_signed(struct walk *w, const struct id *top, struct err *err)
{
    struct text_group *groups = NULL;
    const struct id *end = &w->after;
    size_t n = 0;
    enum rc rc = RC_OK;

    if (w->len >= TEXT_SIGN_MIN)
        rc = text_sign_groups(w->tx, w->workspace, &groups, &n, err);
    if (n > 0)
        end = &groups[n - 1].last;
    if (!rc && w->down && less(end, top))
        rc = walk_blocks(w, end, top, err);
    for (size_t i = 0; i < n && !rc && !over(w); i++)
        rc = walk_group(w, &groups[w->down ? n - 1 - i : i], top, err);
    if (!rc && !w->down && !over(w) && less(end, top))
        rc = walk_blocks(w, end, top, err);
    return rc;
}

/* The last block that the walk meets. */
static enum rc
find_top(struct walk *w, const struct digest *g, struct id *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc;

    *ret = g->upto;
    if (!less(&w->upto, &g->upto))
        return RC_OK;
    rc = db_query_one(w->tx->conn, &top_block, DB_ARGS(db_int(w->workspace), db_id(&w->upto)), &c,
                      err);
    if (!rc)
        (void)db_col_id(c, 0, ret);
    return rc;
}

static enum rc
walk_late(struct walk *w, const struct digest *g, struct err *err)
{
    const struct id *from = later(&w->after, &g->upto);

    return over(w) || !less(from, &w->upto) ? RC_OK : walk_rows(w, from, &w->upto, err);
}

static enum rc
walk(struct walk *w, const struct digest *g, struct err *err)
{
    struct id top;
    enum rc rc = find_top(w, g, &top, err);

    if (!rc && w->down)
        rc = walk_late(w, g, err);
    if (!rc && !over(w) && less(&w->after, &g->upto))
        rc = walk_signed(w, &top, err);
    if (!rc && !w->down)
        rc = walk_late(w, g, err);
    return rc;
}

/* The greatest id below this one. */
static struct id
before(struct id id)
{
    for (size_t i = sizeof(id.b); i-- > 0 && id.b[i]-- == 0;)
        ;
    return id;
}

static struct walk
walk_of(struct tx *tx, int64_t workspace, const struct document_filter *f)
{
    struct walk w = {.tx = tx, .workspace = workspace, .needle = f->search, .down = f->descending};

    w.len = strlen(f->search);
    memset(&w.upto, 0xff, sizeof(w.upto));
    if (f->after_ms > 0)
        w.after = before(id_floor(f->after_ms));
    if (f->before_ms > 0)
        w.upto = before(id_floor(f->before_ms));
    return w;
}

static enum rc
read_all(struct tx *tx, int64_t workspace, const struct walk *w, struct document *docs,
         struct err *err)
{
    enum rc rc = RC_OK;

    for (int64_t i = 0; i < w->n && !rc; i++)
        rc = document_read(tx, workspace, &w->ids[i], &docs[i], err);
    return rc;
}

/* The order of the ids is that of the list. */
static enum rc
in_order(struct tx *tx, int64_t workspace, const struct document_filter *f, const struct digest *g,
         struct document **ret, size_t *ret_n, int64_t *ret_total, struct err *err)
{
    struct walk w = walk_of(tx, workspace, f);
    enum rc rc;

    w.skip = f->offset;
    w.want = f->limit;
    w.all = ret_total != NULL;
    w.ids = MEM_ARRAY(tx->pool, struct id, f->limit);
    if (f->has_cursor && f->descending)
        w.upto = less(&f->cursor_id, &w.upto) ? before(f->cursor_id) : w.upto;
    else if (f->has_cursor && less(&w.after, &f->cursor_id))
        w.after = f->cursor_id;
    rc = walk(&w, g, err);
    *ret = MEM_ARRAY(tx->pool, struct document, f->limit + 1);
    *ret_n = (size_t)w.n;
    if (ret_total)
        *ret_total = w.matches;
    return rc ? rc : read_all(tx, workspace, &w, *ret, err);
}

static int
compare(const struct document *a, const struct document *b, enum document_sort sort)
{
    int by = 0;

    if (sort == SORT_NAME)
        by = strcmp(a->name, b->name);
    else if (sort == SORT_UPDATED)
        by = (a->updated_ms > b->updated_ms) - (a->updated_ms < b->updated_ms);
    return by ? by : memcmp(&a->id, &b->id, sizeof(a->id));
}

static int
compare_sorted(const void *a, const void *b, void *arg)
{
    const struct document_filter *f = arg;
    int by = compare(a, b, f->sort);

    return f->descending ? -by : by;
}

/* Few enough to read all that match, and sort them. */
static enum rc
sorted(struct tx *tx, int64_t workspace, const struct document_filter *f, const struct walk *w,
       struct document **ret, size_t *ret_n, struct err *err)
{
    struct document *docs = MEM_ARRAY(tx->pool, struct document, w->n + 1);
    struct document at = {
        .id = f->cursor_id, .name = f->cursor_text, .updated_ms = f->cursor_number};
    struct document_filter order = *f;
    int64_t from = f->offset;
    enum rc rc = read_all(tx, workspace, w, docs, err);

    if (rc)
        return rc;
    qsort_r(docs, (size_t)w->n, sizeof(*docs), compare_sorted, &order);
    while (f->has_cursor && from < w->n && compare_sorted(&docs[from], &at, &order) <= 0)
        from++;
    *ret = docs + (from < w->n ? from : w->n);
    *ret_n = from < w->n ? (size_t)(w->n - from) : 0;
    if ((int64_t)*ret_n > f->limit)
        *ret_n = (size_t)f->limit;
    return RC_OK;
}

enum rc
document_search(struct tx *tx, int64_t workspace, const struct document_filter *f,
                const struct digest *g, struct document **ret, size_t *ret_n, int64_t *ret_total,
                bool *ret_done, struct err *err)
{
    struct walk w = walk_of(tx, workspace, f);
    enum rc rc;

    *ret_done = true;
    if (f->sort == SORT_CREATED)
        return in_order(tx, workspace, f, g, ret, ret_n, ret_total, err);
    while (w.want < IDS_MAX && document_few(w.want + 1, g->documents))
        w.want = 2 * w.want + 1000;
    w.ids = MEM_ARRAY(tx->pool, struct id, w.want);
    w.all = ret_total != NULL;
    rc = walk(&w, g, err);
    if (ret_total)
        *ret_total = w.matches;
    if (w.n < w.want)
        return rc ? rc : sorted(tx, workspace, f, &w, ret, ret_n, err);
    *ret_done = false;
    return rc;
}
