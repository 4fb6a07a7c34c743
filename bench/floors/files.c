// SPDX-License-Identifier: Apache-2.0
/*
 * F3: small files made durable one by one, as a store without a journal does: create under a
 * passing name, write, fsync, rename, fsync of the directory. THREADS at once, over 256
 * directories, so that two seldom meet in one.
 *
 * usage: files DIR SIZE THREADS SECONDS    prints {"rate": files a second, ...}
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "floor.h"

#define DIRECTORIES 256
#define MAX_THREADS 1024

struct job {
    const char *home;
    const char *bytes; /* twice `size`: each file has another part of it */
    size_t size;
    double until;
    unsigned number;
    uint64_t made;
};

static void
one_file(const struct job *job, uint64_t n)
{
    char passing[4096], name[4096], directory[4096];
    uint64_t where = (n * 0x9e3779b97f4a7c15U + job->number * 0x85ebca6bU) >> 56;
    int fd;

    (void)snprintf(directory, sizeof(directory), "%s/%02x", job->home, (unsigned)where);
    (void)snprintf(passing, sizeof(passing), "%s/%u-%llu.new", job->home, job->number,
                   (unsigned long long)n);
    (void)snprintf(name, sizeof(name), "%s/%02x/%u-%llu", job->home, (unsigned)where, job->number,
                   (unsigned long long)n);
    fd = open(passing, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        floor_fail(passing);
    floor_write(fd, job->bytes + n % job->size, job->size);
    if (fsync(fd) != 0 || close(fd) != 0 || rename(passing, name) != 0)
        floor_fail(name);
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0 || close(fd) != 0)
        floor_fail(directory);
}

static void *
make_files(void *arg)
{
    struct job *job = arg;

    for (; floor_seconds() < job->until; job->made++)
        one_file(job, job->made);
    return NULL;
}

static void
make_directories(const char *home)
{
    char path[4096];

    for (unsigned i = 0; i < DIRECTORIES; i++) {
        (void)snprintf(path, sizeof(path), "%s/%02x", home, i);
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            floor_fail(path);
    }
}

int
main(int argc, char **argv)
{
    static pthread_t threads[MAX_THREADS];
    static struct job jobs[MAX_THREADS];
    uint64_t made = 0;
    double begun, seconds;
    unsigned count;
    size_t size;
    char *bytes;

    if (argc != 5) {
        (void)fprintf(stderr, "usage: files DIR SIZE THREADS SECONDS\n");
        return 2;
    }
    size = strtoul(argv[2], NULL, 10);
    count = (unsigned)strtoul(argv[3], NULL, 10);
    bytes = size > 0 && count <= MAX_THREADS ? malloc(2 * size) : NULL;
    if (!bytes)
        floor_fail("files");
    for (size_t at = 0; at < 2 * size; at += 256)
        floor_random(bytes + at, 2 * size - at < 256 ? 2 * size - at : 256);
    make_directories(argv[1]);
    begun = floor_seconds();
    for (unsigned i = 0; i < count; i++) {
        jobs[i] = (struct job){argv[1], bytes, size, begun + strtod(argv[4], NULL), i, 0};
        if (pthread_create(&threads[i], NULL, make_files, &jobs[i]) != 0)
            floor_fail("a thread");
    }
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
        made += jobs[i].made;
    }
    seconds = floor_seconds() - begun;
    (void)printf("{\"rate\": %.1f, \"files\": %llu, \"us\": %.2f}\n", (double)made / seconds,
                 (unsigned long long)made,
                 (double)clock() * 1e6 / CLOCKS_PER_SEC / (double)(made ? made : 1));
    free(bytes);
    return 0;
}
