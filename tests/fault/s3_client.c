// SPDX-License-Identifier: Apache-2.0
/*
 * s3_client: the S3 driver as a program, for test_s3_faults.py. A line of standard input is a
 * call; each is answered with a line: the outcome, the milliseconds it took, and what the log
 * would say.
 *
 *   open URL      put NUMBER SIZE      get NUMBER SIZE      stat NUMBER
 *   delete NUMBER      each      sweep
 *
 * Blob NUMBER has bytes that follow from NUMBER, and making them takes no part of the time; `get`
 * answers WRONG when it gets others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "blob/blob.h"

#define WORKSPACE 7
#define LINE_MAX_LEN 1024
#define BLOCK 65536

static struct blob_store *store;
static int64_t began_ms;

static struct blob_key
key_of(uint64_t number)
{
    struct blob_key key = {.workspace = WORKSPACE};

    for (int i = 0; i < 8; i++)
        key.id.b[8 + i] = (uint8_t)(number >> (56 - 8 * i));
    return key;
}

/* SplitMix64, eight bytes a step. */
static char *
bytes_of(uint64_t number, size_t size)
{
    char *bytes = malloc(size + 8);

    for (size_t i = 0; i < size; i += 8) {
        uint64_t z = number * 1000003 + i * 0x9e3779b97f4a7c15ULL;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z ^= z >> 27;
        memcpy(bytes + i, &z, 8);
    }
    return bytes;
}

static enum rc
put(uint64_t number, size_t size, struct err *err)
{
    SCOPED(blob_writer) w = NULL;
    struct blob_key key = key_of(number);
    struct blob_info info;
    char *bytes = bytes_of(number, size);
    enum rc rc;

    began_ms = clock_mono_ms();
    rc = blob_write_open(store, &key, &w, err);
    for (size_t at = 0; !rc && at < size; at += BLOCK)
        rc = blob_write(w, bytes + at, size - at < BLOCK ? size - at : BLOCK, err);
    if (!rc)
        rc = blob_write_finish(w, &info, err);
    free(bytes);
    return rc;
}

static enum rc
get(uint64_t number, size_t size, bool *ret_wrong, struct err *err)
{
    SCOPED(blob_reader) r = NULL;
    struct blob_key key = key_of(number);
    char *want = bytes_of(number, size), *got = calloc(1, size + 1);
    uint8_t sha256[SHA256_LEN];
    size_t n = 1;
    enum rc rc;

    crypto_sha256(want, size, sha256);
    began_ms = clock_mono_ms();
    rc = blob_read_open(store, &key, &r, err);
    if (!rc)
        blob_reader_expect(r, sha256);
    for (size_t at = 0; !rc && n > 0; at += n)
        rc = blob_read(r, (int64_t)at, got + at, at < size ? BLOCK : 1, &n, err);
    *ret_wrong = !rc && (blob_reader_size(r) != (int64_t)size || memcmp(want, got, size) != 0);
    free(want);
    free(got);
    return rc;
}

static enum rc
visit(void *arg, const struct blob_key *key, int64_t size, int64_t mtime, struct err *err)
{
    (void)key;
    (void)size;
    (void)mtime;
    (void)err;
    ++*(size_t *)arg;
    return RC_OK;
}

static enum rc
run(const char *call, const char *rest, bool *ret_wrong, struct err *err)
{
    char *end = NULL;
    uint64_t number = strtoull(rest, &end, 10);
    size_t size = strtoull(end, NULL, 10), n = 0;
    struct blob_key key = key_of(number);
    int64_t seen;

    if (streq(call, "put"))
        return put(number, size, err);
    if (streq(call, "get"))
        return get(number, size, ret_wrong, err);
    if (streq(call, "stat"))
        return blob_stat(store, &key, &seen, err);
    if (streq(call, "delete"))
        return blob_delete(store, &key, err);
    if (streq(call, "each"))
        return blob_each(store, visit, NULL, &n, err);
    if (streq(call, "sweep"))
        return blob_sweep_temporary(store, clock_wall_ms() + 3600000, &n, err);
    if (!streq(call, "open"))
        abort();
    blob_store_free(&store);
    return blob_store_open_s3(rest, "/tmp", &store, err);
}

int
main(void)
{
    char line[LINE_MAX_LEN];

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof(line), stdin)) {
        char *call = line, *rest = line + strcspn(line, " \n");
        bool wrong = false;
        struct err err = {0};
        enum rc rc;

        rest[strcspn(rest, "\n")] = '\0';
        if (*rest)
            *rest++ = '\0';
        began_ms = clock_mono_ms();
        rc = run(call, rest, &wrong, &err);
        (void)printf("%s %lld %s\n",
                     wrong ? "WRONG"
                     : rc  ? rc_info(rc)->name
                           : "OK",
                     (long long)(clock_mono_ms() - began_ms), rc ? err.detail : "");
    }
    blob_store_free(&store);
    return 0;
}
