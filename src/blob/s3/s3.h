// SPDX-License-Identifier: Apache-2.0
/*
 * s3: what the files of the s3 driver share. What holds for it stands in s3.c.
 */
#ifndef BLOB_S3_S3_H
#define BLOB_S3_S3_H
#include "base/workers.h"
#include "blob/blob_driver.h"
#include "blob/name.h"
#include "blob/s3/call.h"

#define INCOMING_FOLDER "incoming/"
#define IDENTITY_KEY "dossier-store"
#define WRITER_HEADER "x-amz-meta-dossier-writer"
#define S3_KEY_LEN 128     /* of a key of ours below the prefix */
#define ANSWER_MAX MIB(4)  /* a page of 1,000 keys of 1,024 bytes, and what stands around them */
#define RESULT_MAX KIB(16) /* the result of one request, as XML */

struct s3_store {
    struct blob_store base;
    TALLOC_CTX *pool; /* of the configuration; not touched any more */
    struct s3_client client;
    char *spool; /* directory for what does not fit into memory */
    pthread_mutex_t workers_lock;
    struct workers *workers;    /* NULL before the first job */
    _Atomic int64_t write_room; /* bytes of memory that writers may still take */
    _Atomic int64_t read_room;  /* and readers */
};

/* Runs a job on a thread of the store. Errors: UNAVAILABLE. */
MUST_CHECK enum rc s3_submit(struct s3_store *st, struct job *job, struct err *err);

/* A share of memory: false when there is not so much left. */
MUST_CHECK bool s3_take_room(_Atomic int64_t *room, int64_t n);

/* A call with its method, key and deadline. */
struct s3_call s3_call_to(struct s3_store *st, const char *method, const char *key,
                          int64_t deadline_ms);

/* The headers of the encryption that is configured, for a new object. */
void s3_call_encrypt(struct s3_call *c);

/* Errors: NOT_FOUND, UNAVAILABLE. */
MUST_CHECK enum rc s3_head(struct s3_store *st, const char *key, int64_t deadline_ms,
                           bool absent_is_loss, struct http_answer *ret, struct err *err);

/* Removes an object for good: it is gone when this returns RC_OK, or was not there. */
MUST_CHECK enum rc s3_erase(struct s3_store *st, const char *key, struct err *err);

/* --- a new object (put.c) --- */

/* One that is being made. */
struct s3_target {
    struct s3_store *st;
    const char *key;
    char writer[ID_HEX + 1]; /* who makes it; kept with the object */
};

void s3_target_init(struct s3_target *t, struct s3_store *st, const char *key);

/*
 * Makes the object of these bytes with one request and looks whether it is there. Errors: CONFLICT
 * (another has made it), STORAGE_FULL, UNAVAILABLE (it may be there, or come).
 */
MUST_CHECK enum rc s3_put(const struct s3_target *t, const struct http_body *body,
                          const char *sha256, int64_t deadline_ms, struct err *err);

/* What stands under the key: ours and whole, or CONFLICT or UNAVAILABLE. */
MUST_CHECK enum rc s3_look(const struct s3_target *t, int64_t size, int64_t deadline_ms,
                           struct err *err);

/*
 * For requests that know no If-None-Match: that nothing of another stands there is seen before.
 * Errors: CONFLICT, UNAVAILABLE.
 */
MUST_CHECK enum rc s3_check_free(const struct s3_target *t, int64_t deadline_ms, struct err *err);

/* Begins an upload in parts; *ret_id is in `pool`. */
MUST_CHECK enum rc s3_upload_begin(const struct s3_target *t, TALLOC_CTX *pool, const char **ret_id,
                                   struct err *err);

/* Puts the parts together and looks whether the object is there with `size`. As s3_put(). */
MUST_CHECK enum rc s3_upload_complete(const struct s3_target *t, const char *id,
                                      const char *const *etags, unsigned n, int64_t size,
                                      int64_t deadline_ms, struct err *err);

void s3_upload_abort(const struct s3_target *t, const char *id);

/* An ETag that can stand in XML. */
bool s3_is_etag(const char *etag);

/* --- the driver's slots --- */

enum rc s3_write_open(struct blob_store *store, const struct blob_key *key,
                      struct blob_writer **ret, struct err *err);
enum rc s3_write(struct blob_writer *w, const void *bytes, size_t len, struct err *err);
enum rc s3_write_finish(struct blob_writer *w, struct err *err);
void s3_writer_free(struct blob_writer *w);

enum rc s3_read_open(struct blob_store *store, const struct blob_key *key, struct blob_reader **ret,
                     struct err *err);
enum rc s3_read(struct blob_reader *r, int64_t offset, void *into, size_t len, struct err *err);
bool s3_read_ready(struct blob_reader *r, int64_t offset, blob_wake_fn *wake, void *arg);
void s3_reader_free(struct blob_reader *r);

enum rc s3_each(struct blob_store *store, blob_visit_fn *visit, blob_stranger_fn *stranger,
                void *arg, struct err *err);
enum rc s3_sweep(struct blob_store *store, int64_t older_than_ms, size_t *ret_removed,
                 struct err *err);

enum rc s3_identity(struct blob_store *store, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err);
enum rc s3_identify(struct blob_store *store, const uint8_t identity[BLOB_IDENTITY_LEN],
                    struct err *err);
enum rc s3_presign_get(struct blob_store *store, TALLOC_CTX *pool, const struct blob_key *key,
                       const struct blob_offer *offer, struct blob_presigned *ret, struct err *err);
enum rc s3_presign_put(struct blob_store *store, TALLOC_CTX *pool, const struct blob_key *upload,
                       const struct blob_demand *demand, struct blob_presigned *ret,
                       struct err *err);
enum rc s3_incoming_stat(struct blob_store *store, const struct blob_key *upload,
                         struct blob_incoming *ret, struct err *err);
enum rc s3_incoming_adopt(struct blob_store *store, const struct blob_key *upload,
                          const struct blob_incoming *incoming, const struct blob_key *key,
                          struct err *err);
enum rc s3_incoming_remove(struct blob_store *store, const struct blob_key *upload,
                           struct err *err);

#endif
