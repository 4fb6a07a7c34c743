// SPDX-License-Identifier: Apache-2.0
/*
 * walk: what lists the directories of the fs driver: all blobs that are files, and stale temporary
 * files.
 *
 *  I1  Only a file with the one name that a key has, in the one place that name has, is a blob.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "blob/fs/fs.h"

static int64_t
mtime_ms(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000;
}

/* Removes one file of tmp/ when it is one of ours and old enough. */
static enum rc
sweep_one(struct fs_store *st, const char *name, int64_t older_than_ms, size_t *removed,
          struct err *err)
{
    struct stat info;
    struct id id;

    if (strlen(name) != ID_HEX || !name_hex(name, id.b, sizeof(id.b)))
        return RC_OK;
    if (fstatat(st->tmp, name, &info, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? RC_OK : fs_fail(err, "looking at a temporary file");
    if (!S_ISREG(info.st_mode) || mtime_ms(&info) >= older_than_ms)
        return RC_OK;
    if (unlinkat(st->tmp, name, 0))
        return errno == ENOENT ? RC_OK : fs_fail(err, "removing a temporary file");
    ++*removed;
    return RC_OK;
}

/* A stream of the entries of `parent`/`name`. NULL with errno. */
static DIR *
list_open(int parent, const char *name)
{
    SCOPED_FD fd = openat(parent, name, DIR_FLAGS);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (list)
        fd = -1; /* the stream's now */
    return list;
}

/* The next entry but "." and ".."; RC_OK with NULL at the end. */
static enum rc
list_next(DIR *list, const char **ret, struct err *err)
{
    struct dirent *e;

    do {
        errno = 0;
        e = readdir(list);
    } while (e && (streq(e->d_name, ".") || streq(e->d_name, "..")));
    if (!e && errno)
        return fs_fail(err, "listing a blob directory");
    *ret = e ? e->d_name : NULL;
    return RC_OK;
}

enum rc
fs_sweep(struct blob_store *base, int64_t older_than_ms, size_t *ret_removed, struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
    DIR *list = list_open(st->tmp, ".");
    const char *name = NULL;
    enum rc rc;

    if (!list)
        return fs_fail(err, "opening the temporary directory");
    do {
        rc = list_next(list, &name, err);
        if (!rc && name)
            rc = sweep_one(st, name, older_than_ms, ret_removed, err);
    } while (!rc && name);
    (void)closedir(list);
    return rc;
}

struct walk {
    blob_visit_fn *visit;
    blob_stranger_fn *stranger;
    void *arg;
    unsigned level; /* directories below objects/ we are in: 0, 1, 2 */
    uint8_t ab[2];  /* and which */
};

static void
tell_stranger(const struct walk *walk, const char *name)
{
    char path[sizeof("objects/ab/cd/") + NAME_MAX];
    char ab[5];

    if (!walk->stranger)
        return;
    crypto_hex(walk->ab, 2, ab);
    if (walk->level == 0)
        (void)snprintf(path, sizeof(path), "objects/%s", name);
    else if (walk->level == 1)
        (void)snprintf(path, sizeof(path), "objects/%.2s/%s", ab, name);
    else
        (void)snprintf(path, sizeof(path), "objects/%.2s/%.2s/%s", ab, ab + 2, name);
    walk->stranger(walk->arg, path);
}

static enum rc
walk_file(struct walk *walk, int dir, const char *name, struct err *err)
{
    struct blob_key key;
    struct stat info;

    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? RC_OK : fs_fail(err, "looking at a blob");
    if (!S_ISREG(info.st_mode) || !name_parse(name, &key) ||
        memcmp(key.id.b + 14, walk->ab, 2) != 0) {
        tell_stranger(walk, name);
        return RC_OK;
    }
    return walk->visit(walk->arg, &key, info.st_size, mtime_ms(&info), err);
}

static enum rc walk_dir(struct walk *walk, int parent, const char *name, struct err *err);

/* One entry of `dir`: a directory on the levels above the leaves, a file in a leaf. */
static enum rc
walk_entry(struct walk *walk, int dir, const char *name, struct err *err)
{
    enum rc rc;

    if (walk->level == 2)
        return walk_file(walk, dir, name, err);
    if (strlen(name) != 2 || !name_hex(name, &walk->ab[walk->level], 1)) {
        tell_stranger(walk, name);
        return RC_OK;
    }
    walk->level++;
    rc = walk_dir(walk, dir, name, err);
    walk->level--;
    return rc;
}

static enum rc
walk_dir(struct walk *walk, int parent, const char *name, struct err *err)
{
    DIR *list = list_open(parent, name);
    const char *entry = NULL;
    enum rc rc;

    if (!list && (errno == ENOTDIR || errno == ELOOP)) {
        walk->level--; /* it stands in the directory above */
        tell_stranger(walk, name);
        walk->level++;
        return RC_OK;
    }
    if (!list)
        return errno == ENOENT ? RC_OK : fs_fail(err, "opening a blob directory");
    do {
        rc = list_next(list, &entry, err);
        if (!rc && entry)
            rc = walk_entry(walk, dirfd(list), entry, err);
    } while (!rc && entry);
    (void)closedir(list);
    return rc;
}

enum rc
fs_each_file(struct fs_store *st, blob_visit_fn *visit, blob_stranger_fn *stranger, void *arg,
             struct err *err)
{
    struct walk walk = {.visit = visit, .stranger = stranger, .arg = arg};

    return walk_dir(&walk, st->objects, ".", err);
}
