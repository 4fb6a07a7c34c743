// SPDX-License-Identifier: Apache-2.0
/* jobs: each kind of job, how they start and end, and what setting the clock does to them. */
#include "jobs_world.h"

#include "set_clock.h"
#include "store/audit_chain.h"
#include "store/idempotency.h"

#define DAY_MS ((int64_t)86400000)

static int64_t
metric(struct world *w, enum metric which)
{
    return w->app.metrics.value[which];
}

static enum rc
run_kind(struct world *w, const struct job_kind *kind)
{
    struct err err = {0};

    return kind->run(&w->jobs, &err);
}

static void
erases_what_is_due(void **state)
{
    struct world *w = *state;
    struct blob_info info;
    struct id due = put_blob(w, "abc", &info), later = put_blob(w, "def", &info);

    schedule(w, &due, NOW - 1000);
    schedule(w, &later, NOW + w->app.settings.purge_after_ms);
    assert_int_equal(run_kind(w, &job_purge), RC_OK);
    assert_false(has_blob(w, &due));
    assert_true(has_blob(w, &later));
    assert_int_equal(audit_lines(w, "purge"), 1);
    assert_int_equal(metric(w, METRIC_PURGED), 1);
    assert_int_equal(metric(w, METRIC_PURGE_PENDING), 1);
    assert_int_equal(metric(w, METRIC_PURGE_BACKLOG), 0);
    assert_int_equal(metric(w, METRIC_PURGE_OLDEST), 0);
    assert_int_equal(run_kind(w, &job_purge), RC_OK); /* nothing is said twice */
    assert_int_equal(audit_lines(w, "purge"), 1);
}

/* More of them than a batch holds, all at the head of the queue. */
static void
undeletable_bytes_starve_no_others(void **state)
{
    struct world *w = *state;
    struct blob_info info;
    struct id good;

    clock_passed_ms += HOUR_MS; /* the log's turn has come, also on a machine just started */
    for (w->n_stuck = 0; w->n_stuck < ARRAY_LEN(w->stuck); w->n_stuck++) {
        w->stuck[w->n_stuck] = id_new();
        schedule(w, &w->stuck[w->n_stuck], NOW - 90000);
    }
    good = put_blob(w, "abc", &info);
    schedule(w, &good, NOW - 1000);
    assert_int_equal(run_kind(w, &job_purge), RC_IO);
    assert_int_equal(w->jobs.log.commits, metric(w, METRIC_COMMITS)); /* deleted rows went */
    assert_int_equal(run_kind(w, &job_purge), RC_IO);
    assert_false(has_blob(w, &good));
    assert_int_equal(metric(w, METRIC_PURGE_BACKLOG), ARRAY_LEN(w->stuck));
    assert_in_range(metric(w, METRIC_PURGE_OLDEST), 90, 120);
    w->n_stuck = 0;
    assert_int_equal(run_kind(w, &job_purge), RC_OK);
    assert_int_equal(metric(w, METRIC_PURGE_BACKLOG), 0);
    assert_int_equal(metric(w, METRIC_PURGED), ARRAY_LEN(w->stuck) + 1);
}

static void
a_lost_directory_ends_readiness(void **state)
{
    struct world *w = *state;
    struct jobs *jobs = NULL;
    struct blob_info info;
    struct id due = put_blob(w, "abc", &info);
    struct err err;

    schedule(w, &due, NOW - 1000);
    w->driver.remove = remove_is_lost;
    assert_int_equal(jobs_start(&w->service, &jobs, &err), RC_COMMIT_UNKNOWN);
    assert_null(jobs);
    assert_int_equal(w->service.ready, READY_BROKEN);
    assert_int_equal(metric(w, METRIC_PURGE_BACKLOG), 1);
    assert_int_equal(metric(w, METRIC_JOB_FAILURES), 1);
}

struct answers {
    int64_t workspace;
    int64_t left;
};

static enum rc
write_answers(struct tx *tx, void *arg, struct err *err)
{
    const struct answers *a = arg;
    struct idempotency r = {.answer = "x", .answer_len = 1};
    uint8_t key[SHA256_LEN] = {0};
    enum rc rc = RC_OK;

    for (int i = 0; i < 1501 && !rc; i++) {
        struct id url = id_new();

        memcpy(key, &i, sizeof(i));
        r.completed_ms = tx->now_ms - (i ? 2 * HOUR_MS : 0);
        rc = idempotency_write(tx, a->workspace, key, &r, INT64_MAX, err);
        if (!rc)
            rc = object_use_url(tx, a->workspace, &url, tx->now_ms - 25 * HOUR_MS, err);
    }
    return rc;
}

