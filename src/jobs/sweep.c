// SPDX-License-Identifier: Apache-2.0
/*
 * sweep: removes what crashes and forgetful clients leave behind: temporary files, uploaded bytes
 * that no document registered in time, and bytes without any row.
 *
 *  I1  Bytes without a row are left alone while an upload may be about to name them: until they
 *      are older than settings.orphan_ms, unless they are from before this process and it is the
 *      only one. That is told by their id, which does not depend on how the clock was set since.
 *  I2  Setting the wall clock makes nothing older than it is.
 */
#include "base/clock.h"
#include "base/crash.h"
#include "core/library.h"
#include "jobs/job.h"
#include "jobs/orphan.h"

#define BATCH 256

struct sweep {
    struct jobs *jobs;
    int64_t now_ms;
    int64_t orphan_before_ms;
    int64_t left; /* could not be removed */
    int64_t waited_ms;
    unsigned seen;
    enum rc first; /* failure of a single removal */
    struct err err;
};

static void
note_left(struct sweep *s, int64_t since_ms, enum rc rc, const struct err *err)
{
    if (!s->first) {
        s->first = rc;
        s->err = *err;
    }
    s->left++;
    if (s->now_ms - since_ms > s->waited_ms)
        s->waited_ms = s->now_ms - since_ms;
}

static enum rc
sweep_temporary(struct sweep *s, struct err *err)
{
    struct app *app = s->jobs->service->app;
    size_t removed = 0;
    enum rc rc = blob_sweep_temporary(app->blobs, s->orphan_before_ms, &removed, err);

    metric_add(&app->metrics, METRIC_SWEPT, (int64_t)removed);
    return rc;
}

struct stale_read {
    int64_t before_ms;
    struct stale_object *list;
    size_t n;
};

static enum rc
read_stale(struct tx *tx, void *arg, struct err *err)
{
    struct stale_read *r = arg;

    return object_stale(tx, r->before_ms, BATCH, &r->list, &r->n, err);
}

static enum rc
abandon(struct tx *tx, void *arg, struct err *err)
{
    const struct stale_object *stale = arg;
    struct caller service = {0};
    struct object now;
    enum rc rc;

    rc = object_read(tx, stale->workspace, stale->object.storage_path, &now, err);
    if (rc == RC_NOT_FOUND)
        return RC_OK; /* a document has registered it meanwhile */
    if (rc || !id_equal(&now.blob_id, &stale->object.blob_id))
        return rc; /* others have taken its place */
    rc = workspace_by_number(tx, stale->workspace, &service.workspace, err);
    return rc ? rc : library_abandon(tx, &service, &now, err);
}

/* One batch; *ret_more when there are others behind it. */
static enum rc
abandon_batch(struct sweep *s, bool *ret_more, struct err *err)
{
    SCOPED_POOL(pool);
    struct app *app = s->jobs->service->app;
    struct stale_read r = {.before_ms = job_older_than(app->settings.object_ms)};
    int64_t left_before = s->left;
    enum rc rc = engine_read(app->engine, pool, read_stale, &r, err);

    for (size_t i = 0; !rc && i < r.n && !jobs_stopping(s->jobs); i++) {
        struct stale_object *o = &r.list[i];
        struct err mine = {0};
        enum rc failed = engine_write(app->engine, o->workspace, pool, abandon, o, &mine);

        if (failed)
            note_left(s, o->object.created_ms, failed, &mine);
    }
    /* one that stays would come back at the head for ever: the next run tries it again */
    *ret_more = r.n == BATCH && s->left == left_before;
    return rc;
}

static enum rc
redate(struct tx *tx, void *arg, struct err *err)
{
    (void)arg;
    return object_redate(tx, tx->now_ms + JOB_SLACK_MS, err);
}

static enum rc
abandon_stale(struct sweep *s, struct err *err)
{
    SCOPED_POOL(pool);
    enum rc rc = engine_write(s->jobs->service->app->engine, 0, pool, redate, NULL, err);
    bool more = true;

    while (!rc && more && !jobs_stopping(s->jobs)) {
        rc = abandon_batch(s, &more, err);
        jobs_breathe(s->jobs);
    }
    return rc;
}

static enum rc
is_old(void *arg, const struct orphan *blob, bool *ret, struct err *err)
{
    struct sweep *s = arg;

    if (++s->seen % BATCH == 0)
        jobs_breathe(s->jobs);
    *ret = blob->mtime_ms < s->orphan_before_ms ||
           (!engine_is_shared(s->jobs->service->app->engine) &&
            memcmp(&blob->key.id, &s->jobs->started, sizeof(struct id)) < 0);
    return jobs_stopping(s->jobs) ? err_set(err, RC_BUSY, "stopping") : RC_OK;
}

static enum rc
erase(void *arg, const struct orphan *o, struct err *err)
{
    struct sweep *s = arg;
    struct app *app = s->jobs->service->app;
    struct err mine = {0};
    bool erased = false;
    enum rc rc;

    CRASH_POINT("sweep.before-erase");
    rc = orphan_erase(app, o, &erased, &mine);
    CRASH_POINT("sweep.after-erase");
    jobs_note_fatal(s->jobs, rc, &mine);
    if (rc == RC_COMMIT_UNKNOWN) {
        *err = mine;
        return rc;
    }
    if (rc) /* one file's trouble: the others go on */
        note_left(s, o->mtime_ms, rc, &mine);
    metric_add(&app->metrics, METRIC_SWEPT, erased);
    return RC_OK;
}

static enum rc
sweep_orphans(struct sweep *s, struct err *err)
{
    struct orphan_search search = {
        .app = s->jobs->service->app, .wanted = is_old, .found = erase, .arg = s};
    enum rc rc = orphan_each(&search, err);

    return rc == RC_BUSY && jobs_stopping(s->jobs) ? RC_OK : rc;
}

static enum rc
run(struct jobs *jobs, struct err *err)
{
    struct sweep s = {.jobs = jobs,
                      .now_ms = clock_wall_ms(),
                      .orphan_before_ms = job_older_than(jobs->service->app->settings.orphan_ms)};
    enum rc rc;

    rc = sweep_temporary(&s, err);
    if (!rc)
        rc = abandon_stale(&s, err);
    if (!rc && !jobs_stopping(jobs))
        rc = sweep_orphans(&s, err);
    job_backlog(jobs, &job_sweep, s.left, s.waited_ms);
    if (!rc && s.first) {
        *err = s.err;
        rc = s.first;
    }
    return rc;
}

const struct job_kind job_sweep = {
    .name = "sweep",
    .first_ms = 2000,
    .interval_ms = 3600000,
    .run = run,
    .last_run = METRIC_SWEEP_LAST_RUN,
    .backlog = METRIC_SWEEP_BACKLOG,
    .oldest = METRIC_SWEEP_OLDEST,
};
