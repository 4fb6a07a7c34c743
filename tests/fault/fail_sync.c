// SPDX-License-Identifier: Apache-2.0
/*
 * Preloaded by tests/fault: while the file named by FAIL_SYNC_WHEN exists, syncing a file whose
 * path contains FAIL_SYNC_PATH fails with EIO, as a dying disk would.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
fails(int fd)
{
    const char *when = getenv("FAIL_SYNC_WHEN"), *what = getenv("FAIL_SYNC_PATH");
    char link[64], path[4096];
    ssize_t n;

    if (!when || !what || access(when, F_OK) != 0)
        return 0;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return 0;
    path[n] = '\0';
    return strstr(path, what) != NULL;
}

static int
sync_or_fail(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

    if (fails(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int
fsync(int fd)
{
    return sync_or_fail("fsync", fd);
}

int
fdatasync(int fd)
{
    return sync_or_fail("fdatasync", fd);
}
