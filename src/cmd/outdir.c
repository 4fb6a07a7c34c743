// SPDX-License-Identifier: Apache-2.0
#include "cmd/outdir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/js.h"
#include "cmd/copy.h"

static enum rc
write_file(const char *path, const char *text, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    size_t len = strlen(text);
    bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;

    if (fd >= 0 && close(fd) != 0)
        ok = false;
    return ok ? RC_OK : err_errno(err, RC_IO, path);
}

/* Two at once would each take away what the other needs. The kernel ends the lock. */
static enum rc
lock(struct outdir *o, struct err *err)
{
    o->lock = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (o->lock < 0)
        return err_errno(err, RC_IO, mem_printf(o->pool, "cannot open %s", o->dir));
    if (flock(o->lock, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, RC_BUSY, "another %s into %s is under way; wait for it", o->kind,
                       o->dir);
    return RC_OK;
}

/* True for the data directory and what is in it, by whatever name. */
static bool
within(const char *home_dir, const char *dir_name)
{
    char *home = realpath(home_dir, NULL), *dir = realpath(dir_name, NULL);
    size_t n = home ? strlen(home) : 0;
    bool is = home && dir && strncmp(dir, home, n) == 0 && (dir[n] == '\0' || dir[n] == '/');

    free(home);
    free(dir);
    return is;
}

static bool
has(const struct outdir *o, const char *name)
{
    return access(home_path(o->pool, o->dir, name), F_OK) == 0;
}

enum rc
outdir_open(struct outdir *o, const char *home, struct err *err)
{
    bool made = mkdir(o->dir, 0700) == 0, empty;
    enum rc rc;

    o->lock = -1;
    if (!made && errno != EEXIST)
        return err_errno(err, RC_IO, mem_printf(o->pool, "cannot make %s", o->dir));
    if (within(home, o->dir)) {
        if (made)
            (void)rmdir(o->dir);
        return err_set(err, RC_IO, "%s is in the data directory; give another one", o->dir);
    }
    rc = lock(o, err);
    if (!rc)
        rc = home_sync_above(o->dir, made, err);
    if (!rc)
        rc = copy_dir_empty(o->dir, NULL, &empty, err);
    if (rc)
        return rc;
    if (!empty && (has(o, o->alien) || (!has(o, COPY_MANIFEST) && !has(o, o->mark))))
        return err_set(err, RC_IO, "%s holds something that is no %s; give another directory",
                       o->dir, o->kind);
    rc = write_file(home_path(o->pool, o->dir, o->mark), "", err);
    return rc ? rc : copy_sync(o->dir, err);
}

enum rc
outdir_retire(const struct outdir *o, struct err *err)
{
    const char *manifest = home_path(o->pool, o->dir, COPY_MANIFEST);

    if (unlink(manifest) != 0 && errno != ENOENT)
        return err_errno(err, RC_IO, manifest);
    return copy_sync(o->dir, err);
}

enum rc
outdir_finish(const struct outdir *o, const json_t *manifest, struct err *err)
{
    const char *path = home_path(o->pool, o->dir, COPY_MANIFEST);
    const char *fresh = mem_printf(o->pool, "%s.new", path);
    size_t len;
    enum rc rc =
        write_file(fresh, mem_printf(o->pool, "%s\n", js_write(o->pool, manifest, &len)), err);

    if (!rc)
        rc = copy_rename(fresh, path, o->dir, err);
    if (!rc)
        (void)unlink(home_path(o->pool, o->dir, o->mark)); /* the manifest counts, not this */
    return rc;
}

void
outdir_close(struct outdir *o)
{
    if (o->lock >= 0)
        (void)close(o->lock);
    o->lock = -1;
}
