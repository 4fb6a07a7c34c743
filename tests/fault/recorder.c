// SPDX-License-Identifier: Apache-2.0
/*
 * recorder: preloaded, it notes every change to files below RECORD_ROOT in the file RECORD_LOG, in
 * the order in which the file system saw them, for power.py to tell what a power loss could leave.
 *
 *  I1  A record is complete before its call returns: what a client was told stands in the log.
 *  I2  One lock, of all processes with the same log, is held from before a call until its record
 *      is written, so the order of records is that of the effects.
 *  I3  Files are told apart by their inode number. A number that is free again comes back with a
 *      record of its making, so it means the newest file that was made with it.
 *
 * The log and the lock are opened before main(), since a server gives up the right to open them.
 * Not here: memory maps, and calls that the C library makes inside itself (dprintf). The test that
 * replays a whole log and compares it with the directory would show a call that is missing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The same as in power.py. */
enum op {
    OP_ROOT = 1,
    OP_CREATE,
    OP_MKDIR,
    OP_WRITE,
    OP_RESIZE,
    OP_LINK,
    OP_UNLINK,
    OP_RENAME,
    OP_SYNC,
    OP_SYNC_ALL
};

struct record {
    uint32_t op;
    uint32_t name_len, other_name_len; /* both names follow, then the bytes */
    uint32_t len;
    uint64_t file, dir, other_dir; /* inode numbers; 0: none */
    uint64_t at;                   /* offset of the bytes, or the new size */
};

