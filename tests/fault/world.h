// SPDX-License-Identifier: Apache-2.0
/*
 * world: a whole service without a network, whose database and bytes fail on cue.
 *
 * A case makes a template directory once, then runs on copies of it: `world_open` opens one as a
 * start of the server does, `world_ask` sends requests through the real exchange, `world_recover`
 * does what the jobs do at a start and `world_digest` tells the state in one line of text.
 */
#ifndef FAULT_WORLD_H
#define FAULT_WORLD_H
#include "../unit/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "blob/fault/fault.h"
#include "core/keys.h"
#include "core/media_type.h"
#include "db/fault/fault.h"
#include "http/exchange.h"
#include "jobs/check.h"
#include "jobs/job.h"

#define PATH_LEN 512
#define AT_ONCE 3 /* requests of one scenario */

/* What outlives the worlds: it is dear to make. */
struct shared {
    struct media_detector *detector;
    struct workers *blob_workers;
    char root[64];
    char key[KEY_TEXT_LEN]; /* of the template at hand */
};

struct world {
    char dir[PATH_LEN];
    struct app app;
    struct service service;
    struct shared *shared;
    TALLOC_CTX *pool;
    sem_t woken;
    unsigned fatal; /* how often the engine has called for the end of the process */
};

struct ask {
    const char *method, *target, *type, *body;
    const char *idempotency_key; /* NULL: none */
};

static inline void
world_fatal(void *arg, const struct err *err)
{
    (void)err;
    ((struct world *)arg)->fatal++;
}

/* ---- directories ---- */

static inline void
copy_one(int from, int to, const char *name)
{
    int in = openat(from, name, O_RDONLY | O_CLOEXEC);
    int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char block[65536];
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, block, sizeof(block))) > 0)
        assert_int_equal(write(out, block, (size_t)n), n);
    assert_int_equal(n, 0);
    (void)close(in);
    (void)close(out);
}

static inline void
copy_tree(const char *from, const char *to)
{
    SCOPED_POOL(pool);
    DIR *list = opendir(from);
    struct dirent *e;
    int out;

    assert_non_null(list);
    assert_int_equal(mkdir(to, 0700), 0);
    out = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while ((e = readdir(list))) {
        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        if (e->d_type == DT_DIR)
            copy_tree(mem_printf(pool, "%s/%s", from, e->d_name),
                      mem_printf(pool, "%s/%s", to, e->d_name));
        else
            copy_one(dirfd(list), out, e->d_name);
    }
    (void)closedir(list);
    (void)close(out);
}

/* ---- opening ---- */

static inline void
world_open_stores(struct world *w, bool migrate)
{
    const struct db_fault calm = {.nth = 0};
    const struct blob_fault still = {.nth = 0};
    struct blob_store *blobs;
    struct db *db;
    struct err err;
    char path[PATH_LEN + 16];

    (void)snprintf(path, sizeof(path), "%s/dossier.db", w->dir);
    EXPECT(RC_OK, db_open_sqlite(path, &db, &err));
    EXPECT(RC_OK, db_open_fault(db, &calm, &w->app.db, &err));
    if (migrate)
        house_migrate(w->app.db);
    (void)snprintf(path, sizeof(path), "%s/blobs", w->dir);
    EXPECT(RC_OK, blob_store_open_fs(path, &blobs, &err));
    EXPECT(RC_OK, blob_store_open_fault(blobs, &still, &w->app.blobs, &err));
}

