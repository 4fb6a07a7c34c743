// SPDX-License-Identifier: Apache-2.0
/*
 * Call 1, 2, 3 … of the database or of the store of bytes fails, once or for ever, until a run
 * meets no failure any more. After each run the service starts again on the same files, without
 * faults, and then:
 *   what was acknowledged is there, what was refused has left nothing, the check finds no fault;
 *   the same request with its idempotency key is done exactly once, however the first try ended;
 *   an engine that met a failure of unknown outcome has taken no further work.
 *
 * Failing allocations are not swept: those of small objects end the process by design, and what
 * the crash points say about a sudden end holds for them.
 */
#include "scenarios.h"

#define CALLS_MAX 2000 /* a sweep that has not come to its end by then never will */

/* How calls fail; nth is the sweep's. */
struct mode {
    const char *name;
    struct db_fault db;
    struct blob_fault blob;
};

static const struct mode db_modes[] = {
    {.name = "io once", .db = {.rc = RC_IO}},
    {.name = "io for ever", .db = {.rc = RC_IO, .for_ever = true}},
    {.name = "full once", .db = {.rc = RC_STORAGE_FULL}},
    {.name = "full for ever", .db = {.rc = RC_STORAGE_FULL, .for_ever = true}},
    {.name = "busy once", .db = {.rc = RC_BUSY}},
    {.name = "committed, unknown",
     .db = {.slot = DB_FAULT_COMMIT, .rc = RC_COMMIT_UNKNOWN, .after = true}},
};

static const struct mode blob_modes[] = {
    {.name = "io once", .blob = {.rc = RC_IO}},
    {.name = "io for ever", .blob = {.rc = RC_IO, .for_ever = true}},
    {.name = "full once", .blob = {.rc = RC_STORAGE_FULL}},
    {.name = "full for ever", .blob = {.rc = RC_STORAGE_FULL, .for_ever = true}},
    {.name = "unavailable once", .blob = {.rc = RC_UNAVAILABLE}},
    {.name = "not done, unknown", .blob = {.rc = RC_COMMIT_UNKNOWN}},
    {.name = "done, unknown", .blob = {.rc = RC_COMMIT_UNKNOWN, .after = true}},
};

/* ---- doing ---- */

/* True for what was acknowledged; for several requests each in `ret_done`. */
static bool
perform(struct world *w, struct scene *s, bool ret_done[AT_ONCE])
{
    int status[AT_ONCE] = {0};
    bool all = true;

    if (s->of->act)
        return ret_done[0] = s->of->act(w, s);
    if (s->n == 1)
        status[0] = world_ask(w, &s->asks[0], NULL);
    else
        world_ask_together(w, s->asks, s->n, status);
    for (size_t i = 0; i < s->n; i++) {
        ret_done[i] = status[i] / 100 == 2;
        all = all && ret_done[i];
    }
    return all;
}

static enum rc
nothing_fn(struct tx *tx, void *arg, struct err *err)
{
    (void)tx;
    (void)arg;
    (void)err;
    return RC_OK;
}

/* Broken for good (blob.h I5): even an absent blob cannot be deleted. */
static bool
blobs_broken(struct world *w)
{
    const struct blob_fault still = {.nth = 0};
    struct blob_key absent = {.workspace = 1, .id = id_new()};
    struct err err;

    blob_fault_arm(w->app.blobs, &still);
    return blob_delete(w->app.blobs, &absent, &err) == RC_UNAVAILABLE;
}

/*
 * What could leave the disk in doubt has ended the service; nothing else has. The writer answers
 * before it declares itself dead, but takes no work in between: a write of our own tells.
 */
