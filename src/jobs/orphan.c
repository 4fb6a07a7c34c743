// SPDX-License-Identifier: Apache-2.0
#include "jobs/orphan.h"

#include "store/document.h"
#include "store/object.h"
#include "store/purge.h"

#define GROUP 256 /* blobs looked up in one read transaction */

static enum rc
is_referred(struct tx *tx, const struct blob_key *key, bool *ret, struct err *err)
{
    enum rc rc = document_has_blob(tx, key->workspace, &key->id, ret, err);

    if (!rc && !*ret)
        rc = object_has_blob(tx, key->workspace, &key->id, ret, err);
    if (!rc && !*ret)
        rc = purge_has_blob(tx, key->workspace, &key->id, ret, err);
    return rc;
}

struct group {
    const struct orphan_search *search;
    struct orphan list[GROUP];
    bool referred[GROUP];
    size_t n;
};

static enum rc
look_up(struct tx *tx, void *arg, struct err *err)
{
    struct group *g = arg;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < g->n && !rc; i++)
        rc = is_referred(tx, &g->list[i].key, &g->referred[i], err);
    return rc;
}

static enum rc
end_group(struct group *g, struct err *err)
{
    SCOPED_POOL(pool);
    enum rc rc = RC_OK;

    if (g->n > 0)
        rc = engine_read(g->search->app->engine, pool, look_up, g, err);
    for (size_t i = 0; i < g->n && !rc; i++) {
        struct err absent;
        int64_t size;

        if (g->referred[i])
            continue;
        /* erased, and its purge entry with it, since the walk saw it */
        rc = blob_stat(g->search->app->blobs, &g->list[i].key, &size, &absent);
        if (rc == RC_OK)
            rc = g->search->found(g->search->arg, &g->list[i], err);
        else if (rc == RC_NOT_FOUND)
            rc = RC_OK;
        else
            *err = absent;
    }
    g->n = 0;
    return rc;
}

static enum rc
visit(void *arg, const struct blob_key *key, int64_t size, int64_t mtime_ms, struct err *err)
{
    struct group *g = arg;
    struct orphan *o = &g->list[g->n];
    bool wanted = false;
    enum rc rc;

    *o = (struct orphan){*key, size, mtime_ms};
    rc = g->search->wanted(g->search->arg, o, &wanted, err);
    if (rc || !wanted)
        return rc;
    return ++g->n == GROUP ? end_group(g, err) : RC_OK;
}

/* blob_each() hands one argument to both of its callbacks. */
static void
pass_stranger(void *arg, const char *relative_path)
{
    struct group *g = arg;

    if (g->search->stranger)
        g->search->stranger(g->search->arg, relative_path);
}

enum rc
orphan_each(const struct orphan_search *search, struct err *err)
{
    SCOPED_POOL(pool);
    struct group *g = MEM_NEW(pool, struct group);
    enum rc rc;

    g->search = search;
    rc = blob_each(search->app->blobs, visit, pass_stranger, g, err);
    return rc ? rc : end_group(g, err);
}

struct recheck {
    const struct blob_key *key;
    bool referred;
};

static enum rc
look_again(struct tx *tx, void *arg, struct err *err)
{
    struct recheck *r = arg;

    return is_referred(tx, r->key, &r->referred, err);
}

enum rc
orphan_erase(struct app *app, const struct orphan *o, bool *ret_erased, struct err *err)
{
    SCOPED_POOL(pool);
    struct recheck r = {.key = &o->key};
    enum rc rc;

    *ret_erased = false;
    rc = engine_write(app->engine, o->key.workspace, pool, look_again, &r, err);
    if (rc || r.referred)
        return rc;
    rc = app_erase(app, &o->key, err);
    *ret_erased = rc == RC_OK;
    return rc;
}
