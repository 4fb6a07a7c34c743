// SPDX-License-Identifier: Apache-2.0
#include "cmd/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/document.h"
#include "store/object.h"

#define BLOCK (256 * 1024)
#define SHOW_MS 1000
#define OPENED_MAX 4096
#define OPENED_BYTES_MAX MIB(1024)
#define OPENED_MEMORY_MAX MIB(16) /* of blobs that are no files: open, they are in memory */

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

/* What a row says of its bytes. */
struct wanted {
    struct blob_key key;
    int64_t size;
    uint8_t sha256[SHA256_LEN];
};

/* Of bytes that came past us the row knows none. */
static bool
same_hash(const uint8_t is[SHA256_LEN], const uint8_t wanted[SHA256_LEN])
{
    return !sha256_known(wanted) || crypto_equal(is, wanted, SHA256_LEN);
}

struct opened {
    struct wanted wanted;
    struct blob_reader *reader;
};

/*
 * A finished blob that does not match its row is removed again; the writer has no way to look at
 * the hash before.
 */
static enum rc
copy_blob(struct copy *c, const struct wanted *wanted, struct blob_reader *r, struct err *err)
{
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    char text[ID_TEXT_LEN];
    enum rc rc = blob_write_open(c->to, &wanted->key, &w, err);

    if (!rc)
        rc = pour(r, w, err);
    if (!rc)
        rc = blob_write_finish(w, &info, err);
    if (rc)
        return rc;
    if (info.size == wanted->size && same_hash(info.sha256, wanted->sha256))
        return RC_OK;
    rc = blob_delete(c->to, &wanted->key, err);
    if (rc)
        return rc;
    id_format(&wanted->key.id, ID_DOCUMENT, ID_UUID, text);
    return err_set(err, RC_IO,
                   "the bytes %s are not what their row says; `dossier check` lists all"
                   " that are damaged",
                   text);
}

static void
show(struct copy *c)
{
    c->shown_ms_ = clock_mono_ms();
    command_progress(c->env, "%s %lld of %lld blobs, %lld of %lld MiB (%d %%)", c->verb_,
                     (long long)c->done_blobs_, (long long)c->all_blobs_,
                     (long long)(c->done_bytes_ / MIB(1)), (long long)(c->all_bytes_ / MIB(1)),
                     c->all_bytes_ ? (int)(c->done_bytes_ * 100 / c->all_bytes_) : 100);
}

static void
done(struct copy *c, const struct wanted *w)
{
    c->done_blobs_++;
    c->done_bytes_ += w->size;
    if (clock_mono_ms() - c->shown_ms_ >= SHOW_MS)
        show(c);
}

/* Copies what is open; only closes it when `rc` tells of a failure before. */
static enum rc
copy_opened(struct copy *c, enum rc rc, struct err *err)
{
    for (size_t i = 0; i < c->n_opened_; i++) {
        struct opened *o = &c->opened_[i];

        if (!rc)
            rc = copy_blob(c, &o->wanted, o->reader, err);
        blob_reader_free(&o->reader);
        done(c, &o->wanted);
    }
    c->n_opened_ = 0;
    c->opened_bytes_ = c->opened_memory_ = 0;
    return rc;
}

typedef enum rc visit_fn(struct copy *c, const struct wanted *w, struct err *err);

/* Removes bytes of the target that are not what their row says. */
static enum rc
reject(struct copy *c, const struct wanted *w, struct err *err)
{
    char text[ID_TEXT_LEN];

    id_format(&w->key.id, ID_DOCUMENT, ID_UUID, text);
    log_warn("the copy of the bytes %s was damaged; it is made anew", text);
    return blob_delete(c->to, &w->key, err);
}

/*
 * Bytes that are open can be read even when they are erased meanwhile. To open is quick and to copy
 * is not, so many are opened first; not all, so that what is erased is soon off the disk.
 */
static enum rc
open_source(struct copy *c, const struct wanted *w, struct err *err)
{
    struct opened *o;
    enum rc rc = RC_OK;

    if (c->n_opened_ == c->max_opened_ || c->opened_bytes_ >= OPENED_BYTES_MAX ||
        c->opened_memory_ >= OPENED_MEMORY_MAX)
        rc = copy_opened(c, rc, err);
    o = &c->opened_[c->n_opened_];
    if (!rc)
        rc = blob_read_open(c->from, &w->key, &o->reader, err);
    if (rc)
        return rc;
    o->wanted = *w;
    c->n_opened_++;
    c->opened_bytes_ += w->size;
    if (blob_reader_fd(o->reader) < 0)
        c->opened_memory_ += blob_reader_size(o->reader);
    return RC_OK;
}

static enum rc
need(struct copy *c, const struct wanted *w, struct err *err)
{
    int64_t there = 0;
    enum rc rc = blob_stat(c->to, &w->key, &there, err);

    if (!rc && there == w->size) {
        done(c, w);
        return RC_OK;
    }
    if (!rc)
        rc = reject(c, w, err);
    if (!rc || rc == RC_NOT_FOUND)
        rc = open_source(c, w, err);
    if (rc != RC_NOT_FOUND)
        return rc;
    c->lost++;
    done(c, w);
    return RC_OK;
}

