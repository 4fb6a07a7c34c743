// SPDX-License-Identifier: Apache-2.0
/*
 * jobs_world: what the tests of the jobs and of the check stand on: one workspace in a real
 * database with real files, in a directory of its own, and ways to put things into it.
 */
#ifndef UNIT_JOBS_WORLD_H
#define UNIT_JOBS_WORLD_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "blob/blob_driver.h"
#include "core/library.h"
#include "jobs/job.h"
#include "store/schema.h"

#define HOUR_MS 3600000
#define NOW clock_wall_ms()

struct world {
    char dir[64];
    struct app app;
    struct service service;
    struct jobs jobs; /* for running one kind by hand; no thread */
    struct workspace workspace;
    TALLOC_CTX *pool;
    struct blob_driver driver; /* the store's own, with `remove` replaced when asked */
    struct id stuck[300];      /* blobs that cannot be removed */
    size_t n_stuck;
    enum rc (*remove)(struct blob_store *, const struct blob_key *, struct err *);
};

static inline enum rc
remove_unless_stuck(struct blob_store *store, const struct blob_key *key, struct err *err)
{
    const struct world *w =
        (const void *)((const char *)store->driver - offsetof(struct world, driver));

    for (size_t i = 0; i < w->n_stuck; i++) {
        if (id_equal(&w->stuck[i], &key->id))
            return err_set(err, RC_IO, "stuck");
    }
    return w->remove(store, key, err);
}

static inline enum rc
remove_is_lost(struct blob_store *store, const struct blob_key *key, struct err *err)
{
    (void)store;
    (void)key;
    return err_set(err, RC_COMMIT_UNKNOWN, "the directory could not be synced");
}

static inline void
write_tx(struct world *w, enum rc (*fn)(struct tx *, void *, struct err *), void *arg)
{
    struct err err = {0};

    if (engine_write(w->app.engine, w->workspace.number, w->pool, fn, arg, &err))
        fail_msg("%s", err.detail);
}

static inline void
read_tx(struct world *w, enum rc (*fn)(struct tx *, void *, struct err *), void *arg)
{
    struct err err = {0};

    if (engine_read(w->app.engine, w->pool, fn, arg, &err))
        fail_msg("%s", err.detail);
}

static inline enum rc
insert_workspace(struct tx *tx, void *arg, struct err *err)
{
    return workspace_insert(tx, arg, err);
}

static inline void
migrate(struct db *db)
{
    SCOPED(db_conn) conn = NULL;
    const uint8_t audit_key[SHA256_LEN] = {0};
    struct err err;
    int from, to;

    assert_int_equal(db_connect(db, DB_WRITER, &conn, &err), RC_OK);
    assert_int_equal(schema_migrate(conn, audit_key, &from, &to, &err), RC_OK);
}

static inline int
set_up(void **state)
{
    struct world *w = MEM_NEW(NULL, struct world);
    struct engine_config config = {
        .query_threads = 1,
        .query_limit_ms = 1000,
        .lane_max = 100,
        .metrics = &w->app.metrics,
        .audit_key = w->app.secret.audit_seal, /* all zero will do */
    };
    struct err err;
    char path[96];

    log_set_level(LOG_ERROR_LEVEL + 1);
    w->pool = base_pool_new(NULL);
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/unit_jobs.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(path, sizeof(path), "%s/db", w->dir);
    assert_int_equal(db_open_sqlite(path, &w->app.db, &err), RC_OK);
    migrate(w->app.db);
    assert_int_equal(engine_open(w->app.db, &config, &w->app.engine, &err), RC_OK);
    assert_int_equal(workers_new("blob", 2, 64, &w->app.blob_workers, &err), RC_OK);
    (void)snprintf(path, sizeof(path), "%s/blobs", w->dir);
    assert_int_equal(blob_store_open_fs(path, &w->app.blobs, &err), RC_OK);
    w->driver = *w->app.blobs->driver;
    w->remove = w->driver.remove;
    w->driver.remove = remove_unless_stuck;
    w->app.blobs->driver = &w->driver;
    w->app.settings = (struct settings){.purge_after_ms = 900000,
                                        .idempotency_ms = HOUR_MS,
                                        .orphan_ms = HOUR_MS,
                                        .object_ms = HOUR_MS};
    w->app.settings.tiers[TIER_STANDARD] = (struct tier_limits){.per_minute = 600, .per_day = 9000};
    w->service = (struct service){.app = &w->app, .budgets = budgets_new(&w->app)};
    w->jobs.service = &w->service; /* `started` stays all zero: only age makes an orphan */
    pthread_mutex_init(&w->jobs.lock, NULL);
    for (size_t i = 0; i < JOBS_KINDS; i++)
        w->jobs.turns[i].due_mono_ms = INT64_MAX;
    w->workspace = (struct workspace){.public_id = mem_strdup(w->pool, "ws_1"),
                                      .name = mem_strdup(w->pool, "One"),
                                      .quota_bytes = -1,
                                      .quota_documents = -1,
                                      .audit_days = 365};
    write_tx(w, insert_workspace, &w->workspace);
    *state = w;
    return 0;
}

