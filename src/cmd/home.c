// SPDX-License-Identifier: Apache-2.0
#include "cmd/home.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/belong.h"
#include "cmd/copy.h"
#include "cmd/engines.h"
#include "http/service.h"
#include "store/audit_turn.h"
#include "store/census.h"
#include "store/importing.h"
#include "store/schema.h"

#define ELSEWHERE "rows-elsewhere"
#define BLOB_THREADS 16 /* so many uploads share a sync; more would be in each other's way */
#define CALL_THREADS 64 /* where they wait for another machine */
#define BLOB_WAITING 4096
#define BODY_THREADS 4
#define BODY_WAITING 4096
#define BALLAST_BYTES MIB(16)
#define QUERY_THREADS 2
#define LOCK_PAUSE_US 50000
#define RESUME_MS 3600000
#define GRACE_US 200000 /* for answers under way, once the engine has failed */

char *
home_path(TALLOC_CTX *pool, const char *dir, const char *name)
{
    return mem_printf(pool, "%s/%s", dir, name);
}

static enum rc
denied(const char *what, const char *path, struct err *err)
{
    char text[128];
    int saved = errno;

    return err_set(err, RC_IO,
                   "cannot %s %s: %s; give this user the right to, or use another --data", what,
                   path, strerror_r(saved, text, sizeof(text)));
}

/* Who holds the lock, as its file says; 0 when it does not. */
static long
holder(int fd)
{
    char text[24] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    int64_t pid = 0;

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return text_uint(text, INT32_MAX, &pid) ? (long)pid : 0;
}

long
home_holder(const char *dir)
{
    SCOPED_POOL(pool);
    int fd = open(home_path(pool, dir, "lock"), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    long pid;

    if (fd < 0)
        return 0;
    pid = holder(fd);
    (void)close(fd);
    return pid;
}

enum rc
home_sync_above(const char *dir, bool made, struct err *err)
{
    SCOPED_POOL(pool);
    const char *above = home_path(pool, dir, "..");
    int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum rc rc = RC_OK;

    if ((fd < 0 || fsync(fd) != 0) && made)
        rc = denied("sync", above, err);
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

enum rc
home_make_dir(const char *dir, struct err *err)
{
    bool made = mkdir(dir, 0700) == 0;

    if (!made && errno != EEXIST)
        return denied("make the directory", dir, err);
    return home_sync_above(dir, made, err);
}

enum rc
home_lock(const char *dir, int64_t wait_ms, int *ret_fd, struct err *err)
{
    SCOPED_POOL(pool);
    const char *path = home_path(pool, dir, "lock");
    int64_t until = clock_mono_ms() + wait_ms;
    enum rc rc = home_make_dir(dir, err);
    int fd;

    if (rc)
        return rc;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return denied("write", path, err);
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK && clock_mono_ms() < until) {
            (void)usleep(LOCK_PAUSE_US);
            continue;
        }
        rc = errno == EWOULDBLOCK
                 ? err_set(err, RC_BUSY,
                           "%s is in use by another dossier (pid %ld); stop it or use another "
                           "--data",
                           dir, holder(fd))
                 : denied("lock", path, err);
        (void)close(fd);
        return rc;
    }
    /* only for the message above: the lock itself is the kernel's */
    if (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0) {
        rc = denied("write", path, err);
        (void)close(fd);
        return rc;
    }
    *ret_fd = fd;
    return RC_OK;
}

static void *
end_soon(void *arg)
{
    (void)arg;
    (void)usleep(GRACE_US);
    _exit(HOME_EXIT_BROKEN);
}

static void
on_fatal(void *arg, const struct err *err)
{
    struct home *home = arg;
    _Atomic int *ready = atomic_load(&home->ready);
    pthread_t thread;

    log_error("the database failed: %s; stopping, so that recovery at the next start decides",
              err->detail);
    atomic_store(&home->broken, true);
    if (ready)
        atomic_store(ready, READY_BROKEN);
    if (pthread_create(&thread, NULL, end_soon, NULL) != 0)
        _exit(HOME_EXIT_BROKEN);
    (void)pthread_detach(thread);
}