static void
check_fail_stop(struct world *w, const struct mode *m)
{
    const struct db_fault calm = {.nth = 0};
    unsigned hits = db_fault_hits(w->app.db);
    bool must_stop = blobs_broken(w), alive;
    struct err err;
    enum rc rc;

    if (m->db.rc == RC_IO && m->db.for_ever && hits > 0) {
        (void)!engine_write(w->app.engine, 1, w->pool, nothing_fn, NULL, &err);
        must_stop = true;
    }
    if (m->db.rc == RC_COMMIT_UNKNOWN && hits > 0)
        must_stop = true;
    db_fault_arm(w->app.db, &calm);
    rc = engine_write(w->app.engine, 1, w->pool, nothing_fn, NULL, &err);
    alive = engine_alive(w->app.engine);
    EXPECT(alive ? RC_OK : RC_UNAVAILABLE, rc);
    if (must_stop)
        assert_false(alive);
    if (m->db.rc == RC_STORAGE_FULL)
        assert_true(alive);
    engine_free(&w->app.engine); /* ends the writer, and with it the call of `fatal` */
    assert_int_equal(w->fatal, !alive);
}

/* ---- judging ---- */

struct named {
    const char *name;
    bool found;
};

static enum rc
named_fn(struct tx *tx, void *arg, struct err *err)
{
    static const struct sql find = SQL("SELECT 1 FROM document WHERE name = $1");
    struct named *n = arg;

    return db_exists(tx->conn, &find, DB_ARGS(db_text(n->name)), &n->found, err);
}

/* Of several requests: each is there, or not, as it was answered. Their documents' names are their
 * idempotency keys. */
static void
judge_each(struct world *w, struct scene *s, const bool done[AT_ONCE], bool may_stay)
{
    struct err err;

    for (size_t i = 0; i < s->n; i++) {
        struct named n = {.name = s->asks[i].idempotency_key};

        EXPECT(RC_OK, engine_read(w->app.engine, w->pool, named_fn, &n, &err));
        if (done[i] != n.found && !(n.found && may_stay))
            fail_msg("%s was %s, and is %s", n.name, done[i] ? "acknowledged" : "refused",
                     n.found ? "there" : "not there");
    }
}

static void
judge(struct world *w, struct scene *s, const bool done[AT_ONCE], bool may_stay)
{
    char *now;

    world_recover(w);
    world_check(w);
    now = world_digest(w, w->pool);
    if (s->n > 1)
        judge_each(w, s, done, may_stay);
    else if (done[0] && !streq(now, s->after))
        fail_msg("acknowledged, but not there:\n%s\nnot\n%s", now, s->after);
    else if (!done[0] && !streq(now, s->before) && !(may_stay && streq(now, s->after)))
        fail_msg("refused, but not undone:\n%s\nnot\n%s", now, s->before);
}

/* The same again is done once in all. */
static void
judge_retry(struct world *w, struct scene *s)
{
    bool was_done = streq(world_digest(w, w->pool), s->after), done[AT_ONCE];
    char *now;

    if (!perform(w, s, done) && !(s->of->once_only && was_done))
        fail_msg("refused without any fault");
    world_recover(w);
    world_check(w);
    now = world_digest(w, w->pool);
    if (!streq(now, s->after))
        fail_msg("once more:\n%s\nnot\n%s", now, s->after);
}

/* ---- one run, one sweep ---- */

/* False when no call failed: the sweep is at its end. */
static bool
run(struct scene *s, const struct mode *m, bool over_blobs, unsigned nth)
{
    struct db_fault db = m->db;
    struct blob_fault blob = m->blob;
    bool done[AT_ONCE], hit;
    struct world *w;

    copy_tree(s->template, s->dir);
    w = world_open(s->shared, s->dir);
    db.nth = over_blobs ? 0 : nth;
    blob.nth = over_blobs ? nth : 0;
    db_fault_arm(w->app.db, &db);
    blob_fault_arm(w->app.blobs, &blob);
    (void)perform(w, s, done);
    hit = db_fault_hits(w->app.db) + blob_fault_hits(w->app.blobs) > 0;
    check_fail_stop(w, m);
    world_close(&w);

    w = world_open(s->shared, s->dir);
    judge(w, s, done, s->of->two_acts || m->db.after);
    judge_retry(w, s);
    world_close(&w);
    support_remove_dir(s->dir);
    support_remove_dir(s->extra);
    s->runs++;
    return hit;
}

static void
sweep(struct scene *s, const struct mode *modes, size_t n, bool over_blobs)
{
    for (size_t i = 0; i < n; i++) {
        unsigned nth = 1;

        s->of->mode = modes[i].name;
        do {
            s->of->nth = nth;
            if (nth > CALLS_MAX)
                fail_msg("no end");
        } while (run(s, &modes[i], over_blobs, nth++));
    }
    s->of->mode = NULL;
}

