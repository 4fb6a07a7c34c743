// SPDX-License-Identifier: Apache-2.0
/*
 * blob: the bytes of documents, addressed by a key of ours.
 *
 *  I1  A blob appears whole at blob_write_finish(), or never.
 *  I2  A key is written once; there is no overwrite, so a reader needs no lock.
 *  I3  blob_delete() of an absent key succeeds: retries are safe.
 *  I4  In a store with BLOB_DURABLE, RC_OK of blob_write_finish() and blob_delete() is on disk.
 *  I5  A failed sync is never repeated. After a directory or small blobs could not be synced
 *      (COMMIT_UNKNOWN) the store answers UNAVAILABLE to every further finish and delete: what the
 *      disk holds is known only to the next start, so the caller should end the process.
 *  I6  A client's text never becomes part of a name.
 *
 * Threads: a store is shared. A writer or a reader is used by one thread at a time, not
 * necessarily the same one. All calls may block on the disk.
 *
 * Not here: who may read a blob, which rows name it, when it is due for deletion.
 */
#ifndef BLOB_BLOB_H
#define BLOB_BLOB_H
#include "base/base.h"
#include "base/crypto.h"
#include "base/id.h"

struct blob_store;
struct blob_writer;
struct blob_reader;

struct blob_key {
    int64_t workspace; /* its internal number, not negative */
    struct id id;
};

struct blob_info {
    int64_t size;
    uint8_t sha256[SHA256_LEN];
};

enum blob_caps {
    BLOB_HAS_FD = 1,  /* blob_reader_fd() gives a descriptor of what is a file */
    BLOB_DURABLE = 2, /* what was finished is still there after a crash */
    BLOB_REMOTE = 4,  /* calls wait for a network: none but blob_write() is for a thread that serves
                         many; reads are when blob_read_ready() says so */
    BLOB_CAN_PRESIGN = 8, /* clients can send and get bytes past us: the part at the end of this */
};

#define BLOB_IDENTITY_LEN 16

/*
 * Opens the store in the directory `dir`, which is made when its parent exists. The caller ends it
 * with blob_store_free(), after all its readers and writers. One process at a time: the caller
 * holds a lock. Errors: STORAGE_FULL, UNAVAILABLE (out of descriptors), IO (also when the file
 * system can publish a file in no way that cannot replace another).
 */
MUST_CHECK enum rc blob_store_open_fs(const char *dir, struct blob_store **ret, struct err *err);

/*
 * Opens the store in a bucket; blob/s3/url.h says what a URL has. `spool` is a directory for
 * uploads that do not fit into memory. The environment is read here. As above, but any number of
 * processes may have it open. Errors: INVALID (the URL, the credentials, the bucket: the detail is
 * fit to be shown), UNAVAILABLE (no answer, or none that can be used).
 */
MUST_CHECK enum rc blob_store_open_s3(const char *url, const char *spool, struct blob_store **ret,
                                      struct err *err);

/* A store in memory, for tests: empty at first, gone when freed. */
MUST_CHECK enum rc blob_store_open_mem(struct blob_store **ret, struct err *err);

void blob_store_free(struct blob_store **store);

/* The driver's name as written in the configuration: "fs", "s3", "mem". */
const char *blob_store_name(const struct blob_store *store);

/* enum blob_caps, or'ed. */
unsigned blob_store_caps(const struct blob_store *store);

/*
 * Who the store is: bytes that are kept in it, so that what belongs together can be told from what
 * does not. Errors: NOT_FOUND (it has none yet), UNAVAILABLE, IO (also when what is kept is no
 * identity).
 */
MUST_CHECK enum rc blob_store_identity(struct blob_store *store, uint8_t ret[BLOB_IDENTITY_LEN],
                                       struct err *err);

/* Gives it one, unless it has one. Errors: STORAGE_FULL, UNAVAILABLE, IO. */
MUST_CHECK enum rc blob_store_identify(struct blob_store *store,
                                       const uint8_t identity[BLOB_IDENTITY_LEN], struct err *err);

/*
 * From now on many small blobs are written at once, which may share what makes them durable. Before
 * there are writers, once. Errors: STORAGE_FULL, UNAVAILABLE, IO.
 */
MUST_CHECK enum rc blob_store_share_syncs(struct blob_store *store, struct err *err);

/* Bytes that can still be written; INT64_MAX when there is no bound, 0 when it cannot be told. */
int64_t blob_store_free_bytes(struct blob_store *store);

