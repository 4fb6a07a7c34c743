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

struct pack;

struct fs_store {
    struct blob_store base;
    int root;
    int objects;
    int tmp;
    bool anonymous;                                   /* files without a name can be had */
    atomic_bool broken;                               /* a sync failed: fs.c, I2 */
    char *pack_path;                                  /* of the file of small blobs */
    struct pack *pack;                                /* NULL: there is none */
    bool packs;                                       /* small blobs that come go there */
    _Atomic int64_t buffered;                         /* bytes of them in memory */
    _Atomic unsigned char known_middles[MIDDLES / 8]; /* file.c, I2: one bit each */
    _Atomic unsigned char known_leaves[LEAVES / 8];
};

struct fs_writer {
    struct blob_writer base;
    int fd;               /* -1: in memory, or given away */
    char tmp[ID_HEX + 1]; /* its name in tmp/, "" when it has none there */
    int64_t flushed;      /* bytes handed to the disk early */
    uint8_t *buffer;      /* NULL, or the bytes of a small blob */
    size_t room;          /* for them */
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

/* A new file to write: without a name, or `tmp` is set to its name in tmp/. -1 with errno. */
int fs_temporary_open(struct fs_store *st, bool anonymous, char tmp[ID_HEX + 1]);

/* Gives a file without a name one, which must be new. -1 with errno. */
int fs_link_anonymous(int fd, int dir, const char *name);

/* A new name for tmp/. */
void fs_tmp_name(char out[ID_HEX + 1]);

/* Brings a file that is whole to disk, and gives it its name. CONFLICT when that exists. */
enum rc file_finish(struct fs_store *st, struct fs_writer *w, struct err *err);

/* A descriptor of the blob, which is the caller's. NOT_FOUND. */
enum rc file_open(struct fs_store *st, const struct blob_key *key, int *ret, int64_t *ret_size,
                  struct err *err);

/* NOT_FOUND. */
enum rc file_stat(struct fs_store *st, const struct blob_key *key, int64_t *ret_size,
                  struct err *err);

/* Absent is fine, and synced as well; *ret_found tells. */
enum rc file_remove(struct fs_store *st, const struct blob_key *key, bool *ret_found,
                    struct err *err);

/* Whether a writer begins in memory. */
bool small_open(struct fs_store *st, struct fs_writer *w);

/* Takes bytes into memory. False: they do not fit, and nothing has changed. */
bool small_write(struct fs_store *st, struct fs_writer *w, const void *bytes, size_t len);

/* Frees the memory. */
void small_close(struct fs_store *st, struct fs_writer *w);

/* Replays what a crash of an older program left in its journals. */
enum rc fs_recover(struct fs_store *st, struct err *err);

/* The driver's slots that are not in fs.c. */
enum rc fs_share_syncs(struct blob_store *store, struct err *err);
enum rc fs_identity(struct blob_store *store, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err);
enum rc fs_identify(struct blob_store *store, const uint8_t identity[BLOB_IDENTITY_LEN],
                    struct err *err);
enum rc fs_each_file(struct fs_store *st, blob_visit_fn *visit, blob_stranger_fn *stranger,
                     void *arg, struct err *err);
enum rc fs_sweep(struct blob_store *store, int64_t older_than_ms, size_t *ret_removed,
                 struct err *err);

#endif
