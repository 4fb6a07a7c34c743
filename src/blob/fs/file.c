// SPDX-License-Identifier: Apache-2.0
/*
 * file: blobs of the fs driver that are files: objects/ab/cd/… (blob/name.h).
 *
 *  I1  A file in objects/ is complete and on disk before it has that name; no call can replace it.
 *  I2  A directory whose bit is set in known_middles (ab) or known_leaves (ab/cd) is itself on
 *      disk, with all above it.
 *  I3  Every name is resolved below a directory we hold open, and no symbolic link is followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "blob/fs/fs.h"

enum rc
fs_fail(struct err *err, const char *what)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
        return err_errno(err, RC_STORAGE_FULL, what);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return err_errno(err, RC_UNAVAILABLE, what);
    default:
        return err_errno(err, RC_IO, what);
    }
}

static enum rc
sync_dir(struct fs_store *st, int fd, struct err *err)
{
    if (fsync(fd) == 0)
        return RC_OK;
    atomic_store(&st->broken, true);
    return err_errno(err, RC_COMMIT_UNKNOWN, "syncing a blob directory");
}

/* --- directories --- */

static int
open_dir(int parent, uint8_t number)
{
    char name[3];

    crypto_hex(&number, 1, name);
    return openat(parent, name, DIR_FLAGS);
}

/* Like open_dir(), making the directory when it is absent. */
static int
make_dir(int parent, uint8_t number)
{
    char name[3];

    crypto_hex(&number, 1, name);
    if (mkdirat(parent, name, 0700) && errno != EEXIST)
        return -1;
    return openat(parent, name, DIR_FLAGS);
}

/* Opens the leaf of `key` if there is one: NOT_FOUND when not. */
static enum rc
leaf_open(struct fs_store *st, const struct blob_key *key, int *ret, struct err *err)
{
    SCOPED_FD middle = open_dir(st->objects, key->id.b[14]);

    if (middle >= 0)
        *ret = open_dir(middle, key->id.b[15]);
    if (middle >= 0 && *ret >= 0)
        return RC_OK;
    if (errno == ENOENT)
        return err_set(err, RC_NOT_FOUND, "no such blob: its directory is absent");
    return fs_fail(err, "opening a blob directory");
}

static bool
is_known(_Atomic unsigned char *bits, unsigned i)
{
    return (atomic_load(&bits[i / 8]) >> (i % 8)) & 1U;
}

static void
set_known(_Atomic unsigned char *bits, unsigned i)
{
    (void)atomic_fetch_or(&bits[i / 8], (unsigned char)(1U << (i % 8)));
}

/* Syncs the entries by which a leaf and its parent are reached, and remembers that. */
static enum rc
sync_path(struct fs_store *st, int middle, unsigned leaf, struct err *err)
{
    enum rc rc = sync_dir(st, middle, err);

    if (!rc && !is_known(st->known_middles, leaf >> 8))
        rc = sync_dir(st, st->objects, err);
    if (rc)
        return rc;
    set_known(st->known_middles, leaf >> 8);
    set_known(st->known_leaves, leaf);
    return RC_OK;
}

/*
 * Opens the leaf of `key`, making it when needed. That it exists does not tell that it is on disk:
 * another thread, or a process that crashed, may have made it this moment. So the first use syncs.
 */
static enum rc
leaf_make(struct fs_store *st, const struct blob_key *key, int *ret, struct err *err)
{
    unsigned leaf = (unsigned)key->id.b[14] << 8 | key->id.b[15];
    SCOPED_FD middle = -1;
    SCOPED_FD fd = -1;
    enum rc rc;

    if (is_known(st->known_leaves, leaf))
        return leaf_open(st, key, ret, err);
    middle = make_dir(st->objects, key->id.b[14]);
    if (middle < 0)
        return fs_fail(err, "making a blob directory");
    fd = make_dir(middle, key->id.b[15]);
    if (fd < 0)
        return fs_fail(err, "making a blob directory");
    rc = sync_path(st, middle, leaf, err);
    if (rc)
        return rc;
    *ret = fd;
    fd = -1;
    return RC_OK;
}

/* --- writing --- */

void
fs_tmp_name(char out[ID_HEX + 1])
{
    struct id id = id_new();

    crypto_hex(id.b, sizeof(id.b), out);
}

int
fs_link_anonymous(int fd, int dir, const char *name)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW);
}