static int log_fd = -1;
static char root[PATH_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The C library's own function, with the type of the one that stands before it. */
#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static void
give_up(const char *what)
{
    (void)fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
    abort();
}

static void
begin(void)
{
    (void)pthread_mutex_lock(&lock);
    if (flock(log_fd, LOCK_EX) != 0)
        give_up("lock");
}

static void
end(void)
{
    int saved = errno;

    (void)flock(log_fd, LOCK_UN);
    (void)pthread_mutex_unlock(&lock);
    errno = saved;
}

static void
put(struct record r, const char *name, const char *other_name, const void *bytes)
{
    int saved = errno;
    struct iovec parts[] = {
        {&r, sizeof(r)},
        {(char *)name, name ? strlen(name) : 0},
        {(char *)other_name, other_name ? strlen(other_name) : 0},
        {(void *)bytes, r.len},
    };
    size_t whole = 0;

    r.name_len = (uint32_t)parts[1].iov_len;
    r.other_name_len = (uint32_t)parts[2].iov_len;
    for (size_t i = 0; i < 4; i++)
        whole += parts[i].iov_len;
    if (REAL(writev)(log_fd, parts, 4) != (ssize_t)whole)
        give_up("write");
    errno = saved;
}

/* ---- what is ours to record ---- */

static int
is_below_root(int fd)
{
    char link[64], path[PATH_MAX];
    size_t len = strlen(root);
    ssize_t n;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (n < (ssize_t)len)
        return 0;
    path[n] = '\0';
    return strncmp(path, root, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* The inode number behind a descriptor; 0 when it is none of ours. errno stays. */
static uint64_t
file_of(int fd)
{
    int saved = errno;
    struct stat st;
    uint64_t ret = 0;

    if (log_fd >= 0 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) &&
        is_below_root(fd))
        ret = st.st_ino;
    errno = saved;
    return ret;
}

/* A name in a directory of ours. */
struct place {
    uint64_t dir; /* 0: it is none of ours */
    char name[NAME_MAX + 1];
};

static struct place
place_of(int at, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct place ret = {.dir = 0};
    char dir[PATH_MAX] = ".";
    int saved = errno, fd;

    if (log_fd < 0)
        return ret;
    if (slash)
        (void)snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    (void)snprintf(ret.name, sizeof(ret.name), "%s", slash ? slash + 1 : path);
    fd = REAL(openat)(at, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        ret.dir = file_of(fd);
        (void)close(fd);
    }
    errno = saved;
    return ret;
}

/* The inode number of what stands at a path; 0: nothing. errno stays. */
static uint64_t
file_at(int at, const char *path)
{
    int saved = errno;
    struct stat st;
    uint64_t ret = fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;

    errno = saved;
    return ret;
}

/* ---- calls that make or open files ---- */

static int
open_recorded(int at, const char *path, int flags, mode_t mode)
{
    const int nameless = (flags & O_TMPFILE) == O_TMPFILE;
    struct place place = {.dir = 0};
    uint64_t there, file;
    int fd;

    if (!nameless && (flags & (O_CREAT | O_TRUNC)))
        place = place_of(at, path);
    if (log_fd < 0 || (!nameless && !place.dir))
        return REAL(openat)(at, path, flags, mode);
    begin();
    there = nameless ? 0 : file_at(at, path);
    fd = REAL(openat)(at, path, flags, mode);
    file = fd < 0 ? 0 : file_of(fd);
    if (file && !there)
        put((struct record){.op = OP_CREATE, .file = file, .dir = place.dir}, place.name, NULL,
            NULL);
    else if (file && (flags & O_TRUNC))
        put((struct record){.op = OP_RESIZE, .file = file}, NULL, NULL, NULL);
    end();
    return fd;
}

/* The mode is there only when the flags say so. */
#define OPEN_BODY(at)                                                                              \
    va_list ap;                                                                                    \
    mode_t mode;                                                                                   \
                                                                                                   \
    va_start(ap, flags);                                                                           \
    mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;                               \
    va_end(ap);                                                                                    \
    return open_recorded((at), path, flags, mode)

int
open(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

int
open64(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

int
openat(int at, const char *path, int flags, ...)
{
    OPEN_BODY(at);
}

int
openat64(int at, const char *path, int flags, ...)
{
    OPEN_BODY(at);
}

int
mkdirat(int at, const char *path, mode_t mode)
{
    struct place place = place_of(at, path);
    int failed;

    if (!place.dir)
        return REAL(mkdirat)(at, path, mode);
    begin();
    failed = REAL(mkdirat)(at, path, mode);
    if (!failed)
        put((struct record){.op = OP_MKDIR, .file = file_at(at, path), .dir = place.dir},
            place.name, NULL, NULL);
    end();
    return failed;
}

int
mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/* ---- calls that change names ---- */

int
linkat(int from_at, const char *from, int at, const char *path, int flags)
{
    struct place place = place_of(at, path);
    int failed;

    if (!place.dir)
        return REAL(linkat)(from_at, from, at, path, flags);
    begin();
    failed = REAL(linkat)(from_at, from, at, path, flags);
    if (!failed)
        put((struct record){.op = OP_LINK, .file = file_at(at, path), .dir = place.dir}, place.name,
            NULL, NULL);
    end();
    return failed;
}

int
link(const char *from, const char *path)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, path, 0);
}

int
renameat2(int from_at, const char *from, int at, const char *path, unsigned flags)
{
    struct place old = place_of(from_at, from), new = place_of(at, path);
    int failed;

    if (!old.dir && !new.dir)
        return REAL(renameat2)(from_at, from, at, path, flags);
    if (!old.dir || !new.dir || (flags & RENAME_EXCHANGE))
        give_up("a rename that power.py cannot follow");
    begin();
    failed = REAL(renameat2)(from_at, from, at, path, flags);
    if (!failed)
        put((struct record){.op = OP_RENAME, .dir = old.dir, .other_dir = new.dir}, old.name,
            new.name, NULL);
    end();
    return failed;
}

int
renameat(int from_at, const char *from, int at, const char *path)
{
    return renameat2(from_at, from, at, path, 0);
}

int
rename(const char *from, const char *path)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, path, 0);
}

int
unlinkat(int at, const char *path, int flags)
{
    struct place place = place_of(at, path);
    int failed;

    if (!place.dir)
        return REAL(unlinkat)(at, path, flags);
    begin();
    failed = REAL(unlinkat)(at, path, flags);
    if (!failed)
        put((struct record){.op = OP_UNLINK, .dir = place.dir}, place.name, NULL, NULL);
    end();
    return failed;
}