static inline int
remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline int
tear_down(void **state)
{
    struct world *w = *state;

    budgets_free(&w->service.budgets);
    blob_store_free(&w->app.blobs);
    engine_free(&w->app.engine);
    workers_free(&w->app.blob_workers);
    db_free(&w->app.db);
    base_pool_free(&w->pool);
    (void)nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    (void)talloc_free(w);
    return 0;
}

static inline struct blob_key
key_of(const struct world *w, const struct id *id)
{
    return (struct blob_key){.workspace = w->workspace.number, .id = *id};
}

static inline struct id
put_blob(struct world *w, const char *text, struct blob_info *ret)
{
    struct id id = id_new();
    struct blob_key key = key_of(w, &id);
    SCOPED(blob_writer) writer = NULL;
    struct err err;

    assert_int_equal(blob_write_open(w->app.blobs, &key, &writer, &err), RC_OK);
    assert_int_equal(blob_write(writer, text, strlen(text), &err), RC_OK);
    assert_int_equal(blob_write_finish(writer, ret, &err), RC_OK);
    return id;
}

static inline bool
has_blob(struct world *w, const struct id *id)
{
    struct blob_key key = key_of(w, id);
    struct err err;
    int64_t size;

    return blob_stat(w->app.blobs, &key, &size, &err) == RC_OK;
}

static inline void
path_of(const struct world *w, const struct id *blob, char out[200])
{
    char id[33];

    crypto_hex(blob->b, 16, id);
    (void)snprintf(out, 200, "%s/blobs/objects/%.2s/%.2s/%016llx-%s", w->dir, id + 28, id + 30,
                   (unsigned long long)w->workspace.number, id);
}

static inline void
set_age(const char *path, int64_t age_ms)
{
    int64_t s = (NOW - age_ms) / 1000;
    struct timespec when[2] = {{.tv_sec = s}, {.tv_sec = s}};

    assert_int_equal(utimensat(AT_FDCWD, path, when, 0), 0);
}

static inline void
age_blob(const struct world *w, const struct id *blob, int64_t age_ms)
{
    char path[200];

    path_of(w, blob, path);
    set_age(path, age_ms);
}

static inline enum rc
put_purge(struct tx *tx, void *arg, struct err *err)
{
    return purge_put(tx, arg, err);
}

/* Schedules the bytes of a deleted document. */
static inline void
schedule(struct world *w, const struct id *blob, int64_t due_ms)
{
    struct purge p = {.workspace = w->workspace.number,
                      .blob_id = *blob,
                      .has_document = true,
                      .document_id = *blob,
                      .size_bytes = 3,
                      .due_ms = due_ms};

    write_tx(w, put_purge, &p);
}

struct audited {
    struct world *w;
    const char *action;
    int64_t total;
};

static inline enum rc
count_audit(struct tx *tx, void *arg, struct err *err)
{
    struct audited *a = arg;
    struct audit_filter f = {.action = a->action, .from_ms = -1, .to_ms = -1, .limit = 1};
    struct audit_line *lines;
    size_t n;

    return audit_list(tx, a->w->workspace.number, &f, &lines, &n, &a->total, err);
}

static inline int64_t
audit_lines(struct world *w, const char *action)
{
    struct audited a = {.w = w, .action = action};

    read_tx(w, count_audit, &a);
    return a.total;
}

struct waiting {
    struct world *w;
    struct object object;
};

static inline enum rc
insert_object(struct tx *tx, void *arg, struct err *err)
{
    struct waiting *o = arg;
    enum rc rc = object_insert(tx, o->w->workspace.number, &o->object, err);

    return rc ? rc : usage_add(tx, o->w->workspace.number, 0, o->object.size_bytes, err);
}

static inline struct id
put_object(struct world *w, const char *path, int64_t age_ms)
{
    struct waiting o = {.w = w, .object = {.storage_path = path, .created_ms = NOW - age_ms}};
    struct blob_info info;

    o.object.blob_id = put_blob(w, "waits", &info);
    o.object.size_bytes = info.size;
    memcpy(o.object.sha256, info.sha256, SHA256_LEN);
    write_tx(w, insert_object, &o);
    return o.object.blob_id;
}

struct addition {
    struct caller caller;
    struct document document;
};

static inline enum rc
store_document(struct tx *tx, void *arg, struct err *err)
{
    struct addition *a = arg;

    return library_store(tx, &a->caller, &a->document, err);
}

static inline struct document
put_document(struct world *w, const char *path)
{
    struct addition a = {
        .caller = {.workspace = w->workspace},
        .document = {.id = id_new(), .name = "n", .mime_type = "text/plain", .storage_path = path}};
    struct document *d = &a.document;
    struct blob_info info;

    d->has_blob = true;
    d->blob_id = put_blob(w, "document", &info);
    d->size_bytes = info.size;
    memcpy(d->sha256, info.sha256, SHA256_LEN);
    write_tx(w, store_document, &a);
    return a.document;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
