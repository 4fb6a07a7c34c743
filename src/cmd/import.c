// SPDX-License-Identifier: Apache-2.0
/*
 * import: an empty library filled from an export.
 *
 * First the bytes, each once, then the rows in batches: no row names bytes that are not there. What
 * is done is noted in the target with the rows themselves, so it goes on where it was cut short,
 * whenever. In the end all rows are written out again, into nothing but a hash, and all bytes read.
 */
#include <sys/file.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/js.h"
#include "cmd/carry.h"
#include "cmd/copy.h"
#include "cmd/target.h"
#include "store/secret_check.h"

#define BATCH 500 /* rows a transaction */
#define SHOW_MS 1000

/* Steps of the note: 0 the bytes, then each table, then: */
enum { STEP_SEAL = DUMP_TABLES + 1, STEP_VERIFY };

struct import {
    struct command_env *env;
    const struct conf *conf;
    const char *dir; /* of the export */
    int lock;        /* held on it, so that no export changes it; -1: not yet */
    struct manifest manifest;
    struct secret secret;
    struct target target;
    struct carry carry;
    struct dump_inserts *inserts;
    struct rows_reader *reader; /* in the table of `reader_step`; NULL: none */
    int64_t reader_step;
    int64_t all_bytes, bytes_before[DUMP_TABLES + 1], shown_ms; /* of the rows' files */
    bool ended;
};

/* ---- is the export whole? ---- */

static enum rc
check_table(struct import *im, const char *name, const struct rows_sum *right, int64_t *ret_bytes,
            struct err *err)
{
    SCOPED_POOL(pool);
    const char *path = carry_path(pool, &im->carry, name);
    struct rows_sum found = {0};
    struct stat info;
    enum rc rc = rows_sum_file(path, &found, err);

    if (rc)
        return rc == RC_NOT_FOUND ? err_set(err, RC_IO, "%s is missing; export again", path) : rc;
    if (found.rows != right->rows || !crypto_equal(found.sha256, right->sha256, SHA256_LEN))
        return err_set(err, RC_IO, "%s is damaged; export again", path);
    *ret_bytes = stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
    return RC_OK;
}

static enum rc
check_rows(struct import *im, struct err *err)
{
    int64_t bytes = 0;
    enum rc rc = check_table(im, MANIFEST_HASHES, &im->manifest.hashes, &bytes, err);

    for (size_t i = 0; i < DUMP_TABLES && !rc; i++) {
        rc = check_table(im, dump_tables[i].name, &im->manifest.tables[i], &bytes, err);
        im->all_bytes += bytes;
        im->bytes_before[i + 1] = im->all_bytes;
    }
    return rc;
}

static enum rc
check_secret(struct import *im, struct err *err)
{
    const char *path = home_path(im->env->pool, im->dir, COPY_SECRET);
    uint8_t mac[SHA256_LEN];
    enum rc rc = secret_load(path, false, &im->secret, err);

    if (rc)
        return rc;
    secret_check_mac(im->secret.audit_seal, mac);
    return crypto_equal(mac, im->manifest.secret, SHA256_LEN)
               ? RC_OK
               : err_set(err, RC_INVALID, "%s is not that of the export", path);
}

