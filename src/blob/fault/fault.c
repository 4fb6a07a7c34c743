// SPDX-License-Identifier: Apache-2.0
#include "blob/fault/fault.h"

#include <pthread.h>

#include "blob/blob_driver.h"

struct fault_store {
    struct blob_store base;
    struct blob_driver driver; /* ours, with the capabilities of `inner` */
    struct blob_store *inner;
    pthread_mutex_t lock; /* guards what follows */
    struct blob_fault plan;
    unsigned calls;
    unsigned hits;
    bool broken;
};

struct fault_writer {
    struct blob_writer base;
    struct blob_writer *inner;
};

struct fault_reader {
    struct blob_reader base;
    struct blob_reader *inner;
};

/* What a call is to do. */
struct cue {
    enum rc rc; /* RC_OK: nothing special */
    bool after;
};

static bool
changes_names(enum blob_fault_slot slot)
{
    return slot == BLOB_FAULT_WRITE_FINISH || slot == BLOB_FAULT_REMOVE;
}

/* I1: the planned code, or IO where the slot cannot answer that. */
static enum rc
allowed(enum blob_fault_slot slot, enum rc rc)
{
    bool takes_room = slot == BLOB_FAULT_WRITE_OPEN || slot == BLOB_FAULT_WRITE ||
                      slot == BLOB_FAULT_WRITE_FINISH;

    if ((rc == RC_COMMIT_UNKNOWN && !changes_names(slot)) ||
        (rc == RC_STORAGE_FULL && !takes_room) ||
        (rc == RC_UNAVAILABLE && (slot == BLOB_FAULT_WRITE || slot == BLOB_FAULT_READ)))
        return RC_IO;
    return rc;
}

/* Counts a call, and says how it goes. */
static struct cue
next_cue(struct blob_store *base, enum blob_fault_slot slot)
{
    struct fault_store *st = (struct fault_store *)base;
    const struct blob_fault *plan = &st->plan;
    struct cue cue = {RC_OK, false};

    pthread_mutex_lock(&st->lock);
    if (plan->slot == BLOB_FAULT_ANY || plan->slot == slot)
        st->calls++;
    if (st->broken && changes_names(slot)) {
        cue.rc = RC_UNAVAILABLE;
    } else if ((plan->slot == BLOB_FAULT_ANY || plan->slot == slot) && plan->nth > 0 &&
               (st->calls == plan->nth || (plan->for_ever && st->calls > plan->nth))) {
        st->hits++;
        cue.rc = allowed(slot, plan->rc);
        cue.after = plan->after && cue.rc == RC_COMMIT_UNKNOWN;
        st->broken = st->broken || cue.rc == RC_COMMIT_UNKNOWN;
    }
    pthread_mutex_unlock(&st->lock);
    return cue;
}

static enum rc
fail(enum rc rc, struct err *err)
{
    return err_set(err, rc, "a planned fault of the blob store");
}

static enum rc
fault_write_open(struct blob_store *base, const struct blob_key *key, struct blob_writer **ret,
                 struct err *err)
{
    struct fault_store *st = (struct fault_store *)base;
    struct cue cue = next_cue(base, BLOB_FAULT_WRITE_OPEN);
    struct blob_writer *inner = NULL;
    struct fault_writer *w;
    enum rc rc = cue.rc ? fail(cue.rc, err) : blob_write_open(st->inner, key, &inner, err);

    if (rc)
        return rc;
    w = MEM_NEW(NULL, struct fault_writer);
    w->inner = inner;
    *ret = &w->base;
    return RC_OK;
}

static enum rc
fault_write(struct blob_writer *base, const void *bytes, size_t len, struct err *err)
{
    struct cue cue = next_cue(base->store, BLOB_FAULT_WRITE);

    return cue.rc ? fail(cue.rc, err)
                  : blob_write(((struct fault_writer *)base)->inner, bytes, len, err);
}

static enum rc
fault_write_finish(struct blob_writer *base, struct err *err)
{
    struct fault_writer *w = (struct fault_writer *)base;
    struct cue cue = next_cue(base->store, BLOB_FAULT_WRITE_FINISH);
    struct blob_info info;
    enum rc rc;

    if (cue.rc && !cue.after)
        return fail(cue.rc, err);
    rc = blob_write_finish(w->inner, &info, err);
    return rc || !cue.rc ? rc : fail(cue.rc, err);
}

static void
fault_writer_free(struct blob_writer *base)
{
    struct fault_writer *w = (struct fault_writer *)base;

    blob_writer_free(&w->inner);
    (void)talloc_free(w);
}

static enum rc
fault_read_open(struct blob_store *base, const struct blob_key *key, struct blob_reader **ret,
                struct err *err)
{
    struct fault_store *st = (struct fault_store *)base;
    struct cue cue = next_cue(base, BLOB_FAULT_READ_OPEN);
    struct blob_reader *inner = NULL;
    struct fault_reader *r;
    enum rc rc = cue.rc ? fail(cue.rc, err) : blob_read_open(st->inner, key, &inner, err);

    if (rc)
        return rc;
    r = MEM_NEW(NULL, struct fault_reader);
    r->base.size = blob_reader_size(inner);
    r->inner = inner;
    *ret = &r->base;
    return RC_OK;
}

