// SPDX-License-Identifier: Apache-2.0
#include "cmd/target.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "cmd/belong.h"
#include "cmd/copy.h"
#include "cmd/engines.h"
#include "store/schema.h"
#include "store/workspace.h"

#define PATIENCE_MS 60000 /* with a database that cannot be reached */
#define OTHERS_MS 5000
#define PAUSE_US 200000

static const struct sql analyze = {.sqlite = NULL, .pg = "ANALYZE"};

static struct tx
tx_of(const struct target *t, struct db_conn *conn, TALLOC_CTX *pool)
{
    return (struct tx){
        .conn = conn, .pool = pool, .now_ms = clock_wall_ms(), .audit_key = t->secret->audit_seal};
}

static char *
path_of(const struct target *t, const char *name)
{
    return home_path(t->env->pool, t->home, name);
}

enum rc
target_not_empty(const struct target *t, struct err *err)
{
    return err_set(err, RC_INVALID,
                   "%s is not empty; give a new --data, and an empty database and store of bytes",
                   t->home);
}

/* ---- is it empty? ---- */

/* *ret: it has one, which is the export's. */
static enum rc
compare_secret(const struct target *t, bool *ret, struct err *err)
{
    const char *path = path_of(t, COPY_SECRET);
    struct secret mine;
    bool same;
    enum rc rc;

    *ret = access(path, F_OK) == 0;
    if (!*ret)
        return RC_OK;
    rc = secret_load(path, false, &mine, err);
    if (rc)
        return rc;
    same = crypto_equal(mine.audit_seal, t->secret->audit_seal, SHA256_LEN);
    explicit_bzero(&mine, sizeof(mine));
    return same ? RC_OK
                : err_set(err, RC_INVALID,
                          "%s is another than that of the export, so this is another library's "
                          "place; give a new --data",
                          path);
}

/* An import that was killed a moment ago may still be connected. */
static enum rc
wait_for_others(struct tx *tx, struct err *err)
{
    int64_t until = clock_mono_ms() + OTHERS_MS;
    bool alone = false;
    enum rc rc;

    while ((rc = importing_alone(tx, &alone, err)) == RC_OK && !alone && clock_mono_ms() < until)
        (void)usleep(PAUSE_US);
    if (!rc && !alone)
        rc = err_set(err, RC_BUSY, "another dossier uses this database; stop it first");
    return rc;
}

