// SPDX-License-Identifier: Apache-2.0
#include "base/ballast.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct ballast {
    pthread_mutex_t lock;
    char *path;
    int64_t bytes;
};

struct ballast *
ballast_new(const char *path, int64_t bytes)
{
    struct ballast *b = MEM_NEW(NULL, struct ballast);

    pthread_mutex_init(&b->lock, NULL);
    b->path = mem_strdup(b, path);
    b->bytes = bytes;
    return b;
}

void
ballast_free(struct ballast **b)
{
    if (!*b)
        return;
    pthread_mutex_destroy(&(*b)->lock);
    (void)talloc_free(*b);
    *b = NULL;
}

static bool
has_room(int fd, int64_t bytes)
{
    struct statvfs fs;

    return fstatvfs(fd, &fs) == 0 && (int64_t)fs.f_bavail * (int64_t)fs.f_frsize >= 2 * bytes;
}

/* A file of the right size with blocks behind it; anything less is taken away again. */
void
ballast_lay(struct ballast *b)
{
    struct stat st;
    int fd;

    pthread_mutex_lock(&b->lock);
    if (stat(b->path, &st) != 0 || st.st_size != b->bytes) {
        fd = open(b->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && (!has_room(fd, b->bytes) || posix_fallocate(fd, 0, b->bytes) != 0))
            (void)unlink(b->path);
        if (fd >= 0)
            (void)close(fd);
    }
    pthread_mutex_unlock(&b->lock);
}

bool
ballast_drop(struct ballast *b)
{
    bool dropped;

    pthread_mutex_lock(&b->lock);
    dropped = unlink(b->path) == 0;
    pthread_mutex_unlock(&b->lock);
    return dropped;
}
