// SPDX-License-Identifier: Apache-2.0
/*
 * fs: blobs in one directory: small ones as rows of a file, the others as files.
 *
 *   objects/ab/cd/…   a blob that is a file (file.c)
 *   small.db          where a server runs: the blobs of at most 64 KiB that came to it (pack.h)
 *   tmp/<32 hex>      being written
 *   store-id          who this store is
 *
 *  I1  A key has one blob, in small.db or as a file, wherever it is looked for.
 *  I2  No sync is called again after it failed: the kernel forgets what it could not write and
 *      the second call succeeds. For directories and small.db `broken` stands for that.
 *
 * A file being written has no name (O_TMPFILE) where the file system offers that, so a crash
 * leaves nothing to sweep.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/crash.h"
#include "blob/fs/fs.h"
#include "blob/fs/pack.h"

/* Writing out a large stream begins while it comes in, so that the last sync is short. */
#define FLUSH_EACH MIB(1)
/*
 * What no new blob takes: to erase one that is a row takes room, as no file does. The log of rows
 * is emptied for it, into a file that grows by that: 4 MiB, and what one commit had beyond.
 */
#define ROOM_KEPT MIB(12)

struct fs_reader {
    struct blob_reader base;
    int fd;               /* -1: of the pack */
    const uint8_t *bytes; /* all of them, if so */
};

static enum rc
check_whole(struct fs_store *st, struct err *err)
{
    if (atomic_load(&st->broken))
        return err_set(err, RC_UNAVAILABLE, "blobs could not be synced before");
    return RC_OK;
}

/* --- room --- */

static enum rc
check_room(struct fs_store *st, struct err *err)
{
    struct statvfs info;

    if (fstatvfs(st->root, &info) || (int64_t)(info.f_bavail * info.f_frsize) >= ROOM_KEPT)
        return RC_OK;
    return err_set(err, RC_STORAGE_FULL, "no room but for what erasing takes");
}

/* --- writing --- */

/* The file of a writer, empty. */
static enum rc
open_file(struct fs_store *st, struct fs_writer *w, struct err *err)
{
    w->fd = fs_temporary_open(st, st->anonymous, w->tmp);
    return w->fd < 0 ? fs_fail(err, "making a temporary file") : RC_OK;
}

static enum rc
write_all(int fd, const void *bytes, size_t len, struct err *err)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fs_fail(err, "writing a blob");
        at += n;
        len -= (size_t)n;
    }
    return RC_OK;
}

/* What a writer has in memory goes to its file. */
static enum rc
spill(struct fs_store *st, struct fs_writer *w, struct err *err)
{
    enum rc rc = open_file(st, w, err);

    if (!rc)
        rc = write_all(w->fd, w->buffer, (size_t)w->base.size, err);
    small_close(st, w);
    return rc;
}

static enum rc
fs_write_open(struct blob_store *base, const struct blob_key *key, struct blob_writer **ret,
              struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
    struct fs_writer *w = MEM_NEW(NULL, struct fs_writer);
    enum rc rc = check_room(st, err);

    (void)key;
    w->fd = -1;
    if (!rc && !small_open(st, w))
        rc = open_file(st, w, err);
    if (rc) {
        (void)talloc_free(w);
        return rc;
    }
    CRASH_POINT("blob.after-open");
    *ret = &w->base;
    return RC_OK;
}

static enum rc
fs_write(struct blob_writer *base, const void *bytes, size_t len, struct err *err)
{
    struct fs_writer *w = (struct fs_writer *)base;
    struct fs_store *st = (struct fs_store *)base->store;
    int64_t size = base->size + (int64_t)len;
    enum rc rc = RC_OK;

    if (w->buffer && small_write(st, w, bytes, len))
        return RC_OK;
    if (w->buffer)
        rc = spill(st, w, err);
    if (!rc)
        rc = write_all(w->fd, bytes, len, err);
    if (rc)
        return rc;
    if (size - w->flushed >= FLUSH_EACH) {
        /* Only a head start: fdatasync() is what counts and reports. */
        (void)sync_file_range(w->fd, w->flushed, size - w->flushed, SYNC_FILE_RANGE_WRITE);
        w->flushed = size;
        rc = check_room(st, err);
    }
    CRASH_POINT("blob.after-write");
    return rc;
}

/* A key has one blob, in the pack or as a file. CONFLICT when it is there already. */
static enum rc
check_new(struct fs_store *st, struct fs_writer *w, struct err *err)
{
    const struct blob_key *key = &w->base.key;
    int64_t size;
    enum rc rc;

    if (w->buffer)
        rc = file_stat(st, key, &size, err);
    else
        rc = st->pack ? pack_stat(st->pack, key, &size, err) : RC_NOT_FOUND;
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    return rc ? rc : err_set(err, RC_CONFLICT, "there is a blob of this key");
}

