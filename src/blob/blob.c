// SPDX-License-Identifier: Apache-2.0
#include "blob/blob.h"

#include "blob/blob_driver.h"

#define TTL_MAX_S 604800 /* of a signed request: that is how far Signature Version 4 goes */

void
blob_store_free(struct blob_store **store)
{
    if (*store)
        (*store)->driver->store_free(*store);
    *store = NULL;
}

const char *
blob_store_name(const struct blob_store *store)
{
    return store->driver->name;
}

unsigned
blob_store_caps(const struct blob_store *store)
{
    return store->driver->caps;
}

enum rc
blob_store_identity(struct blob_store *store, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err)
{
    return store->driver->identity(store, ret, err);
}

enum rc
blob_store_identify(struct blob_store *store, const uint8_t identity[BLOB_IDENTITY_LEN],
                    struct err *err)
{
    return store->driver->identify(store, identity, err);
}

enum rc
blob_store_share_syncs(struct blob_store *store, struct err *err)
{
    return store->driver->share_syncs ? store->driver->share_syncs(store, err) : RC_OK;
}

int64_t
blob_store_free_bytes(struct blob_store *store)
{
    return store->driver->free_bytes(store);
}

enum rc
blob_write_open(struct blob_store *store, const struct blob_key *key, struct blob_writer **ret,
                struct err *err)
{
    struct blob_writer *w = NULL;
    enum rc rc;

    BUG_ON(key->workspace < 0);
    rc = store->driver->write_open(store, key, &w, err);
    if (rc)
        return rc;
    w->store = store;
    w->key = *key;
    w->size = 0;
    w->hash = sha256_new();
    w->failed = RC_OK;
    *ret = w;
    return RC_OK;
}

/* What every call after the first failure of a writer returns. */
static enum rc
failed_before(const struct blob_writer *w, struct err *err)
{
    return err_set(err, w->failed, "the blob writer has failed before");
}

enum rc
blob_write(struct blob_writer *w, const void *bytes, size_t len, struct err *err)
{
    if (w->failed)
        return failed_before(w, err);
    BUG_ON(!w->hash || len > (uint64_t)(INT64_MAX - w->size));
    if (len == 0)
        return RC_OK;
    w->failed = w->store->driver->write(w, bytes, len, err);
    if (w->failed)
        return w->failed;
    sha256_add(w->hash, bytes, len);
    w->size += (int64_t)len;
    return RC_OK;
}

int64_t
blob_writer_size(const struct blob_writer *w)
{
    return w->size;
}

enum rc
blob_write_finish(struct blob_writer *w, struct blob_info *ret, struct err *err)
{
    if (w->failed)
        return failed_before(w, err);
    BUG_ON(!w->hash);
    sha256_done(&w->hash, w->sha256);
    w->failed = w->store->driver->write_finish(w, err);
    if (w->failed)
        return w->failed;
    ret->size = w->size;
    memcpy(ret->sha256, w->sha256, SHA256_LEN);
    return RC_OK;
}

void
blob_writer_free(struct blob_writer **w)
{
    if (*w) {
        sha256_free(&(*w)->hash);
        (*w)->store->driver->writer_free(*w);
    }
    *w = NULL;
}

enum rc
blob_read_open(struct blob_store *store, const struct blob_key *key, struct blob_reader **ret,
               struct err *err)
{
    struct blob_reader *r = NULL;
    enum rc rc;

    BUG_ON(key->workspace < 0);
    rc = store->driver->read_open(store, key, &r, err);
    if (rc)
        return rc;
    r->store = store;
    *ret = r;
    return RC_OK;
}

int64_t
blob_reader_size(const struct blob_reader *r)
{
    return r->size;
}

void
blob_reader_expect(struct blob_reader *r, const uint8_t sha256[SHA256_LEN])
{
    sha256_free(&r->hash);
    r->hash = sha256_new();
    r->hashed = 0;
    memcpy(r->expected, sha256, SHA256_LEN);
}

