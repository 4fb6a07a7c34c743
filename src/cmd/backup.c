// SPDX-License-Identifier: Apache-2.0
/*
 * backup: a copy of everything, taken beside writers and purges.
 *
 * The database is copied first, as of one moment, then the bytes that this copy names. A blob is
 * written before the row that names it and never changes, so what the copy names was there at that
 * moment; but a document deleted since may have lost its bytes before they were copied. Then the
 * copy of the database is stale, not the bytes: it is taken anew, and what is still missing is
 * copied. Each turn copies only what came after the turn before, so turns get shorter, and one
 * needs another only when something was both made after its predecessor's copy of the database and
 * erased before its bytes were reached. To reach them is to open them, which is quick beside the
 * copying: open bytes stay readable. Nothing keeps a purge from running meanwhile: deleted bytes
 * are gone in time from here, and are not in the copy, which is pruned to what its rows name.
 *
 * Beside a server it lends its copy of the database as DIR/snapshot-ID.db of its own directory,
 * and this process, which is none of the sandbox's, takes it away, reads the blobs from their
 * files and writes everything. The server reads no more of DIR than its name.
 *
 * manifest.json is written last: a directory without it is no backup. `unfinished` marks a
 * directory that is being filled, so that the next attempt may go on in it. An earlier backup in
 * the directory stays one until all that the new one needs is beside it, and a copy of the
 * database that is damaged never takes its place.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/js.h"
#include "base/id.h"
#include "cmd/admin.h"
#include "cmd/backup.h"
#include "cmd/copy.h"

#define TURNS 16
#define UNFINISHED "unfinished"
#define LENT "snapshot"         /* in the answer of a server */
#define LENT_PREFIX "snapshot-" /* of the file's name */

struct backup {
    struct copy copy;
    const struct conf *conf;
    const char *home; /* the directory of --data */
    const char *dir;
    int lock; /* held on `dir` while it is written; -1: not yet */
    bool verify;
    char *partial; /* DIR/dossier.db.partial */
    char *lent;    /* a copy that the server made and nobody has fetched yet; NULL: none */
};

static enum rc
write_file(const char *path, const char *text, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    size_t len = strlen(text);
    bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;

    if (fd >= 0 && close(fd) != 0)
        ok = false;
    return ok ? RC_OK : err_errno(err, RC_IO, path);
}

/* Two backups at once would each take away what the other needs. The kernel ends the lock. */
static enum rc
lock(struct backup *b, struct err *err)
{
    b->lock = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->lock < 0)
        return err_errno(err, RC_IO, mem_printf(b->copy.env->pool, "cannot open %s", b->dir));
    if (flock(b->lock, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, RC_BUSY, "another backup into %s is under way; wait for it", b->dir);
    return RC_OK;
}

/* True for the data directory and what is in it, by whatever name. */
static bool
within_home(const struct backup *b)
{
    char *home = realpath(b->home, NULL), *dir = realpath(b->dir, NULL);
    size_t n = home ? strlen(home) : 0;
    bool within = home && dir && strncmp(dir, home, n) == 0 && (dir[n] == '\0' || dir[n] == '/');

    free(home);
    free(dir);
    return within;
}

/* A new directory, an empty one, or an earlier backup, finished or not, which is brought up to
 * date. */
static enum rc
prepare(struct backup *b, struct err *err)
{
    struct command_env *env = b->copy.env;
    const char *dir = b->dir, *manifest = home_path(env->pool, dir, COPY_MANIFEST);
    const char *unfinished = home_path(env->pool, dir, UNFINISHED);
    bool made = mkdir(dir, 0700) == 0, empty;
    enum rc rc;

    if (!made && errno != EEXIST)
        return err_errno(err, RC_IO, mem_printf(env->pool, "cannot make %s", dir));
    if (within_home(b)) {
        if (made)
            (void)rmdir(dir);
        return err_set(err, RC_IO, "%s is in the data directory; give another one", dir);
    }
    rc = lock(b, err);
    if (!rc)
        rc = home_sync_above(dir, made, err);
    if (!rc)
        rc = copy_dir_empty(dir, NULL, &empty, err);
    if (rc)
        return rc;
    if (!empty && access(manifest, F_OK) != 0 && access(unfinished, F_OK) != 0)
        return err_set(err, RC_IO, "%s holds something that is no backup; give another directory",
                       dir);
    rc = write_file(unfinished, "", err);
    return rc ? rc : copy_sync(dir, err);
}

/* From here on the directory is no backup until it is finished. */
static enum rc
retire(const struct backup *b, struct err *err)
{
    const char *manifest = home_path(b->copy.env->pool, b->dir, COPY_MANIFEST);

    if (unlink(manifest) != 0 && errno != ENOENT)
        return err_errno(err, RC_IO, manifest);
    return copy_sync(b->dir, err);
}

