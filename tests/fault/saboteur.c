// SPDX-License-Identifier: Apache-2.0
/*
 * saboteur: stands in front of system calls and allocations, and makes them fail on demand.
 *
 * Preloaded into `dossier serve` by tests/fault/saboteur.py, which also makes the file named by
 * SABOTEUR: a struct control, mapped by both, so that a test arms a running server. It is mapped
 * before main(), that is before the server shuts itself in.
 *
 *  I1  Not armed, every call is passed on after one look at the mapping.
 *  I2  A call counts when it is in `calls` and, if it is one on files, concerns a file below
 *      `root` whose path contains `path`, or ends in it when `path` ends in '$'. The first-th to
 *      the last-th of those are spoilt.
 *  I3  No call of its own goes through what it stands in front of.
 *
 * Threads: any. What the test writes it writes while not armed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*
 * CALL(id, kind): what a test can choose from; variants of one call share its row. The kinds are
 * for saboteur.py, which reads this table: FILES, MEMORY, or neither.
 */
#define CALLS                                                                                      \
    CALL(open, FILES)                                                                              \
    CALL(read, FILES)                                                                              \
    CALL(pread, FILES)                                                                             \
    CALL(sendfile, FILES)                                                                          \
    CALL(write, FILES)                                                                             \
    CALL(pwrite, FILES)                                                                            \
    CALL(writev, FILES)                                                                            \
    CALL(fsync, FILES)                                                                             \
    CALL(fdatasync, FILES)                                                                         \
    CALL(syncfs, FILES)                                                                            \
    CALL(ftruncate, FILES)                                                                         \
    CALL(fallocate, FILES)                                                                         \
    CALL(rename, FILES)                                                                            \
    CALL(link, FILES)                                                                              \
    CALL(unlink, FILES)                                                                            \
    CALL(mkdir, FILES)                                                                             \
    CALL(opendir, FILES)                                                                           \
    CALL(readdir, FILES)                                                                           \
    CALL(stat, FILES)                                                                              \
    CALL(fcntl, OTHER)                                                                             \
    CALL(close, OTHER)                                                                             \
    CALL(accept, OTHER)                                                                            \
    CALL(getrandom, OTHER)                                                                         \
    CALL(malloc, MEMORY)                                                                           \
    CALL(calloc, MEMORY)                                                                           \
    CALL(realloc, MEMORY)                                                                          \
    CALL(mmap, MEMORY)

enum call {
#define CALL(id, kind) CALL_##id,
    CALLS
#undef CALL
        CALL_COUNT
};

#define ROWS_MAX 64

enum effect { FAIL, SHORT, DELAY };

struct control {
    _Atomic uint32_t armed;
    uint32_t effect; /* SHORT: the first is cut in half, the others fail if there is an error */
    int32_t error;
    uint32_t delay_ms;
    uint64_t calls; /* a bit for each of CALLS */
    uint64_t first;
    uint64_t last;
    _Atomic uint64_t seen;
    _Atomic uint64_t spoilt;
    _Atomic uint64_t hit; /* 1 + the row of the first that was spoilt */
    char root[1024];
    char path[256];
    _Atomic uint64_t counts[ROWS_MAX];
};

_Static_assert(CALL_COUNT <= ROWS_MAX, "one bit each");

static struct control *control;

/* Only the server: commands that a test runs beside it inherit its environment. */
__attribute__((constructor)) static void
attach(int argc, char **argv)
{
    const char *path = getenv("SABOTEUR");
    void *map;
    int fd;

    if (!path || argc < 2 || strcmp(argv[1], "serve") != 0)
        return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        abort();
    map = (void *)syscall(SYS_mmap, NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                          0);
    (void)syscall(SYS_close, fd);
    if (map == MAP_FAILED)
        abort();
    control = map;
}

static bool
watched(enum call c)
{
    return control && atomic_load_explicit(&control->armed, memory_order_acquire) &&
           (control->calls >> c & 1);
}

/* ---- which file ---- */

#define PATH_ROOM 4352

