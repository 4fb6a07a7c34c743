// SPDX-License-Identifier: Apache-2.0
/* Lists of documents: filters, numbered pages and cursors. */
#include "api/api.h"
#include "api/rules.h"
#include "base/buf.h"
#include "base/js.h"
#include "base/text.h"
#include "core/path.h"
#include "store/usage.h"

#define CURSOR_CHECK 8 /* bytes of MAC: tells a cursor of ours from anything else */

struct list_query {
    struct value page, per_page, folder, tag, mime_type, search, created_after, created_before,
        sort, cursor;
};

static const char *const sorts[] = {"created_at", "-created_at", "updated_at", "-updated_at",
                                    "name",       "-name",       NULL};

const struct field document_list_query[] = {
    FIELD_PAGE(struct list_query),
    FIELD_PER_PAGE(struct list_query, 100, 25),
    {.name = "folder",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct list_query, folder),
     .help = "This folder and all below it",
     .example = "\"/clients/acme\""},
    {.name = "tag",
     .type = FIELD_TEXTS,
     .max = 4096,
     .max_items = DOCUMENT_TAGS_MAX,
     .offset = offsetof(struct list_query, tag),
     .help = "Has this tag; repeat to require several",
     .example = "[\"nda\"]"},
    {.name = "mime_type",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct list_query, mime_type),
     .help = "Is of this media type",
     .example = "\"application/pdf\""},
    {.name = "search",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct list_query, search),
     .help = "Name or description contains this, whatever the case",
     .example = "\"nda\""},
    {.name = "created_after",
     .type = FIELD_TIME,
     .offset = offsetof(struct list_query, created_after),
     .help = "Created after this time (exclusive)",
     .example = "\"2026-01-01T00:00:00Z\""},
    {.name = "created_before",
     .type = FIELD_TIME,
     .offset = offsetof(struct list_query, created_before),
     .help = "Created before this time (exclusive)",
     .example = "\"2027-01-01T00:00:00Z\""},
    {.name = "sort",
     .type = FIELD_TEXT,
     .max = 4096,
     .choices = sorts,
     .offset = offsetof(struct list_query, sort),
     .help = "Order; - means descending",
     .example = "\"-created_at\""},
    {.name = "cursor",
     .type = FIELD_TEXT,
     .max = 4096,
     .offset = offsetof(struct list_query, cursor),
     .help = "Empty to begin, then next_cursor of the page before",
     .example = "\"\""},
    {0},
};
const size_t document_list_query_size = sizeof(struct list_query);

static void
read_sort(const char *text, struct document_filter *f)
{
    f->descending = !text || *text == '-';
    f->sort = SORT_CREATED;
    if (!text)
        return;
    text += *text == '-';
    if (streq(text, "updated_at"))
        f->sort = SORT_UPDATED;
    else if (streq(text, "name"))
        f->sort = SORT_NAME;
}

/* A folder or type in no known form is simply one that no document has; "/" holds all. */
static void
read_filter(const struct request *rq, const struct list_query *q, struct document_filter *f)
{
    const char *why;
    char *text;

    if (q->folder.text && *q->folder.text && !streq(q->folder.text, "/"))
        f->folder =
            path_folder_normalise(rq->pool, q->folder.text, &text, &why) ? text : q->folder.text;
    if (q->mime_type.text && *q->mime_type.text)
        f->mime_type =
            media_type_normalise(rq->pool, q->mime_type.text, &text) ? text : q->mime_type.text;
    if (q->search.text && *q->search.text)
        f->search = text_fold(rq->pool, q->search.text);
    f->tags = q->tag.texts;
    f->n_tags = q->tag.n;
    f->after_ms = f->before_ms = -1;
    if (q->created_after.given) /* times compare in whole seconds */
        f->after_ms = q->created_after.number < 0 ? 0 : q->created_after.number + 1000;
    if (q->created_before.given)
        f->before_ms = q->created_before.number < 0 ? 0 : q->created_before.number;
}

struct cursor_fixed {
    struct id id;
    int64_t number;
    uint8_t sort, descending, pad[6];
};

static void
cursor_mac(const struct request *rq, const struct buf *b, uint8_t mac[SHA256_LEN])
{
    crypto_hmac(rq->app->secret.cursor, b->bytes, b->len, mac);
}

