// SPDX-License-Identifier: Apache-2.0
/*
 * export: everything, in a form that depends on no engine (rows.h, carry.h, manifest.h).
 *
 *   manifest.json  secret.key  rows/TABLE.jsonl  objects/ab/cd/<workspace>-<id>
 *
 * All rows are written as of one moment, then the bytes that they name are copied, from a store
 * that goes on serving. As in a backup, bytes that were erased in between make a further turn: rows
 * as of a later moment, and only what is new since. What two turns find missing, the second time
 * in rows read after the first look, is lost.
 *
 * Of what was deleted and waits to be erased the rows go along and the bytes do not: they are never
 * wanted again, and erasing what is not there tells the same in the audit trail.
 *
 * An earlier export in the directory stays one until all that the new one needs is beside it.
 */
#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/js.h"
#include "cmd/carry.h"
#include "cmd/copy.h"
#include "cmd/engines.h"
#include "cmd/lent.h"
#include "cmd/manifest.h"
#include "cmd/outdir.h"
#include "store/schema.h"
#include "store/secret_check.h"

#define TURNS 16
#define FRESH ".new" /* rows that are not yet those of a finished export */
#define SHOW_MS 1000

struct exporter {
    struct command_env *env;
    const struct conf *conf;
    const char *home; /* the directory of --data */
    const char *dir;
    struct outdir out;
    struct lent lent;
    char *partial; /* a copy of the database that was lent */
    struct secret secret;
    struct carry carry;
    struct manifest manifest;
    int64_t shown_ms;
};

/* ---- rows ---- */

static void
show_rows(struct exporter *x, const struct dump_table *t, int64_t rows)
{
    if (clock_mono_ms() - x->shown_ms < SHOW_MS)
        return;
    x->shown_ms = clock_mono_ms();
    command_progress(x->env, "wrote %lld rows of %s", (long long)rows, t->name);
}

static enum rc
write_page(struct exporter *x, const struct dump_table *t, const struct db_value *rows, size_t n,
           struct rows_writer *w, struct err *err)
{
    int64_t bytes = 0;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n && !rc; i++) {
        const struct db_value *row = &rows[i * t->n];

        rc = rows_write(w, row, err);
        if (carry_names(t, row, &bytes)) {
            x->carry.all_blobs++;
            x->carry.all_bytes += bytes;
        }
    }
    return rc;
}

static enum rc
write_table(struct exporter *x, struct db_conn *conn, const struct dump_table *t,
            struct rows_sum *ret, struct err *err)
{
    SCOPED(rows_writer) w = NULL;
    SCOPED_POOL(pool);
    struct dump_walk walk;
    int64_t rows = 0;
    size_t n = 1;
    enum rc rc = rows_create(carry_path(pool, &x->carry, t->name), t, &w, err);

    dump_begin(pool, t, &walk);
    while (!rc && n > 0) {
        SCOPED_POOL(page);
        struct tx tx = {.conn = conn, .pool = page, .audit_key = x->secret.audit_seal};
        struct db_value *list = NULL;

        rc = dump_next(&tx, &walk, &list, &n, err);
        if (!rc)
            rc = write_page(x, t, list, n, w, err);
        rows += (int64_t)n;
        show_rows(x, t, rows);
    }
    return rc ? rc : rows_finish(w, ret, err);
}

/* In one transaction: all as of its beginning. */
static enum rc
write_rows(struct exporter *x, struct db *db, struct err *err)
{
    SCOPED(db_conn) conn = NULL;
    enum rc rc = db_connect(db, DB_READER, &conn, err);

    if (!rc)
        rc = db_begin_read(conn, err);
    if (rc)
        return rc;
    x->carry.all_blobs = x->carry.all_bytes = 0;
    for (size_t i = 0; i < DUMP_TABLES && !rc; i++)
        rc = write_table(x, conn, &dump_tables[i], &x->manifest.tables[i], err);
    db_rollback(conn);
    return rc;
}