static bool
path_of_fd(int fd, char path[PATH_ROOM])
{
    char link[32];
    long n;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = syscall(SYS_readlinkat, AT_FDCWD, link, path, 4095);
    path[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static bool
path_at(int dir, const char *name, char path[PATH_ROOM])
{
    size_t n = 0;

    if (name[0] != '/' && dir != AT_FDCWD) {
        if (!path_of_fd(dir, path))
            return false;
        n = strlen(path);
        path[n++] = '/';
    }
    (void)snprintf(path + n, PATH_ROOM - n, "%s", name);
    return true;
}

static bool
concerns(const char *path)
{
    size_t n = strlen(control->root), len = strlen(path), part = strlen(control->path);

    if (strncmp(path, control->root, n) != 0 || (path[n] != '\0' && path[n] != '/'))
        return false;
    if (part == 0 || control->path[part - 1] != '$')
        return strstr(path + n, control->path) != NULL;
    part--;
    return len - n >= part && strncmp(path + len - part, control->path, part) == 0;
}

/* ---- what becomes of the call ---- */

enum verdict { PASS, HALF, BROKEN };

static void
sleep_ms(uint32_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    while (nanosleep(&left, &left) != 0)
        continue;
}

/* BROKEN has set errno. */
static enum verdict
count(enum call c)
{
    uint64_t n = atomic_fetch_add(&control->seen, 1) + 1, none = 0;

    (void)atomic_fetch_add(&control->counts[c], 1);
    if (n < control->first || n > control->last)
        return PASS;
    (void)atomic_fetch_add(&control->spoilt, 1);
    (void)atomic_compare_exchange_strong(&control->hit, &none, (uint64_t)c + 1);
    switch (control->effect) {
    case DELAY:
        sleep_ms(control->delay_ms);
        return PASS;
    case SHORT:
        if (n == control->first || control->error == 0)
            return HALF;
        break;
    default:
        break;
    }
    errno = control->error;
    return BROKEN;
}

static enum verdict
judge_at(enum call c, int dir, const char *name)
{
    char path[PATH_ROOM];

    return watched(c) && path_at(dir, name, path) && concerns(path) ? count(c) : PASS;
}

static enum verdict
judge_fd(enum call c, int fd)
{
    char path[PATH_ROOM];

    return watched(c) && path_of_fd(fd, path) && concerns(path) ? count(c) : PASS;
}

static enum verdict
judge(enum call c)
{
    return watched(c) ? count(c) : PASS;
}

/* The next of this name: the C library's, or a sanitizer's on the way to it. */
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static _Atomic(__typeof__(&name)) found_;                                                  \
        if (!found_)                                                                               \
            found_ = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                   \
        found_;                                                                                    \
    })