/* As a start of the server, without faults. */
static inline struct world *
world_open(struct shared *shared, const char *dir)
{
    struct world *w = MEM_NEW(NULL, struct world);
    struct engine_config config = {.query_threads = 1,
                                   .query_limit_ms = 10000,
                                   .lane_max = 1000,
                                   .metrics = &w->app.metrics,
                                   .audit_key = w->app.secret.audit_seal,
                                   .fatal = world_fatal,
                                   .fatal_arg = w};
    char path[PATH_LEN + 16];
    struct err err;

    w->shared = shared;
    w->pool = base_pool_new(NULL);
    (void)snprintf(w->dir, sizeof(w->dir), "%s", dir);
    world_open_stores(w, true);
    (void)snprintf(path, sizeof(path), "%s/secret.key", dir);
    EXPECT(RC_OK, secret_load(path, true, &w->app.secret, &err));
    EXPECT(RC_OK, engine_open(w->app.db, &config, &w->app.engine, &err));
    w->app.detector = shared->detector;
    w->app.blob_workers = shared->blob_workers;
    w->app.settings = (struct settings){.purge_after_ms = 3600000,
                                        .url_life_ms = 900000,
                                        .max_upload_file = MIB(1),
                                        .max_upload_request = MIB(1),
                                        .max_upload_parts = 10,
                                        .idempotency_ms = 3600000,
                                        .orphan_ms = 3600000,
                                        .object_ms = 3600000};
    w->service.app = &w->app;
    w->service.auth = auth_new(&w->app);
    w->service.budgets = budgets_new(&w->app);
    atomic_store(&w->service.ready, READY_YES);
    BUG_ON(sem_init(&w->woken, 0, 0));
    return w;
}

static inline void
world_close(struct world **ret)
{
    struct world *w = *ret;

    budgets_free(&w->service.budgets);
    auth_free(&w->service.auth);
    engine_free(&w->app.engine);
    blob_store_free(&w->app.blobs);
    db_free(&w->app.db);
    base_pool_free(&w->pool);
    BUG_ON(sem_destroy(&w->woken));
    (void)talloc_free(w);
    *ret = NULL;
}

/* ---- the first workspace and key ---- */

static inline enum rc
world_found(struct tx *tx, void *arg, struct err *err)
{
    struct world *w = arg;
    struct workspace ws = {.public_id = mem_strdup(tx->pool, "ws_1"),
                           .name = mem_strdup(tx->pool, "One"),
                           .open_entities = true,
                           .quota_bytes = -1,
                           .quota_documents = -1,
                           .audit_days = 365};
    struct api_key k = {.name = "first",
                        .permissions = (1u << PERMISSION_COUNT) - 1,
                        .tier = TIER_UNMETERED,
                        .expires_ms = -1};
    struct key_text text;
    struct caller caller;
    enum rc rc = workspace_insert(tx, &ws, err);

    caller = support_caller(&ws);
    if (!rc)
        rc = keys_create(tx, &caller, &w->app.secret, k.permissions, &k, &text, err);
    if (!rc)
        memcpy(w->shared->key, text.text, KEY_TEXT_LEN);
    return rc;
}

/* ---- requests ---- */

static inline void
wait_on(sem_t *s)
{
    while (sem_wait(s) != 0)
        continue;
}

static inline void
world_woken(void *arg)
{
    (void)sem_post(arg);
}

/* One request under way; `parked` until the engine has done its part. */
struct call {
    struct exchange *ex;
    struct http_header headers[6];
    struct wire wire;
    char length[24];
    bool parked;
};

static inline void
call_header(struct call *c, const char *name, const char *value)
{
    if (value)
        c->headers[c->wire.n_headers++] =
            (struct http_header){name, value, strlen(name), strlen(value)};
}

