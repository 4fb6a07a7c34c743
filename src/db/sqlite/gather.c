// SPDX-License-Identifier: Apache-2.0
#include "db/sqlite/gather.h"

#include <pthread.h>
#include <sqlite3.h>

#include "base/base.h"

/* 30 pages with their headers; of more than 131,071 bytes at once the usual VFS writes a part. */
#define ROOM (124 * 1024)

/* SQLite has room for it and for the usual file behind it. */
struct gathered {
    sqlite3_file base;
    sqlite3_int64 at; /* where in the file the bytes belong */
    int len;
    char *bytes; /* ROOM of them, from the first write on */
};

static sqlite3_vfs vfs;
static sqlite3_vfs *usual;

static sqlite3_file *
inner_of(struct gathered *g)
{
    return (sqlite3_file *)(g + 1);
}

static int
flush(struct gathered *g)
{
    int len = g->len;

    g->len = 0; /* also when it fails: whose bytes they are is undone then */
    return len ? inner_of(g)->pMethods->xWrite(inner_of(g), g->bytes, len, g->at) : SQLITE_OK;
}

static int
gather_close(sqlite3_file *file)
{
    struct gathered *g = (struct gathered *)file;
    int flushed = flush(g), closed = inner_of(g)->pMethods->xClose(inner_of(g));

    sqlite3_free(g->bytes);
    return flushed ? flushed : closed;
}

static int
gather_read(sqlite3_file *file, void *into, int len, sqlite3_int64 at)
{
    struct gathered *g = (struct gathered *)file;
    int code;

    if (g->len && at >= g->at && at + len <= g->at + g->len) {
        memcpy(into, g->bytes + (at - g->at), (size_t)len);
        return SQLITE_OK;
    }
    code = g->len && at + len > g->at ? flush(g) : SQLITE_OK;
    return code ? code : inner_of(g)->pMethods->xRead(inner_of(g), into, len, at);
}

static int
gather_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct gathered *g = (struct gathered *)file;
    int code = SQLITE_OK;

    if (!g->bytes && !(g->bytes = sqlite3_malloc(ROOM)))
        return SQLITE_NOMEM;
    if (at != g->at + g->len || len > ROOM - g->len)
        code = flush(g);
    if (code)
        return code;
    if (len > ROOM)
        return inner_of(g)->pMethods->xWrite(inner_of(g), bytes, len, at);
    if (g->len == 0)
        g->at = at;
    memcpy(g->bytes + g->len, bytes, (size_t)len);
    g->len += len;
    return SQLITE_OK;
}

static int
gather_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct gathered *g = (struct gathered *)file;
    int code = flush(g);

    return code ? code : inner_of(g)->pMethods->xTruncate(inner_of(g), size);
}

static int
gather_sync(sqlite3_file *file, int flags)
{
    struct gathered *g = (struct gathered *)file;
    int code = flush(g);

    return code ? code : inner_of(g)->pMethods->xSync(inner_of(g), flags);
}

static int
gather_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    struct gathered *g = (struct gathered *)file;
    int code = flush(g);

    return code ? code : inner_of(g)->pMethods->xFileSize(inner_of(g), ret);
}

static int
gather_lock(sqlite3_file *file, int how)
{
    sqlite3_file *inner = inner_of((struct gathered *)file);

    return inner->pMethods->xLock(inner, how);
}

static int
gather_unlock(sqlite3_file *file, int how)
{
    sqlite3_file *inner = inner_of((struct gathered *)file);

    return inner->pMethods->xUnlock(inner, how);
}

static int
gather_reserved(sqlite3_file *file, int *ret)
{
    sqlite3_file *inner = inner_of((struct gathered *)file);

    return inner->pMethods->xCheckReservedLock(inner, ret);
}

static int
gather_control(sqlite3_file *file, int op, void *arg)
{
    sqlite3_file *inner = inner_of((struct gathered *)file);

    return inner->pMethods->xFileControl(inner, op, arg);
}

static int
gather_sector(sqlite3_file *file)
{
    sqlite3_file *inner = inner_of((struct gathered *)file);

    return inner->pMethods->xSectorSize(inner);
}

static int
gather_traits(sqlite3_file *file)
{
    sqlite3_file *inner = inner_of((struct gathered *)file);

    return inner->pMethods->xDeviceCharacteristics(inner);
}

/* Version 1: shared memory and mapping are of the database's own file. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = gather_close,
    .xRead = gather_read,
    .xWrite = gather_write,
    .xTruncate = gather_truncate,
    .xSync = gather_sync,
    .xFileSize = gather_size,
    .xLock = gather_lock,
    .xUnlock = gather_unlock,
    .xCheckReservedLock = gather_reserved,
    .xFileControl = gather_control,
    .xSectorSize = gather_sector,
    .xDeviceCharacteristics = gather_traits,
};

/* Any file but the log is the usual VFS's own, as if this one were not there. */
static int
open_file(sqlite3_vfs *own, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct gathered *g = (struct gathered *)file;
    int code;

    (void)own;
    if (!(flags & SQLITE_OPEN_WAL))
        return usual->xOpen(usual, name, file, flags, ret_flags);
    memset(g, 0, sizeof(*g));
    code = usual->xOpen(usual, name, inner_of(g), flags, ret_flags);
    if (inner_of(g)->pMethods)
        g->base.pMethods = &methods;
    return code;
}

static void
register_vfs(void)
{
    usual = sqlite3_vfs_find(NULL);
    if (!usual)
        return;
    vfs = *usual;
    vfs.zName = "gather";
    vfs.pNext = NULL;
    vfs.szOsFile += (int)sizeof(struct gathered);
    vfs.xOpen = open_file;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        usual = NULL;
}

const char *
gather_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, register_vfs);
    return usual ? vfs.zName : NULL;
}
