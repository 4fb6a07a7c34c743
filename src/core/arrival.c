// SPDX-License-Identifier: Apache-2.0
#include "core/arrival.h"

#include "core/library.h"
#include "store/incoming.h"

#define LOOKS_MAX 16 /* uploads to one path that are looked at */

struct arrival {
    struct app *app;
    const struct incoming *in;
    struct caller caller;
    struct object object;
    bool ours; /* nobody else has taken it in */
};

static enum rc
take_in(struct tx *tx, void *arg, struct err *err)
{
    struct arrival *a = arg;
    enum rc rc = incoming_delete(tx, a->in, &a->ours, err);

    if (rc || !a->ours)
        return rc;
    a->object.created_ms = tx->now_ms;
    return library_arrive(tx, &a->caller, &a->object, err);
}

static enum rc
forget(struct tx *tx, void *arg, struct err *err)
{
    bool changed;

    return incoming_delete(tx, arg, &changed, err);
}

/* The copy is a blob that no row names until the work is done, and again when it fails. */
static enum rc
register_copy(struct arrival *a, TALLOC_CTX *pool, const struct blob_key *key, struct err *err)
{
    struct err ignored;
    enum rc rc = engine_write_sole(a->app->engine, a->in->workspace, pool, take_in, a, err);

    /* of an unknown outcome the sweep knows better */
    if ((rc && rc != RC_OUTCOME_UNKNOWN && rc != RC_COMMIT_UNKNOWN) || (!rc && !a->ours))
        (void)!blob_delete(a->app->blobs, key, &ignored);
    return rc;
}

/* The store takes any size that was not declared. As with an upload to us nothing is kept. */
static enum rc
refuse(struct app *app, const struct blob_key *upload, const struct blob_incoming *found,
       struct err *err)
{
    enum rc rc = blob_incoming_remove(app->blobs, upload, err);

    return rc ? rc : err_set(err, RC_TOO_LARGE, "%lld bytes", (long long)found->size);
}

/* NOT_FOUND: nothing has come by this URL. TOO_LARGE: it is gone again. */
static enum rc
take(struct app *app, TALLOC_CTX *pool, const struct workspace *w, const struct incoming *in,
     struct err *err)
{
    struct blob_key upload = {in->workspace, in->upload_id}, key = {in->workspace, id_new()};
    struct arrival a = {
        .app = app,
        .in = in,
        .caller = {.workspace = *w, .has_key = true, .key_id = in->key_id, .user_id = in->user_id},
        .object = {.storage_path = in->storage_path, .blob_id = key.id},
    };
    struct blob_incoming found;
    struct err ignored;
    enum rc rc = blob_incoming_stat(app->blobs, &upload, &found, err);

    if (rc)
        return rc;
    if (found.size > app->settings.max_upload_file)
        return refuse(app, &upload, &found, err);
    rc = blob_incoming_adopt(app->blobs, &upload, &found, &key, err);
    if (rc)
        return rc;
    a.object.size_bytes = found.size;
    if (in->has_sha256)
        memcpy(a.object.sha256, in->sha256, SHA256_LEN);
    rc = register_copy(&a, pool, &key, err);
    if (!rc)
        (void)!blob_incoming_remove(app->blobs, &upload, &ignored); /* else the sweep does */
    return rc;
}

struct look {
    int64_t workspace;
    const char *storage_path;
    int64_t before_ms;
    int64_t max;
    struct incoming *list;
    size_t n;
};

static enum rc
read_path(struct tx *tx, void *arg, struct err *err)
{
    struct look *l = arg;

    return incoming_at(tx, l->workspace, l->storage_path, l->max, &l->list, &l->n, err);
}

enum rc
arrival_look(struct app *app, TALLOC_CTX *pool, const struct workspace *w, const char *storage_path,
             struct err *err)
{
    struct look l = {.workspace = w->number, .storage_path = storage_path, .max = LOOKS_MAX};
    enum rc rc = engine_read(app->engine, pool, read_path, &l, err);

    for (size_t i = 0; i < l.n && !rc; i++) {
        rc = take(app, pool, w, &l.list[i], err);
        if (rc != RC_NOT_FOUND)
            break; /* the youngest is what the client means */
        rc = RC_OK;
    }
    return rc;
}

static enum rc
read_expired(struct tx *tx, void *arg, struct err *err)
{
    struct look *l = arg;

    return incoming_expired(tx, l->before_ms, l->max, &l->list, &l->n, err);
}

struct find {
    int64_t number;
    struct workspace w;
};

static enum rc
find_workspace(struct tx *tx, void *arg, struct err *err)
{
    struct find *f = arg;

    return workspace_by_number(tx, f->number, &f->w, err);
}

/* What cannot be taken in, since a document has its bytes there or the quota is used up, goes. */
static enum rc
expire_one(struct app *app, TALLOC_CTX *pool, struct incoming *in, struct err *err)
{
    struct find f = {.number = in->workspace};
    struct blob_key upload = {in->workspace, in->upload_id};
    enum rc rc = engine_read(app->engine, pool, find_workspace, &f, err);

    if (!rc)
        rc = take(app, pool, &f.w, in, err);
    if (rc == RC_STORAGE_CONFLICT || rc == RC_QUOTA)
        rc = blob_incoming_remove(app->blobs, &upload, err);
    if (rc && rc != RC_NOT_FOUND && rc != RC_TOO_LARGE)
        return rc;
    return engine_write(app->engine, in->workspace, pool, forget, in, err);
}

enum rc
arrival_expire(struct app *app, TALLOC_CTX *pool, int64_t before_ms, int64_t max, int64_t *ret_n,
               struct err *err)
{
    struct look l = {.before_ms = before_ms, .max = max};
    enum rc rc = engine_read(app->engine, pool, read_expired, &l, err);

    *ret_n = 0;
    for (size_t i = 0; i < l.n && !rc; i++) {
        rc = expire_one(app, pool, &l.list[i], err);
        *ret_n += !rc;
    }
    return rc;
}