/* Sends everything; the caller lets it go with exchange_go() when it is parked. */
static inline void
call_begin(struct world *w, struct call *c, const struct ask *a)
{
    size_t len = a->body ? strlen(a->body) : 0;
    enum exchange_next next;

    *c = (struct call){.ex = exchange_new(&w->service, world_woken)};
    c->wire = (struct wire){.method = a->method,
                            .target = a->target,
                            .version = "HTTP/1.1",
                            .address = "192.0.2.1",
                            .headers = c->headers};
    (void)snprintf(c->length, sizeof(c->length), "%zu", len);
    call_header(c, "Host", "localhost");
    call_header(c, "X-API-Key", w->shared->key);
    call_header(c, "Content-Type", a->type);
    call_header(c, "Content-Length", a->body ? c->length : NULL);
    call_header(c, "Idempotency-Key", a->idempotency_key);
    exchange_own(c->ex, &w->woken);
    next = exchange_head(c->ex, &c->wire);
    if (next == EXCHANGE_READ && len > 0)
        next = exchange_body(c->ex, a->body, len);
    if (next == EXCHANGE_READ)
        next = exchange_end(c->ex);
    c->parked = next == EXCHANGE_WAIT;
}

/* The status; the body is in w->pool when `ret_body` is not NULL. */
static inline int
call_end(struct world *w, struct call *c, const char **ret_body)
{
    struct reply *rp = exchange_reply(c->ex);
    int status = rp->status;

    if (ret_body)
        *ret_body = mem_strndup(w->pool, rp->text ? rp->text : "", rp->text_len);
    exchange_free(&c->ex);
    return status;
}

static inline int
world_ask(struct world *w, const struct ask *a, const char **ret_body)
{
    struct call c;

    call_begin(w, &c, a);
    if (c.parked) {
        exchange_go(c.ex);
        wait_on(&w->woken);
    }
    return call_end(w, &c, ret_body);
}

/* Holds the writer up, so that what is sent meanwhile shares one transaction. */
struct gate {
    sem_t entered, open, ended;
};

static inline enum rc
gate_fn(struct tx *tx, void *arg, struct err *err)
{
    struct gate *g = arg;

    (void)tx;
    (void)sem_post(&g->entered);
    wait_on(&g->open);
    /* its own transaction is undone: it is no part of what is tested */
    return err_set(err, RC_CONFLICT, "the gate");
}

/* Also when a fault kept it from running at all. */
static inline void
gate_done(void *arg, enum rc rc, const struct err *err)
{
    struct gate *g = arg;

    (void)rc;
    (void)err;
    (void)sem_post(&g->entered);
    (void)sem_post(&g->ended);
}

static inline void
world_ask_together(struct world *w, const struct ask *asks, size_t n, int *ret_status)
{
    struct gate g;
    struct work hold = {.fn = gate_fn, .done = gate_done, .arg = &g, .pool = w->pool};
    struct call calls[AT_ONCE];
    unsigned parked = 0;
    struct err err;
    bool held;

    BUG_ON(n > AT_ONCE || sem_init(&g.entered, 0, 0) || sem_init(&g.open, 0, 0) ||
           sem_init(&g.ended, 0, 0));
    for (size_t i = 0; i < n; i++)
        call_begin(w, &calls[i], &asks[i]);
    held = engine_submit(w->app.engine, &hold, &err) == RC_OK;
    if (held)
        wait_on(&g.entered);
    for (size_t i = 0; i < n; i++) {
        if (!calls[i].parked)
            continue;
        parked++;
        exchange_go(calls[i].ex);
    }
    (void)sem_post(&g.open);
    for (; parked > 0; parked--)
        wait_on(&w->woken);
    if (held)
        wait_on(&g.ended);
    for (size_t i = 0; i < n; i++)
        ret_status[i] = call_end(w, &calls[i], NULL);
}

/* ---- after a restart ---- */

/* The jobs of a start, then a sweep for which everything is old. */
static inline void
world_recover(struct world *w)
{
    struct jobs *jobs = NULL;
    struct jobs by_hand = {.service = &w->service};
    int64_t orphan_ms = w->app.settings.orphan_ms;
    struct err err;

    EXPECT(RC_OK, jobs_start(&w->service, &jobs, &err));
    jobs_free(&jobs);
    for (size_t i = 0; i < JOBS_KINDS; i++)
        by_hand.turns[i].due_mono_ms = INT64_MAX;
    BUG_ON(pthread_mutex_init(&by_hand.lock, NULL));
    w->app.settings.orphan_ms = -1000;
    EXPECT(RC_OK, job_sweep.run(&by_hand, &err));
    w->app.settings.orphan_ms = orphan_ms;
    BUG_ON(pthread_mutex_destroy(&by_hand.lock));
}