/* The copy may be an older server's; it is ours to bring up to date. */
static enum rc
open_lent(struct exporter *x, struct db **ret, struct err *err)
{
    SCOPED(db_conn) conn = NULL;
    int from, to;
    enum rc rc = lent_remove(x->env->pool, x->partial, err);

    if (!rc)
        rc = lent_fetch(&x->lent, x->partial, err);
    if (!rc)
        rc = db_open_sqlite(x->partial, ret, err);
    if (!rc)
        rc = db_connect(*ret, DB_WRITER, &conn, err);
    return rc ? rc : schema_migrate(conn, x->secret.audit_seal, &from, &to, err);
}

/* A server of rows takes one more client. */
static enum rc
open_beside(struct exporter *x, struct db **ret, struct err *err)
{
    SCOPED(db_conn) conn = NULL;
    struct tx tx = {.pool = x->env->pool, .audit_key = x->secret.audit_seal};
    int version = 0;
    enum rc rc = engines_open_database(x->conf, NULL, ret, err);

    if (!rc)
        rc = db_connect(*ret, DB_READER, &conn, err);
    if (!rc)
        rc = schema_version(conn, &version, err);
    if (!rc && version != schema_known())
        rc = err_set(err, RC_INVALID,
                     "the database has schema version %d, this program's is %d: use the server's "
                     "own program",
                     version, schema_known());
    tx.conn = conn;
    return rc ? rc : secret_check(&tx, err);
}

static enum rc
take_rows(struct exporter *x, struct err *err)
{
    SCOPED(db) db = NULL;
    enum rc rc;

    if (x->env->home)
        return write_rows(x, x->env->home->app.db, err);
    rc = engines_embedded(x->conf) ? open_lent(x, &db, err) : open_beside(x, &db, err);
    if (!rc)
        rc = write_rows(x, db, err);
    db_free(&db);
    return rc ? rc : lent_remove(x->env->pool, x->partial, err);
}

/* ---- bytes ---- */

static enum rc
turn(struct exporter *x, struct err *err)
{
    enum rc rc = take_rows(x, err);

    CRASH_POINT("export.after-rows");
    return rc ? rc : carry_copy(&x->carry, err);
}

static enum rc
turns(struct exporter *x, struct err *err)
{
    uint8_t before[SHA256_LEN] = {0};
    enum rc rc = turn(x, err);

    for (int i = 1; i < TURNS && !rc && x->carry.lost; i++) {
        if (crypto_equal(before, x->carry.lost_sum, SHA256_LEN))
            break; /* nobody has erased them: they are lost */
        memcpy(before, x->carry.lost_sum, SHA256_LEN);
        rc = turn(x, err);
    }
    return rc;
}

/* What verifying has removed is copied once more; what is damaged again then, the disk damages. */
static enum rc
verify(struct exporter *x, struct err *err)
{
    enum rc rc = carry_verify(&x->carry, err);

    if (rc || !x->carry.rejected)
        return rc;
    rc = turns(x, err);
    if (!rc && !x->carry.faulty)
        rc = carry_verify(&x->carry, err);
    if (!rc && !x->carry.faulty && x->carry.rejected)
        rc =
            err_set(err, RC_IO, "%s does not keep what is written to it; use another disk", x->dir);
    return rc;
}

/* ---- the whole ---- */

static enum rc
name_rows(struct exporter *x, const char *table, struct err *err)
{
    SCOPED_POOL(pool);
    char *fresh = carry_path(pool, &x->carry, table);
    char *path = mem_strndup(pool, fresh, strlen(fresh) - strlen(FRESH));

    return rename(fresh, path) == 0 ? RC_OK : err_errno(err, RC_IO, path);
}

/* The rows take the place of an earlier export's, and what only that one named goes. */
static enum rc
replace(struct exporter *x, struct err *err)
{
    enum rc rc;

    CRASH_POINT("export.after-bytes");
    rc = outdir_retire(&x->out, err);
    CRASH_POINT("export.after-retire");
    for (size_t i = 0; i < DUMP_TABLES && !rc; i++)
        rc = name_rows(x, dump_tables[i].name, err);
    if (!rc)
        rc = name_rows(x, MANIFEST_HASHES, err);
    if (!rc)
        rc = copy_sync(x->carry.dir, err);
    x->carry.suffix = "";
    return rc ? rc : carry_prune(&x->carry, err);
}

