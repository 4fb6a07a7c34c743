// SPDX-License-Identifier: Apache-2.0
#include "cmd/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/document.h"
#include "store/object.h"

#define BLOCK (256 * 1024)
#define SHOW_MS 1000

static enum rc
failed(const char *verb, const char *path, struct err *err)
{
    SCOPED_POOL(pool);

    return err_errno(err, errno == ENOSPC ? RC_STORAGE_FULL : RC_IO,
                     mem_printf(pool, "cannot %s %s", verb, path));
}

static enum rc
pour(struct blob_reader *r, struct blob_writer *w, struct err *err)
{
    SCOPED_POOL(pool);
    char *block = mem_zalloc(pool, BLOCK);
    int64_t at = 0;
    size_t n = 0;
    enum rc rc;

    do {
        rc = blob_read(r, at, block, BLOCK, &n, err);
        if (!rc && n > 0)
            rc = blob_write(w, block, n, err);
        at += (int64_t)n;
    } while (!rc && n > 0);
    return rc;
}

/*
 * A finished blob that does not match its row is removed again; the writer has no way to look at
 * the hash before.
 */
static enum rc
copy_blob(struct copy *c, const struct blob_key *key, int64_t size,
          const uint8_t sha256[SHA256_LEN], struct err *err)
{
    SCOPED(blob_reader) r = NULL;
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    char text[ID_TEXT_LEN];
    enum rc rc;

    rc = blob_read_open(c->from, key, &r, err);
    if (!rc)
        rc = blob_write_open(c->to, key, &w, err);
    if (!rc)
        rc = pour(r, w, err);
    if (!rc)
        rc = blob_write_finish(w, &info, err);
    if (rc)
        return rc;
    if (info.size == size && crypto_equal(info.sha256, sha256, SHA256_LEN))
        return RC_OK;
    rc = blob_delete(c->to, key, err);
    if (rc)
        return rc;
    id_format(&key->id, ID_DOCUMENT, ID_UUID, text);
    return err_set(err, RC_IO,
                   "the bytes %s are not what their row says; `dossier check` lists all"
                   " that are damaged",
                   text);
}

static void
show(struct copy *c)
{
    int64_t now = clock_mono_ms();

    if (now - c->shown_ms_ < SHOW_MS)
        return;
    c->shown_ms_ = now;
    command_progress(c->env, "%lld blobs, %lld MiB", (long long)c->blobs,
                     (long long)(c->bytes / MIB(1)));
}

static enum rc
need(struct copy *c, const struct blob_key *key, int64_t size, const uint8_t sha256[SHA256_LEN],
     struct err *err)
{
    int64_t there;
    enum rc rc;

    if (c->env->stopping && atomic_load(c->env->stopping))
        return err_set(err, RC_UNAVAILABLE, "the server is stopping; begin again");
    c->blobs++;
    c->bytes += size;
    show(c);
    rc = blob_stat(c->to, key, &there, err);
    if (rc == RC_NOT_FOUND)
        rc = copy_blob(c, key, size, sha256, err);
    if (rc != RC_NOT_FOUND)
        return rc;
    c->lost++;
    return RC_OK;
}

/* The rows of one workspace. */
struct rows {
    struct copy *copy;
    int64_t workspace;
};

static enum rc
need_document(void *arg, const struct document *d, struct err *err)
{
    struct rows *r = arg;
    struct blob_key key = {.workspace = r->workspace, .id = d->blob_id};

    return need(r->copy, &key, d->size_bytes, d->sha256, err);
}

static enum rc
need_object(void *arg, const struct object *o, struct err *err)
{
    struct rows *r = arg;
    struct blob_key key = {.workspace = r->workspace, .id = o->blob_id};

    return need(r->copy, &key, o->size_bytes, o->sha256, err);
}

static enum rc
need_workspace(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    const struct document_filter all = {.after_ms = -1, .before_ms = -1};
    struct rows rows = {.copy = arg, .workspace = w->number};
    int64_t n = 0;
    enum rc rc;

    rc = document_count(tx, w->number, &all, &n, err);
    rows.copy->documents += n;
    if (!rc)
        rc = document_each_blob(tx, w->number, need_document, &rows, err);
    if (!rc)
        rc = object_each(tx, w->number, need_object, &rows, err);
    return rc;
}

enum rc
copy_blobs(struct copy *c, struct db_conn *conn, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms()};

    c->documents = c->blobs = c->bytes = c->lost = 0;
    return workspace_each(&tx, need_workspace, c, err);
}

struct pruning {
    struct copy *copy;
    struct tx tx;
};

static enum rc
prune_one(void *arg, const struct blob_key *key, int64_t size, int64_t mtime_ms, struct err *err)
{
    struct pruning *p = arg;
    bool named = false;
    enum rc rc;

    (void)size;
    (void)mtime_ms;
    rc = document_has_blob(&p->tx, key->workspace, &key->id, &named, err);
    if (!rc && !named)
        rc = object_has_blob(&p->tx, key->workspace, &key->id, &named, err);
    if (!rc && !named)
        rc = blob_delete(p->copy->to, key, err);
    return rc;
}

enum rc
copy_prune(struct copy *c, struct db_conn *conn, struct err *err)
{
    SCOPED_POOL(pool);
    struct pruning p = {.copy = c, .tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms()}};

    return blob_each(c->to, prune_one, NULL, &p, err);
}

static enum rc
pour_file(int in, int out, const char *to, struct err *err)
{
    SCOPED_POOL(pool);
    char *block = mem_zalloc(pool, BLOCK);
    ssize_t n, done;

    for (;;) {
        n = read(in, block, BLOCK);
        if (n < 0)
            return failed("read what goes to", to, err);
        if (n == 0)
            return fsync(out) == 0 ? RC_OK : failed("sync", to, err);
        for (ssize_t at = 0; at < n; at += done) {
            done = write(out, block + at, (size_t)(n - at));
            if (done < 0)
                return failed("write", to, err);
        }
    }
}

enum rc
copy_file(const char *from, const char *to, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out;
    enum rc rc;

    if (in < 0)
        return failed("read", from, err);
    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    rc = out < 0 ? failed("write", to, err) : pour_file(in, out, to, err);
    (void)close(in);
    if (out >= 0 && close(out) != 0 && !rc)
        rc = failed("write", to, err);
    return rc;
}

enum rc
copy_sync_dir(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum rc rc = fd >= 0 && fsync(fd) == 0 ? RC_OK : failed("sync", dir, err);

    if (fd >= 0)
        (void)close(fd);
    return rc;
}

enum rc
copy_rename(const char *from, const char *to, const char *dir, struct err *err)
{
    if (rename(from, to) != 0)
        return failed("name", to, err);
    return copy_sync_dir(dir, err);
}

enum rc
copy_dir_empty(const char *dir, const char *allowed, bool *ret, struct err *err)
{
    DIR *list = opendir(dir);
    struct dirent *e;

    *ret = true;
    if (!list)
        return errno == ENOENT ? RC_OK : failed("list", dir, err);
    while ((e = readdir(list))) {
        if (!streq(e->d_name, ".") && !streq(e->d_name, "..") &&
            !(allowed && streq(e->d_name, allowed)))
            *ret = false;
    }
    (void)closedir(list);
    return RC_OK;
}
