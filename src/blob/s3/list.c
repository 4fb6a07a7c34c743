// SPDX-License-Identifier: Apache-2.0
/*
 * list: all objects of the store, and what has to be swept: uploads in parts that nobody finished,
 * and incoming objects that nobody took.
 */
#include <stdlib.h>

#include "blob/s3/s3.h"

typedef bool read_page_fn(TALLOC_CTX *pool, const char *text, size_t len, struct s3_list *ret);

/* A page; `text` is what it was read from. */
struct page {
    TALLOC_CTX *pool;
    char *text;
    read_page_fn *read;
    struct s3_list list;
};

static void
page_free(struct page **p)
{
    if (!*p)
        return;
    free((*p)->text);
    base_pool_free(&(*p)->pool);
    free(*p);
    *p = NULL;
}

static struct page *
page_new(void)
{
    struct page *p = calloc(1, sizeof(*p));

    BUG_ON(!p);
    p->pool = base_pool_new(NULL);
    p->text = malloc((size_t)ANSWER_MAX);
    BUG_ON(!p->text);
    p->list = (struct s3_list){.token = "", .next_key = "", .next_upload = "", .more = true};
    return p;
}

static bool
is_page(struct s3_call *c, void *arg)
{
    struct page *p = arg;

    return p->read(p->pool, p->text, c->answer.len, &p->list);
}

static enum rc
page_get(struct page *p, struct s3_call *c, read_page_fn *read, struct err *err)
{
    enum rc rc;

    p->read = read;
    c->into = p->text;
    c->room = (size_t)ANSWER_MAX;
    c->accept = is_page;
    c->accept_arg = p;
    rc = s3_call_run(c, err);
    if (!rc && c->answer.status / 100 != 2)
        return err_set(err, RC_UNAVAILABLE, "the store answers with no list: status %d %s",
                       c->answer.status, c->error.code);
    return rc;
}

/* The page of objects below `folder` that follows `before`; NULL: the first. */
static enum rc
next_objects(struct s3_store *st, const char *folder, struct page **page, struct err *err)
{
    struct s3_call c = s3_call_to(st, "GET", NULL, s3_deadline(&st->client));
    struct page *next = page_new();
    enum rc rc;

    s3_call_query(&c, "list-type", "2");
    s3_call_query(&c, "prefix", mem_printf(next->pool, "%s%s", st->client.conf.prefix, folder));
    if (*page)
        s3_call_query(&c, "continuation-token", (*page)->list.token);
    rc = page_get(next, &c, s3_xml_objects, err);
    page_free(page);
    *page = next;
    return rc;
}

/* `key` without the prefix; NULL when it has another. */
static const char *
below(const struct s3_store *st, const char *key)
{
    size_t len = strlen(st->client.conf.prefix);

    return strncmp(key, st->client.conf.prefix, len) == 0 ? key + len : NULL;
}

enum rc
s3_each(struct blob_store *base, blob_visit_fn *visit, blob_stranger_fn *stranger, void *arg,
        struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    SCOPED(page) page = NULL;
    enum rc rc = RC_OK;

    do {
        rc = next_objects(st, NAME_FOLDER, &page, err);
        for (size_t i = 0; !rc && i < page->list.n; i++) {
            const struct s3_entry *e = &page->list.entries[i];
            const char *path = below(st, e->key);
            struct blob_key key;

            if (path && name_parse_path(path, &key))
                rc = visit(arg, &key, e->size, e->time_ms, err);
            else if (stranger)
                stranger(arg, path ? path : e->key);
        }
    } while (!rc && page->list.more);
    return rc;
}

/* --- sweeping --- */

static enum rc
next_uploads(struct s3_store *st, struct page **page, struct err *err)
{
    struct s3_call c = s3_call_to(st, "GET", NULL, s3_deadline(&st->client));
    struct page *next = page_new();
    enum rc rc;

    s3_call_query(&c, "uploads", "");
    s3_call_query(&c, "prefix", mem_printf(next->pool, "%s" NAME_FOLDER, st->client.conf.prefix));
    if (*page) {
        s3_call_query(&c, "key-marker", (*page)->list.next_key);
        s3_call_query(&c, "upload-id-marker", (*page)->list.next_upload);
    }
    rc = page_get(next, &c, s3_xml_uploads, err);
    page_free(page);
    *page = next;
    return rc;
}

static enum rc
abort_upload(struct s3_store *st, const char *key, const char *id, struct err *err)
{
    struct s3_call c = s3_call_to(st, "DELETE", key, s3_deadline(&st->client));

    s3_call_query(&c, "uploadId", id);
    return s3_call_run(&c, err);
}

static enum rc
sweep_uploads(struct s3_store *st, int64_t older_than_ms, size_t *removed, struct err *err)
{
    SCOPED(page) page = NULL;
    enum rc rc = RC_OK;

    do {
        rc = next_uploads(st, &page, err);
        for (size_t i = 0; !rc && i < page->list.n; i++) {
            const struct s3_entry *e = &page->list.entries[i];
            const char *path = below(st, e->key);

            if (!path || e->time_ms >= older_than_ms)
                continue;
            rc = abort_upload(st, path, e->upload_id, err);
            *removed += rc == RC_OK;
        }
    } while (!rc && page->list.more);
    return rc;
}

static enum rc
sweep_incoming(struct s3_store *st, int64_t older_than_ms, size_t *removed, struct err *err)
{
    SCOPED(page) page = NULL;
    enum rc rc = RC_OK;

    do {
        rc = next_objects(st, INCOMING_FOLDER, &page, err);
        for (size_t i = 0; !rc && i < page->list.n; i++) {
            const struct s3_entry *e = &page->list.entries[i];
            const char *path = below(st, e->key);

            if (!path || e->time_ms >= older_than_ms)
                continue;
            rc = s3_erase(st, path, err);
            *removed += rc == RC_OK;
        }
    } while (!rc && page->list.more);
    return rc;
}

enum rc
s3_sweep(struct blob_store *base, int64_t older_than_ms, size_t *ret_removed, struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    enum rc rc = sweep_uploads(st, older_than_ms, ret_removed, err);

    return rc ? rc : sweep_incoming(st, older_than_ms, ret_removed, err);
}