static enum rc
count_answers(struct tx *tx, void *arg, struct err *err)
{
    static const struct sql both = SQL("SELECT (SELECT count(*) FROM idempotency)"
                                       " + (SELECT count(*) FROM upload_used)");
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &both, DB_NO_ARGS, &c, err);

    if (!rc)
        ((struct answers *)arg)->left = db_col_int(c, 0);
    return rc;
}

static void
forgets_what_has_expired(void **state)
{
    struct world *w = *state;
    struct answers a = {.workspace = w->workspace.number};

    write_tx(w, write_answers, &a);
    assert_int_equal(run_kind(w, &job_expiry), RC_OK);
    read_tx(w, count_answers, &a);
    assert_int_equal(a.left, 1);
    assert_int_equal(metric(w, METRIC_EXPIRY_BACKLOG), 0);
}

static void
stale_objects_are_abandoned_then_erased(void **state)
{
    struct world *w = *state;
    struct id stale = put_object(w, "a", 2 * HOUR_MS), fresh = put_object(w, "b", 0);

    assert_int_equal(run_kind(w, &job_sweep), RC_OK);
    assert_int_equal(audit_lines(w, "delete"), 1);
    assert_true(has_blob(w, &stale));
    usleep(2000);
    assert_int_equal(run_kind(w, &job_purge), RC_OK);
    assert_false(has_blob(w, &stale));
    assert_true(has_blob(w, &fresh));
    assert_int_equal(audit_lines(w, "purge"), 1);
}

static void
sweeps_orphans_only(void **state)
{
    struct world *w = *state;
    struct document d = put_document(w, "doc");
    struct blob_info info;
    struct id object = put_object(w, "obj", 0), due = put_blob(w, "due", &info);
    struct id orphan = put_blob(w, "orphan", &info), young = put_blob(w, "young", &info);

    schedule(w, &due, NOW + HOUR_MS);
    age_blob(w, &d.blob_id, 2 * HOUR_MS);
    age_blob(w, &object, 2 * HOUR_MS);
    age_blob(w, &due, 2 * HOUR_MS);
    age_blob(w, &orphan, 2 * HOUR_MS);
    age_blob(w, &young, 0); /* by the clock of this test */
    assert_int_equal(run_kind(w, &job_sweep), RC_OK);
    assert_true(has_blob(w, &d.blob_id));
    assert_true(has_blob(w, &object));
    assert_true(has_blob(w, &due));
    assert_true(has_blob(w, &young));
    assert_false(has_blob(w, &orphan));
    assert_int_equal(metric(w, METRIC_SWEPT), 1);
    w->jobs.started = id_new(); /* a restart: nothing older can be under way */
    assert_int_equal(run_kind(w, &job_sweep), RC_OK);
    assert_false(has_blob(w, &young));
    assert_true(has_blob(w, &d.blob_id));
}

static enum rc
forge_days(struct tx *tx, void *arg, struct err *err)
{
    (void)arg;
    return db_script(tx->conn, &(struct sql)SQL("UPDATE workspace SET audit_days = 1"), err);
}

struct aging {
    int64_t workspace;
    int64_t days;
};

static enum rc
age_audit(struct tx *tx, void *arg, struct err *err)
{
    const struct aging *aging = arg;
    struct audit_chain ch;
    enum rc rc = audit_chain_read(tx, aging->workspace, 0, &ch, err);

    ch.keep_days = aging->days;
    return rc ? rc : audit_chain_write(tx, aging->workspace, &ch, err);
}

/* As if the lines so far had been written three days ago. */
static enum rc
backdate_audit(struct tx *tx, void *arg, struct err *err)
{
    static const struct sql backdate = SQL("UPDATE audit SET id = $1");
    struct id old = id_floor(tx->now_ms - 3 * (int64_t)86400000);
    enum rc rc = db_script(tx->conn, &(struct sql)SQL("DROP TRIGGER audit_no_update"), err);

    (void)arg;
    return rc ? rc : db_exec(tx->conn, &backdate, DB_ARGS(db_id(&old)), NULL, err);
}

