// SPDX-License-Identifier: Apache-2.0
/*
 * purge: erases the bytes that are due, then forgets the entry and says so in the audit trail.
 *
 *  I1  The bytes go first: an entry disappears only when nothing is left to erase, so a crash in
 *      between costs one more deletion of an absent blob.
 *
 *  I2  Rows that were deleted stand in the database's log no longer than their bytes may.
 *  I3  Setting the wall clock puts no erasure off: entries from before a step back are judged by
 *      the clock as it would stand without it, and an entry due later than any can be is due.
 *
 * Entries whose bytes cannot be erased stay due. They gather at the head of the queue (it is
 * ordered by due time), so a batch begins behind those that have failed already: `skip` counts
 * them. When a whole batch fails the run ends, and the next goes on behind it; past the end of
 * the queue, the next run begins at its head again. So every entry gets its turn.
 */
#include "base/clock.h"
#include "base/crash.h"
#include "core/library.h"
#include "jobs/job.h"

#define BATCH 256
#define EMPTY_LOG_MS 60000
#define SKIP_MAX 65536 /* entries passed over are read each time: then rather begin again */

struct due_read {
    int64_t due_ms;
    int64_t far_ms;
    int64_t max;
    struct purge *list;
    size_t n;
};

static enum rc
read_due(struct tx *tx, void *arg, struct err *err)
{
    struct due_read *r = arg;

    return purge_due(tx, r->due_ms, r->far_ms, r->max, &r->list, &r->n, err);
}

struct erased {
    const struct purge **list;
    size_t n;
};

static enum rc
forget(struct tx *tx, void *arg, struct err *err)
{
    const struct erased *e = arg;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < e->n && !rc; i++) {
        struct caller service = {.workspace = {.number = e->list[i]->workspace}};

        rc = library_purged(tx, &service, e->list[i], err);
    }
    return rc;
}

/* Erases the bytes of each; keeps the first failure, and ends at one that would meet them all. */
static enum rc
erase_each(struct app *app, const struct purge *list, size_t n, struct erased *ret,
           size_t *ret_failed, struct err *err)
{
    enum rc first = RC_OK;

    for (size_t i = 0; i < n; i++) {
        struct blob_key key = {.workspace = list[i].workspace, .id = list[i].blob_id};
        struct err mine = {0};
        enum rc rc = blob_delete(app->blobs, &key, &mine);

        CRASH_POINT("purge.after-delete");
        if (!rc) {
            ret->list[ret->n++] = &list[i];
            continue;
        }
        ++*ret_failed;
        if (!first || rc == RC_COMMIT_UNKNOWN) {
            *err = mine;
            first = rc;
        }
        if (rc == RC_COMMIT_UNKNOWN)
            break;
    }
    return first;
}

enum rc
purge_batch(struct app *app, int64_t due_ms, int64_t far_ms, struct purge_round *round,
            bool *ret_more, struct err *err)
{
    SCOPED_POOL(pool);
    struct due_read due = {.due_ms = due_ms, .far_ms = far_ms, .max = (int64_t)round->skip + BATCH};
    struct erased erased = {.list = MEM_ARRAY(pool, const struct purge *, BATCH)};
    size_t failed = 0, begin;
    struct err unsaved = {0};
    enum rc rc, saved = RC_OK;

    *ret_more = false;
    rc = engine_read(app->engine, pool, read_due, &due, err);
    if (rc)
        return rc;
    CRASH_POINT("purge.after-select");
    begin = round->skip < due.n ? round->skip : due.n;
    rc = erase_each(app, due.list + begin, due.n - begin, &erased, &failed, err);
    CRASH_POINT("purge.before-forget");
    if (erased.n > 0)
        saved = engine_write(app->engine, 0, pool, forget, &erased, &unsaved);
    CRASH_POINT("purge.after-forget");
    if (saved) {
        *err = unsaved;
        return saved;
    }
    round->erased += erased.n;
    round->failed += failed;
    round->skip = begin + failed;
    if (due.n < (size_t)due.max || round->skip > SKIP_MAX)
        round->skip = 0;
    else
        *ret_more = erased.n > 0 && rc != RC_COMMIT_UNKNOWN;
    metric_add(&app->metrics, METRIC_PURGED, (int64_t)erased.n);
    return rc;
}

struct backlog {
    int64_t due_ms;
    int64_t far_ms;
    int64_t waiting;
    int64_t due;
    int64_t oldest_ms;
};

static enum rc
read_backlog(struct tx *tx, void *arg, struct err *err)
{
    struct backlog *b = arg;

    return purge_backlog(tx, b->due_ms, b->far_ms, &b->waiting, &b->due, &b->oldest_ms, err);
}

static enum rc
show_backlog(struct jobs *jobs, int64_t due_ms, int64_t far_ms, struct err *err)
{
    SCOPED_POOL(pool);
    struct app *app = jobs->service->app;
    struct backlog b = {.due_ms = due_ms, .far_ms = far_ms};
    enum rc rc = engine_read(app->engine, pool, read_backlog, &b, err);

    if (rc)
        return rc;
    metric_set(&app->metrics, METRIC_PURGE_PENDING, b.waiting);
    job_backlog(jobs, &job_purge, b.due, due_ms - b.oldest_ms);
    return RC_OK;
}

static enum rc
empty_log(struct jobs *jobs, struct err *err)
{
    struct app *app = jobs->service->app;
    struct log_state next = {.mono_ms = clock_mono_ms(),
                             .commits = atomic_load(&app->metrics.value[METRIC_COMMITS])};
    enum rc rc;

    if (next.commits == jobs->log.commits || next.mono_ms - jobs->log.mono_ms < EMPTY_LOG_MS)
        return RC_OK;
    rc = engine_empty_log(app->engine, err);
    if (!rc)
        jobs->log = next;
    return rc == RC_BUSY ? RC_OK : rc; /* the next run tries again */
}

static void
keep_first(enum rc rc, const struct err *mine, enum rc *first, struct err *err)
{
    if (!rc || *first)
        return;
    *first = rc;
    *err = *mine;
}

static enum rc
run(struct jobs *jobs, struct err *err)
{
    int64_t longest_ms = jobs->service->app->settings.purge_after_ms + JOB_SLACK_MS;
    int64_t now_ms = clock_wall_ms(), far_ms = now_ms + longest_ms;
    int64_t due_ms = now_ms + clock_lag_ms(longest_ms);
    enum rc first = RC_OK, rc;
    struct err mine = {0};
    bool more = true;

    while (more && !jobs_stopping(jobs)) {
        rc = purge_batch(jobs->service->app, due_ms, far_ms, &jobs->purge, &more, &mine);
        jobs_note_fatal(jobs, rc, &mine);
        keep_first(rc, &mine, &first, err);
        jobs_renew(jobs);
    }
    rc = show_backlog(jobs, due_ms, far_ms, &mine);
    keep_first(rc, &mine, &first, err);
    rc = empty_log(jobs, &mine);
    keep_first(rc, &mine, &first, err);
    return first;
}

const struct job_kind job_purge = {
    .name = "purge",
    .first_ms = 5000,
    .interval_ms = 5000,
    .run = run,
    .last_run = METRIC_PURGE_LAST_RUN,
    .backlog = METRIC_PURGE_BACKLOG,
    .oldest = METRIC_PURGE_OLDEST,
};