/* Of a sweep that failed: says where, and clears up for the next. */
static int
tear_down(void **state)
{
    struct scenario *sc = *state;

    if (sc->mode) {
        print_error("%s: \"%s\" at call %u\n", sc->name, sc->mode, sc->nth);
        support_remove_dir(sc->shared->root);
        assert_int_equal(mkdir(sc->shared->root, 0700), 0);
    }
    return 0;
}

/* The state before and after, as a start would find it. */
static void
measure(struct scene *s)
{
    bool done[AT_ONCE];
    struct world *w;

    copy_tree(s->template, s->dir);
    w = world_open(s->shared, s->dir);
    world_recover(w);
    world_check(w);
    s->before = world_digest(w, s->pool);
    world_close(&w);
    support_remove_dir(s->dir);

    copy_tree(s->template, s->dir);
    w = world_open(s->shared, s->dir);
    assert_true(perform(w, s, done));
    world_recover(w);
    world_check(w);
    s->after = world_digest(w, s->pool);
    world_close(&w);
    support_remove_dir(s->dir);
    support_remove_dir(s->extra);
}

static void
test_scenario(void **state)
{
    struct scenario *sc = *state;
    struct scene s = {.of = sc, .shared = sc->shared, .pool = base_pool_new(NULL), .n = 1};
    struct world *w;
    struct err err;

    (void)snprintf(s.template, sizeof(s.template), "%s/template", sc->shared->root);
    (void)snprintf(s.dir, sizeof(s.dir), "%s/run", sc->shared->root);
    (void)snprintf(s.extra, sizeof(s.extra), "%s/extra", sc->shared->root);
    assert_int_equal(mkdir(s.template, 0700), 0);
    w = world_open(sc->shared, s.template);
    EXPECT(RC_OK, engine_write(w->app.engine, 1, w->pool, world_found, w, &err));
    if (sc->prepare)
        sc->prepare(w, &s);
    world_close(&w);
    measure(&s);
    sweep(&s, db_modes, ARRAY_LEN(db_modes), false);
    if (sc->over_blobs)
        sweep(&s, blob_modes, ARRAY_LEN(blob_modes), true);
    print_message("%s: %u runs\n", sc->name, s.runs);
    support_remove_dir(s.template);
    base_pool_free(&s.pool);
}

/* ---- migration ---- */

/* False when no call failed. */
static bool
migrate_once(struct shared *shared, const struct db_fault *plan)
{
    struct world stores = {.dir = ""}, *w;
    struct db_conn *conn = NULL;
    struct err err;
    int from, to;
    bool hit;
    enum rc rc;

    (void)snprintf(stores.dir, sizeof(stores.dir), "%s/run", shared->root);
    assert_int_equal(mkdir(stores.dir, 0700), 0);
    world_open_stores(&stores, false);
    db_fault_arm(stores.app.db, plan);
    rc = db_connect(stores.app.db, DB_WRITER, &conn, &err);
    if (!rc)
        rc = schema_migrate(conn, support_audit_key, &from, &to, &err);
    hit = db_fault_hits(stores.app.db) > 0;
    assert_int_equal(hit, rc != RC_OK);
    db_conn_free(&conn);
    blob_store_free(&stores.app.blobs);
    db_free(&stores.app.db);

    w = world_open(shared, stores.dir);
    EXPECT(RC_OK, engine_write(w->app.engine, 1, w->pool, world_found, w, &err));
    world_recover(w);
    world_check(w);
    world_close(&w);
    support_remove_dir(stores.dir);
    return hit;
}

static void
test_migration(void **state)
{
    unsigned runs = 0;

    for (size_t i = 0; i < ARRAY_LEN(db_modes); i++) {
        struct db_fault plan = db_modes[i].db;

        do {
            plan.nth++;
            runs++;
        } while (migrate_once(*state, &plan));
    }
    print_message("migration: %u runs\n", runs);
}

/* ---- the store breaks behind an answer ---- */

