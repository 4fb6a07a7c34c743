// SPDX-License-Identifier: Apache-2.0
/*
 * recover: what a crash of an older program left in its journals becomes files. That one made a
 * file of each small blob, after it had noted it in one of two journals that shared their syncs.
 *
 *  I1  A journal is removed only when each blob of its records is on disk as a file.
 *  I2  A record whose file is whole changes nothing, so replaying twice is harmless.
 */
#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/crash.h"
#include "blob/fs/fs.h"
#include "blob/fs/record.h"

/* Whether all `len` bytes were there. */
static bool
read_at(int fd, void *into, size_t len, int64_t at)
{
    uint8_t *to = into;

    while (len > 0) {
        ssize_t n = pread(fd, to, len, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* Whether the file of the record is there with all its bytes. */
static bool
is_there(struct fs_store *st, const struct record *r, const uint8_t *bytes, uint8_t *room)
{
    struct blob_reader *reader = NULL;
    struct err err;
    bool same = false;

    if (st->base.driver->read_open(&st->base, &r->key, &reader, &err))
        return false;
    if (reader->size == r->size)
        same = r->size == 0 || (!st->base.driver->read(reader, 0, room, (size_t)r->size, &err) &&
                                memcmp(room, bytes, (size_t)r->size) == 0);
    st->base.driver->reader_free(reader);
    return same;
}

/* As any large blob is stored: nothing is left to a journal. */
static enum rc
write_again(struct blob_store *store, const struct record *r, const uint8_t *bytes, struct err *err)
{
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    enum rc rc = blob_delete(store, &r->key, err);

    if (!rc)
        rc = blob_write_open(store, &r->key, &w, err);
    if (!rc)
        rc = blob_write(w, bytes, (size_t)r->size, err);
    return rc ? rc : blob_write_finish(w, &info, err);
}

static enum rc
replay_records(struct fs_store *st, int fd, const uint8_t number[RECORD_NUMBER_LEN], uint8_t *bytes,
               uint8_t *room, struct err *err)
{
    uint8_t sector[RECORD_SECTOR], sha256[SHA256_LEN];
    int64_t at = RECORD_SECTOR;
    enum rc rc = RC_OK;
    struct record r;

    /* one thread wrote them in order: behind what is torn, nothing was promised to anybody */
    while (!rc && read_at(fd, sector, sizeof(sector), at) && record_read(number, sector, &r)) {
        if (!r.erased) {
            if (!read_at(fd, bytes, (size_t)r.size, at + RECORD_SECTOR))
                return RC_OK;
            crypto_sha256(bytes, (size_t)r.size, sha256);
            if (memcmp(sha256, r.sha256, sizeof(sha256)) != 0)
                return RC_OK;
            if (!is_there(st, &r, bytes, room))
                rc = write_again(&st->base, &r, bytes, err);
            CRASH_POINT("journal.in-replay");
        }
        at += (int64_t)record_room(r.size);
    }
    return rc;
}

static enum rc
replay(struct fs_store *st, int fd, struct err *err)
{
    SCOPED_POOL(pool);
    uint8_t sector[RECORD_SECTOR], number[RECORD_NUMBER_LEN];

    if (!read_at(fd, sector, sizeof(sector), 0) || !record_begin_read(sector, number))
        return RC_OK; /* torn as it began */
    return replay_records(st, fd, number, mem_zalloc(pool, RECORD_SIZE_MAX),
                          mem_zalloc(pool, RECORD_SIZE_MAX), err);
}

/*
 * Brings all files of the file system that `root` is in to disk. ext4 without a journal writes its
 * last tables behind the flush of syncfs(): so a directory is synced after it.
 */
static bool
sync_all(int root)
{
    return syncfs(root) == 0 && fsync(root) == 0;
}

/* One journal, if there is one and no running process has it. */
static enum rc
recover_one(struct fs_store *st, const char *name, struct err *err)
{
    SCOPED_FD fd = openat(st->root, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    struct stat info;
    enum rc rc = RC_OK;

    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    if (fd < 0 || fstat(fd, &info))
        return fs_fail(err, "opening a journal");
    /* a server of the older program works there: who reads beside it sees all files */
    if (flock(fd, LOCK_EX | LOCK_NB))
        return RC_OK;
    if (info.st_size > 0)
        rc = replay(st, fd, err);
    if (rc)
        return rc;
    /* the files that were there may be so in memory alone */
    CRASH_POINT("journal.after-replay");
    if (!sync_all(st->root) || unlinkat(st->root, name, 0) || fsync(st->root))
        return fs_fail(err, "removing a journal");
    return RC_OK;
}

enum rc
fs_recover(struct fs_store *st, struct err *err)
{
    enum rc rc = recover_one(st, "journal-0", err);

    return rc ? rc : recover_one(st, "journal-1", err);
}
