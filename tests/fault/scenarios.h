// SPDX-License-Identifier: Apache-2.0
/*
 * scenarios: what is done while calls fail. A scenario prepares a template without faults, and
 * says what is asked then, or is an act of its own.
 */
#ifndef FAULT_SCENARIOS_H
#define FAULT_SCENARIOS_H
#include "world.h"

#include "cmd/command.h"

#define JSON "application/json"
#define FORM "multipart/form-data; boundary=b"

struct scene;

struct scenario {
    const char *name;
    /* On the template, without faults: what is there before, and what will be asked. */
    void (*prepare)(struct world *w, struct scene *s);
    /* What is done when it is no request; true when it succeeded. */
    bool (*act)(struct world *w, struct scene *s);
    bool two_acts;   /* a refusal may come after the first of them was done */
    bool once_only;  /* repeated it is refused, once it was done */
    bool over_blobs; /* the store of bytes is swept as well */
    struct shared *shared;
    const char *mode; /* where the sweep is; NULL: not under way */
    unsigned nth;
};

struct scene {
    struct scenario *of;
    struct shared *shared;
    TALLOC_CTX *pool;
    char template[PATH_LEN], dir[PATH_LEN], extra[PATH_LEN];
    struct ask asks[AT_ONCE];
    size_t n;
    char *before, *after; /* digests */
    unsigned runs;
};

/* ---- requests ---- */

#define RECORD(name, path)                                                                         \
    "{\"name\":\"" name "\",\"mime_type\":\"text/plain\",\"storage_path\":\"" path "\","           \
    "\"folder\":\"/a/b\",\"tags\":[\"x\",\"y\"]}"

static inline void
will_ask(struct scene *s, const char *method, const char *target, const char *type,
         const char *body)
{
    s->asks[0] = (struct ask){
        .method = method, .target = target, .type = type, .body = body, .idempotency_key = "k1"};
}

/* A member of "data" in the answer to a request that must succeed; in the scene's pool. */
static inline const char *
ask_for(struct world *w, struct scene *s, const char *target, const char *body, const char *member)
{
    const struct ask a = {.method = "POST", .target = target, .type = JSON, .body = body};
    const char *text;
    json_t *answer;
    char *found;

    assert_int_equal(world_ask(w, &a, &text), 201);
    answer = json_loads(text, 0, NULL);
    found = mem_strdup(s->pool,
                       json_string_value(json_object_get(json_object_get(answer, "data"), member)));
    json_decref(answer);
    return found;
}

/* The target of a signed URL for the path "p". */
static inline const char *
upload_url(struct world *w, struct scene *s)
{
    const char *url =
        ask_for(w, s, "/v1/documents/upload-url", "{\"storage_path\":\"p\"}", "upload_url");

    return strstr(url, "/v1/signed/");
}

static inline void
put_bytes(struct world *w, struct scene *s)
{
    const struct ask a = {
        .method = "PUT", .target = upload_url(w, s), .type = "text/plain", .body = "some bytes"};

    assert_int_equal(world_ask(w, &a, NULL), 200);
}

/* The target of a document with bytes. */
static inline const char *
document(struct world *w, struct scene *s)
{
    put_bytes(w, s);
    return mem_printf(s->pool, "/v1/documents/%s",
                      ask_for(w, s, "/v1/documents", RECORD("n", "p"), "id"));
}

static inline void
prepare_register(struct world *w, struct scene *s)
{
    (void)w;
    will_ask(s, "POST", "/v1/documents", JSON, RECORD("n", "p"));
}

/* Without a key: done at most once by one request, but a repeated one is refused. */
static inline void
prepare_register_keyless(struct world *w, struct scene *s)
{
    prepare_register(w, s);
    s->asks[0].idempotency_key = NULL;
}

static inline void
prepare_adopt(struct world *w, struct scene *s)
{
    put_bytes(w, s);
    will_ask(s, "POST", "/v1/documents", JSON, RECORD("n", "p"));
}

static inline void
prepare_receive(struct world *w, struct scene *s)
{
    will_ask(s, "PUT", upload_url(w, s), "text/plain", "some bytes");
    s->asks[0].idempotency_key = NULL;
}

static inline void
prepare_replace(struct world *w, struct scene *s)
{
    put_bytes(w, s);
    prepare_receive(w, s);
}

static inline void
prepare_attach(struct world *w, struct scene *s)
{
    (void)ask_for(w, s, "/v1/documents", RECORD("n", "p"), "id");
    prepare_receive(w, s);
}

#define PART(name, bytes)                                                                          \
    "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"" name "\"\r\n\r\n" bytes   \
    "\r\n"

static inline void
prepare_upload(struct world *w, struct scene *s)
{
    (void)w;
    will_ask(s, "POST", "/api/v1/upload", FORM,
             PART("a.txt", "first") PART("b.txt", "second") PART("c.txt", "third") "--b--\r\n");
}

static inline void
prepare_update(struct world *w, struct scene *s)
{
    will_ask(s, "PATCH", document(w, s), JSON, "{\"name\":\"other\",\"tags\":[\"z\"]}");
}

static inline void
prepare_delete(struct world *w, struct scene *s)
{
    will_ask(s, "DELETE", document(w, s), NULL, NULL);
}