/*
 * An upload is refused, and the removal of its bytes leaves the disk in doubt: no answer tells, so
 * the service has to end by itself (blob.h I5).
 */
static void
test_removal_in_doubt(void **state)
{
    const struct blob_fault plan = {.slot = BLOB_FAULT_REMOVE, .nth = 1, .rc = RC_COMMIT_UNKNOWN};
    struct shared *shared = *state;
    struct scene s = {.shared = shared, .pool = base_pool_new(NULL), .n = 1};
    struct world *w;
    struct err err;

    (void)snprintf(s.dir, sizeof(s.dir), "%s/run", shared->root);
    assert_int_equal(mkdir(s.dir, 0700), 0);
    w = world_open(shared, s.dir);
    EXPECT(RC_OK, engine_write(w->app.engine, 1, w->pool, world_found, w, &err));
    prepare_receive(w, &s);
    (void)document(w, &s); /* takes the path */
    blob_fault_arm(w->app.blobs, &plan);
    assert_int_equal(world_ask(w, &s.asks[0], NULL), 409);
    assert_int_equal(blob_fault_hits(w->app.blobs), 1);
    assert_false(engine_alive(w->app.engine));
    world_close(&w);
    support_remove_dir(s.dir);
    base_pool_free(&s.pool);
}

static struct scenario scenarios[] = {
    {.name = "register", .prepare = prepare_register_keyless, .once_only = true},
    {.name = "idempotent create", .prepare = prepare_register},
    {.name = "adopt", .prepare = prepare_adopt, .over_blobs = true},
    {.name = "receive", .prepare = prepare_receive, .once_only = true, .over_blobs = true},
    {.name = "replace", .prepare = prepare_replace, .once_only = true, .over_blobs = true},
    {.name = "attach", .prepare = prepare_attach, .once_only = true, .over_blobs = true},
    {.name = "upload of three", .prepare = prepare_upload, .over_blobs = true},
    {.name = "update", .prepare = prepare_update},
    {.name = "soft delete", .prepare = prepare_delete, .over_blobs = true},
    {.name = "purge job", .prepare = prepare_due, .act = act_purge, .over_blobs = true},
    {.name = "hard delete", .prepare = prepare_hard_delete, .two_acts = true, .over_blobs = true},
    {.name = "link", .prepare = prepare_link},
    {.name = "entity batch", .prepare = prepare_entities},
    {.name = "key create", .prepare = prepare_key},
    {.name = "three together", .prepare = prepare_together},
    {.name = "sweep job",
     .prepare = prepare_leftovers,
     .act = act_sweep,
     .two_acts = true,
     .over_blobs = true},
    {.name = "backup", .prepare = prepare_backup, .act = act_backup, .over_blobs = true},
};

int
main(void)
{
    struct shared shared = {.root = "/dev/shm/dossier_sweep.XXXXXX"};
    struct CMUnitTest tests[ARRAY_LEN(scenarios) + 2];
    struct err err;
    int failed;

    log_set_level(LOG_ERROR_LEVEL + 1);
    /* in memory where that can be had: what a sync costs is not the question here */
    if (access("/dev/shm", W_OK) != 0)
        (void)snprintf(shared.root, sizeof(shared.root), "/tmp/dossier_sweep.XXXXXX");
    BUG_ON(!mkdtemp(shared.root));
    BUG_ON(media_detector_new(&shared.detector, &err) ||
           workers_new("blob", 2, 64, &shared.blob_workers, &err));
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
        scenarios[i].shared = &shared;
        tests[i] = (struct CMUnitTest){.name = scenarios[i].name,
                                       .test_func = test_scenario,
                                       .teardown_func = tear_down,
                                       .initial_state = &scenarios[i]};
    }
    tests[ARRAY_LEN(scenarios)] = (struct CMUnitTest){
        .name = "migration", .test_func = test_migration, .initial_state = &shared};
    tests[ARRAY_LEN(scenarios) + 1] = (struct CMUnitTest){
        .name = "removal in doubt", .test_func = test_removal_in_doubt, .initial_state = &shared};
    failed = cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
    workers_free(&shared.blob_workers);
    media_detector_free(&shared.detector);
    support_remove_dir(shared.root);
    return failed;
}
