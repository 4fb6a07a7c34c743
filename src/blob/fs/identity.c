// SPDX-License-Identifier: Apache-2.0
/*
 * identity: the file store-id of the fs driver: 32 lower-case hexadecimal digits and a line feed.
 * It comes to be whole and durable, as a blob does.
 */
#include <errno.h>

#include "blob/fs/fs.h"

#define FILE_NAME "store-id"
#define FILE_LEN (2 * BLOB_IDENTITY_LEN + 1)

enum rc
fs_identity(struct blob_store *base, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
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

/* That there is one is fine. */
enum rc
fs_identify(struct blob_store *base, const uint8_t identity[BLOB_IDENTITY_LEN], struct err *err)
{
    struct fs_store *st = (struct fs_store *)base;
    char text[FILE_LEN + 1], tmp[ID_HEX + 1];
    SCOPED_FD fd = fs_temporary_open(st, st->anonymous, tmp);
    int failed;

    crypto_hex(identity, BLOB_IDENTITY_LEN, text);
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