/*
 * Starts a blob. On RC_OK the caller owns *ret and ends it with blob_writer_free(), which discards
 * the bytes unless blob_write_finish() succeeded before. That the key is new is checked only at
 * the finish. Errors: STORAGE_FULL, UNAVAILABLE, IO.
 */
MUST_CHECK enum rc blob_write_open(struct blob_store *store, const struct blob_key *key,
                                   struct blob_writer **ret, struct err *err);

/*
 * Appends all `len` bytes. After a failure the writer can only be freed; further calls return the
 * same code. Errors: STORAGE_FULL, UNAVAILABLE, IO.
 */
MUST_CHECK enum rc blob_write(struct blob_writer *w, const void *bytes, size_t len,
                              struct err *err);

/* Bytes taken so far. */
int64_t blob_writer_size(const struct blob_writer *w);

/*
 * Makes the blob durable, then visible, and tells its size and SHA-256. Once only. On failure the
 * key does not exist and the writer can only be freed; with COMMIT_UNKNOWN (I5) it may be back
 * after a crash, and with UNAVAILABLE of a remote store it may exist, or come to later: so a key
 * that was tried is not used again, and what it may have left is an orphan. Errors: CONFLICT (the
 * key exists; its blob is untouched), STORAGE_FULL, UNAVAILABLE, IO, COMMIT_UNKNOWN.
 */
MUST_CHECK enum rc blob_write_finish(struct blob_writer *w, struct blob_info *ret, struct err *err);

void blob_writer_free(struct blob_writer **w);

/*
 * Opens a blob for reading; the caller ends *ret with blob_reader_free(). The reader stays good
 * when the blob is deleted meanwhile; in a remote store it may come to an IO error then. Errors:
 * NOT_FOUND, UNAVAILABLE, IO.
 */
MUST_CHECK enum rc blob_read_open(struct blob_store *store, const struct blob_key *key,
                                  struct blob_reader **ret, struct err *err);

int64_t blob_reader_size(const struct blob_reader *r);

/*
 * Reads min(room, size - offset) bytes from `offset` (0 at and past the end) and says how many.
 * Never fewer: a blob that turns out shorter than its size is an error. Errors: IO, UNAVAILABLE
 * (of a remote store; the same may work later).
 */
MUST_CHECK enum rc blob_read(struct blob_reader *r, int64_t offset, void *into, size_t room,
                             size_t *ret_len, struct err *err);

/*
 * Has the bytes compared with their SHA-256 as they are read in order from offset 0: what is read
 * last is an IO error when they differ, so that no client takes them for whole. Reading that leaves
 * something out is not compared, nor is what goes past blob_read().
 */
void blob_reader_expect(struct blob_reader *r, const uint8_t sha256[SHA256_LEN]);

/* Called on another thread, once, with a lock of the store held: it only passes the word on. */
typedef void blob_wake_fn(void *arg);

/*
 * Whether blob_read() at `offset` would not wait. If false, it has begun to fetch what is there,
 * and wake(arg) tells when the answer may be another, unless the reader is freed before. No other
 * call of the reader meanwhile.
 */
MUST_CHECK bool blob_read_ready(struct blob_reader *r, int64_t offset, blob_wake_fn *wake,
                                void *arg);

/*
 * A descriptor of the whole blob from offset 0, or -1 when it is no file of its own. Borrowed: it
 * is closed with the reader; the caller may dup() it. Its file position is nobody's: use offsets.
 */
int blob_reader_fd(const struct blob_reader *r);

void blob_reader_free(struct blob_reader **r);

/*
 * The size of a blob. Errors: NOT_FOUND, UNAVAILABLE, IO. NOT_FOUND of a BLOB_REMOTE store is one
 * answer that nobody has made sure of: before a blob is called lost, open it.
 */
MUST_CHECK enum rc blob_stat(struct blob_store *store, const struct blob_key *key,
                             int64_t *ret_size, struct err *err);

/*
 * Removes a blob for good; an absent key succeeds. Readers already open keep the bytes until they
 * are freed. Errors: STORAGE_FULL (what is small takes room to be erased), UNAVAILABLE, IO,
 * COMMIT_UNKNOWN (I5; it may be back after a crash).
 */
MUST_CHECK enum rc blob_delete(struct blob_store *store, const struct blob_key *key,
                               struct err *err);