static enum rc
open_export(struct import *im, struct err *err)
{
    enum rc rc = manifest_read(im->dir, &im->manifest, err);

    if (rc)
        return rc;
    im->lock = open(im->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (im->lock < 0)
        return err_errno(err, RC_IO, im->dir);
    if (flock(im->lock, LOCK_SH | LOCK_NB) != 0)
        return err_set(err, RC_BUSY, "an export into %s is under way; wait for it", im->dir);
    rc = manifest_read(im->dir, &im->manifest, err); /* again: nobody changes it any more */
    im->carry.all_blobs = im->manifest.blobs;
    im->carry.all_bytes = im->manifest.bytes;
    if (!rc)
        rc = check_secret(im, err);
    if (!rc)
        rc = check_rows(im, err);
    return rc ? rc : blob_store_open_fs(im->dir, &im->carry.from, err);
}

/* ---- bytes ---- */

static enum rc
begin_rows(struct tx *tx, struct importing *now, void *arg, struct err *err)
{
    (void)tx;
    (void)arg;
    (void)err;
    if (now->step == 0)
        now->step = 1;
    return RC_OK;
}

/* Those of an earlier export that this one no longer names go. */
static enum rc
end_bytes(struct import *im, struct err *err)
{
    enum rc rc = carry_prune(&im->carry, err);

    return rc ? rc : target_step(&im->target, begin_rows, NULL, err);
}

/* ---- rows ---- */

static void
show_rows(struct import *im, int64_t step)
{
    int64_t done = im->bytes_before[step - 1] + rows_at(im->reader);

    if (clock_mono_ms() - im->shown_ms < SHOW_MS)
        return;
    im->shown_ms = clock_mono_ms();
    command_progress(im->env, "put in %lld of %lld MiB of rows (%d %%)", (long long)(done / MIB(1)),
                     (long long)(im->all_bytes / MIB(1)),
                     im->all_bytes ? (int)(done * 100 / im->all_bytes) : 100);
}

/* The reader at the place that is noted. */
static enum rc
seek(struct import *im, const struct importing *now, struct err *err)
{
    const struct dump_table *t = &dump_tables[now->step - 1];
    SCOPED_POOL(pool);

    if (im->reader && im->reader_step == now->step && rows_at(im->reader) == now->at)
        return RC_OK;
    rows_reader_free(&im->reader);
    im->reader_step = now->step;
    return rows_open(carry_path(pool, &im->carry, t->name), t, now->at, &im->reader, err);
}

static enum rc
put_rows(struct import *im, struct tx *tx, struct importing *now, struct err *err)
{
    const struct dump_table *t = &dump_tables[now->step - 1];
    const struct db_value *row = NULL;
    enum rc rc = seek(im, now, err);

    for (int i = 0; i < BATCH && !rc; i++) {
        rc = rows_read(im->reader, &row, err);
        if (rc || !row)
            break;
        rc = dump_put(tx, im->inserts, t, row, err);
    }
    if (rc) {
        rows_reader_free(&im->reader);
        return rc;
    }
    show_rows(im, now->step);
    now->at = row ? rows_at(im->reader) : 0;
    now->step += row ? 0 : 1;
    return RC_OK;
}

/* One transaction's share. */
static enum rc
go_on(struct tx *tx, struct importing *now, void *arg, struct err *err)
{
    struct import *im = arg;
    enum rc rc = RC_OK;

    im->ended = now->step == STEP_VERIFY;
    if (now->step < STEP_SEAL)
        return put_rows(im, tx, now, err);
    if (now->step == STEP_SEAL)
        rc = dump_seal_some(tx, &now->at, err);
    if (!rc && now->step == STEP_SEAL && now->at == 0)
        now->step = STEP_VERIFY;
    return rc;
}

static enum rc
bring_rows(struct import *im, struct err *err)
{
    enum rc rc = RC_OK;

    im->inserts = dump_inserts_new(im->env->pool);
    while (!rc && !im->ended)
        rc = target_step(&im->target, go_on, im, err);
    return rc;
}

/* ---- is the target right? ---- */

/* *ret: the table has the rows of the export. */
static enum rc
compare_table(struct import *im, const struct dump_table *t, const struct rows_sum *right,
              bool *ret, struct err *err)
{
    SCOPED(rows_writer) w = NULL;
    SCOPED_POOL(pool);
    struct dump_walk walk;
    struct rows_sum found = {0};
    size_t n = 1;
    enum rc rc = rows_create(NULL, t, &w, err);

    dump_begin(pool, t, &walk);
    while (!rc && n > 0) {
        SCOPED_POOL(page);
        struct tx tx = {.conn = im->target.conn, .pool = page, .audit_key = im->secret.audit_seal};
        struct db_value *list = NULL;

        rc = dump_next(&tx, &walk, &list, &n, err);
        for (size_t i = 0; i < n && !rc; i++)
            rc = rows_write(w, &list[i * t->n], err);
    }
    if (!rc)
        rc = rows_finish(w, &found, err);
    *ret = found.rows == right->rows && crypto_equal(found.sha256, right->sha256, SHA256_LEN);
    return rc;
}

/* *ret: the first table that differs, NULL when none does. */
static enum rc
compare_rows(struct import *im, const char **ret, struct err *err)
{
    bool same = true;
    enum rc rc = db_begin_read(im->target.conn, err);

    *ret = NULL;
    if (rc)
        return rc;
    for (size_t i = 0; i < DUMP_TABLES && !rc && same; i++) {
        if (clock_mono_ms() - im->shown_ms >= SHOW_MS) {
            im->shown_ms = clock_mono_ms();
            command_progress(im->env, "verifying the rows of %s", dump_tables[i].name);
        }
        rc = compare_table(im, &dump_tables[i], &im->manifest.tables[i], &same, err);
        if (!same)
            *ret = dump_tables[i].name;
    }
    db_rollback(im->target.conn);
    return rc;
}

static enum rc
verify_rows(struct import *im, struct err *err)
{
    const char *differs = NULL;
    enum rc rc;

    target_settle(&im->target);
    rc = compare_rows(im, &differs, err);
    if (!rc && differs)
        rc = err_set(err, RC_IO,
                     "the rows of %s are not those of the export: somebody else writes to this "
                     "database; begin with an empty one",
                     differs);
    return rc;
}

/* What the store has damaged is copied once more. */
static enum rc
verify_bytes(struct import *im, struct err *err)
{
    enum rc rc = carry_verify(&im->carry, err);

    if (rc || !im->carry.rejected)
        return rc;
    rc = carry_copy(&im->carry, err);
    if (!rc && !im->carry.faulty)
        rc = carry_verify(&im->carry, err);
    if (!rc && !im->carry.faulty && im->carry.rejected)
        rc = err_set(err, RC_IO, "the store of bytes does not keep what is written to it");
    return rc;
}

/* ---- the whole ---- */

static enum rc
fill(struct import *im, const struct importing *begun, struct err *err)
{
    enum rc rc = carry_copy(&im->carry, err);

    if (rc || im->carry.faulty || conf_flag(im->conf, CONF_BYTES_ONLY))
        return rc;
    CRASH_POINT("import.after-bytes");
    if (begun->step == 0)
        rc = end_bytes(im, err);
    if (!rc)
        rc = bring_rows(im, err);
    CRASH_POINT("import.after-rows");
    if (!rc)
        rc = verify_rows(im, err);
    if (!rc && !conf_flag(im->conf, CONF_QUICK))
        rc = verify_bytes(im, err);
    CRASH_POINT("import.before-finish");
    if (!rc && !im->carry.faulty)
        rc = target_finish(&im->target, err);
    CRASH_POINT("import.after-finish");
    return rc;
}

/* Nothing is left to do, when it is an import of this export that has filled it. */
static enum rc
confirm(struct import *im, struct err *err)
{
    const char *differs = NULL;
    enum rc rc = conf_flag(im->conf, CONF_BYTES_ONLY) ? target_not_empty(&im->target, err)
                                                      : compare_rows(im, &differs, err);

    if (!rc && differs)
        rc = target_not_empty(&im->target, err);
    if (!rc && !conf_flag(im->conf, CONF_QUICK))
        rc = verify_bytes(im, err);
    return rc;
}

static enum rc
run(struct import *im, json_t **ret, struct err *err)
{
    struct importing begun;
    bool whole;
    enum rc rc = open_export(im, err);

    if (!rc)
        rc = target_open(&im->target, &begun, err);
    im->carry.to = im->target.blobs;
    im->carry.fresh = im->target.fresh;
    if (!rc)
        rc = im->target.full ? confirm(im, err) : fill(im, &begun, err);
    if (rc)
        return rc;
    whole = !im->carry.faulty;
    *ret = carry_report(&im->carry, &im->manifest, whole && !conf_flag(im->conf, CONF_BYTES_ONLY));
    im->env->exit = whole ? 0 : 1;
    return RC_OK;
}

enum rc
command_import(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    struct import im = {.env = env,
                        .conf = conf,
                        .dir = conf->args[0],
                        .lock = -1,
                        .carry = {.env = env, .suffix = ""},
                        .target = {.env = env,
                                   .conf = conf,
                                   .from = conf->args[0],
                                   .home = conf_text(conf, CONF_DATA),
                                   .lock = -1}};
    enum rc rc;

    im.carry.dir = home_path(env->pool, im.dir, "rows");
    im.target.secret = &im.secret;
    im.target.manifest = &im.manifest;
    rc = run(&im, ret, err);
    rows_reader_free(&im.reader);
    json_decref(im.carry.faults);
    target_close(&im.target);
    blob_store_free(&im.carry.from);
    if (im.lock >= 0)
        (void)close(im.lock);
    explicit_bzero(&im.secret, sizeof(im.secret));
    return rc;
}