int
fs_temporary_open(struct fs_store *st, bool anonymous, char tmp[ID_HEX + 1])
{
    int fd;

    tmp[0] = '\0';
    if (anonymous)
        return openat(st->tmp, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    fs_tmp_name(tmp);
    fd = openat(st->tmp, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        tmp[0] = '\0';
    return fd;
}

/* Gives the file its name in `dir`, and closes it. CONFLICT when that exists. */
static enum rc
publish(struct fs_store *st, struct fs_writer *w, int dir, const char *name, struct err *err)
{
    int fd = w->fd;
    int failed;

    if (w->tmp[0])
        failed = renameat2(st->tmp, w->tmp, dir, name, RENAME_NOREPLACE);
    else
        failed = fs_link_anonymous(fd, dir, name);
    if (failed && errno == EEXIST)
        return err_set(err, RC_CONFLICT, "blob %s exists", name);
    if (failed)
        return fs_fail(err, "giving a blob its name");
    w->tmp[0] = '\0';
    w->fd = -1;
    if (close(fd) == 0)
        return RC_OK;
    (void)fs_fail(err, "closing a blob");
    (void)unlinkat(dir, name, 0);
    return err->code;
}

enum rc
file_finish(struct fs_store *st, struct fs_writer *w, struct err *err)
{
    const struct blob_key *key = &w->base.key;
    char name[NAME_HEX + 1];
    SCOPED_FD dir = -1;
    enum rc rc;

    CRASH_POINT("blob.before-sync");
    if (fdatasync(w->fd))
        return fs_fail(err, "syncing a blob");
    CRASH_POINT("blob.after-sync");
    rc = leaf_make(st, key, &dir, err);
    if (rc)
        return rc == RC_NOT_FOUND ? err_set(err, RC_IO, "a blob directory has vanished") : rc;
    name_of(key, name);
    rc = publish(st, w, dir, name, err);
    if (rc)
        return rc;
    CRASH_POINT("blob.after-link");
    rc = sync_dir(st, dir, err);
    CRASH_POINT("blob.after-dir-sync");
    if (rc)
        (void)unlinkat(dir, name, 0);
    return rc;
}

/* --- reading and removing --- */

enum rc
file_open(struct fs_store *st, const struct blob_key *key, int *ret, int64_t *ret_size,
          struct err *err)
{
    char name[NAME_HEX + 1];
    SCOPED_FD dir = -1;
    SCOPED_FD fd = -1;
    struct stat info;
    enum rc rc;

    rc = leaf_open(st, key, &dir, err);
    if (rc)
        return rc;
    name_of(key, name);
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, RC_NOT_FOUND, "no blob %s", name);
    if (fd < 0 || fstat(fd, &info))
        return fs_fail(err, "opening a blob");
    if (!S_ISREG(info.st_mode))
        return err_set(err, RC_IO, "blob %s is no regular file", name);
    *ret = fd;
    *ret_size = info.st_size;
    fd = -1;
    return RC_OK;
}

enum rc
file_stat(struct fs_store *st, const struct blob_key *key, int64_t *ret_size, struct err *err)
{
    char name[NAME_HEX + 1];
    SCOPED_FD dir = -1;
    struct stat info;
    enum rc rc;

    rc = leaf_open(st, key, &dir, err);
    if (rc)
        return rc;
    name_of(key, name);
    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW)) {
        if (errno == ENOENT)
            return err_set(err, RC_NOT_FOUND, "no blob %s", name);
        return fs_fail(err, "looking at a blob");
    }
    if (!S_ISREG(info.st_mode))
        return err_set(err, RC_IO, "blob %s is no regular file", name);
    *ret_size = info.st_size;
    return RC_OK;
}

enum rc
file_remove(struct fs_store *st, const struct blob_key *key, bool *ret_found, struct err *err)
{
    char name[NAME_HEX + 1];
    SCOPED_FD dir = -1;
    enum rc rc = leaf_open(st, key, &dir, err);

    *ret_found = false;
    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    name_of(key, name);
    CRASH_POINT("blob.before-unlink");
    /* Absent is synced as well: another thread may have unlinked it without having synced yet. */
    *ret_found = unlinkat(dir, name, 0) == 0;
    if (!*ret_found && errno != ENOENT)
        return fs_fail(err, "removing a blob");
    CRASH_POINT("blob.after-unlink");
    return sync_dir(st, dir, err);
}
