// SPDX-License-Identifier: Apache-2.0
/*
 * mem: blobs in memory, for tests of what stands above blob.h.
 *
 *  I1  A blob's bytes never change once it is in a bucket; it is freed with its last reference
 *      (its bucket's, or a reader's), so reading needs no lock.
 *
 * The lock guards the buckets and the reference counts.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rand.h"
#include "blob/blob_driver.h"

#define BUCKETS 4096

struct mem_blob {
    struct blob_key key;
    char *bytes;
    int64_t size;
    int64_t mtime_ms;
    unsigned refs;
    struct mem_blob *next; /* in its bucket */
};

struct mem_store {
    struct blob_store base;
    pthread_mutex_t lock;
    bool identified;
    uint8_t identity[BLOB_IDENTITY_LEN];
    size_t count;
    struct mem_blob *buckets[BUCKETS];
};

struct mem_writer {
    struct blob_writer base;
    char *bytes; /* base.size of them */
    size_t room;
};

struct mem_reader {
    struct blob_reader base;
    struct mem_blob *blob;
};

static void
blob_unref(struct mem_blob *b)
{
    if (--b->refs > 0)
        return;
    free(b->bytes);
    free(b);
}

/* The pointer to the blob of `key`, or to the NULL at the end of its bucket. Under the lock. */
static struct mem_blob **
find(struct mem_store *st, const struct blob_key *key)
{
    unsigned bucket = ((unsigned)key->id.b[14] << 8 | key->id.b[15]) % BUCKETS;
    struct mem_blob **at = &st->buckets[bucket];

    while (*at && ((*at)->key.workspace != key->workspace || !id_equal(&(*at)->key.id, &key->id)))
        at = &(*at)->next;
    return at;
}

static enum rc
mem_write_open(struct blob_store *base, const struct blob_key *key, struct blob_writer **ret,
               struct err *err)
{
    struct mem_writer *w = MEM_NEW(NULL, struct mem_writer);

    (void)base;
    (void)key;
    (void)err;
    *ret = &w->base;
    return RC_OK;
}

static enum rc
mem_write(struct blob_writer *base, const void *bytes, size_t len, struct err *err)
{
    struct mem_writer *w = (struct mem_writer *)base;
    size_t size = (size_t)base->size;

    if (len > w->room - size) {
        size_t room = (size + len) * 2;
        char *grown = realloc(w->bytes, room);

        if (!grown)
            return err_set(err, RC_STORAGE_FULL, "no memory for a blob of %zu bytes", size + len);
        w->bytes = grown;
        w->room = room;
    }
    memcpy(w->bytes + size, bytes, len);
    return RC_OK;
}

static enum rc
mem_write_finish(struct blob_writer *base, struct err *err)
{
    struct mem_writer *w = (struct mem_writer *)base;
    struct mem_store *st = (struct mem_store *)base->store;
    struct mem_blob *b = calloc(1, sizeof(*b));
    struct mem_blob **at;
    bool fresh;

    BUG_ON(!b);
    b->key = base->key;
    b->size = base->size;
    b->mtime_ms = clock_wall_ms();
    b->refs = 1;
    pthread_mutex_lock(&st->lock);
    at = find(st, &base->key);
    fresh = !*at;
    if (fresh) {
        b->bytes = w->bytes;
        w->bytes = NULL;
        *at = b;
        st->count++;
    }
    pthread_mutex_unlock(&st->lock);
    if (fresh)
        return RC_OK;
    free(b);
    return err_set(err, RC_CONFLICT, "the blob exists");
}

static void
mem_writer_free(struct blob_writer *base)
{
    struct mem_writer *w = (struct mem_writer *)base;

    free(w->bytes);
    (void)talloc_free(w);
}

static enum rc
mem_read_open(struct blob_store *base, const struct blob_key *key, struct blob_reader **ret,
              struct err *err)
{
    struct mem_store *st = (struct mem_store *)base;
    struct mem_reader *r;
    struct mem_blob *b;

    pthread_mutex_lock(&st->lock);
    b = *find(st, key);
    if (b)
        b->refs++;
    pthread_mutex_unlock(&st->lock);
    if (!b)
        return err_set(err, RC_NOT_FOUND, "no such blob");
    r = MEM_NEW(NULL, struct mem_reader);
    r->base.size = b->size;
    r->blob = b;
    *ret = &r->base;
    return RC_OK;
}

static enum rc
mem_read(struct blob_reader *base, int64_t offset, void *into, size_t len, struct err *err)
{
    struct mem_reader *r = (struct mem_reader *)base;

    (void)err;
    memcpy(into, r->blob->bytes + offset, len);
    return RC_OK;
}