static inline void
prepare_hard_delete(struct world *w, struct scene *s)
{
    will_ask(s, "DELETE", mem_printf(s->pool, "%s?hard=true", document(w, s)), NULL, NULL);
}

static inline void
prepare_link(struct world *w, struct scene *s)
{
    will_ask(s, "POST", mem_printf(s->pool, "%s/link", document(w, s)), JSON,
             "{\"entity_type\":\"deal\",\"entity_id\":\"d1\",\"role\":\"r\"}");
}

static inline void
prepare_entities(struct world *w, struct scene *s)
{
    (void)w;
    will_ask(s, "POST", "/v1/entities/batch", JSON,
             "{\"entities\":[{\"entity_type\":\"deal\",\"entity_id\":\"d1\",\"name\":\"D\"},"
             "{\"entity_type\":\"contact\",\"entity_id\":\"c1\"}]}");
}

static inline void
prepare_key(struct world *w, struct scene *s)
{
    (void)w;
    will_ask(s, "POST", "/v1/api-keys", JSON,
             "{\"name\":\"second\",\"permissions\":[\"read:documents\"]}");
}

static inline void
prepare_together(struct world *w, struct scene *s)
{
    static const char *const bodies[AT_ONCE] = {RECORD("t1", "p1"), RECORD("t2", "p2"),
                                                RECORD("t3", "p3")};
    static const char *const keys[AT_ONCE] = {"t1", "t2", "t3"};

    (void)w;
    s->n = AT_ONCE;
    for (size_t i = 0; i < AT_ONCE; i++)
        s->asks[i] = (struct ask){.method = "POST",
                                  .target = "/v1/documents",
                                  .type = JSON,
                                  .body = bodies[i],
                                  .idempotency_key = keys[i]};
}

/* ---- jobs ---- */

static inline bool
run_job(struct world *w, const struct job_kind *kind)
{
    struct jobs jobs = {.service = &w->service};
    struct err err;
    bool done;

    for (size_t i = 0; i < JOBS_KINDS; i++)
        jobs.turns[i].due_mono_ms = INT64_MAX;
    BUG_ON(pthread_mutex_init(&jobs.lock, NULL));
    done = kind->run(&jobs, &err) == RC_OK;
    BUG_ON(pthread_mutex_destroy(&jobs.lock));
    return done;
}

static inline void
prepare_due(struct world *w, struct scene *s)
{
    const struct ask a = {.method = "DELETE", .target = document(w, s)};

    w->app.settings.purge_after_ms = -1000;
    assert_int_equal(world_ask(w, &a, NULL), 204);
}

static inline bool
act_purge(struct world *w, struct scene *s)
{
    (void)s;
    return run_job(w, &job_purge);
}

/* Bytes that wait for a document, and bytes without any row. */
static inline void
prepare_leftovers(struct world *w, struct scene *s)
{
    struct blob_key key = {.workspace = 1, .id = id_new()};
    SCOPED(blob_writer) writer = NULL;
    struct blob_info info;
    struct err err;

    put_bytes(w, s);
    EXPECT(RC_OK, blob_write_open(w->app.blobs, &key, &writer, &err));
    EXPECT(RC_OK, blob_write(writer, "orphan", 6, &err));
    EXPECT(RC_OK, blob_write_finish(writer, &info, &err));
}

/* Abandoned bytes are due at once; the purge that follows makes both ends of the sweep alike. */
static inline bool
act_sweep(struct world *w, struct scene *s)
{
    (void)s;
    w->app.settings.object_ms = w->app.settings.orphan_ms = -1000;
    return run_job(w, &job_sweep) && run_job(w, &job_purge);
}

/* ---- backup ---- */

/* A finished backup opens as a data directory, and holds what there is. */
static inline void
check_backup(struct scene *s)
{
    struct world *w;
    char copy[PATH_LEN];

    (void)snprintf(copy, sizeof(copy), "%s/restored", s->shared->root);
    copy_tree(s->extra, copy);
    w = world_open(s->shared, copy);
    world_check(w);
    assert_string_equal(world_digest(w, w->pool), s->before ? s->before : "");
    world_close(&w);
    support_remove_dir(copy);
}

static inline bool
act_backup(struct world *w, struct scene *s)
{
    struct home *home = MEM_NEW(w->pool, struct home);
    struct command_env env = {.pool = w->pool, .home = home};
    const char *const argv[] = {"backup", s->extra, "--data", w->dir};
    struct conf conf;
    char manifest[PATH_LEN + 16];
    json_t *out = NULL;
    struct err err;
    bool done;

    EXPECT(RC_OK, conf_parse(w->pool, ARRAY_LEN(argv), argv, NULL, &conf, &err));
    home->dir = w->dir;
    home->app.db = w->app.db;
    home->app.blobs = w->app.blobs;
    home->app.engine = w->app.engine;
    done = command_backup(&env, &conf, &out, &err) == RC_OK;
    json_decref(out);
    (void)snprintf(manifest, sizeof(manifest), "%s/manifest.json", s->extra);
    assert_int_equal(access(manifest, F_OK) == 0, done);
    if (done)
        check_backup(s);
    return done;
}

static inline void
prepare_backup(struct world *w, struct scene *s)
{
    (void)document(w, s);
}

#endif