static enum rc
finish(struct exporter *x, json_t **ret, struct err *err)
{
    TALLOC_CTX *pool = x->env->pool;
    json_auto_t *manifest = NULL;
    enum rc rc = replace(x, err);

    if (!rc)
        rc = copy_file(home_path(pool, x->home, COPY_SECRET), home_path(pool, x->dir, COPY_SECRET),
                       true, err);
    if (rc)
        return rc;
    x->manifest.hashes = x->carry.hashes;
    x->manifest.blobs = x->carry.all_blobs;
    x->manifest.bytes = x->carry.all_bytes;
    secret_check_mac(x->secret.audit_seal, x->manifest.secret);
    manifest = manifest_json(&x->manifest);
    CRASH_POINT("export.before-manifest");
    rc = outdir_finish(&x->out, manifest, err);
    if (!rc)
        *ret = carry_report(&x->carry, &x->manifest, true);
    return rc;
}

static int
remove_empty(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    if (kind == FTW_DP && at->level > 0)
        (void)rmdir(path); /* fails where anything is left */
    return 0;
}

static enum rc
open_all(struct exporter *x, struct err *err)
{
    TALLOC_CTX *pool = x->env->pool;
    struct home *home = x->env->home;
    enum rc rc = outdir_open(&x->out, x->home, err);

    if (!rc && mkdir(x->carry.dir, 0700) != 0 && errno != EEXIST)
        rc = err_errno(err, RC_IO, x->carry.dir);
    if (!rc && !home)
        rc = secret_load(home_path(pool, x->home, COPY_SECRET), false, &x->secret, err);
    else if (!rc)
        x->secret = home->app.secret;
    if (!rc && !home)
        rc = engines_open_blobs(x->conf, home_path(pool, x->home, COPY_BLOBS), x->home,
                                &x->carry.from, err);
    else if (!rc)
        x->carry.from = home->app.blobs;
    return rc ? rc : blob_store_open_fs(x->dir, &x->carry.to, err);
}

static enum rc
run(struct exporter *x, json_t **ret, struct err *err)
{
    enum rc rc = open_all(x, err);

    if (!rc)
        rc = turns(x, err);
    if (!rc && !x->carry.faulty && !conf_flag(x->conf, CONF_QUICK))
        rc = verify(x, err);
    if (rc)
        return rc;
    if (!x->carry.faulty)
        return finish(x, ret, err);
    *ret = carry_report(&x->carry, &x->manifest, false);
    x->env->exit = 1;
    return RC_OK;
}

enum rc
command_export(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    struct exporter x = {.env = env,
                         .conf = conf,
                         .home = conf_text(conf, CONF_DATA),
                         .dir = conf->args[0],
                         .out = {.pool = env->pool,
                                 .dir = conf->args[0],
                                 .kind = "export",
                                 .mark = "unfinished-export",
                                 .alien = COPY_DATABASE,
                                 .lock = -1},
                         .partial = home_path(env->pool, conf->args[0], "rows.db"),
                         .carry = {.env = env, .suffix = FRESH, .notes_hashes = true}};
    enum rc rc;

    if (env->service)
        return lent_make(env, ret, err);
    x.carry.dir = home_path(env->pool, x.dir, "rows");
    rc = env->home ? RC_OK : lent_begin(&x.lent, env, conf, err);
    if (!rc)
        rc = run(&x, ret, err);
    lent_end(&x.lent);
    json_decref(x.carry.faults);
    blob_store_free(&x.carry.to);
    if (!rc && env->exit == 0) /* as if it had been written at once */
        (void)nftw(home_path(env->pool, x.dir, "objects"), remove_empty, 16, FTW_DEPTH | FTW_PHYS);
    if (!env->home)
        blob_store_free(&x.carry.from);
    outdir_close(&x.out);
    explicit_bzero(&x.secret, sizeof(x.secret));
    return rc;
}