/* Gets one blob; `mtime_ms`: wall time of its last write. Anything but RC_OK ends the walk. */
typedef enum rc blob_visit_fn(void *arg, const struct blob_key *key, int64_t size, int64_t mtime_ms,
                              struct err *err);

/* Gets the path, relative to the store's directory, of a file that is no blob of ours. */
typedef void blob_stranger_fn(void *arg, const char *relative_path);

/*
 * Calls visit() for each blob, in no order; stranger may be NULL. visit() may delete blobs and
 * write others; one that comes or goes during the walk may or may not be seen. Returns what
 * visit() returned when that was not RC_OK. Errors of its own: UNAVAILABLE, IO.
 */
MUST_CHECK enum rc blob_each(struct blob_store *store, blob_visit_fn *visit,
                             blob_stranger_fn *stranger, void *arg, struct err *err);

/*
 * Removes the temporary files that a crash left behind: those last written before the wall time
 * `older_than_ms`. A live writer that has been silent for longer would lose its file too (its
 * finish fails), so leave ample time. Errors: UNAVAILABLE, IO; *ret_removed counts in any case.
 */
MUST_CHECK enum rc blob_sweep_temporary(struct blob_store *store, int64_t older_than_ms,
                                        size_t *ret_removed, struct err *err);

/*
 * Clients that send and get bytes past us: with BLOB_CAN_PRESIGN; elsewhere these are not called.
 *
 * A client puts its bytes under an upload of ours, apart from all blobs, with a URL that we have
 * signed. The bytes become a blob by blob_incoming_adopt(), which copies them within the store: so
 * what is put there later, as long as the URL is good, changes no blob. All calls may wait for a
 * network.
 */

/* What goes with the bytes a client gets. */
struct blob_offer {
    int64_t ttl_s;           /* from 1 to 604,800 */
    const char *media_type;  /* NULL: octets */
    const char *disposition; /* NULL: none is said */
};

/* What the bytes have to be that a client puts; the store refuses others. */
struct blob_demand {
    int64_t ttl_s;
    int64_t size;           /* -1: any */
    const char *media_type; /* NULL: any */
    const uint8_t *sha256;  /* NULL: any; of SHA256_LEN */
};

struct blob_header {
    const char *name;
    const char *value;
};

/* A request that a client may make. */
struct blob_presigned {
    const char *method;
    const char *url;
    struct blob_header headers[5]; /* that have to be sent as they are */
    size_t n_headers;
};

struct blob_incoming {
    int64_t size;
    char etag[256]; /* of these bytes: others under the same upload have another */
};

/*
 * A GET of the blob, or a PUT under an upload, which names something new: both have keys of the
 * same form, and nothing else in common. The result is in `pool`. That the blob exists is not
 * looked at. Errors: UNAVAILABLE (no credentials now).
 */
MUST_CHECK enum rc blob_presign_get(struct blob_store *store, TALLOC_CTX *pool,
                                    const struct blob_key *key, const struct blob_offer *offer,
                                    struct blob_presigned *ret, struct err *err);
MUST_CHECK enum rc blob_presign_put(struct blob_store *store, TALLOC_CTX *pool,
                                    const struct blob_key *upload, const struct blob_demand *demand,
                                    struct blob_presigned *ret, struct err *err);

/* What is there of an upload. Errors: NOT_FOUND (nothing has come), UNAVAILABLE, IO. */
MUST_CHECK enum rc blob_incoming_stat(struct blob_store *store, const struct blob_key *upload,
                                      struct blob_incoming *ret, struct err *err);

/*
 * Makes the bytes of an upload a blob; those that `incoming` told of, and no others. What is there
 * of the upload stays. Errors: NOT_FOUND (the upload has nothing, or other bytes by now), CONFLICT
 * (the key exists), STORAGE_FULL, UNAVAILABLE (as of blob_write_finish()), IO.
 */
MUST_CHECK enum rc blob_incoming_adopt(struct blob_store *store, const struct blob_key *upload,
                                       const struct blob_incoming *incoming,
                                       const struct blob_key *key, struct err *err);

/*
 * Removes what is there of an upload; nothing is fine too. As long as the URL is good more may
 * come: blob_sweep_temporary() removes that, with all that is older. Errors: UNAVAILABLE, IO.
 */
MUST_CHECK enum rc blob_incoming_remove(struct blob_store *store, const struct blob_key *upload,
                                        struct err *err);

#endif