/* Removes a copy of the database with all that stands beside it. */
static enum rc
remove_copy(TALLOC_CTX *pool, const char *file, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        const char *path = mem_printf(pool, "%s%s", file, suffixes[i]);

        if (unlink(path) != 0 && errno != ENOENT)
            return err_errno(err, RC_IO, path);
    }
    return RC_OK;
}

/* The server's part: a copy of the database for another process to fetch. */
static enum rc
lend(struct command_env *env, json_t **ret, struct err *err)
{
    struct id id = id_new();
    char text[ID_TEXT_LEN];
    const char *name, *path;
    struct err ignored;
    enum rc rc;

    BUG_ON(!env->home); /* a server has one */
    id_format(&id, ID_DOCUMENT, ID_UUID, text);
    name = mem_printf(env->pool, LENT_PREFIX "%s.db", text);
    path = home_path(env->pool, env->home->dir, name);
    rc = db_backup(env->home->app.db, path, err);
    if (rc) {
        (void)!remove_copy(env->pool, path, &ignored);
        return rc;
    }
    *ret = json_object();
    js_set(*ret, LENT, js_text(name));
    return RC_OK;
}

/* Notes the name in a server's answer, which must be one that it may have. */
static enum rc
note_lent(struct backup *b, const json_t *answer, struct err *err)
{
    const char *name = json_string_value(json_object_get(answer, LENT));

    if (!name || strncmp(name, LENT_PREFIX, strlen(LENT_PREFIX)) != 0 || strchr(name, '/'))
        return err_set(err, RC_IO, "the server is of another version; use its own program");
    b->lent = home_path(b->copy.env->pool, b->home, name);
    return RC_OK;
}

static enum rc
ask_again(struct backup *b, struct err *err)
{
    json_auto_t *answer = NULL;
    int code = 0;
    enum rc rc = admin_ask(b->conf, b->copy.env, &code, &answer, err);

    if (rc == RC_NOT_FOUND)
        return err_set(err, RC_UNAVAILABLE, "the server has stopped; begin again");
    if (!rc && code)
        rc = err->code = RC_IO; /* the detail is the server's */
    return rc ? rc : note_lent(b, answer, err);
}

static enum rc
fetch(struct backup *b, struct err *err)
{
    enum rc rc = b->lent ? RC_OK : ask_again(b, err);

    if (!rc)
        rc = copy_file(b->lent, b->partial, false, err);
    if (b->lent)
        (void)unlink(b->lent);
    b->lent = NULL;
    return rc;
}

static enum rc
snapshot(struct backup *b, struct err *err)
{
    const struct home *home = b->copy.env->home;
    enum rc rc = remove_copy(b->copy.env->pool, b->partial, err);

    if (rc)
        return rc;
    return home ? db_backup(home->app.db, b->partial, err) : fetch(b, err);
}

typedef enum rc reader_fn(struct backup *b, struct db_conn *conn, struct err *err);

/* Calls fn() with a connection to the copy of the database. */
static enum rc
read_copy(struct backup *b, reader_fn *fn, struct err *err)
{
    SCOPED(db) db = NULL;
    SCOPED(db_conn) conn = NULL;
    enum rc rc = db_open_sqlite(b->partial, &db, err);

    if (!rc)
        rc = db_connect(db, DB_READER, &conn, err);
    if (!rc)
        rc = fn(b, conn, err);
    db_conn_free(&conn); /* before its database */
    return rc;
}

static enum rc
copy_named(struct backup *b, struct db_conn *conn, struct err *err)
{
    enum rc rc = copy_blobs(&b->copy, conn, err);

    CRASH_POINT("backup.after-blobs");
    if (rc || b->copy.lost)
        return rc;
    rc = db_verify(conn, b->verify, err);
    if (!rc)
        rc = retire(b, err);
    return rc ? rc : copy_prune(&b->copy, conn, err);
}

/* One turn: `copy.lost` is not 0 when something it names was erased too early. */
static enum rc
turn(struct backup *b, struct err *err)
{
    enum rc rc;

    CRASH_POINT("backup.before-snapshot");
    rc = snapshot(b, err);
    CRASH_POINT("backup.after-snapshot");
    return rc ? rc : read_copy(b, copy_named, err);
}

/* What is missing at the source without having been deleted would be missing for ever. */
static enum rc
turns(struct backup *b, struct err *err)
{
    enum rc rc = turn(b, err);

    for (int i = 1; i < TURNS && !rc && b->copy.lost; i++)
        rc = turn(b, err);
    if (!rc && b->copy.lost)
        rc = err_set(err, RC_IO,
                     "the bytes of %lld documents are missing: erased faster than they could be"
                     " copied, then try again when less is deleted; or lost, then"
                     " `dossier check` lists them",
                     (long long)b->copy.lost);
    return rc;
}

