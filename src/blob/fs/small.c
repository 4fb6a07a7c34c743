// SPDX-License-Identifier: Apache-2.0
/*
 * small: blobs of the fs driver that stay in memory until they are whole, and share their sync with
 * others by the journal. What grows too large, or finds no room, is written as any other.
 */
#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/crash.h"
#include "blob/fs/fs.h"
#include "blob/fs/journal.h"

#define SMALL_MAX KIB(64)
#define FIRST_ROOM KIB(8)
#define BUFFERED_MAX MIB(16) /* of all writers: clients may be slow, and many */

/*
 * Where syncfs() is known to leave all on disk, and to tell when it has not. Others may pass it on
 * to nobody (FUSE).
 */
static bool
syncs_all(int fd)
{
    struct statfs info;

    if (fstatfs(fd, &info))
        return false;
    return info.f_type == EXT4_SUPER_MAGIC || info.f_type == XFS_SUPER_MAGIC ||
           info.f_type == BTRFS_SUPER_MAGIC || info.f_type == TMPFS_MAGIC;
}

enum rc
fs_share_syncs(struct blob_store *base, struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;

    if (st->journal || !syncs_all(st->root))
        return RC_OK;
    return journal_new(st->root, &st->broken, &st->untold, &st->journal, err);
}

static void
resize(struct fs_store *st, struct fs_writer *w, size_t room)
{
    /* not cleared: a record is written over all that counts */
    if (room)
        w->buffer = talloc_realloc_size(w, w->buffer, record_room((int64_t)room));
    else
        TALLOC_FREE(w->buffer);
    BUG_ON(room && !w->buffer);
    (void)atomic_fetch_add(&st->buffered, (int64_t)room - (int64_t)w->room);
    w->room = room;
}

bool
small_open(struct fs_store *st, struct fs_writer *w)
{
    if (!st->journal || atomic_load(&st->buffered) + FIRST_ROOM > BUFFERED_MAX)
        return false;
    resize(st, w, (size_t)FIRST_ROOM);
    return true;
}

bool
small_write(struct fs_store *st, struct fs_writer *w, const void *bytes, size_t len)
{
    size_t size = (size_t)w->base.size + len, room = w->room;

    if (size > (size_t)SMALL_MAX)
        return false;
    while (room < size)
        room *= 2;
    if (room > w->room) {
        if (atomic_load(&st->buffered) + (int64_t)(room - w->room) > BUFFERED_MAX)
            return false;
        resize(st, w, room);
    }
    memcpy(w->buffer + RECORD_SECTOR + w->base.size, bytes, len);
    return true;
}

void
small_close(struct fs_store *st, struct fs_writer *w)
{
    if (w->buffer)
        resize(st, w, 0);
}

/* The file, whole and without a name that counts; nothing of it need be on disk. */
static enum rc
prepare(struct fs_store *st, struct fs_writer *w, int dir, const char *name, struct err *err)
{
    struct stat info;

    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(err, RC_CONFLICT, "blob %s exists", name);
    if (errno != ENOENT)
        return fs_fail(err, "looking for a blob");
    return fs_spill(st, w, err);
}

/* The record first: a file may reach the disk whenever it has its name. */
static enum rc
write_and_name(struct fs_store *st, struct fs_writer *w, const struct journal_hold *hold, int dir,
               const char *name, struct err *err)
{
    struct err ignored;
    enum rc rc = journal_write(st->journal, hold, w->buffer, err);

    if (rc)
        return rc;
    rc = fs_publish(st, w, dir, name, err);
    CRASH_POINT("journal.after-link");
    /* no replay may put it there; if that fails the store is broken, or this is an orphan */
    if (rc)
        (void)!journal_erase(st->journal, &w->base.key, &ignored);
    return rc;
}

enum rc
small_finish(struct fs_store *st, struct fs_writer *w, struct err *err)
{
    struct record record = {.key = w->base.key, .size = w->base.size};
    struct journal_hold hold;
    char name[NAME_HEX + 1];
    SCOPED_FD dir = -1;
    enum rc rc = fs_leaf_reach(st, &w->base.key, &dir, err);

    if (rc)
        return rc;
    memcpy(record.sha256, w->base.sha256, SHA256_LEN);
    memset(w->buffer + RECORD_SECTOR + record.size, 0,
           record_room(record.size) - RECORD_SECTOR - (size_t)record.size);
    rc = journal_reserve(st->journal, &record, &hold, err);
    if (rc)
        return rc;
    name_of(&w->base.key, name);
    rc = prepare(st, w, dir, name, err);
    CRASH_POINT("journal.after-prepare");
    if (!rc)
        rc = write_and_name(st, w, &hold, dir, name, err);
    journal_release(st->journal, &hold, rc == RC_OK);
    return rc;
}