/* Takes what was read into the running hash, and compares that at the end of the blob. */
static enum rc
compare(struct blob_reader *r, int64_t offset, const void *bytes, size_t len, struct err *err)
{
    uint8_t sha256[SHA256_LEN];

    if (offset > r->hashed)
        sha256_free(&r->hash);
    if (!r->hash || offset != r->hashed)
        return RC_OK;
    sha256_add(r->hash, bytes, len);
    r->hashed += (int64_t)len;
    if (r->hashed < r->size)
        return RC_OK;
    sha256_done(&r->hash, sha256);
    if (crypto_equal(sha256, r->expected, SHA256_LEN))
        return RC_OK;
    return err_set(err, RC_IO, "the bytes of a blob are not those that were stored");
}

enum rc
blob_read(struct blob_reader *r, int64_t offset, void *into, size_t room, size_t *ret_len,
          struct err *err)
{
    size_t len = room;
    enum rc rc;

    BUG_ON(offset < 0);
    if (offset >= r->size)
        len = 0;
    else if (len > (uint64_t)(r->size - offset))
        len = (size_t)(r->size - offset);
    if (len > 0) {
        rc = r->store->driver->read(r, offset, into, len, err);
        if (!rc)
            rc = compare(r, offset, into, len, err);
        if (rc)
            return rc;
    }
    *ret_len = len;
    return RC_OK;
}

bool
blob_read_ready(struct blob_reader *r, int64_t offset, blob_wake_fn *wake, void *arg)
{
    if (!r->store->driver->read_ready || offset >= r->size)
        return true;
    return r->store->driver->read_ready(r, offset, wake, arg);
}

int
blob_reader_fd(const struct blob_reader *r)
{
    if (!(r->store->driver->caps & BLOB_HAS_FD))
        return -1;
    return r->store->driver->reader_fd(r);
}

void
blob_reader_free(struct blob_reader **r)
{
    if (*r) {
        sha256_free(&(*r)->hash);
        (*r)->store->driver->reader_free(*r);
    }
    *r = NULL;
}

enum rc
blob_stat(struct blob_store *store, const struct blob_key *key, int64_t *ret_size, struct err *err)
{
    BUG_ON(key->workspace < 0);
    return store->driver->stat(store, key, ret_size, err);
}

enum rc
blob_delete(struct blob_store *store, const struct blob_key *key, struct err *err)
{
    BUG_ON(key->workspace < 0);
    return store->driver->remove(store, key, err);
}

enum rc
blob_each(struct blob_store *store, blob_visit_fn *visit, blob_stranger_fn *stranger, void *arg,
          struct err *err)
{
    return store->driver->each(store, visit, stranger, arg, err);
}

enum rc
blob_sweep_temporary(struct blob_store *store, int64_t older_than_ms, size_t *ret_removed,
                     struct err *err)
{
    *ret_removed = 0;
    if (!store->driver->sweep)
        return RC_OK;
    return store->driver->sweep(store, older_than_ms, ret_removed, err);
}

enum rc
blob_presign_get(struct blob_store *store, TALLOC_CTX *pool, const struct blob_key *key,
                 const struct blob_offer *offer, struct blob_presigned *ret, struct err *err)
{
    BUG_ON(key->workspace < 0 || offer->ttl_s < 1 || offer->ttl_s > TTL_MAX_S);
    return store->driver->presign_get(store, pool, key, offer, ret, err);
}

enum rc
blob_presign_put(struct blob_store *store, TALLOC_CTX *pool, const struct blob_key *upload,
                 const struct blob_demand *demand, struct blob_presigned *ret, struct err *err)
{
    BUG_ON(upload->workspace < 0 || demand->ttl_s < 1 || demand->ttl_s > TTL_MAX_S);
    return store->driver->presign_put(store, pool, upload, demand, ret, err);
}

enum rc
blob_incoming_stat(struct blob_store *store, const struct blob_key *upload,
                   struct blob_incoming *ret, struct err *err)
{
    BUG_ON(upload->workspace < 0);
    return store->driver->incoming_stat(store, upload, ret, err);
}

enum rc
blob_incoming_adopt(struct blob_store *store, const struct blob_key *upload,
                    const struct blob_incoming *incoming, const struct blob_key *key,
                    struct err *err)
{
    BUG_ON(upload->workspace < 0 || key->workspace < 0);
    return store->driver->incoming_adopt(store, upload, incoming, key, err);
}

enum rc
blob_incoming_remove(struct blob_store *store, const struct blob_key *upload, struct err *err)
{
    BUG_ON(upload->workspace < 0);
    return store->driver->incoming_remove(store, upload, err);
}