static void
trims_old_audit_lines(void **state)
{
    struct world *w = *state;
    struct aging aging = {.workspace = w->workspace.number, .days = 2};

    (void)put_document(w, "old");
    write_tx(w, backdate_audit, NULL);
    (void)put_document(w, "new");
    assert_int_equal(audit_lines(w, "create"), 2);
    write_tx(w, forge_days, NULL); /* what is not sealed does not count */
    assert_int_equal(run_kind(w, &job_retention), RC_OK);
    assert_int_equal(audit_lines(w, "create"), 2);
    write_tx(w, age_audit, &aging);
    assert_int_equal(run_kind(w, &job_retention), RC_OK);
    assert_int_equal(audit_lines(w, "create"), 1);
    assert_int_equal(metric(w, METRIC_RETENTION_BACKLOG), 0);
}

static enum rc
read_budget(struct tx *tx, void *arg, struct err *err)
{
    struct budget *b = arg;

    return budget_read(tx, b->workspace, &b->subject, b, err);
}

static void
starts_clean_and_flushes_at_the_end(void **state)
{
    struct world *w = *state;
    struct caller caller = {.workspace = w->workspace, .subject = id_new(), .tier = TIER_STANDARD};
    struct budget kept = {.workspace = w->workspace.number, .subject = caller.subject};
    struct budget_state shown;
    struct blob_info info;
    struct id due = put_blob(w, "abc", &info);
    struct jobs *jobs = NULL;
    int64_t begun;
    char path[200];
    struct err err;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/blobs/tmp/0123456789abcdef0123456789abcdef", w->dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    set_age(path, 1000);
    schedule(w, &due, NOW - 1000);
    assert_int_equal(jobs_start(&w->service, &jobs, &err), RC_OK);
    assert_false(has_blob(w, &due));
    assert_int_equal(access(path, F_OK), -1);
    assert_true(metric(w, METRIC_PURGE_LAST_RUN) > 0);
    assert_int_equal(budgets_draw(w->service.budgets, &caller, NOW, true, &shown, &err), RC_OK);
    begun = clock_mono_ms();
    jobs_free(&jobs);
    assert_true(clock_mono_ms() - begun < 900);
    assert_null(jobs);
    read_tx(w, read_budget, &kept);
    assert_int_equal(kept.used, 1);
}

/* The clock is right, and no step of an earlier case is remembered. */
static void
settle_clock(void)
{
    clock_set_ms = 0;
    (void)clock_wall_ms();
    clock_passed_ms += 3 * DAY_MS;
}

static void
a_step_back_puts_no_erasure_off(void **state)
{
    struct world *w = *state;
    int64_t after_ms = w->app.settings.purge_after_ms;
    struct blob_info info;
    struct id early = put_blob(w, "abc", &info), late = put_blob(w, "def", &info), strange, fresh;

    settle_clock();
    schedule(w, &early, NOW + after_ms);
    clock_passed_ms += after_ms / 3;
    clock_set_ms = -after_ms / 3; /* too little to show in the due time */
    schedule(w, &late, NOW + after_ms);
    clock_passed_ms += after_ms / 3;
    clock_set_ms -= after_ms / 3;
    assert_int_equal(run_kind(w, &job_purge), RC_OK);
    assert_true(has_blob(w, &early) && has_blob(w, &late));
    clock_passed_ms += after_ms / 3 + 1000;
    assert_int_equal(run_kind(w, &job_purge), RC_OK);
    assert_false(has_blob(w, &early));
    clock_passed_ms += after_ms / 3;
    assert_int_equal(run_kind(w, &job_purge), RC_OK);
    assert_false(has_blob(w, &late));
    settle_clock();
    strange = put_blob(w, "ghi", &info);
    fresh = put_blob(w, "jkl", &info);
    schedule(w, &strange, NOW + 400 * DAY_MS); /* by a process whose clock was ahead */
    schedule(w, &fresh, NOW + after_ms);
    assert_int_equal(run_kind(w, &job_purge), RC_OK);
    assert_false(has_blob(w, &strange));
    assert_true(has_blob(w, &fresh));
}

struct kept {
    int64_t workspace;
    uint8_t number; /* makes the key */
    int64_t completed_ms;
};

static enum rc
keep_answer(struct tx *tx, void *arg, struct err *err)
{
    const struct kept *k = arg;
    struct idempotency r = {.answer = "x", .answer_len = 1, .completed_ms = k->completed_ms};
    uint8_t key[SHA256_LEN] = {k->number};

    return idempotency_write(tx, k->workspace, key, &r, INT64_MAX, err);
}

