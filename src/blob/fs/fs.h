// SPDX-License-Identifier: Apache-2.0
/*
 * fs: what the files of the fs driver share. What holds for it stands in fs.c.
 */
#ifndef BLOB_FS_FS_H
#define BLOB_FS_FS_H
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "blob/blob_driver.h"
#include "blob/name.h"

#define MIDDLES 256
#define LEAVES 65536
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

#define SCOPED_FD __attribute__((cleanup(fd_close))) int

struct journal;

struct fs_store {
    struct blob_store base;
    int root;
    int objects;
    int tmp;
    bool anonymous;                                   /* files without a name can be had */
    atomic_bool broken;                               /* a directory could not be synced (I3) */
    atomic_bool untold;                               /* and no caller knows yet */
    struct journal *journal;                          /* NULL: each blob has its own sync */
    _Atomic int64_t buffered;                         /* bytes of small blobs in memory */
    _Atomic unsigned char known_middles[MIDDLES / 8]; /* I2: one bit each */
    _Atomic unsigned char known_leaves[LEAVES / 8];
};

struct fs_writer {
    struct blob_writer base;
    int fd;               /* -1: in memory, or given away */
    char tmp[ID_HEX + 1]; /* its name in tmp/, "" when it has none there */
    int64_t flushed;      /* bytes handed to the disk early */
    uint8_t *buffer;      /* NULL, or a record of a journal: a sector for its header, the bytes */
    size_t room;          /* for bytes */
};

static inline void
fd_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* The error for a failed system call, from errno. */
enum rc fs_fail(struct err *err, const char *what);

/*
 * Brings all files of the file system that `root` is in to disk. ext4 without a journal writes its
 * last tables behind the flush of syncfs(): so a directory is synced after it. -1 with errno.
 */
static inline int
fs_sync_all(int root)
{
    return syncfs(root) ? -1 : fsync(root);
}

/* A new file to write: without a name, or `tmp` is set to its name in tmp/. -1 with errno. */
int fs_temporary_open(struct fs_store *st, bool anonymous, char tmp[ID_HEX + 1]);

/* Gives a file without a name one, which must be new. -1 with errno. */
int fs_link_anonymous(int fd, int dir, const char *name);

/* Writes to a file what a writer has in memory. */
enum rc fs_spill(struct fs_store *st, struct fs_writer *w, struct err *err);

/* Gives the file its name in `dir`, and closes it. CONFLICT when that exists. */
enum rc fs_publish(struct fs_store *st, struct fs_writer *w, int dir, const char *name,
                   struct err *err);

/* Opens the directory of a blob, making it when needed; it need not be on disk. */
enum rc fs_leaf_reach(struct fs_store *st, const struct blob_key *key, int *ret, struct err *err);

/* Whether a writer begins in memory. */
bool small_open(struct fs_store *st, struct fs_writer *w);

/* Takes bytes into memory. False: they do not fit, and nothing has changed. */
bool small_write(struct fs_store *st, struct fs_writer *w, const void *bytes, size_t len);

/* Durable by the journal, then visible. BUSY: that is behind, and nothing has changed. */
enum rc small_finish(struct fs_store *st, struct fs_writer *w, struct err *err);

/* Frees the memory. */
void small_close(struct fs_store *st, struct fs_writer *w);

/* Replays what a crash left in the journals. */
enum rc fs_recover(struct fs_store *st, struct err *err);

/* The driver's slots that are not in fs.c. */
enum rc fs_share_syncs(struct blob_store *store, struct err *err);
enum rc fs_identity(struct blob_store *store, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err);
enum rc fs_identify(struct blob_store *store, const uint8_t identity[BLOB_IDENTITY_LEN],
                    struct err *err);
enum rc fs_each(struct blob_store *store, blob_visit_fn *visit, blob_stranger_fn *stranger,
                void *arg, struct err *err);
enum rc fs_sweep(struct blob_store *store, int64_t older_than_ms, size_t *ret_removed,
                 struct err *err);

#endif
