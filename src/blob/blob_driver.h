// SPDX-License-Identifier: Apache-2.0
/*
 * blob_driver: what a kind of blob store provides. Included by blob.c and the drivers only.
 *
 *  I1  No slot is called but by blob.c, which has checked the arguments, keeps the running hash
 *      and size, and lets nothing happen to a writer that has failed or finished.
 *  I2  A driver embeds blob_store, blob_writer and blob_reader as the first member of its own
 *      structs, allocates those, and frees them in the matching slot.
 *
 * Threads: as in blob.h; slots with a store may run on many threads at once.
 */
#ifndef BLOB_BLOB_DRIVER_H
#define BLOB_BLOB_DRIVER_H
#include "blob/blob.h"

struct blob_driver {
    const char *name; /* as written in the configuration */
    unsigned caps;    /* enum blob_caps */

    /* Required. Ends the store; it has no readers and writers left. */
    void (*store_free)(struct blob_store *store);

    /* Required. As blob_store_identity(). */
    enum rc (*identity)(struct blob_store *store, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err);

    /* Required. As blob_store_identify(). */
    enum rc (*identify)(struct blob_store *store, const uint8_t identity[BLOB_IDENTITY_LEN],
                        struct err *err);

    /* Required. As blob_store_free_bytes(). */
    int64_t (*free_bytes)(struct blob_store *store);

    /* Optional. As blob_store_share_syncs(). */
    enum rc (*share_syncs)(struct blob_store *store, struct err *err);

    /* Required. As blob_write_open(); the wrapper fills the embedded struct afterwards. */
    enum rc (*write_open)(struct blob_store *store, const struct blob_key *key,
                          struct blob_writer **ret, struct err *err);

    /* Required. Appends all of `len` bytes, `len` > 0; w->size is the size before them. */
    enum rc (*write)(struct blob_writer *w, const void *bytes, size_t len, struct err *err);

    /* Required. Durable, then visible under w->key; CONFLICT when that exists. */
    enum rc (*write_finish)(struct blob_writer *w, struct err *err);

    /* Required. Frees the writer, and its bytes when write_finish() has not succeeded. */
    void (*writer_free)(struct blob_writer *w);

    /* Required. Absent key: NOT_FOUND. Sets (*ret)->size. */
    enum rc (*read_open)(struct blob_store *store, const struct blob_key *key,
                         struct blob_reader **ret, struct err *err);

    /* Required. Reads exactly `len` bytes, `len` > 0, all of them within the blob. */
    enum rc (*read)(struct blob_reader *r, int64_t offset, void *into, size_t len, struct err *err);

    /* Optional: without it reads are always ready. As blob_read_ready(), offset within the blob. */
    bool (*read_ready)(struct blob_reader *r, int64_t offset, blob_wake_fn *wake, void *arg);

    /* Optional, with BLOB_HAS_FD. As blob_reader_fd(). */
    int (*reader_fd)(const struct blob_reader *r);

    /* Required. */
    void (*reader_free)(struct blob_reader *r);

    /* Required. Absent key: NOT_FOUND. */
    enum rc (*stat)(struct blob_store *store, const struct blob_key *key, int64_t *ret_size,
                    struct err *err);

    /* Required. Absent key: RC_OK, once any removal of it under way is durable too. */
    enum rc (*remove)(struct blob_store *store, const struct blob_key *key, struct err *err);

    /* Required. As blob_each(); holds no lock that another slot takes while it calls visit(). */
    enum rc (*each)(struct blob_store *store, blob_visit_fn *visit, blob_stranger_fn *stranger,
                    void *arg, struct err *err);

    /* Optional: a driver without it leaves nothing temporary behind. *ret_removed is 0 before. */
    enum rc (*sweep)(struct blob_store *store, int64_t older_than_ms, size_t *ret_removed,
                     struct err *err);

    /* Optional, all of them with BLOB_CAN_PRESIGN. As the functions of blob.h. */
    enum rc (*presign_get)(struct blob_store *store, TALLOC_CTX *pool, const struct blob_key *key,
                           const struct blob_offer *offer, struct blob_presigned *ret,
                           struct err *err);
    enum rc (*presign_put)(struct blob_store *store, TALLOC_CTX *pool,
                           const struct blob_key *upload, const struct blob_demand *demand,
                           struct blob_presigned *ret, struct err *err);
    enum rc (*incoming_stat)(struct blob_store *store, const struct blob_key *upload,
                             struct blob_incoming *ret, struct err *err);
    enum rc (*incoming_adopt)(struct blob_store *store, const struct blob_key *upload,
                              const struct blob_incoming *incoming, const struct blob_key *key,
                              struct err *err);
    enum rc (*incoming_remove)(struct blob_store *store, const struct blob_key *upload,
                               struct err *err);
};

struct blob_store {
    const struct blob_driver *driver;
};

struct blob_writer {
    struct blob_store *store;
    struct blob_key key;
    int64_t size;
    struct sha256 *hash;        /* NULL once finished */
    uint8_t sha256[SHA256_LEN]; /* from write_finish() on */
    enum rc failed;             /* the first failure, RC_OK before it */
};

struct blob_reader {
    struct blob_store *store;
    int64_t size;
    struct sha256 *hash; /* NULL when nothing is compared */
    int64_t hashed;      /* bytes */
    uint8_t expected[SHA256_LEN];
};

/*
 * blob_store_open_fs() as it works where the file system has no files without a name (O_TMPFILE):
 * so that the contract tests run that half on any machine.
 */
MUST_CHECK enum rc blob_store_open_fs_named(const char *dir, struct blob_store **ret,
                                            struct err *err);

#endif