static void
mem_reader_free(struct blob_reader *base)
{
    struct mem_reader *r = (struct mem_reader *)base;
    struct mem_store *st = (struct mem_store *)base->store;

    pthread_mutex_lock(&st->lock);
    blob_unref(r->blob);
    pthread_mutex_unlock(&st->lock);
    (void)talloc_free(r);
}

static enum rc
mem_stat(struct blob_store *base, const struct blob_key *key, int64_t *ret_size, struct err *err)
{
    struct mem_store *st = (struct mem_store *)base;
    struct mem_blob *b;

    pthread_mutex_lock(&st->lock);
    b = *find(st, key);
    if (b)
        *ret_size = b->size;
    pthread_mutex_unlock(&st->lock);
    return b ? RC_OK : err_set(err, RC_NOT_FOUND, "no such blob");
}

static enum rc
mem_remove(struct blob_store *base, const struct blob_key *key, struct err *err)
{
    struct mem_store *st = (struct mem_store *)base;
    struct mem_blob **at;
    struct mem_blob *b;

    (void)err;
    pthread_mutex_lock(&st->lock);
    at = find(st, key);
    b = *at;
    if (b) {
        *at = b->next;
        st->count--;
        blob_unref(b);
    }
    pthread_mutex_unlock(&st->lock);
    return RC_OK;
}

struct seen {
    struct blob_key key;
    int64_t size;
    int64_t mtime_ms;
};

/* What is in the store now; the caller frees it. */
static struct seen *
snapshot(struct mem_store *st, size_t *ret_count)
{
    struct seen *all;
    size_t n = 0;

    pthread_mutex_lock(&st->lock);
    all = calloc(st->count + 1, sizeof(*all));
    BUG_ON(!all);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct mem_blob *b = st->buckets[i]; b; b = b->next)
            all[n++] = (struct seen){b->key, b->size, b->mtime_ms};
    pthread_mutex_unlock(&st->lock);
    *ret_count = n;
    return all;
}

static enum rc
mem_each(struct blob_store *base, blob_visit_fn *visit, blob_stranger_fn *stranger, void *arg,
         struct err *err)
{
    size_t count;
    struct seen *all = snapshot((struct mem_store *)base, &count);
    enum rc rc = RC_OK;

    (void)stranger;
    for (size_t i = 0; i < count && !rc; i++)
        rc = visit(arg, &all[i].key, all[i].size, all[i].mtime_ms, err);
    free(all);
    return rc;
}

static enum rc
mem_identity(struct blob_store *base, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err)
{
    struct mem_store *st = (struct mem_store *)base;
    bool found;

    BUG_ON(pthread_mutex_lock(&st->lock));
    found = st->identified;
    memcpy(ret, st->identity, BLOB_IDENTITY_LEN);
    BUG_ON(pthread_mutex_unlock(&st->lock));
    return found ? RC_OK : err_set(err, RC_NOT_FOUND, "no identity");
}

static enum rc
mem_identify(struct blob_store *base, const uint8_t identity[BLOB_IDENTITY_LEN], struct err *err)
{
    struct mem_store *st = (struct mem_store *)base;

    (void)err;
    BUG_ON(pthread_mutex_lock(&st->lock));
    if (!st->identified)
        memcpy(st->identity, identity, BLOB_IDENTITY_LEN);
    st->identified = true;
    BUG_ON(pthread_mutex_unlock(&st->lock));
    return RC_OK;
}

static int64_t
mem_free_bytes(struct blob_store *base)
{
    (void)base;
    return INT64_MAX;
}

static void
mem_store_free(struct blob_store *base)
{
    struct mem_store *st = (struct mem_store *)base;

    for (size_t i = 0; i < BUCKETS; i++) {
        while (st->buckets[i]) {
            struct mem_blob *b = st->buckets[i];

            st->buckets[i] = b->next;
            blob_unref(b);
        }
    }
    BUG_ON(pthread_mutex_destroy(&st->lock));
    (void)talloc_free(st);
}

static const struct blob_driver mem_driver = {
    .name = "mem",
    .caps = 0,
    .store_free = mem_store_free,
    .identity = mem_identity,
    .identify = mem_identify,
    .free_bytes = mem_free_bytes,
    .write_open = mem_write_open,
    .write = mem_write,
    .write_finish = mem_write_finish,
    .writer_free = mem_writer_free,
    .read_open = mem_read_open,
    .read = mem_read,
    .reader_free = mem_reader_free,
    .stat = mem_stat,
    .remove = mem_remove,
    .each = mem_each,
};

enum rc
blob_store_open_mem(struct blob_store **ret, struct err *err)
{
    struct mem_store *st = MEM_NEW(NULL, struct mem_store);

    (void)err;
    st->base.driver = &mem_driver;
    BUG_ON(pthread_mutex_init(&st->lock, NULL));
    *ret = &st->base;
    return RC_OK;
}
