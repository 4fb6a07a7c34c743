// SPDX-License-Identifier: Apache-2.0
#include "core/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/rand.h"

#define FILE_LEN (2 * SHA256_LEN + 1) /* digits and a line end */

static enum rc
read_file(const char *path, uint8_t root[SHA256_LEN], struct err *err)
{
    char text[FILE_LEN + 1] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;

    if (fd < 0 && errno == ENOENT)
        return err_set(err, RC_NOT_FOUND, "no %s", path);
    if (fd < 0)
        return err_errno(err, RC_IO, path);
    n = read(fd, text, FILE_LEN);
    (void)close(fd);
    text[2 * SHA256_LEN] = '\0';
    if (n < 2 * SHA256_LEN || !crypto_unhex(text, root, SHA256_LEN))
        return err_set(err, RC_INVALID, "%s is damaged: restore it from a backup", path);
    return RC_OK;
}

/* Whole or not at all: written and synced beside, then put in place. */
static enum rc
make_file(const char *path, struct err *err)
{
    SCOPED_POOL(pool);
    char *fresh = mem_printf(pool, "%s.new", path), text[FILE_LEN + 1];
    uint8_t root[SHA256_LEN];
    bool written;
    int fd;

    rand_bytes(root, sizeof(root));
    crypto_hex(root, sizeof(root), text);
    text[FILE_LEN - 1] = '\n';
    (void)unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, RC_IO, fresh);
    CRASH_POINT("secret.before-write");
    written = write(fd, text, FILE_LEN) == FILE_LEN && fsync(fd) == 0;
    CRASH_POINT("secret.before-rename");
    if (close(fd) != 0 || !written || rename(fresh, path) != 0)
        return err_errno(err, RC_IO, fresh);
    CRASH_POINT("secret.after-rename");
    return RC_OK;
}

/* Puts the name on disk, too. */
static enum rc
sync_name(const char *path, struct err *err)
{
    SCOPED_POOL(pool);
    const char *slash = strrchr(path, '/');
    const char *dir = slash ? mem_strndup(pool, path, (size_t)(slash - path) + 1) : ".";
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum rc rc = fd >= 0 && fsync(fd) == 0 ? RC_OK : err_errno(err, RC_IO, dir);

    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static void
derive(const uint8_t root[SHA256_LEN], const char *label, uint8_t out[SHA256_LEN])
{
    crypto_derive(root, label, strlen(label), out);
}

enum rc
secret_load(const char *path, bool may_make, struct secret *ret, struct err *err)
{
    uint8_t root[SHA256_LEN];
    enum rc rc;

    rc = read_file(path, root, err);
    if (rc == RC_NOT_FOUND && !may_make)
        return err_set(err, RC_INVALID,
                       "%s is missing: restore it from a backup, or copy it from another node",
                       path);
    if (rc == RC_NOT_FOUND) {
        rc = make_file(path, err);
        if (!rc)
            rc = read_file(path, root, err);
    }
    /* found or made: a database that outlives its secret at a power loss could never be opened */
    if (!rc && may_make)
        rc = sync_name(path, err);
    if (rc)
        return rc;
    derive(root, "dossier api key pepper 1", ret->key_pepper);
    derive(root, "dossier upload url 1", ret->upload_url);
    derive(root, "dossier download url 1", ret->download_url);
    derive(root, "dossier idempotency 1", ret->idempotency);
    derive(root, "dossier list cursor 1", ret->cursor);
    derive(root, "dossier audit seal 1", ret->audit_seal);
    derive(root, "dossier audit signing 1", ret->audit_sign);
    explicit_bzero(root, sizeof(root));
    return RC_OK;
}