static enum rc
verify_copied(struct backup *b, struct db_conn *conn, struct err *err)
{
    return copy_verify(&b->copy, conn, err);
}

/* What verifying has removed is copied once more; what is damaged again then, the disk damages. */
static enum rc
fill(struct backup *b, struct err *err)
{
    enum rc rc = turns(b, err);

    if (rc || !b->verify)
        return rc;
    rc = read_copy(b, verify_copied, err);
    if (rc || !b->copy.damaged)
        return rc;
    rc = turns(b, err);
    if (!rc)
        rc = read_copy(b, verify_copied, err);
    if (!rc && b->copy.damaged)
        rc =
            err_set(err, RC_IO, "%s does not keep what is written to it; use another disk", b->dir);
    return rc;
}

static json_t *
manifest_json(const struct backup *b)
{
    json_t *out = json_object();

    js_set(out, "format", json_integer(COPY_FORMAT));
    js_set(out, "created_at", js_time(clock_wall_ms()));
    js_set(out, "documents", json_integer(b->copy.documents));
    js_set(out, "blobs", json_integer(b->copy.blobs));
    js_set(out, "bytes", json_integer(b->copy.bytes));
    return out;
}

static enum rc
finish(struct backup *b, json_t **ret, struct err *err)
{
    TALLOC_CTX *pool = b->copy.env->pool;
    const char *manifest = home_path(pool, b->dir, COPY_MANIFEST);
    const char *fresh = mem_printf(pool, "%s.new", manifest);
    json_t *out = manifest_json(b);
    size_t len;
    enum rc rc;

    rc = copy_file(home_path(pool, b->home, COPY_SECRET), home_path(pool, b->dir, COPY_SECRET),
                   true, err);
    if (!rc)
        rc = copy_sync(b->partial, err); /* the turns have no use for that */
    CRASH_POINT("backup.before-database");
    if (!rc)
        rc = copy_rename(b->partial, home_path(pool, b->dir, COPY_DATABASE), b->dir, err);
    CRASH_POINT("backup.before-manifest");
    if (!rc)
        rc = write_file(fresh, mem_printf(pool, "%s\n", js_write(pool, out, &len)), err);
    if (!rc)
        rc = copy_rename(fresh, manifest, b->dir, err);
    CRASH_POINT("backup.after-manifest");
    if (rc) {
        json_decref(out);
        return rc;
    }
    (void)unlink(home_path(pool, b->dir, UNFINISHED)); /* the manifest counts, not this */
    *ret = out;
    return RC_OK;
}

static enum rc
open_stores(struct backup *b, struct err *err)
{
    struct command_env *env = b->copy.env;
    enum rc rc = RC_OK;

    if (!env->home)
        rc = blob_store_open_fs(home_path(env->pool, b->home, COPY_BLOBS), &b->copy.from, err);
    if (!rc)
        rc = blob_store_open_fs(home_path(env->pool, b->dir, COPY_BLOBS), &b->copy.to, err);
    return rc;
}

static enum rc
run(struct backup *b, json_t **ret, struct err *err)
{
    enum rc rc = prepare(b, err);

    if (!rc)
        rc = open_stores(b, err);
    if (!rc)
        rc = fill(b, err);
    return rc ? rc : finish(b, ret, err);
}

enum rc
command_backup(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    struct backup b = {.copy = {.env = env, .from = env->home ? env->home->app.blobs : NULL},
                       .conf = conf,
                       .home = conf_text(conf, CONF_DATA),
                       .dir = conf->args[0],
                       .lock = -1,
                       .verify = conf_flag(conf, CONF_VERIFY),
                       .partial = home_path(env->pool, conf->args[0], COPY_PARTIAL)};
    enum rc rc;

    if (env->service)
        return lend(env, ret, err);
    rc = env->home ? RC_OK : note_lent(&b, env->lent, err);
    if (!rc)
        rc = run(&b, ret, err);
    if (b.lent)
        (void)unlink(b.lent);
    blob_store_free(&b.copy.to);
    if (b.lock >= 0)
        (void)close(b.lock);
    if (!env->home)
        blob_store_free(&b.copy.from);
    return rc;
}

void
backup_sweep(const char *dir)
{
    SCOPED_POOL(pool);
    DIR *list = opendir(dir);
    struct dirent *e;

    while (list && (e = readdir(list))) {
        if (strncmp(e->d_name, LENT_PREFIX, strlen(LENT_PREFIX)) == 0)
            (void)unlink(home_path(pool, dir, e->d_name));
    }
    if (list)
        (void)closedir(list);
}