static char *
write_cursor(const struct request *rq, const struct document_filter *f, const struct document *d)
{
    struct cursor_fixed fixed = {.id = d->id,
                                 .number = d->updated_ms,
                                 .sort = (uint8_t)f->sort,
                                 .descending = f->descending};
    uint8_t mac[SHA256_LEN];
    struct buf b;

    buf_init(&b, rq->pool, 4096);
    BUG_ON(!buf_append(&b, &fixed, sizeof(fixed)));
    if (f->sort == SORT_NAME)
        buf_puts(&b, d->name);
    cursor_mac(rq, &b, mac);
    BUG_ON(!buf_append(&b, mac, CURSOR_CHECK));
    return crypto_base64url(rq->pool, b.bytes, b.len);
}

static enum rc
read_cursor(const struct request *rq, const char *text, struct document_filter *f, struct err *err)
{
    struct cursor_fixed fixed;
    uint8_t mac[SHA256_LEN], *bytes;
    struct buf b = {0};
    size_t len;

    if (!crypto_unbase64url(rq->pool, text, &bytes, &len) || len < sizeof(fixed) + CURSOR_CHECK)
        return err_field(err, RC_INVALID, "cursor", "is not a cursor of this list");
    b.bytes = (char *)bytes;
    b.len = len - CURSOR_CHECK;
    cursor_mac(rq, &b, mac);
    memcpy(&fixed, bytes, sizeof(fixed));
    if (!crypto_equal(mac, bytes + b.len, CURSOR_CHECK) || fixed.sort != f->sort ||
        (fixed.descending != 0) != f->descending)
        return err_field(err, RC_INVALID, "cursor", "is not a cursor of this list");
    f->has_cursor = true;
    f->cursor_id = fixed.id;
    f->cursor_number = fixed.number;
    f->cursor_text = mem_strndup(rq->pool, (char *)bytes + sizeof(fixed), b.len - sizeof(fixed));
    return RC_OK;
}

static json_t *
documents_json(const struct request *rq, const struct document *docs, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, api_document_json(rq, &docs[i]));
    return list;
}

/* Without a filter the workspace's own total says it; -1: it does not. */
static enum rc
known_total(struct tx *tx, int64_t workspace, const struct document_filter *f, int64_t *ret,
            struct err *err)
{
    struct usage u;
    enum rc rc;

    *ret = -1;
    if (f->folder || f->n_tags || f->mime_type || f->search || f->after_ms >= 0 ||
        f->before_ms >= 0)
        return RC_OK;
    rc = usage_totals(tx, workspace, &u, err);
    if (!rc)
        *ret = u.documents;
    return rc;
}

static enum rc
list_page(struct request *rq, struct tx *tx, struct document_filter *f, int64_t page,
          struct reply *rp, struct err *err)
{
    int64_t ws = rq->caller.workspace.number, total = 0;
    struct document *docs;
    size_t n = 0;
    enum rc rc;

    f->offset = (page - 1) * f->limit;
    rc = known_total(tx, ws, f, &total, err);
    if (!rc)
        rc = document_list(tx, ws, f, &docs, &n, &total, err);
    if (!rc)
        reply_list(rp, "documents", documents_json(rq, docs, n),
                   reply_page_meta(page, f->limit, total));
    return rc;
}

static enum rc
list_cursor(struct request *rq, struct tx *tx, struct document_filter *f, const char *cursor,
            struct reply *rp, struct err *err)
{
    int64_t per_page = f->limit;
    struct document *docs;
    size_t n = 0;
    json_t *meta;
    enum rc rc = *cursor ? read_cursor(rq, cursor, f, err) : RC_OK;
    bool more;

    f->limit++; /* one more than shown tells whether there is a next page */
    if (!rc)
        rc = document_list(tx, rq->caller.workspace.number, f, &docs, &n, NULL, err);
    if (rc)
        return rc;
    more = (int64_t)n > per_page;
    n = more ? (size_t)per_page : n;
    meta = json_object();
    js_set(meta, "per_page", json_integer(per_page));
    js_set(meta, "next_cursor", js_text(more ? write_cursor(rq, f, &docs[n - 1]) : NULL));
    reply_list(rp, "documents", documents_json(rq, docs, n), meta);
    return RC_OK;
}

enum rc
api_document_list(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    const struct list_query *q = rq->query;
    struct document_filter f = {.limit = value_number(&q->per_page, 25)};

    read_sort(q->sort.text, &f);
    read_filter(rq, q, &f);
    if (q->cursor.given)
        return list_cursor(rq, tx, &f, q->cursor.text, rp, err);
    return list_page(rq, tx, &f, value_number(&q->page, 1), rp, err);
}