static enum rc
fault_read(struct blob_reader *base, int64_t offset, void *into, size_t len, struct err *err)
{
    struct cue cue = next_cue(base->store, BLOB_FAULT_READ);
    size_t got;

    if (cue.rc)
        return fail(cue.rc, err);
    return blob_read(((struct fault_reader *)base)->inner, offset, into, len, &got, err);
}

static int
fault_reader_fd(const struct blob_reader *base)
{
    return blob_reader_fd(((const struct fault_reader *)base)->inner);
}

static void
fault_reader_free(struct blob_reader *base)
{
    struct fault_reader *r = (struct fault_reader *)base;

    blob_reader_free(&r->inner);
    (void)talloc_free(r);
}

static enum rc
fault_stat(struct blob_store *base, const struct blob_key *key, int64_t *ret_size, struct err *err)
{
    struct cue cue = next_cue(base, BLOB_FAULT_STAT);

    return cue.rc ? fail(cue.rc, err)
                  : blob_stat(((struct fault_store *)base)->inner, key, ret_size, err);
}

static enum rc
fault_remove(struct blob_store *base, const struct blob_key *key, struct err *err)
{
    struct cue cue = next_cue(base, BLOB_FAULT_REMOVE);
    enum rc rc;

    if (cue.rc && !cue.after)
        return fail(cue.rc, err);
    rc = blob_delete(((struct fault_store *)base)->inner, key, err);
    return rc || !cue.rc ? rc : fail(cue.rc, err);
}

static enum rc
fault_each(struct blob_store *base, blob_visit_fn *visit, blob_stranger_fn *stranger, void *arg,
           struct err *err)
{
    struct cue cue = next_cue(base, BLOB_FAULT_EACH);

    return cue.rc ? fail(cue.rc, err)
                  : blob_each(((struct fault_store *)base)->inner, visit, stranger, arg, err);
}

static enum rc
fault_sweep(struct blob_store *base, int64_t older_than_ms, size_t *ret_removed, struct err *err)
{
    struct cue cue = next_cue(base, BLOB_FAULT_SWEEP);

    return cue.rc ? fail(cue.rc, err)
                  : blob_sweep_temporary(((struct fault_store *)base)->inner, older_than_ms,
                                         ret_removed, err);
}

static enum rc
fault_identity(struct blob_store *base, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err)
{
    return blob_store_identity(((struct fault_store *)base)->inner, ret, err);
}

static enum rc
fault_identify(struct blob_store *base, const uint8_t identity[BLOB_IDENTITY_LEN], struct err *err)
{
    return blob_store_identify(((struct fault_store *)base)->inner, identity, err);
}

static int64_t
fault_free_bytes(struct blob_store *base)
{
    return blob_store_free_bytes(((struct fault_store *)base)->inner);
}

static void
fault_store_free(struct blob_store *base)
{
    struct fault_store *st = (struct fault_store *)base;

    blob_store_free(&st->inner);
    BUG_ON(pthread_mutex_destroy(&st->lock));
    (void)talloc_free(st);
}

static const struct blob_driver fault_driver = {
    .name = "fault",
    .caps = 0, /* as those of the wrapped store */
    .store_free = fault_store_free,
    .identity = fault_identity,
    .identify = fault_identify,
    .free_bytes = fault_free_bytes,
    .write_open = fault_write_open,
    .write = fault_write,
    .write_finish = fault_write_finish,
    .writer_free = fault_writer_free,
    .read_open = fault_read_open,
    .read = fault_read,
    .reader_fd = fault_reader_fd,
    .reader_free = fault_reader_free,
    .stat = fault_stat,
    .remove = fault_remove,
    .each = fault_each,
    .sweep = fault_sweep,
};

enum rc
blob_store_open_fault(struct blob_store *inner, const struct blob_fault *plan,
                      struct blob_store **ret, struct err *err)
{
    struct fault_store *st = MEM_NEW(NULL, struct fault_store);

    (void)err;
    st->driver = fault_driver;
    st->driver.caps = blob_store_caps(inner) & ~(unsigned)BLOB_CAN_PRESIGN;
    st->base.driver = &st->driver;
    st->inner = inner;
    st->plan = *plan;
    BUG_ON(pthread_mutex_init(&st->lock, NULL));
    *ret = &st->base;
    return RC_OK;
}

void
blob_fault_arm(struct blob_store *store, const struct blob_fault *plan)
{
    struct fault_store *st = (struct fault_store *)store;

    BUG_ON(store->driver != &st->driver);
    pthread_mutex_lock(&st->lock);
    st->plan = *plan;
    st->calls = st->hits = 0;
    pthread_mutex_unlock(&st->lock);
}

unsigned
blob_fault_calls(struct blob_store *store)
{
    struct fault_store *st = (struct fault_store *)store;
    unsigned n;

    BUG_ON(store->driver != &st->driver);
    pthread_mutex_lock(&st->lock);
    n = st->calls;
    pthread_mutex_unlock(&st->lock);
    return n;
}

unsigned
blob_fault_hits(struct blob_store *store)
{
    struct fault_store *st = (struct fault_store *)store;
    unsigned n;

    BUG_ON(store->driver != &st->driver);
    pthread_mutex_lock(&st->lock);
    n = st->hits;
    pthread_mutex_unlock(&st->lock);
    return n;
}
