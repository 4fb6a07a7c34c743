// SPDX-License-Identifier: Apache-2.0
#include "blob/blob.h"

#include "blob/blob_driver.h"

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
    BUG_ON(!w->hash || len > (uint64_t)(INT64_MAX - w->size));
    if (w->failed)
        return failed_before(w, err);
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
    BUG_ON(!w->hash);
    if (w->failed)
        return failed_before(w, err);
    w->failed = w->store->driver->write_finish(w, err);
    if (w->failed)
        return w->failed;
    ret->size = w->size;
    sha256_done(&w->hash, ret->sha256);
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
    if (*r)
        (*r)->store->driver->reader_free(*r);
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