int
unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* ---- calls that change bytes ---- */

ssize_t
pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    uint64_t file = file_of(fd);
    ssize_t n;

    if (!file)
        return REAL(pwrite64)(fd, bytes, len, at);
    begin();
    n = REAL(pwrite64)(fd, bytes, len, at);
    if (n > 0)
        put((struct record){.op = OP_WRITE, .file = file, .at = (uint64_t)at, .len = (uint32_t)n},
            NULL, NULL, bytes);
    end();
    return n;
}

ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return pwrite64(fd, bytes, len, at);
}

ssize_t
write(int fd, const void *bytes, size_t len)
{
    uint64_t file = file_of(fd);
    ssize_t n;

    if (!file)
        return REAL(write)(fd, bytes, len);
    begin();
    n = REAL(write)(fd, bytes, len);
    if (n > 0)
        put((struct record){.op = OP_WRITE,
                            .file = file,
                            .at = (uint64_t)(lseek64(fd, 0, SEEK_CUR) - n),
                            .len = (uint32_t)n},
            NULL, NULL, bytes);
    end();
    return n;
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    if (file_of(fd))
        give_up("writev to a file");
    return REAL(writev)(fd, parts, count);
}

int
ftruncate64(int fd, off64_t size)
{
    uint64_t file = file_of(fd);
    int failed;

    if (!file)
        return REAL(ftruncate64)(fd, size);
    begin();
    failed = REAL(ftruncate64)(fd, size);
    if (!failed)
        put((struct record){.op = OP_RESIZE, .file = file, .at = (uint64_t)size}, NULL, NULL, NULL);
    end();
    return failed;
}

int
ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

/* Only as it is used here: a file of that size, of zeros. */
int
posix_fallocate64(int fd, off64_t at, off64_t len)
{
    uint64_t file = file_of(fd);
    struct stat st;
    int failed;

    if (!file)
        return REAL(posix_fallocate64)(fd, at, len);
    begin();
    failed = REAL(posix_fallocate64)(fd, at, len);
    if (!failed && fstat(fd, &st) == 0)
        put((struct record){.op = OP_RESIZE, .file = file, .at = (uint64_t)st.st_size}, NULL, NULL,
            NULL);
    end();
    return failed;
}

int
posix_fallocate(int fd, off_t at, off_t len)
{
    return posix_fallocate64(fd, at, len);
}

int
fallocate64(int fd, int mode, off64_t at, off64_t len)
{
    if (file_of(fd))
        give_up("fallocate");
    return REAL(fallocate64)(fd, mode, at, len);
}

int
fallocate(int fd, int mode, off_t at, off_t len)
{
    return fallocate64(fd, mode, at, len);
}

/* ---- calls that make them last ---- */

static int
sync_recorded(int (*real)(int), int fd)
{
    uint64_t file = file_of(fd);
    int failed;

    if (!file)
        return real(fd);
    begin();
    failed = real(fd);
    if (!failed)
        put((struct record){.op = OP_SYNC, .file = file}, NULL, NULL, NULL);
    end();
    return failed;
}

int
fsync(int fd)
{
    return sync_recorded(REAL(fsync), fd);
}

int
fdatasync(int fd)
{
    return sync_recorded(REAL(fdatasync), fd);
}

int
syncfs(int fd)
{
    int failed;

    if (!file_of(fd))
        return REAL(syncfs)(fd);
    begin();
    failed = REAL(syncfs)(fd);
    if (!failed)
        put((struct record){.op = OP_SYNC_ALL}, NULL, NULL, NULL);
    end();
    return failed;
}

__attribute__((constructor)) static void
set_up(void)
{
    const char *log = getenv("RECORD_LOG"), *below = getenv("RECORD_ROOT");
    struct stat st;

    if (!log || !below)
        return;
    if (!realpath(below, root) || stat(root, &st) != 0)
        give_up(below);
    log_fd = REAL(openat)(AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_fd < 0)
        give_up(log);
    begin();
    put((struct record){.op = OP_ROOT, .file = st.st_ino}, NULL, NULL, NULL);
    end();
}