static enum rc
fs_write_finish(struct blob_writer *base, struct err *err)
{
    struct fs_writer *w = (struct fs_writer *)base;
    struct fs_store *st = (struct fs_store *)base->store;
    enum rc rc = check_whole(st, err);

    if (!rc)
        rc = check_new(st, w, err);
    if (rc)
        return rc;
    return w->buffer ? pack_put(st->pack, &base->key, w->buffer, (size_t)base->size, err)
                     : file_finish(st, w, err);
}

static void
fs_writer_free(struct blob_writer *base)
{
    struct fs_writer *w = (struct fs_writer *)base;
    struct fs_store *st = (struct fs_store *)base->store;

    fd_close(&w->fd);
    if (w->tmp[0])
        (void)unlinkat(st->tmp, w->tmp, 0);
    small_close(st, w);
    (void)talloc_free(w);
}

/* --- reading --- */

static enum rc
read_pack(struct fs_store *st, const struct blob_key *key, struct blob_reader **ret,
          struct err *err)
{
    struct fs_reader *r = MEM_NEW(NULL, struct fs_reader);
    enum rc rc = pack_get(st->pack, key, r, &r->bytes, &r->base.size, err);

    r->fd = -1;
    if (rc)
        (void)talloc_free(r);
    else
        *ret = &r->base;
    return rc;
}

static enum rc
read_file(struct fs_store *st, const struct blob_key *key, struct blob_reader **ret,
          struct err *err)
{
    struct fs_reader *r;
    int64_t size;
    int fd = -1;
    enum rc rc = file_open(st, key, &fd, &size, err);

    if (rc)
        return rc;
    r = MEM_NEW(NULL, struct fs_reader);
    r->base.size = size;
    r->fd = fd;
    *ret = &r->base;
    return RC_OK;
}

static enum rc
fs_read_open(struct blob_store *base, const struct blob_key *key, struct blob_reader **ret,
             struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
    enum rc rc = st->pack ? read_pack(st, key, ret, err) : RC_NOT_FOUND;

    return rc == RC_NOT_FOUND ? read_file(st, key, ret, err) : rc;
}

