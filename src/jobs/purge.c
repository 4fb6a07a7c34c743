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
#define FORGET_MAX 64 /* entries of a workspace in one transaction */
#define HELPERS 7     /* threads that erase beside the job's own */
#define ALONE 8       /* entries for which one more thread is not worth it */
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

/* Entries of one workspace whose bytes are gone. */
struct erased {
    int64_t workspace;
    const struct purge **list;
    size_t n;
};

static enum rc
forget(struct tx *tx, void *arg, struct err *err)
{
    const struct erased *e = arg;
    struct caller service = {.workspace = {.number = e->workspace}};

    return library_purged_all(tx, &service, e->list, e->n, err);
}

static int
by_workspace(const void *a, const void *b)
{
    const struct purge *x = *(const struct purge *const *)a, *y = *(const struct purge *const *)b;

    return x->workspace < y->workspace ? -1 : x->workspace > y->workspace;
}

/* A workspace whose queue is full has to wait for nobody. */
static enum rc
forget_aside(struct app *app, TALLOC_CTX *pool, struct erased *parts, size_t n, struct err *err)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n && !rc; i++)
        rc = engine_write(app->engine, 0, pool, forget, &parts[i], err);
    return rc;
}

/* Each workspace by itself, so that no transaction touches more than one. */
static enum rc
forget_all(struct app *app, TALLOC_CTX *pool, const struct purge **list, size_t n, struct err *err)
{
    struct erased *parts = MEM_ARRAY(pool, struct erased, n);
    struct work *works = MEM_ARRAY(pool, struct work, n);
    size_t used = 0;
    enum rc rc;

    qsort(list, n, sizeof(const struct purge *), by_workspace);
    for (size_t i = 0; i < n; i++) {
        struct erased *last = used ? &parts[used - 1] : NULL;

        if (last && last->workspace == list[i]->workspace && last->n < FORGET_MAX) {
            last->n++;
            continue;
        }
        parts[used] = (struct erased){list[i]->workspace, &list[i], 1};
        works[used] = (struct work){
            .fn = forget, .arg = &parts[used], .lane = list[i]->workspace, .turn = TURN_SHARED};
        used++;
    }
    rc = engine_write_all(app->engine, works, used, err);
    return rc == RC_UNAVAILABLE ? forget_aside(app, pool, parts, used, err) : rc;
}

/* Entries whose bytes are being erased, by several threads: a store may be far away. */
struct erasure {
    struct app *app;
    const struct purge *list;
    size_t n;
    enum rc *rcs; /* how it ended, entry by entry */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t done;
    size_t next;      /* that nobody has taken */
    unsigned helpers; /* threads at work beside the caller's */
    size_t failed_at; /* the first failure, which is `err` */
    struct err err;
};

static bool
take_next(struct erasure *e, size_t *ret)
{
    bool more;

    pthread_mutex_lock(&e->lock);
    *ret = e->next;
    more = e->next < e->n;
    if (more)
        e->next++;
    pthread_mutex_unlock(&e->lock);
    return more;
}

/* One whose directory could not be synced ends it all: the store is in doubt. */
static void
note_failure(struct erasure *e, size_t at, const struct err *err)
{
    pthread_mutex_lock(&e->lock);
    if (at < e->failed_at || err->code == RC_COMMIT_UNKNOWN) {
        e->failed_at = err->code == RC_COMMIT_UNKNOWN ? 0 : at;
        e->err = *err;
    }
    if (err->code == RC_COMMIT_UNKNOWN)
        e->next = e->n;
    pthread_mutex_unlock(&e->lock);
}

static void
erase_some(struct erasure *e)
{
    size_t i;

    while (take_next(e, &i)) {
        struct blob_key key = {.workspace = e->list[i].workspace, .id = e->list[i].blob_id};
        struct err mine = {0};

        e->rcs[i] = app_erase(e->app, &key, &mine);
        CRASH_POINT("purge.after-delete");
        if (e->rcs[i])
            note_failure(e, i, &mine);
    }
}

static void
help(void *arg)
{
    struct erasure *e = arg;

    erase_some(e);
    pthread_mutex_lock(&e->lock);
    e->helpers--;
    pthread_cond_signal(&e->done);
    pthread_mutex_unlock(&e->lock);
}

static void
erase_together(struct erasure *e)
{
    struct job jobs[HELPERS];
    struct err ignored;

    for (size_t i = 0; i < HELPERS && e->n > (i + 1) * ALONE; i++) {
        jobs[i] = (struct job){.fn = help, .arg = e};
        pthread_mutex_lock(&e->lock);
        e->helpers += workers_submit(e->app->blob_workers, &jobs[i], &ignored) == RC_OK;
        pthread_mutex_unlock(&e->lock);
    }
    erase_some(e);
    pthread_mutex_lock(&e->lock);
    while (e->helpers > 0)
        pthread_cond_wait(&e->done, &e->lock);
    pthread_mutex_unlock(&e->lock);
}

/* Erases the bytes of each; tells which are gone, how many failed, and the first failure. */
static enum rc
erase_each(struct app *app, TALLOC_CTX *pool, const struct purge *list, size_t n,
           const struct purge **ret_gone, size_t *ret_n, size_t *ret_failed, struct err *err)
{
    struct erasure e = {.app = app,
                        .list = list,
                        .n = n,
                        .rcs = MEM_ARRAY(pool, enum rc, n + 1),
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .done = PTHREAD_COND_INITIALIZER,
                        .failed_at = SIZE_MAX};

    for (size_t i = 0; i < n; i++)
        e.rcs[i] = RC_MAX_; /* not tried */
    erase_together(&e);
    *ret_n = *ret_failed = 0;
    for (size_t i = 0; i < n; i++) {
        if (!e.rcs[i])
            ret_gone[(*ret_n)++] = &list[i];
        else if (e.rcs[i] != RC_MAX_)
            ++*ret_failed;
    }
    pthread_cond_destroy(&e.done);
    pthread_mutex_destroy(&e.lock);
    if (e.failed_at == SIZE_MAX)
        return RC_OK;
    *err = e.err;
    return err->code;
}

enum rc
purge_batch(struct app *app, int64_t due_ms, int64_t far_ms, struct purge_round *round,
            bool *ret_more, struct err *err)
{
    SCOPED_POOL(pool);
    struct due_read due = {.due_ms = due_ms, .far_ms = far_ms, .max = (int64_t)round->skip + BATCH};
    const struct purge **gone = MEM_ARRAY(pool, const struct purge *, BATCH);
    size_t n_gone = 0, failed = 0, begin;
    struct err unsaved = {0};
    enum rc rc, saved = RC_OK;

    *ret_more = false;
    rc = engine_read(app->engine, pool, read_due, &due, err);
    if (rc)
        return rc;
    CRASH_POINT("purge.after-select");
    begin = round->skip < due.n ? round->skip : due.n;
    rc = erase_each(app, pool, due.list + begin, due.n - begin, gone, &n_gone, &failed, err);
    CRASH_POINT("purge.before-forget");
    if (n_gone > 0)
        saved = forget_all(app, pool, gone, n_gone, &unsaved);
    CRASH_POINT("purge.after-forget");
    if (saved) {
        *err = unsaved;
        return saved;
    }
    round->erased += n_gone;
    round->failed += failed;
    round->skip = begin + failed;
    if (due.n < (size_t)due.max || round->skip > SKIP_MAX)
        round->skip = 0;
    else
        *ret_more = n_gone > 0 && rc != RC_COMMIT_UNKNOWN;
    metric_add(&app->metrics, METRIC_PURGED, (int64_t)n_gone);
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
