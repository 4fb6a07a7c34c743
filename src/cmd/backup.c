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
#include "base/clock.h"
#include "base/crash.h"
#include "base/js.h"
#include "cmd/copy.h"
#include "cmd/lent.h"
#include "cmd/outdir.h"

#define TURNS 16
#define UNFINISHED "unfinished"

struct backup {
    struct copy copy;
    const char *home; /* the directory of --data */
    const char *dir;
    struct outdir out;
    bool verify;
    char *partial; /* DIR/dossier.db.partial */
    struct lent lent;
};

static enum rc
snapshot(struct backup *b, struct err *err)
{
    const struct home *home = b->copy.env->home;
    enum rc rc = lent_remove(b->copy.env->pool, b->partial, err);

    if (rc)
        return rc;
    return home ? db_backup(home->app.db, b->partial, err) : lent_fetch(&b->lent, b->partial, err);
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
        rc = outdir_retire(&b->out, err);
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
    json_t *out = manifest_json(b);
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
        rc = outdir_finish(&b->out, out, err);
    CRASH_POINT("backup.after-manifest");
    if (rc) {
        json_decref(out);
        return rc;
    }
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
    enum rc rc = outdir_open(&b->out, b->home, err);

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
                       .home = conf_text(conf, CONF_DATA),
                       .dir = conf->args[0],
                       .out = {.pool = env->pool,
                               .dir = conf->args[0],
                               .kind = "backup",
                               .mark = UNFINISHED,
                               .alien = "rows",
                               .lock = -1},
                       .verify = conf_flag(conf, CONF_VERIFY),
                       .partial = home_path(env->pool, conf->args[0], COPY_PARTIAL)};
    enum rc rc;

    if (env->service)
        return lent_make(env, ret, err);
    rc = env->home ? RC_OK : lent_begin(&b.lent, env, conf, err);
    if (!rc)
        rc = run(&b, ret, err);
    lent_end(&b.lent);
    blob_store_free(&b.copy.to);
    outdir_close(&b.out);
    if (!env->home)
        blob_store_free(&b.copy.from);
    return rc;
}