static enum rc
fs_read(struct blob_reader *base, int64_t offset, void *into, size_t len, struct err *err)
{
    struct fs_reader *r = (struct fs_reader *)base;
    char *at = into;

    if (r->bytes) {
        memcpy(into, r->bytes + offset, len);
        return RC_OK;
    }
    while (len > 0) {
        ssize_t n = pread(r->fd, at, len, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fs_fail(err, "reading a blob");
        if (n == 0)
            return err_set(err, RC_IO, "a blob ends at %lld, before its size %lld",
                           (long long)offset, (long long)base->size);
        at += n;
        offset += n;
        len -= (size_t)n;
    }
    return RC_OK;
}

static int
fs_reader_fd(const struct blob_reader *base)
{
    return ((const struct fs_reader *)base)->fd;
}

static void
fs_reader_free(struct blob_reader *base)
{
    struct fs_reader *r = (struct fs_reader *)base;

    fd_close(&r->fd);
    (void)talloc_free(r);
}

static enum rc
fs_stat(struct blob_store *base, const struct blob_key *key, int64_t *ret_size, struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
    enum rc rc = st->pack ? pack_stat(st->pack, key, ret_size, err) : RC_NOT_FOUND;

    return rc == RC_NOT_FOUND ? file_stat(st, key, ret_size, err) : rc;
}

/* --- removing --- */

/*
 * A file goes without the pack, which takes room to be emptied, and time. What is in neither may
 * have been erased from the pack just now, or before a crash: then it waits for that.
 */
static enum rc
fs_remove(struct blob_store *base, const struct blob_key *key, struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
    bool found = false;
    int64_t size;
    enum rc rc = check_whole(st, err);

    if (rc)
        return rc;
    rc = st->pack ? pack_stat(st->pack, key, &size, err) : RC_NOT_FOUND;
    if (rc == RC_NOT_FOUND)
        rc = file_remove(st, key, &found, err);
    return rc || found || !st->pack ? rc : pack_erase(st->pack, key, err);
}

/* --- the store --- */

static enum rc
each(struct blob_store *base, blob_visit_fn *visit, blob_stranger_fn *stranger, void *arg,
     struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
    enum rc rc = st->pack ? pack_each(st->pack, visit, arg, err) : RC_OK;

    return rc ? rc : fs_each_file(st, visit, stranger, arg, err);
}

static int64_t
fs_free_bytes(struct blob_store *base)
{
    struct fs_store *st = (struct fs_store *)base;
    struct statvfs info;

    if (fstatvfs(st->root, &info))
        return 0;
    return (int64_t)(info.f_bavail * info.f_frsize);
}

static void
fs_store_free(struct blob_store *base)
{
    struct fs_store *st = (struct fs_store *)base;

    pack_free(&st->pack);
    fd_close(&st->tmp);
    fd_close(&st->objects);
    fd_close(&st->root);
    (void)talloc_free(st);
}

static const struct blob_driver fs_driver = {
    .name = "fs",
    .caps = BLOB_HAS_FD | BLOB_DURABLE,
    .store_free = fs_store_free,
    .identity = fs_identity,
    .identify = fs_identify,
    .free_bytes = fs_free_bytes,
    .share_syncs = fs_share_syncs,
    .write_open = fs_write_open,
    .write = fs_write,
    .write_finish = fs_write_finish,
    .writer_free = fs_writer_free,
    .read_open = fs_read_open,
    .read = fs_read,
    .reader_fd = fs_reader_fd,
    .reader_free = fs_reader_free,
    .stat = fs_stat,
    .remove = fs_remove,
    .each = each,
    .sweep = fs_sweep,
};

/* Opens the store's directories, making and syncing what is absent. */
static enum rc
open_dirs(struct fs_store *st, const char *dir, struct err *err)
{
    SCOPED_FD above = -1;
    bool made = mkdir(dir, 0700) == 0;

    if (!made && errno != EEXIST)
        return fs_fail(err, "making the blob directory");
    /* The one name that is the administrator's: there a symbolic link is fine. */
    st->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (st->root < 0)
        return fs_fail(err, "opening the blob directory");
    if ((mkdirat(st->root, "objects", 0700) && errno != EEXIST) ||
        (mkdirat(st->root, "tmp", 0700) && errno != EEXIST))
        return fs_fail(err, "making the blob directories");
    st->objects = openat(st->root, "objects", DIR_FLAGS);
    st->tmp = openat(st->root, "tmp", DIR_FLAGS);
    if (st->objects < 0 || st->tmp < 0)
        return fs_fail(err, "opening the blob directories");
    if (fsync(st->root))
        return fs_fail(err, "syncing the blob directory");
    /* Every time: the start that made it may not have come this far. */
    above = openat(st->root, "..", DIR_FLAGS);
    if (above < 0 && errno == EACCES && !made)
        return RC_OK;
    if (above < 0 || fsync(above))
        return fs_fail(err, "syncing the directory above the blobs");
    return RC_OK;
}

/* The small blobs of a store that has some; who only reads makes no file for them. */
static enum rc
open_pack(struct fs_store *st, const char *dir, struct err *err)
{
    char *real = realpath(dir, NULL); /* SQLite opens no path with a symbolic link in it */
    enum rc rc;

    if (!real)
        return fs_fail(err, "finding the blob directory");
    st->pack_path = talloc_asprintf(st, "%s/" PACK_FILE, real);
    free(real);
    BUG_ON(!st->pack_path);
    rc = pack_open(st->pack_path, false, &st->broken, &st->pack, err);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* Tries one of the two ways to publish a file; errno tells why not. */
static bool
probe(struct fs_store *st, bool anonymous)
{
    char tmp[ID_HEX + 1];
    char name[ID_HEX + 1];
    SCOPED_FD fd = fs_temporary_open(st, anonymous, tmp);
    int failed;

    if (fd < 0)
        return false;
    fs_tmp_name(name);
    if (anonymous)
        failed = fs_link_anonymous(fd, st->tmp, name);
    else
        failed = renameat2(st->tmp, tmp, st->tmp, name, RENAME_NOREPLACE);
    if (failed && tmp[0])
        (void)unlinkat(st->tmp, tmp, 0);
    if (!failed)
        (void)unlinkat(st->tmp, name, 0);
    return !failed;
}

/*
 * btrfs leaves the extents of a file without a name out of its log, and fsync() of the directory
 * that gets the name logs no more than that the file exists: a power cut could empty it.
 */
static bool
syncs_anonymous(struct fs_store *st)
{
    struct statfs info;

    return fstatfs(st->tmp, &info) == 0 && info.f_type != BTRFS_SUPER_MAGIC;
}

static enum rc
store_open(const char *dir, bool try_anonymous, struct blob_store **ret, struct err *err)
{
    SCOPED(blob_store) base = NULL;
    struct fs_store *st = MEM_NEW(NULL, struct fs_store);
    enum rc rc;

    st->base.driver = &fs_driver;
    st->root = st->objects = st->tmp = -1;
    base = &st->base;
    rc = open_dirs(st, dir, err);
    if (rc)
        return rc;
    st->anonymous = try_anonymous && syncs_anonymous(st) && probe(st, true);
    if (!st->anonymous && !probe(st, false))
        return fs_fail(err, "the file system cannot give a file a name without replacing");
    rc = open_pack(st, dir, err);
    if (!rc)
        rc = fs_recover(st, err);
    if (rc)
        return rc;
    *ret = base;
    base = NULL;
    return RC_OK;
}

enum rc
blob_store_open_fs(const char *dir, struct blob_store **ret, struct err *err)
{
    return store_open(dir, true, ret, err);
}

enum rc
blob_store_open_fs_named(const char *dir, struct blob_store **ret, struct err *err)
{
    return store_open(dir, false, ret, err);
}
