// SPDX-License-Identifier: Apache-2.0
/*
 * small: blobs of the fs driver that stay in memory until they are whole, and become rows of the
 * pack. What grows too large, or finds no room, is written to a file as any other.
 */
#include "blob/fs/fs.h"
#include "blob/fs/pack.h"

#define SMALL_MAX KIB(64)
#define FIRST_ROOM KIB(8)
#define BUFFERED_MAX MIB(16) /* of all writers: clients may be slow, and many */

enum rc
fs_share_syncs(struct blob_store *base, struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;

    pack_free(&st->pack);
    st->packs = true;
    return pack_open(st->pack_path, true, &st->broken, &st->pack, err);
}

static void
resize(struct fs_store *st, struct fs_writer *w, size_t room)
{
    if (room)
        w->buffer = talloc_realloc_size(w, w->buffer, room);
    else
        TALLOC_FREE(w->buffer);
    BUG_ON(room && !w->buffer);
    (void)atomic_fetch_add(&st->buffered, (int64_t)room - (int64_t)w->room);
    w->room = room;
}

bool
small_open(struct fs_store *st, struct fs_writer *w)
{
    if (!st->packs || atomic_load(&st->buffered) + FIRST_ROOM > BUFFERED_MAX)
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
    memcpy(w->buffer + w->base.size, bytes, len);
    return true;
}

void
small_close(struct fs_store *st, struct fs_writer *w)
{
    if (w->buffer)
        resize(st, w, 0);
}