static enum rc
hash(struct blob_reader *r, uint8_t ret[SHA256_LEN], struct err *err)
{
    SCOPED_POOL(pool);
    struct sha256 *sum = sha256_new();
    char *block = mem_zalloc(pool, BLOCK);
    int64_t at = 0;
    size_t n = 0;
    enum rc rc;

    do {
        rc = blob_read(r, at, block, BLOCK, &n, err);
        if (!rc)
            sha256_add(sum, block, n);
        at += (int64_t)n;
    } while (!rc && n > 0);
    sha256_done(&sum, ret);
    return rc;
}

/* Bytes that cannot be read are as good as damaged: the disk may take others in their place. */
static enum rc
verify(struct copy *c, const struct wanted *w, struct err *err)
{
    SCOPED(blob_reader) r = NULL;
    uint8_t found[SHA256_LEN];
    enum rc rc = blob_read_open(c->to, &w->key, &r, err);

    if (!rc)
        rc = hash(r, found, err);
    done(c, w);
    if (!rc && same_hash(found, w->sha256))
        return RC_OK;
    if (rc == RC_UNAVAILABLE) /* that says nothing about the disk */
        return rc;
    c->damaged++;
    return reject(c, w, err);
}

/* One walk over all rows. */
struct walk {
    struct copy *copy;
    visit_fn *visit; /* NULL: only counts */
    int64_t workspace;
};

static enum rc
pass(struct walk *walk, const struct id *blob, int64_t size, const uint8_t *sha256, struct err *err)
{
    struct wanted w = {.key = {.workspace = walk->workspace, .id = *blob}, .size = size};

    walk->copy->blobs++;
    walk->copy->bytes += size;
    if (!walk->visit)
        return RC_OK;
    memcpy(w.sha256, sha256, sizeof(w.sha256));
    return walk->visit(walk->copy, &w, err);
}

static enum rc
pass_document(void *arg, const struct document *d, struct err *err)
{
    return pass(arg, &d->blob_id, d->size_bytes, d->sha256, err);
}

static enum rc
pass_object(void *arg, const struct object *o, struct err *err)
{
    return pass(arg, &o->blob_id, o->size_bytes, o->sha256, err);
}

static enum rc
pass_workspace(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    const struct document_filter all = {.after_ms = -1, .before_ms = -1};
    struct walk *walk = arg;
    int64_t n = 0;
    enum rc rc;

    walk->workspace = w->number;
    rc = document_count(tx, w->number, &all, &n, err);
    walk->copy->documents += n;
    if (!rc)
        rc = document_each_blob(tx, w->number, pass_document, walk, err);
    if (!rc)
        rc = object_each(tx, w->number, pass_object, walk, err);
    return rc;
}

static enum rc
walk_rows(struct copy *c, struct db_conn *conn, visit_fn *visit, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms()};
    struct walk walk = {.copy = c, .visit = visit};

    c->documents = c->blobs = c->bytes = 0;
    return workspace_each(&tx, pass_workspace, &walk, err);
}

/* Twice over the rows, so that the progress of the second time is that of a known whole. */
static enum rc
work(struct copy *c, struct db_conn *conn, const char *verb, visit_fn *visit, struct err *err)
{
    enum rc rc = walk_rows(c, conn, NULL, err);

    c->verb_ = verb;
    c->all_blobs_ = c->blobs;
    c->all_bytes_ = c->bytes;
    c->done_blobs_ = c->done_bytes_ = 0;
    return rc ? rc : walk_rows(c, conn, visit, err);
}

enum rc
copy_blobs(struct copy *c, struct db_conn *conn, struct err *err)
{
    SCOPED_POOL(pool);
    long descriptors = sysconf(_SC_OPEN_MAX);
    enum rc rc;

    c->lost = 0;
    c->max_opened_ = OPENED_MAX;
    if (descriptors > 0 && descriptors / 2 < OPENED_MAX) /* the copying needs some, too */
        c->max_opened_ = (size_t)descriptors / 2;
    c->opened_ = MEM_ARRAY(pool, struct opened, c->max_opened_);
    rc = work(c, conn, "copied", need, err);
    rc = copy_opened(c, rc, err);
    c->opened_ = NULL;
    if (!rc)
        show(c);
    return rc;
}

enum rc
copy_verify(struct copy *c, struct db_conn *conn, struct err *err)
{
    enum rc rc;

    c->damaged = 0;
    rc = work(c, conn, "verified", verify, err);
    if (!rc)
        show(c);
    return rc;
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
            return RC_OK;
        for (ssize_t at = 0; at < n; at += done) {
            done = write(out, block + at, (size_t)(n - at));
            if (done < 0)
                return failed("write", to, err);
        }
    }
}

enum rc
copy_file(const char *from, const char *to, bool synced, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out;
    enum rc rc;

    if (in < 0)
        return failed("read", from, err);
    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    rc = out < 0 ? failed("write", to, err) : pour_file(in, out, to, err);
    if (!rc && synced && fsync(out) != 0)
        rc = failed("sync", to, err);
    (void)close(in);
    if (out >= 0 && close(out) != 0 && !rc)
        rc = failed("write", to, err);
    return rc;
}

enum rc
copy_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum rc rc = fd >= 0 && fsync(fd) == 0 ? RC_OK : failed("sync", path, err);

    if (fd >= 0)
        (void)close(fd);
    return rc;
}

enum rc
copy_rename(const char *from, const char *to, const char *dir, struct err *err)
{
    if (rename(from, to) != 0)
        return failed("name", to, err);
    return copy_sync(dir, err);
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
