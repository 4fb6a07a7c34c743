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
 * erased before its bytes were reached. Nothing keeps a purge from running meanwhile: deleted bytes
 * are gone in time from here, and are not in the copy, which is pruned to what its rows name.
 *
 * manifest.json is written last: a directory without it is no backup. `unfinished` marks a
 * directory that is being filled, so that the next attempt may go on in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/js.h"
#include "cmd/copy.h"

#define TURNS 16
#define UNFINISHED "unfinished"

struct backup {
    struct copy copy;
    const char *dir;
    char *partial; /* DIR/dossier.db.partial */
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

/* A new directory, an empty one, or an earlier backup, finished or not, which is brought up to
 * date. From here on it is no backup until it is finished. */
static enum rc
prepare(struct command_env *env, const char *dir, struct err *err)
{
    const char *manifest = home_path(env->pool, dir, COPY_MANIFEST);
    const char *unfinished = home_path(env->pool, dir, UNFINISHED);
    bool empty;
    enum rc rc;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_errno(err, RC_IO, mem_printf(env->pool, "cannot make %s", dir));
    rc = copy_dir_empty(dir, NULL, &empty, err);
    if (rc)
        return rc;
    if (!empty && access(manifest, F_OK) != 0 && access(unfinished, F_OK) != 0)
        return err_set(err, RC_IO, "%s holds something that is no backup; give another directory",
                       dir);
    rc = write_file(unfinished, "", err);
    if (!rc && unlink(manifest) != 0 && errno != ENOENT)
        rc = err_errno(err, RC_IO, manifest);
    return rc ? rc : copy_sync_dir(dir, err);
}

static enum rc
snapshot(struct backup *b, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    TALLOC_CTX *pool = b->copy.env->pool;

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        const char *path = mem_printf(pool, "%s%s", b->partial, suffixes[i]);

        if (unlink(path) != 0 && errno != ENOENT)
            return err_errno(err, RC_IO, path);
    }
    return db_backup(b->copy.env->home->app.db, b->partial, err);
}

/* One turn: *ret_whole is false when something it names was erased too early. */
static enum rc
turn(struct backup *b, bool *ret_whole, struct err *err)
{
    SCOPED(db) db = NULL;
    SCOPED(db_conn) conn = NULL;
    enum rc rc;

    rc = snapshot(b, err);
    if (!rc)
        rc = db_open_sqlite(b->partial, &db, err);
    if (!rc)
        rc = db_connect(db, DB_READER, &conn, err);
    if (!rc)
        rc = copy_blobs(&b->copy, conn, err);
    *ret_whole = b->copy.lost == 0;
    if (!rc && *ret_whole)
        rc = copy_prune(&b->copy, conn, err);
    db_conn_free(&conn); /* before its database */
    return rc;
}

/* What is missing at the source without having been deleted would be missing for ever. */
static enum rc
turns(struct backup *b, struct err *err)
{
    bool whole = false;
    enum rc rc = RC_OK;

    for (int i = 0; i < TURNS && !rc && !whole; i++)
        rc = turn(b, &whole, err);
    if (!rc && !whole)
        rc = err_set(err, RC_IO,
                     "the bytes of %lld documents are missing; `dossier check` lists them",
                     (long long)b->copy.lost);
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

    rc = copy_file(home_path(pool, b->copy.env->home->dir, COPY_SECRET),
                   home_path(pool, b->dir, COPY_SECRET), err);
    if (!rc)
        rc = copy_rename(b->partial, home_path(pool, b->dir, COPY_DATABASE), b->dir, err);
    if (!rc)
        rc = write_file(fresh, mem_printf(pool, "%s\n", js_write(pool, out, &len)), err);
    if (!rc)
        rc = copy_rename(fresh, manifest, b->dir, err);
    if (rc) {
        json_decref(out);
        return rc;
    }
    (void)unlink(home_path(pool, b->dir, UNFINISHED)); /* the manifest counts, not this */
    *ret = out;
    return RC_OK;
}

enum rc
command_backup(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    struct backup b = {.copy = {.env = env, .from = env->home->app.blobs},
                       .dir = conf->args[0],
                       .partial = home_path(env->pool, conf->args[0], COPY_PARTIAL)};
    enum rc rc = prepare(env, b.dir, err);

    if (!rc)
        rc = blob_store_open_fs(home_path(env->pool, b.dir, COPY_BLOBS), &b.copy.to, err);
    if (!rc)
        rc = turns(&b, err);
    blob_store_free(&b.copy.to);
    return rc ? rc : finish(&b, ret, err);
}
