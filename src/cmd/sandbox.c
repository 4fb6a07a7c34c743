// SPDX-License-Identifier: Apache-2.0
#include "cmd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

/* Newer than the headers this is built with; the kernel is asked which of them it knows. */
#define ACCESS_TRUNCATE (1ULL << 14)
#define ACCESS_IOCTL_DEV (1ULL << 15)
#define NET_CONNECT_TCP (1ULL << 1)
#define RULE_NET_PORT 2
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)

#define READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define READ_ALL (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define NAME_SOCKETS (LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)
/* What the data directory never holds. */
#define NOT_IN_DATA                                                                                \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK |   \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | ACCESS_IOCTL_DEV)

/* struct landlock_ruleset_attr of ABI 6; an older kernel accepts it when the rest is zero. */
struct ruleset {
    uint64_t files;
    uint64_t net;
    uint64_t scoped;
};

/* struct landlock_net_port_attr of ABI 4. */
struct port_rule {
    uint64_t allowed;
    uint64_t port;
};

/* What libraries read after the start; absent ones are passed over. */
static const char *const readable[] = {
    "/usr/lib",
    "/usr/local/lib",
    "/lib",
    "/lib64", /* libraries loaded late */
    "/etc/ld.so.cache",
    "/etc/ssl/openssl.cnf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/localtime",
    "/dev/urandom",
    "/sys/devices/system/cpu",
    "/proc/sys/vm/overcommit_memory",
#if SANDBOX_INSTRUMENTED
    "/", /* /proc of this process, and the program for its symbols */
#endif
};

/* What those read that connect: certificates, and who one is. */
static const char *const readable_to_connect[] = {
    "/etc/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/passwd",
    "/etc/pki",
};
/* Below the home directory: what libpq and the S3 driver look for. */
static const char *const readable_at_home[] = {".pgpass", ".pg_service.conf", ".postgresql",
                                               ".aws"};

/* With errno's text, and the way out. */
static enum rc
refused(const char *what, struct err *err)
{
    char text[128];

    return err_set(err, RC_UNAVAILABLE,
                   "the sandbox cannot be entered: %s: %s; --sandbox off serves without it", what,
                   strerror_r(errno, text, sizeof(text)));
}

static long
landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static struct ruleset
rules_of(long version, bool connects)
{
    struct ruleset r = {.files = LANDLOCK_ACCESS_FS_REFER | (LANDLOCK_ACCESS_FS_REFER - 1)};

    if (version >= 3)
        r.files |= ACCESS_TRUNCATE;
    if (version >= 4 && !connects)
        r.net = NET_CONNECT_TCP;
    if (version >= 5)
        r.files |= ACCESS_IOCTL_DEV;
    if (version >= 6)
        r.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    return r;
}

/* Rights that only a directory has are refused for a file. False: errno says why. */
static bool
allow_below(int ruleset, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    struct stat info;
    bool ok;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return false;
    ok = fstat(rule.parent_fd, &info) == 0;
    if (ok && !S_ISDIR(info.st_mode))
        rule.allowed_access &= READ_FILE;
    ok = ok && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    (void)close(rule.parent_fd);
    return ok;
}

/* What is not there, or not for us, is passed over. */
static bool
allow_to_read(int ruleset, const char *path)
{
    return allow_below(ruleset, path, READ_ALL) || errno == ENOENT || errno == EACCES;
}

static bool
allow_to_connect(int ruleset)
{
    SCOPED_POOL(pool);
    const char *home = getenv("HOME");
    bool ok = true;

    for (size_t i = 0; i < ARRAY_LEN(readable_to_connect) && ok; i++)
        ok = allow_to_read(ruleset, readable_to_connect[i]);
    for (size_t i = 0; i < ARRAY_LEN(readable_at_home) && ok && home; i++)
        ok = allow_to_read(ruleset, mem_printf(pool, "%s/%s", home, readable_at_home[i]));
    return ok;
}

/* The same for the directory that a path is in; one that is not there is somebody else's fault. */
static bool
allow_beside(int ruleset, const char *path, uint64_t access)
{
    SCOPED_POOL(pool);
    char *copy = mem_strdup(pool, path);

    return allow_below(ruleset, dirname(copy), access) || errno == ENOENT || errno == EACCES ||
           errno == ENOTDIR;
}

/* Where the path leads and where it says, for the link may lead elsewhere tomorrow. */
static bool
allow_reading_again(int ruleset, const char *path)
{
    char real[PATH_MAX];

    return allow_beside(ruleset, path, READ_FILE) &&
           (!realpath(path, real) || allow_beside(ruleset, real, READ_FILE));
}

static bool
allow_port(int ruleset, uint16_t port)
{
    const struct port_rule rule = {.allowed = NET_CONNECT_TCP, .port = port};

    return syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) == 0;
}

static bool
fill_ruleset(int ruleset, const struct ruleset *rules, const struct sandbox_paths *paths)
{
    bool ok = allow_below(ruleset, paths->data, rules->files & ~NOT_IN_DATA);

    for (size_t i = 0; i < ARRAY_LEN(paths->read_beside) && ok; i++)
        ok = !paths->read_beside[i] || allow_reading_again(ruleset, paths->read_beside[i]);
    for (size_t i = 0; i < ARRAY_LEN(paths->bound) && ok; i++)
        ok = !paths->bound[i] || allow_beside(ruleset, paths->bound[i], NAME_SOCKETS);
    for (size_t i = 0; i < ARRAY_LEN(readable) && ok; i++)
        ok = allow_to_read(ruleset, readable[i]);
    if (rules->net && paths->port)
        ok = ok && allow_port(ruleset, paths->port);
    return ok && (!paths->connects || allow_to_connect(ruleset));
}

/* Version 1 refuses every link and rename between directories, by which blobs get their names. */
static enum rc
restrict_files(const struct sandbox_paths *paths, struct err *err)
{
    long version = landlock_version();
    struct ruleset rules = rules_of(version, paths->connects);
    enum rc rc = RC_OK;
    int fd;

    if (version < 2) {
        log_info("sandbox: this kernel has no Landlock (Linux 5.19 or newer, enabled); the server "
                 "may reach all files that its user may");
        return RC_OK;
    }
    fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
    if (fd < 0)
        return refused("landlock_create_ruleset", err);
    if (!fill_ruleset(fd, &rules, paths))
        rc = refused("landlock_add_rule", err);
    else if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        rc = refused("landlock_restrict_self", err);
    (void)close(fd);
    return rc;
}

/* A core file by a pipe ignores the limit, but not the flag. */
static bool
hide_memory(void)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

    return SANDBOX_INSTRUMENTED ||
           (setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
}

enum rc
sandbox_enter(const struct sandbox_paths *paths, struct err *err)
{
    enum rc rc;

    if (!hide_memory())
        return refused("core files cannot be turned off", err);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return refused("PR_SET_NO_NEW_PRIVS", err);
    rc = restrict_files(paths, err);
    if (rc)
        return rc;
    rc = sandbox_filter(err);
    if (rc == RC_NOT_FOUND) {
        log_info("sandbox: %s; the server may use every service of the kernel", err->detail);
        return RC_OK;
    }
    return rc ? refused("seccomp", err) : RC_OK;
}