static void
fill_settings(const struct conf *c, struct settings *s)
{
    const struct conf_value *standard = &c->values[CONF_RATE_STANDARD];
    const struct conf_value *high = &c->values[CONF_RATE_HIGH];

    s->public_url = conf_text(c, CONF_PUBLIC_URL);
    s->purge_after_ms = conf_number(c, CONF_PURGE_AFTER, 0);
    s->url_life_ms = conf_number(c, CONF_URL_LIFE, 0);
    s->max_upload_file = conf_number(c, CONF_MAX_UPLOAD_FILE, 0);
    s->max_upload_request = conf_number(c, CONF_MAX_UPLOAD_REQUEST, 0);
    s->max_upload_parts = conf_number(c, CONF_MAX_UPLOAD_PARTS, 0);
    s->idempotency_ms = conf_number(c, CONF_IDEMPOTENCY_LIFE, 0);
    s->orphan_ms = conf_number(c, CONF_ORPHAN_AGE, 0);
    s->object_ms = conf_number(c, CONF_OBJECT_AGE, 0);
    s->tiers[TIER_STANDARD] = (struct tier_limits){standard->number, standard->second};
    s->tiers[TIER_HIGH] = (struct tier_limits){high->number, high->second};
    s->cors_origin = conf_text(c, CONF_CORS_ORIGIN);
    s->direct_urls = conf_flag(c, CONF_DIRECT_URLS);
}

/*
 * Ids go on from the newest of the database when the clock was set back a little meanwhile. Not
 * when it was far ahead: what is made from now on would be dated in the future for as long.
 */
static enum rc
resume(struct home *home, struct db_conn *conn, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms()};
    struct id newest;
    enum rc rc = census_newest(&tx, &newest, err);

    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    home->newest_ms = id_time_ms(&newest);
    if (home->newest_ms < tx.now_ms + RESUME_MS)
        id_resume(&newest);
    else
        log_warn("the newest change is %lld s ahead of the clock, which was wrong then or is now",
                 (long long)(home->newest_ms - tx.now_ms) / 1000);
    return RC_OK;
}

/* Half a library is not to be served, nor changed. */
static enum rc
refuse_importing(struct db_conn *conn, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms()};
    bool noted = false;
    enum rc rc = importing_noted(&tx, &noted, err);

    return noted ? err_set(err, RC_INVALID,
                           "an import into this database has not finished: run the same `dossier "
                           "import` again")
                 : rc;
}

/* A short-lived connection: the engine opens its own writer. */
static enum rc
migrate(struct home *home, struct err *err)
{
    SCOPED(db_conn) conn = NULL;
    enum rc rc = db_connect(home->app.db, DB_WRITER, &conn, err);

    if (!rc)
        rc = refuse_importing(conn, err);
    if (rc)
        return rc;
    rc = schema_migrate(conn, home->app.secret.audit_seal, &home->schema_from, &home->schema_to,
                        err);
    return rc ? rc : resume(home, conn, err);
}

/* Says by which file of the directory a step failed. */
static enum rc
name_file(enum rc rc, const char *path, struct err *err)
{
    char detail[sizeof(err->detail)];

    if (!rc || strstr(err->detail, path))
        return rc;
    (void)snprintf(detail, sizeof(detail), "%s", err->detail);
    return err_set(err, rc, "cannot open %s: %s", path, detail);
}

static enum rc
found_one(void *arg, const struct blob_key *key, int64_t size, int64_t mtime_ms, struct err *err)
{
    (void)arg;
    (void)key;
    (void)size;
    (void)mtime_ms;
    return err_set(err, RC_CONFLICT, "a blob");
}

/* CONFLICT: the directory has a blob. */
static enum rc
look_for_blobs(const char *dir, struct err *err)
{
    SCOPED(blob_store) store = NULL;
    enum rc rc = access(dir, F_OK) ? RC_OK : blob_store_open_fs(dir, &store, err);

    return rc || !store ? rc : blob_each(store, found_one, NULL, NULL, err);
}

/* Bytes without any row would be swept: then the database was lost, and is not to be made anew. */
static enum rc
refuse_lost(struct home *home, const char *path, struct err *err)
{
    const char *objects = home_path(home->pool, home->dir, "blobs/objects");
    struct stat info;
    bool empty = true;
    enum rc rc;

    if (stat(path, &info) == 0 && info.st_size > 0)
        return RC_OK;
    rc = copy_dir_empty(objects, NULL, &empty, err);
    if (!rc && empty) /* the small ones are elsewhere */
        rc = look_for_blobs(home_path(home->pool, home->dir, "blobs"), err);
    if (rc != RC_CONFLICT && (rc || empty))
        return rc;
    return err_set(err, RC_INVALID,
                   "%s has bytes of documents but no database: restore dossier.db and what stands "
                   "beside it from a backup, or move the bytes away",
                   home->dir);
}

