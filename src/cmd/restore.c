// SPDX-License-Identifier: Apache-2.0
/*
 * restore: fills an empty data directory from a backup, each blob checked against its row.
 *
 * The database stands under the name of an unfinished restore until all bytes are there, and no
 * other command opens a directory with that name in it.
 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/js.h"
#include "cmd/copy.h"
#include "core/library.h"
#include "store/blob_home.h"
#include "store/schema.h"

#define MANIFEST_MAX 4096
#define SETTLED_AT_ONCE 256

struct restore {
    struct copy copy;
    const char *from; /* the backup */
    const char *to;   /* the data directory */
    char *partial;
    json_t *manifest;
    struct secret secret;
};

static enum rc
read_manifest(struct restore *r, struct err *err)
{
    const char *path = home_path(r->copy.env->pool, r->from, COPY_MANIFEST);
    char text[MANIFEST_MAX];
    FILE *file = fopen(path, "re");
    size_t n;

    if (!file && errno == ENOENT)
        return err_set(err, RC_IO, "%s is no finished backup: it has no " COPY_MANIFEST, r->from);
    if (!file)
        return err_errno(err, RC_IO, path);
    n = fread(text, 1, sizeof(text), file);
    (void)fclose(file);
    if (js_read(text, n, &r->manifest, err))
        return err_set(err, RC_IO, "%s is damaged; use another backup", path);
    if (json_integer_value(json_object_get(r->manifest, "format")) != COPY_FORMAT)
        return err_set(err, RC_IO, "%s is of a format this program does not know: use a newer one",
                       path);
    return RC_OK;
}

static enum rc
refuse_full(const struct restore *r, struct err *err)
{
    bool empty;
    enum rc rc = copy_dir_empty(r->to, "lock", &empty, err);

    if (!rc && !empty)
        rc = err_set(err, RC_IO, "%s is not empty; give a new directory with --data", r->to);
    return rc;
}

static enum rc
expect(const struct restore *r, const char *name, int64_t found, struct err *err)
{
    int64_t said = json_integer_value(json_object_get(r->manifest, name));

    if (said == found)
        return RC_OK;
    return err_set(err, RC_IO,
                   "the backup is not whole: its manifest says %lld %s, its rows %lld; use another",
                   (long long)said, name, (long long)found);
}

static enum rc
check_counts(const struct restore *r, struct err *err)
{
    enum rc rc;

    if (r->copy.lost)
        return err_set(err, RC_IO, "the backup lacks the bytes of %lld documents; use another",
                       (long long)r->copy.lost);
    rc = expect(r, "documents", r->copy.documents, err);
    if (!rc)
        rc = expect(r, "blobs", r->copy.blobs, err);
    return rc ? rc : expect(r, "bytes", r->copy.bytes, err);
}

/*
 * Bytes that were due for erasure are in no backup, so they are gone from here: the entries are
 * settled as the purge itself would.
 */
static enum rc
settle_some(const struct restore *r, struct db_conn *conn, size_t *ret_n, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {
        .conn = conn, .pool = pool, .now_ms = clock_wall_ms(), .audit_key = r->secret.audit_seal};
    struct purge *list = NULL;
    size_t n = 0;
    enum rc rc;

    rc = db_begin_write(conn, err);
    if (rc)
        return rc;
    rc = purge_due(&tx, INT64_MAX, INT64_MAX, SETTLED_AT_ONCE, &list, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        struct caller service = {.workspace = {.number = list[i].workspace}};

        rc = library_purged(&tx, &service, &list[i], err);
    }
    *ret_n = n;
    if (!rc)
        return db_commit(conn, err);
    db_rollback(conn);
    return rc;
}

static enum rc
settle_purges(const struct restore *r, struct db_conn *conn, struct err *err)
{
    size_t n;
    enum rc rc;

    do
        rc = settle_some(r, conn, &n, err);
    while (!rc && n > 0);
    return rc;
}

/* The bytes have another store now; the rows are to know it (store/blob_home.h). */
static enum rc
name_store(const struct restore *r, struct db_conn *conn, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms()};
    struct id id = id_new();
    enum rc rc = blob_store_identify(r->copy.to, id.b, err);

    if (!rc)
        rc = blob_store_identity(r->copy.to, id.b, err);
    return rc ? rc : blob_home_move(&tx, &id, err);
}

/* Brings the copied database up to date, then fetches what it names. */
static enum rc
fill(struct restore *r, struct err *err)
{
    SCOPED(db) db = NULL;
    SCOPED(db_conn) conn = NULL;
    int from, to;
    enum rc rc;

    rc = db_open_sqlite(r->partial, &db, err);
    if (!rc)
        rc = db_connect(db, DB_WRITER, &conn, err);
    if (!rc)
        rc = db_verify(conn, false, err);
    if (!rc)
        rc = schema_migrate(conn, r->secret.audit_seal, &from, &to, err);
    if (!rc)
        rc = copy_blobs(&r->copy, conn, err);
    if (!rc)
        rc = check_counts(r, err);
    if (!rc)
        rc = settle_purges(r, conn, err);
    if (!rc)
        rc = name_store(r, conn, err);
    db_conn_free(&conn); /* before its database */
    return rc;
}

static enum rc
run(struct restore *r, struct err *err)
{
    TALLOC_CTX *pool = r->copy.env->pool;
    enum rc rc;

    rc = copy_file(home_path(pool, r->from, COPY_DATABASE), r->partial, true, err);
    if (!rc)
        rc = copy_sync(r->to, err);
    if (!rc)
        rc = copy_file(home_path(pool, r->from, COPY_SECRET), home_path(pool, r->to, COPY_SECRET),
                       true, err);
    if (!rc)
        rc = secret_load(home_path(pool, r->to, COPY_SECRET), false, &r->secret, err);
    if (!rc)
        rc = blob_store_open_fs(home_path(pool, r->from, COPY_BLOBS), &r->copy.from, err);
    if (!rc)
        rc = blob_store_open_fs(home_path(pool, r->to, COPY_BLOBS), &r->copy.to, err);
    if (!rc)
        rc = fill(r, err);
    blob_store_free(&r->copy.from);
    blob_store_free(&r->copy.to);
    return rc ? rc : copy_rename(r->partial, home_path(pool, r->to, COPY_DATABASE), r->to, err);
}

enum rc
command_restore(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    struct restore r = {
        .copy = {.env = env}, .from = conf->args[0], .to = conf_text(conf, CONF_DATA)};
    int lock = -1;
    enum rc rc;

    r.partial = home_path(env->pool, r.to, COPY_PARTIAL);
    rc = read_manifest(&r, err);
    if (!rc)
        rc = refuse_full(&r, err);
    if (!rc)
        rc = home_lock(r.to, 0, &lock, err);
    if (!rc)
        rc = refuse_full(&r, err); /* again: nobody can fill it any more */
    if (!rc)
        rc = run(&r, err);
    if (lock >= 0)
        (void)close(lock);
    explicit_bzero(&r.secret, sizeof(r.secret));
    if (rc) {
        json_decref(r.manifest);
        return rc == RC_INVALID ? err_set(err, RC_IO, "%s", mem_strdup(env->pool, err->detail))
                                : rc;
    }
    *ret = r.manifest;
    return RC_OK;
}