/* ---- opening ---- */

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        mode_t mode;                                                                               \
        va_list ap;                                                                                \
                                                                                                   \
        va_start(ap, flags);                                                                       \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
        return judge_at(CALL_open, AT_FDCWD, path) == BROKEN ? -1 : REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
    int name(int dir, const char *path, int flags, ...)                                            \
    {                                                                                              \
        mode_t mode;                                                                               \
        va_list ap;                                                                                \
                                                                                                   \
        va_start(ap, flags);                                                                       \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
        return judge_at(CALL_open, dir, path) == BROKEN ? -1 : REAL(name)(dir, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                                                \
    FILE *name(const char *path, const char *mode)                                                 \
    {                                                                                              \
        return judge_at(CALL_open, AT_FDCWD, path) == BROKEN ? NULL : REAL(name)(path, mode);      \
    }
FOPEN(fopen)
FOPEN(fopen64)

DIR *
opendir(const char *path)
{
    return judge_at(CALL_opendir, AT_FDCWD, path) == BROKEN ? NULL : REAL(opendir)(path);
}

DIR *
fdopendir(int fd)
{
    return judge_fd(CALL_opendir, fd) == BROKEN ? NULL : REAL(fdopendir)(fd);
}

struct dirent *
readdir(DIR *dir)
{
    return judge_fd(CALL_readdir, dirfd(dir)) == BROKEN ? NULL : REAL(readdir)(dir);
}

struct dirent64 *
readdir64(DIR *dir)
{
    return judge_fd(CALL_readdir, dirfd(dir)) == BROKEN ? NULL : REAL(readdir64)(dir);
}

int
close(int fd)
{
    (void)judge_fd(CALL_close, fd); /* counted; a close that fails has closed all the same */
    return REAL(close)(fd);
}

/* ---- reading and writing; half of one byte is one byte ---- */

#define HALVED(len, verdict) ((verdict) == HALF && (len) > 1 ? (len) / 2 : (len))

#define READ_OR_WRITE(name, row, pointer)                                                          \
    ssize_t name(int fd, pointer bytes, size_t len)                                                \
    {                                                                                              \
        enum verdict v = judge_fd(CALL_##row, fd);                                                 \
                                                                                                   \
        return v == BROKEN ? -1 : REAL(name)(fd, bytes, HALVED(len, v));                           \
    }
READ_OR_WRITE(read, read, void *)
READ_OR_WRITE(write, write, const void *)

#define READ_OR_WRITE_AT(name, row, pointer)                                                       \
    ssize_t name(int fd, pointer bytes, size_t len, off_t at)                                      \
    {                                                                                              \
        enum verdict v = judge_fd(CALL_##row, fd);                                                 \
                                                                                                   \
        return v == BROKEN ? -1 : REAL(name)(fd, bytes, HALVED(len, v), at);                       \
    }
READ_OR_WRITE_AT(pread, pread, void *)
READ_OR_WRITE_AT(pread64, pread, void *)
READ_OR_WRITE_AT(pwrite, pwrite, const void *)
READ_OR_WRITE_AT(pwrite64, pwrite, const void *)

ssize_t
writev(int fd, const struct iovec *list, int n)
{
    enum verdict v = judge_fd(CALL_writev, fd);

    return v == BROKEN ? -1 : REAL(writev)(fd, list, HALVED(n, v));
}

#define SENDFILE(name)                                                                             \
    ssize_t name(int to, int from, off_t *at, size_t len)                                          \
    {                                                                                              \
        enum verdict v = judge_fd(CALL_sendfile, from);                                            \
                                                                                                   \
        return v == BROKEN ? -1 : REAL(name)(to, from, at, HALVED(len, v));                        \
    }
SENDFILE(sendfile)
SENDFILE(sendfile64)

/* ---- syncing and sizing ---- */

int
fsync(int fd)
{
    return judge_fd(CALL_fsync, fd) == BROKEN ? -1 : REAL(fsync)(fd);
}

int
syncfs(int fd)
{
    return judge_fd(CALL_syncfs, fd) == BROKEN ? -1 : REAL(syncfs)(fd);
}

int
fdatasync(int fd)
{
    return judge_fd(CALL_fdatasync, fd) == BROKEN ? -1 : REAL(fdatasync)(fd);
}

#define FTRUNCATE(name)                                                                            \
    int name(int fd, off_t size)                                                                   \
    {                                                                                              \
        return judge_fd(CALL_ftruncate, fd) == BROKEN ? -1 : REAL(name)(fd, size);                 \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define FALLOCATE(name)                                                                            \
    int name(int fd, int mode, off_t at, off_t len)                                                \
    {                                                                                              \
        return judge_fd(CALL_fallocate, fd) == BROKEN ? -1 : REAL(name)(fd, mode, at, len);        \
    }
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

/* Returns the error and leaves errno alone. */
#define POSIX_FALLOCATE(name)                                                                      \
    int name(int fd, off_t at, off_t len)                                                          \
    {                                                                                              \
        return judge_fd(CALL_fallocate, fd) == BROKEN ? control->error : REAL(name)(fd, at, len);  \
    }
POSIX_FALLOCATE(posix_fallocate)
POSIX_FALLOCATE(posix_fallocate64)

/* ---- names; what has two is judged by the new one ---- */

int
rename(const char *from, const char *to)
{
    return judge_at(CALL_rename, AT_FDCWD, to) == BROKEN ? -1 : REAL(rename)(from, to);
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return judge_at(CALL_rename, to_dir, to) == BROKEN ? -1
                                                       : REAL(renameat)(from_dir, from, to_dir, to);
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return judge_at(CALL_rename, to_dir, to) == BROKEN
               ? -1
               : REAL(renameat2)(from_dir, from, to_dir, to, flags);
}

int
link(const char *from, const char *to)
{
    return judge_at(CALL_link, AT_FDCWD, to) == BROKEN ? -1 : REAL(link)(from, to);
}

int
linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return judge_at(CALL_link, to_dir, to) == BROKEN
               ? -1
               : REAL(linkat)(from_dir, from, to_dir, to, flags);
}

int
unlink(const char *path)
{
    return judge_at(CALL_unlink, AT_FDCWD, path) == BROKEN ? -1 : REAL(unlink)(path);
}

int
unlinkat(int dir, const char *path, int flags)
{
    return judge_at(CALL_unlink, dir, path) == BROKEN ? -1 : REAL(unlinkat)(dir, path, flags);
}

int
mkdir(const char *path, mode_t mode)
{
    return judge_at(CALL_mkdir, AT_FDCWD, path) == BROKEN ? -1 : REAL(mkdir)(path, mode);
}

int
mkdirat(int dir, const char *path, mode_t mode)
{
    return judge_at(CALL_mkdir, dir, path) == BROKEN ? -1 : REAL(mkdirat)(dir, path, mode);
}

/* ---- looking and locking ---- */

#define STAT(name, type)                                                                           \
    int name(const char *path, struct type *into)                                                  \
    {                                                                                              \
        return judge_at(CALL_stat, AT_FDCWD, path) == BROKEN ? -1 : REAL(name)(path, into);        \
    }
STAT(stat, stat)
STAT(stat64, stat64)
STAT(lstat, stat)
STAT(lstat64, stat64)

#define FSTAT(name, type)                                                                          \
    int name(int fd, struct type *into)                                                            \
    {                                                                                              \
        return judge_fd(CALL_stat, fd) == BROKEN ? -1 : REAL(name)(fd, into);                      \
    }
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

#define FSTATAT(name, type)                                                                        \
    int name(int dir, const char *path, struct type *into, int flags)                              \
    {                                                                                              \
        return judge_at(CALL_stat, dir, path) == BROKEN ? -1 : REAL(name)(dir, path, into, flags); \
    }
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

int
access(const char *path, int mode)
{
    return judge_at(CALL_stat, AT_FDCWD, path) == BROKEN ? -1 : REAL(access)(path, mode);
}

#define FCNTL(name)                                                                                \
    int name(int fd, int what, ...)                                                                \
    {                                                                                              \
        void *arg;                                                                                 \
        va_list ap;                                                                                \
                                                                                                   \
        va_start(ap, what);                                                                        \
        arg = va_arg(ap, void *);                                                                  \
        va_end(ap);                                                                                \
        return judge_fd(CALL_fcntl, fd) == BROKEN ? -1 : REAL(name)(fd, what, arg);                \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- neither files nor memory ---- */

int
accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    return judge(CALL_accept) == BROKEN ? -1 : REAL(accept4)(fd, address, len, flags);
}

ssize_t
getrandom(void *into, size_t len, unsigned flags)
{
    enum verdict v = judge(CALL_getrandom);

    return v == BROKEN ? -1 : REAL(getrandom)(into, HALVED(len, v), flags);
}

/* ---- memory ---- */

void *
malloc(size_t size)
{
    return judge(CALL_malloc) == BROKEN ? NULL : REAL(malloc)(size);
}

void *
calloc(size_t n, size_t size)
{
    return judge(CALL_calloc) == BROKEN ? NULL : REAL(calloc)(n, size);
}

void *
realloc(void *old, size_t size)
{
    return judge(CALL_realloc) == BROKEN ? NULL : REAL(realloc)(old, size);
}

/* A mapping of a file is no allocation. */
#define MMAP(name)                                                                                 \
    void *name(void *at, size_t len, int protection, int flags, int fd, off_t offset)              \
    {                                                                                              \
        if ((flags & MAP_ANONYMOUS) && judge(CALL_mmap) == BROKEN)                                 \
            return MAP_FAILED;                                                                     \
        return REAL(name)(at, len, protection, flags, fd, offset);                                 \
    }
MMAP(mmap)
MMAP(mmap64)
