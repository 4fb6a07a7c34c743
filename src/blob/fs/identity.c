// SPDX-License-Identifier: Apache-2.0
/*
 * identity: the file store-id of the fs driver: 32 lower-case hexadecimal digits and a line feed.
 * It comes to be whole and durable, as a blob does.
 */
#include <errno.h>

#include "base/rand.h"
#include "blob/fs/fs.h"

#define FILE_NAME "store-id"
#define FILE_LEN (2 * BLOB_IDENTITY_LEN + 1)

static enum rc
read_identity(struct fs_store *st, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err)
{
    SCOPED_FD fd = openat(st->root, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char text[FILE_LEN + 1] = "";
    ssize_t n;

    if (fd < 0 && errno == ENOENT)
        return err_set(err, RC_NOT_FOUND, "no " FILE_NAME);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (n < 0)
        return fs_fail(err, "reading " FILE_NAME);
    if (n != FILE_LEN || text[FILE_LEN - 1] != '\n' || !name_hex(text, ret, BLOB_IDENTITY_LEN))
        return err_set(err, RC_IO, FILE_NAME " of the blobs holds something else");
    return RC_OK;
}

/* That another process has made it meanwhile is fine. */
static enum rc
make_identity(struct fs_store *st, struct err *err)
{
    uint8_t random[BLOB_IDENTITY_LEN];
    char text[FILE_LEN + 1], tmp[ID_HEX + 1];
    SCOPED_FD fd = fs_temporary_open(st, st->anonymous, tmp);
    int failed;

    rand_bytes(random, sizeof(random));
    crypto_hex(random, sizeof(random), text);
    text[FILE_LEN - 1] = '\n';
    if (fd < 0 || write(fd, text, FILE_LEN) != FILE_LEN || fdatasync(fd))
        return fs_fail(err, "writing " FILE_NAME);
    if (tmp[0])
        failed = renameat2(st->tmp, tmp, st->root, FILE_NAME, RENAME_NOREPLACE);
    else
        failed = fs_link_anonymous(fd, st->root, FILE_NAME);
    if (failed && errno != EEXIST)
        return fs_fail(err, "naming " FILE_NAME);
    if (failed && tmp[0])
        (void)unlinkat(st->tmp, tmp, 0);
    if (fsync(st->root))
        return fs_fail(err, "syncing " FILE_NAME);
    return RC_OK;
}

enum rc
fs_identity(struct blob_store *base, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
    enum rc rc = read_identity(st, ret, err);

    if (rc != RC_NOT_FOUND)
        return rc;
    rc = make_identity(st, err);
    if (!rc)
        rc = read_identity(st, ret, err);
    return rc == RC_NOT_FOUND ? err_set(err, RC_IO, FILE_NAME " has vanished") : rc;
}
