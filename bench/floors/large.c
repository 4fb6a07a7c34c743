// SPDX-License-Identifier: Apache-2.0
/*
 * F4: one large sequential write with an fsync at its end and the SHA-256 of what is written, both
 * by one thread in pieces of 1 MiB; THREADS of them at once, a file each.
 *
 * usage: large DIR BYTES THREADS WHAT    WHAT: both, write, hash
 *        prints {"bytes_per_second": of all threads together, ...}; the files are removed
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "floor.h"

#define PIECE ((size_t)1 << 20)
#define MAX_THREADS 256

struct job {
    const char *home;
    const char *bytes;
    uint64_t size;
    unsigned number;
    int do_write, do_hash;
};

static void *
make_file(void *arg)
{
    struct job *job = arg;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char sum[EVP_MAX_MD_SIZE];
    char path[4096];
    int fd = -1;

    if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
        floor_fail("SHA-256");
    (void)snprintf(path, sizeof(path), "%s/large-%u", job->home, job->number);
    if (job->do_write && (fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        floor_fail(path);
    for (uint64_t done = 0; done < job->size; done += PIECE) {
        size_t n = job->size - done < PIECE ? (size_t)(job->size - done) : PIECE;

        if (job->do_hash && EVP_DigestUpdate(md, job->bytes, n) != 1)
            floor_fail("SHA-256");
        if (job->do_write)
            floor_write(fd, job->bytes, n);
    }
    if (EVP_DigestFinal_ex(md, sum, NULL) != 1)
        floor_fail("SHA-256");
    if (job->do_write && (fsync(fd) != 0 || close(fd) != 0))
        floor_fail(path);
    EVP_MD_CTX_free(md);
    return NULL;
}

static void
remove_files(const char *home, unsigned count)
{
    char path[4096];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), "%s/large-%u", home, i);
        (void)unlink(path);
    }
}

int
main(int argc, char **argv)
{
    static pthread_t threads[MAX_THREADS];
    static struct job jobs[MAX_THREADS];
    double begun, seconds;
    unsigned count;
    uint64_t size;
    char *bytes;

    if (argc != 5) {
        (void)fprintf(stderr, "usage: large DIR BYTES THREADS both|write|hash\n");
        return 2;
    }
    size = strtoull(argv[2], NULL, 10);
    count = (unsigned)strtoul(argv[3], NULL, 10);
    bytes = count > 0 && count <= MAX_THREADS ? malloc(PIECE) : NULL;
    if (!bytes)
        floor_fail("large");
    for (size_t at = 0; at < PIECE; at += 256)
        floor_random(bytes + at, 256);
    begun = floor_seconds();
    for (unsigned i = 0; i < count; i++) {
        jobs[i] = (struct job){
            argv[1], bytes, size, i, strcmp(argv[4], "hash") != 0, strcmp(argv[4], "write") != 0};
        if (pthread_create(&threads[i], NULL, make_file, &jobs[i]) != 0)
            floor_fail("a thread");
    }
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
    seconds = floor_seconds() - begun;
    remove_files(argv[1], count);
    (void)printf("{\"bytes_per_second\": %.0f, \"seconds\": %.3f}\n",
                 (double)size * count / seconds, seconds);
    free(bytes);
    return 0;
}