/* *ret_fresh: there is none yet. */
static enum rc
look_at_file(struct home *home, const char *path, bool *ret_fresh, struct err *err)
{
    const char *unfinished = home_path(home->pool, home->dir, "dossier.db.partial");

    if (access(unfinished, F_OK) == 0)
        return err_set(err, RC_INVALID,
                       "%s holds an unfinished restore; remove the directory and restore again",
                       home->dir);
    if (access(path, R_OK | W_OK) != 0 && errno != ENOENT)
        return denied("read and write", path, err);
    *ret_fresh = access(path, F_OK) != 0;
    return refuse_lost(home, path, err);
}

/* *ret_fresh: nothing of ours is in it yet. */
static enum rc
look_at_server(struct home *home, bool *ret_fresh, struct err *err)
{
    SCOPED(db_conn) conn = NULL;
    int version = 0;
    enum rc rc = db_connect(home->app.db, DB_READER, &conn, err);

    if (!rc)
        rc = schema_version(conn, &version, err);
    *ret_fresh = version == 0;
    return rc;
}

/* So that a start here without --database does not make an empty library. */
static enum rc
mark(struct home *home, struct err *err)
{
    const char *path = home_path(home->pool, home->dir, ELSEWHERE);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return denied("make", path, err);
    (void)close(fd);
    return RC_OK;
}

static enum rc
open_database(struct home *home, const struct conf *conf, struct err *err)
{
    const char *path = home_path(home->pool, home->dir, "dossier.db");
    const char *secret = home_path(home->pool, home->dir, "secret.key");
    bool embedded = engines_embedded(conf), fresh = false;
    enum rc rc = embedded ? look_at_file(home, path, &fresh, err)
                          : engines_open_database(conf, path, &home->app.db, err);

    if (!rc && !embedded)
        rc = look_at_server(home, &fresh, err);
    if (!rc)
        rc = secret_load(secret, fresh, &home->app.secret, err);
    if (rc)
        return rc;
    if (embedded)
        rc = engines_open_database(conf, path, &home->app.db, err);
    if (!rc)
        rc = migrate(home, err);
    if (!rc && !embedded)
        rc = mark(home, err);
    return embedded ? name_file(rc, path, err) : rc;
}

/* The disk is full and something wants to delete: the reserve is for that. */
static bool
on_full(void *arg)
{
    struct home *home = arg;

    return ballast_drop(home->app.ballast);
}

/* Rows and bytes belong together. A new database beside the bytes of another would sweep them. */
static enum rc
check_bytes(struct home *home, struct err *err)
{
    SCOPED(db_conn) conn = NULL;
    bool known = false;
    enum rc rc = db_connect(home->app.db, DB_WRITER, &conn, err);

    if (!rc)
        rc = belong_known(conn, &known, err);
    if (!rc && !known && home->schema_from == 0)
        rc = blob_each(home->app.blobs, found_one, NULL, NULL, err);
    if (rc == RC_CONFLICT)
        return err_set(err, RC_INVALID,
                       "--blobs holds bytes already and --database is new: give the database that "
                       "they belong to, or an empty store");
    return rc ? rc : belong_together(conn, home->app.blobs, err);
}

/* Many uploads at once are work for the processors, too: who only wants to read comes first. */
static enum rc
start_workers(struct app *app, struct err *err)
{
    unsigned threads = blob_store_caps(app->blobs) & BLOB_REMOTE ? CALL_THREADS : BLOB_THREADS;
    enum rc rc = workers_new("blob", threads, BLOB_WAITING, &app->blob_workers, err);

    if (!rc)
        rc = workers_new("body", BODY_THREADS, BODY_WAITING, &app->body_workers, err);
    if (rc)
        return rc;
    workers_stand_back(app->blob_workers);
    workers_stand_back(app->body_workers);
    return RC_OK;
}