/* Nothing is missing, damaged, left over or counted wrong. */
static inline void
world_check(struct world *w)
{
    json_t *found = NULL;
    struct err err;
    char *text;

    EXPECT(RC_OK, check_run(&w->app, false, &found, &err));
    text = json_dumps(found, 0);
    if (!json_is_true(json_object_get(found, "ok")) ||
        json_array_size(json_object_get(found, "orphans")) > 0 ||
        json_integer_value(json_object_get(found, "in_flight")) > 0)
        fail_msg("check: %s", text);
    free(text);
    json_decref(found);
}

/* What a client or an operator can tell of the state, but for times and ids made up. */
static const char *const digest_queries[] = {
    "SELECT name || ',' || coalesce(description, '') || ',' || coalesce(size_bytes, -1) || ',' ||"
    " (blob_id IS NOT NULL) || ',' || coalesce(folder, '') || ',' || tags FROM document ORDER BY 1",
    "SELECT tag FROM document_tag ORDER BY 1",
    "SELECT path FROM folder ORDER BY 1",
    "SELECT entity_type || ',' || entity_id || ',' || coalesce(role, '') FROM link ORDER BY 1",
    "SELECT entity_type || ',' || entity_id || ',' || coalesce(name, '') FROM entity ORDER BY 1",
    "SELECT name || ',' || permissions FROM api_key ORDER BY 1",
    "SELECT 'handles ' || count(*) FROM api_key_handle",
    "SELECT 'objects ' || count(*) || ' ' || coalesce(sum(size_bytes), 0) FROM object",
    "SELECT 'used ' || count(*) FROM upload_used",
    "SELECT 'purge ' || count(*) || ' ' || coalesce(sum(hard), 0) FROM purge",
    "SELECT 'usage ' || coalesce(sum(documents), 0) || ' ' || coalesce(sum(bytes), 0) FROM usage",
    "SELECT 'kept ' || count(*) FROM idempotency",
    "SELECT action || ' ' || resource_type || ' ' || count(*) FROM audit"
    " GROUP BY action, resource_type ORDER BY 1",
};

static inline enum rc
digest_fn(struct tx *tx, void *arg, struct err *err)
{
    char **text = arg;
    enum rc rc = RC_OK;

    *text = mem_strdup(tx->pool, "");
    for (size_t i = 0; i < ARRAY_LEN(digest_queries) && !rc; i++) {
        SCOPED(db_cursor) c = NULL;
        bool row = true;

        rc = db_query_built(tx->conn, digest_queries[i], DB_NO_ARGS, &c, err);
        if (!rc)
            rc = db_next(c, &row, err);
        while (!rc && row) {
            *text = mem_printf(tx->pool, "%s%s\n", *text, db_col_text(c, 0));
            rc = db_next(c, &row, err);
        }
    }
    return rc;
}

static inline enum rc
digest_blob(void *arg, const struct blob_key *key, int64_t size, int64_t mtime_ms, struct err *err)
{
    (void)key;
    (void)mtime_ms;
    (void)err;
    *(int64_t *)arg += size + (1 << 20);
    return RC_OK;
}

/* In `pool`, which outlives the world. */
static inline char *
world_digest(struct world *w, TALLOC_CTX *pool)
{
    int64_t bytes = 0;
    struct err err;
    char *text;

    EXPECT(RC_OK, engine_read(w->app.engine, w->pool, digest_fn, &text, &err));
    EXPECT(RC_OK, blob_each(w->app.blobs, digest_blob, NULL, &bytes, &err));
    return mem_printf(pool, "%sblobs %lld\n", text, (long long)bytes);
}

#endif