/* What is in the database already; nothing is written. It may be older than this program. */
static enum rc
look_at_rows(struct target *t, bool *ret_noted, struct err *err)
{
    SCOPED(db_conn) conn = NULL;
    SCOPED_POOL(pool);
    struct workspace first;
    struct tx tx;
    int version = 0;
    enum rc rc = db_connect(t->db, DB_READER, &conn, err);

    if (!rc)
        rc = schema_version(conn, &version, err);
    tx = tx_of(t, conn, pool);
    if (!rc)
        rc = wait_for_others(&tx, err);
    if (rc || version == 0)
        return rc;
    rc = importing_noted(&tx, ret_noted, err);
    if (rc || *ret_noted)
        return rc;
    rc = workspace_after(&tx, 0, &first, err);
    t->full = rc == RC_OK;
    if (t->full && version != schema_known())
        rc = target_not_empty(t, err);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc
find_one(void *arg, const struct blob_key *key, int64_t size, int64_t mtime_ms, struct err *err)
{
    (void)key;
    (void)size;
    (void)mtime_ms;
    *(bool *)arg = true;
    return err_set(err, RC_CONFLICT, "a blob");
}

static enum rc
look_at_bytes(const struct target *t, struct err *err)
{
    bool any = false;
    enum rc rc = blob_each(t->blobs, find_one, NULL, &any, err);

    return any ? target_not_empty(t, err) : rc;
}

static enum rc
look(struct target *t, bool *ret_noted, struct err *err)
{
    const char *path = path_of(t, COPY_DATABASE);
    struct stat info;
    enum rc rc = RC_OK;

    if (access(path_of(t, COPY_PARTIAL), F_OK) == 0)
        return target_not_empty(t, err); /* an unfinished restore */
    rc = engines_open_database(t->conf, path, &t->db, err);
    /* a file that is not there yet is not to be made by looking */
    if (!rc && (!engines_embedded(t->conf) || (stat(path, &info) == 0 && info.st_size > 0)))
        rc = look_at_rows(t, ret_noted, err);
    if (!rc && !*ret_noted && !t->full)
        rc = look_at_bytes(t, err);
    return rc;
}

/* ---- taking it ---- */

/*
 * An import that was killed between its end and saying so has left all there is. Which bytes are
 * its own is noted by each import.
 */
static enum rc
open_full(struct target *t, bool has_secret, struct err *err)
{
    bool known = false;
    enum rc rc = db_connect(t->db, DB_READER, &t->conn, err);

    if (!rc)
        rc = belong_known(t->conn, &known, err);
    if (!rc && (!known || !has_secret))
        rc = target_not_empty(t, err);
    return rc ? rc : belong_together(t->conn, t->blobs, err); /* being known, it is compared */
}

static enum rc
begin_note(const struct target *t, struct tx *tx, struct err *err)
{
    bool empty = false;
    enum rc rc = dump_empty(tx, &empty, err);

    if (!rc && !empty)
        rc = target_not_empty(t, err);
    return rc ? rc : importing_begin(tx, t->manifest->sha256, err);
}

static enum rc
note(const struct target *t, bool noted, struct importing *ret, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = tx_of(t, t->conn, pool);
    enum rc rc = db_begin_write(t->conn, err);

    if (rc)
        return rc;
    if (!noted)
        rc = begin_note(t, &tx, err);
    if (!rc)
        rc = importing_take(&tx, &t->owner, err);
    if (!rc)
        rc = importing_read(&tx, &t->owner, ret, err);
    if (!rc && ret->step > 0 && !crypto_equal(ret->export, t->manifest->sha256, SHA256_LEN))
        rc = err_set(err, RC_INVALID,
                     "rows of another export are in there already: go on with that one, or begin "
                     "with an empty database");
    memcpy(ret->export, t->manifest->sha256, SHA256_LEN);
    if (!rc)
        rc = importing_write(&tx, ret, err);
    if (!rc)
        return db_commit(t->conn, err);
    db_rollback(t->conn);
    return rc;
}

static enum rc
copy_secret(const struct target *t, struct err *err)
{
    const char *fresh = path_of(t, COPY_SECRET ".new");
    enum rc rc = copy_file(home_path(t->env->pool, t->from, COPY_SECRET), fresh, true, err);

    return rc ? rc : copy_rename(fresh, path_of(t, COPY_SECRET), t->home, err);
}

enum rc
target_open(struct target *t, struct importing *ret, struct err *err)
{
    bool noted = false, has_secret = false;
    int from, to;
    enum rc rc;

    t->lock = -1;
    t->owner = id_new();
    rc = home_lock(t->home, 0, &t->lock, err);
    if (!rc)
        rc = compare_secret(t, &has_secret, err);
    if (!rc)
        rc = engines_open_blobs(t->conf, path_of(t, COPY_BLOBS), t->home, &t->blobs, err);
    if (!rc)
        rc = look(t, &noted, err);
    if (!rc && t->full)
        return open_full(t, has_secret, err);
    if (!rc)
        rc = db_connect(t->db, DB_WRITER, &t->conn, err);
    if (!rc)
        rc = schema_migrate(t->conn, t->secret->audit_seal, &from, &to, err);
    if (!rc)
        rc = belong_together(t->conn, t->blobs, err);
    CRASH_POINT("import.before-note");
    if (!rc)
        rc = note(t, noted, ret, err);
    CRASH_POINT("import.after-note");
    t->fresh = !noted;
    return rc || has_secret ? rc : copy_secret(t, err);
}

/* ---- working on it ---- */

static enum rc
step_once(const struct target *t, target_step_fn *fn, void *arg, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = tx_of(t, t->conn, pool);
    struct importing im;
    enum rc rc = db_begin_write(t->conn, err);

    if (rc)
        return rc;
    rc = importing_read(&tx, &t->owner, &im, err);
    if (!rc)
        rc = fn(&tx, &im, arg, err);
    if (!rc)
        rc = importing_write(&tx, &im, err);
    CRASH_POINT("import.before-commit");
    if (!rc)
        return db_commit(t->conn, err);
    db_rollback(t->conn);
    return rc;
}

static enum rc
finish_once(const struct target *t, target_step_fn *fn, void *arg, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = tx_of(t, t->conn, pool);
    struct importing im;
    bool noted = false;
    enum rc rc = db_begin_write(t->conn, err);

    (void)fn;
    (void)arg;
    if (rc)
        return rc;
    rc = importing_noted(&tx, &noted, err); /* not: a commit before was one after all */
    if (!rc && noted)
        rc = importing_read(&tx, &t->owner, &im, err);
    if (!rc && noted)
        rc = importing_end(&tx, err);
    if (!rc)
        return db_commit(t->conn, err);
    db_rollback(t->conn);
    return rc;
}

/* Whether a transaction was committed, the note says that is read when it is run again. */
static bool
worth_a_rerun(const struct target *t, enum rc rc)
{
    return db_caps(t->db) & DB_MANY_WRITERS &&
           (rc == RC_RERUN || rc == RC_UNAVAILABLE || rc == RC_COMMIT_UNKNOWN || rc == RC_BUSY);
}

typedef enum rc once_fn(const struct target *t, target_step_fn *fn, void *arg, struct err *err);

static enum rc
persist(const struct target *t, once_fn *once, target_step_fn *fn, void *arg, struct err *err)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    enum rc rc = once(t, fn, arg, err);

    while (worth_a_rerun(t, rc) && clock_mono_ms() < until) {
        log_warn("import: %s; trying again", err->detail);
        (void)usleep(PAUSE_US);
        rc = once(t, fn, arg, err);
    }
    return rc;
}

enum rc
target_step(struct target *t, target_step_fn *fn, void *arg, struct err *err)
{
    return persist(t, step_once, fn, arg, err);
}

void
target_settle(struct target *t)
{
    struct err err;

    if (db_script(t->conn, &analyze, &err))
        log_warn("import: %s", err.detail);
}

enum rc
target_finish(struct target *t, struct err *err)
{
    return persist(t, finish_once, NULL, NULL, err);
}

void
target_close(struct target *t)
{
    db_conn_free(&t->conn);
    db_free(&t->db);
    blob_store_free(&t->blobs);
    if (t->lock >= 0)
        (void)close(t->lock);
    t->lock = -1;
}