static enum rc
open_rest(struct home *home, const struct conf *conf, struct err *err)
{
    const char *blobs = home_path(home->pool, home->dir, "blobs");
    const unsigned writers = (unsigned)conf_number(conf, CONF_DATABASE_WRITERS, 0);
    const struct engine_config config = {
        /* each waits for the server most of the time */
        .query_threads = engines_embedded(conf) ? QUERY_THREADS : (writers + 1) / 2,
        .point_threads = writers,
        .writers = writers,
        .query_limit_ms = conf_number(conf, CONF_QUERY_LIMIT, 0),
        .lane_max = (unsigned)conf_number(conf, CONF_LANE_MAX, 0),
        .metrics = &home->app.metrics,
        .audit_key = home->app.secret.audit_seal,
        .fatal = on_fatal,
        .fatal_arg = home,
        .relief = on_full,
        .relief_arg = home,
        .enter = audit_turn_take,
        .leave = audit_turn_end,
        .confirm = audit_has,
    };
    enum rc rc;

    home->app.ballast = ballast_new(home_path(home->pool, home->dir, "ballast"), BALLAST_BYTES);
    ballast_lay(home->app.ballast);
    rc = name_file(engines_open_blobs(conf, blobs, home->dir, &home->app.blobs, err), blobs, err);
    if (!rc && home->app.settings.direct_urls &&
        !(blob_store_caps(home->app.blobs) & BLOB_CAN_PRESIGN))
        rc =
            err_set(err, RC_INVALID, "--direct-urls needs a store that signs URLs: --blobs s3://…");
    if (!rc && engines_remote(conf)) /* else they are in one directory, and stay together */
        rc = check_bytes(home, err);
    if (!rc)
        rc = start_workers(&home->app, err);
    if (!rc)
        rc = media_detector_new(&home->app.detector, err);
    if (!rc)
        rc = engine_open(home->app.db, &config, &home->app.engine, err);
    return rc;
}

enum rc
home_exists(const struct conf *conf, struct err *err)
{
    SCOPED_POOL(pool);
    const char *dir = conf_text(conf, CONF_DATA);

    if (!engines_embedded(conf))
        return RC_OK;
    /* what cannot be looked at may be there: opening it says what is wrong */
    if (access(home_path(pool, dir, "dossier.db"), F_OK) == 0 || errno != ENOENT)
        return RC_OK;
    if (access(home_path(pool, dir, ELSEWHERE), F_OK) == 0)
        return err_set(err, RC_INVALID,
                       "%s is the directory of a node whose rows are elsewhere: say by --database "
                       "where; for a new library take an empty directory",
                       dir);
    return err_set(err, RC_NOT_FOUND,
                   "%s holds no dossier; look at --data, or begin with `dossier serve`", dir);
}

enum rc
home_open(const struct conf *conf, int64_t wait_ms, struct home **ret, struct err *err)
{
    TALLOC_CTX *pool = base_pool_new(NULL);
    struct home *home = MEM_NEW(pool, struct home);
    enum rc rc = home_exists(conf, err); /* also for whoever makes one: it may be a node's */

    home->pool = pool;
    home->dir = mem_strdup(pool, conf_text(conf, CONF_DATA));
    home->database = mem_strdup(pool, conf_text(conf, CONF_DATABASE));
    home->blobs = mem_strdup(pool, conf_text(conf, CONF_BLOBS));
    home->lock_fd = -1;
    fill_settings(conf, &home->app.settings);
    if (!rc || rc == RC_NOT_FOUND)
        rc = home_lock(home->dir, wait_ms, &home->lock_fd, err);
    if (!rc)
        rc = open_database(home, conf, err);
    if (!rc)
        rc = open_rest(home, conf, err);
    if (rc) {
        home_close(&home);
        return rc;
    }
    *ret = home;
    return RC_OK;
}

void
home_close(struct home **ret)
{
    struct home *home = *ret;
    TALLOC_CTX *pool;

    if (!home)
        return;
    workers_free(&home->app.body_workers);
    workers_free(&home->app.blob_workers);
    engine_free(&home->app.engine);
    media_detector_free(&home->app.detector);
    blob_store_free(&home->app.blobs);
    db_free(&home->app.db);
    ballast_free(&home->app.ballast);
    if (home->lock_fd >= 0)
        (void)close(home->lock_fd);
    explicit_bzero(&home->app.secret, sizeof(home->app.secret));
    pool = home->pool;
    base_pool_free(&pool);
    *ret = NULL;
}