static int64_t
answers_after_expiry(struct world *w)
{
    struct answers a = {0};

    assert_int_equal(run_kind(w, &job_expiry), RC_OK);
    read_tx(w, count_answers, &a);
    return a.left;
}

static void
a_step_forward_expires_no_answer(void **state)
{
    struct world *w = *state;
    struct kept k = {.workspace = w->workspace.number};

    settle_clock();
    k.completed_ms = NOW;
    write_tx(w, keep_answer, &k);
    k.number++;
    k.completed_ms += 400 * DAY_MS; /* by a clock that was ahead: it counts as new */
    write_tx(w, keep_answer, &k);
    clock_set_ms = 2 * DAY_MS;
    assert_int_equal(answers_after_expiry(w), 2);
    clock_passed_ms += HOUR_MS - 60000;
    assert_int_equal(answers_after_expiry(w), 2);
    clock_passed_ms += 120000;
    assert_int_equal(answers_after_expiry(w), 0);
}

static enum rc
use_url(struct tx *tx, void *arg, struct err *err)
{
    struct id url = id_new();

    return object_use_url(tx, ((struct world *)arg)->workspace.number, &url, tx->now_ms, err);
}

static void
a_used_url_is_known_for_a_day_longer(void **state)
{
    struct world *w = *state;

    settle_clock();
    write_tx(w, use_url, w);
    clock_set_ms = 2 * DAY_MS;
    assert_int_equal(answers_after_expiry(w), 1);
    clock_passed_ms += DAY_MS - 60000;
    assert_int_equal(answers_after_expiry(w), 1);
    clock_passed_ms += 120000;
    assert_int_equal(answers_after_expiry(w), 0);
}

static void
a_step_forward_makes_nothing_old(void **state)
{
    struct world *w = *state;
    struct blob_info info;
    struct id object, arriving;

    settle_clock();
    object = put_object(w, "obj", 0);
    (void)put_object(w, "from the future", -400 * DAY_MS);
    arriving = put_blob(w, "no row yet", &info);
    age_blob(w, &arriving, 0);
    clock_set_ms = DAY_MS;
    assert_int_equal(run_kind(w, &job_sweep), RC_OK);
    assert_int_equal(audit_lines(w, "delete"), 0);
    assert_true(has_blob(w, &object) && has_blob(w, &arriving));
    clock_passed_ms += HOUR_MS + 1000;
    assert_int_equal(run_kind(w, &job_sweep), RC_OK);
    assert_int_equal(audit_lines(w, "delete"), 2);
    assert_false(has_blob(w, &arriving));
}

static void
retention_waits_after_a_step_forward(void **state)
{
    struct world *w = *state;
    struct aging aging = {.workspace = w->workspace.number, .days = 365};

    settle_clock();
    (void)put_document(w, "doc");
    write_tx(w, age_audit, &aging);
    clock_set_ms = 400 * DAY_MS;
    assert_int_equal(run_kind(w, &job_retention), RC_OK);
    assert_int_equal(audit_lines(w, "create"), 1);
    clock_set_ms = 0;
    clock_passed_ms += 120000;
    assert_int_equal(run_kind(w, &job_retention), RC_OK);
    assert_int_equal(audit_lines(w, "create"), 1);
    clock_set_ms = 400 * DAY_MS; /* and stays there */
    (void)NOW;
    clock_passed_ms += HOUR_MS + 1000;
    assert_int_equal(run_kind(w, &job_retention), RC_OK);
    assert_int_equal(audit_lines(w, "create"), 0);
}

int
main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(erases_what_is_due),
        CASE(undeletable_bytes_starve_no_others),
        CASE(a_lost_directory_ends_readiness),
        CASE(forgets_what_has_expired),
        CASE(stale_objects_are_abandoned_then_erased),
        CASE(sweeps_orphans_only),
        CASE(trims_old_audit_lines),
        CASE(starts_clean_and_flushes_at_the_end),
        CASE(a_step_back_puts_no_erasure_off),
        CASE(a_step_forward_expires_no_answer),
        CASE(a_used_url_is_known_for_a_day_longer),
        CASE(a_step_forward_makes_nothing_old),
        CASE(retention_waits_after_a_step_forward),
    };

    return cmocka_run_group_tests_name("jobs", cases, NULL, NULL);
}
