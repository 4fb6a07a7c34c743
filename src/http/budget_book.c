// SPDX-License-Identifier: Apache-2.0
#include "http/budget_book.h"

#include <pthread.h>

#include "base/rand.h"

#define SHARDS 16
#define BUCKETS 1024
#define SHARD_MAX 7000 /* subjects remembered a shard; idle ones give way beyond that */

struct shard {
    pthread_mutex_t lock;
    size_t count;
    struct budget_entry *buckets[BUCKETS];
};

struct budget_book {
    struct engine *engine;
    struct shard shards[SHARDS];
};

struct budget_book *
budget_book_new(struct engine *engine)
{
    struct budget_book *b = MEM_NEW(NULL, struct budget_book);

    b->engine = engine;
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&b->shards[i].lock, NULL);
    return b;
}

void
budget_book_free(struct budget_book **b)
{
    if (!*b)
        return;
    for (int i = 0; i < SHARDS; i++) {
        for (int j = 0; j < BUCKETS; j++) {
            for (struct budget_entry *e = (*b)->shards[i].buckets[j], *next; e; e = next) {
                next = e->next_;
                (void)talloc_free(e);
            }
        }
        pthread_mutex_destroy(&(*b)->shards[i].lock);
    }
    (void)talloc_free(*b);
    *b = NULL;
}

/* The last bytes of an id are random: they spread by themselves. */
static struct shard *
shard_of(struct budget_book *b, const struct id *subject)
{
    return &b->shards[subject->b[15] % SHARDS];
}

static struct budget_entry **
bucket_of(struct shard *s, const struct id *subject)
{
    return &s->buckets[(subject->b[13] << 8 | subject->b[14]) % BUCKETS];
}

static struct budget_entry *
find(struct shard *s, const struct id *subject)
{
    struct budget_entry *e = *bucket_of(s, subject);

    while (e && !id_equal(&e->day.subject, subject))
        e = e->next_;
    return e;
}

/* Drops one subject of the bucket of which all is known elsewhere. */
static void
make_room(struct shard *s, struct budget_entry **bucket)
{
    while (*bucket && (budget_unsaved(*bucket) > 0 || budget_untold(*bucket) > 0))
        bucket = &(*bucket)->next_;
    if (*bucket) {
        struct budget_entry *gone = *bucket;

        *bucket = gone->next_;
        (void)talloc_free(gone);
        s->count--;
    }
}

static struct budget_entry *
add(struct shard *s, const struct budget *known)
{
    struct budget_entry **bucket = bucket_of(s, &known->subject), *e;

    if (s->count >= SHARD_MAX)
        make_room(s, bucket);
    e = MEM_NEW(NULL, struct budget_entry);
    e->day = *known;
    rand_bytes(&e->shared.name, sizeof(e->shared.name));
    e->next_ = *bucket;
    *bucket = e;
    s->count++;
    return e;
}

static enum rc
load_fn(struct tx *tx, void *arg, struct err *err)
{
    struct budget *b = arg;
    enum rc rc = budget_read(tx, b->workspace, &b->subject, b, err);

    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc
budget_book_read(struct budget_book *b, int64_t workspace, const struct id *subject, bool may_wait,
                 struct budget *ret, struct err *err)
{
    SCOPED_POOL(pool);

    if (!may_wait)
        return err_set(err, RC_BUSY, "the budget has to be looked up");
    *ret = (struct budget){.workspace = workspace, .subject = *subject};
    return engine_read(b->engine, pool, load_fn, ret, err);
}

struct budget_entry *
budget_book_seek(struct budget_book *b, const struct id *subject)
{
    struct shard *s = shard_of(b, subject);
    struct budget_entry *e;

    pthread_mutex_lock(&s->lock);
    e = find(s, subject);
    if (!e)
        pthread_mutex_unlock(&s->lock);
    return e;
}

void
budget_book_leave(struct budget_book *b, const struct id *subject)
{
    pthread_mutex_unlock(&shard_of(b, subject)->lock);
}

enum rc
budget_book_enter(struct budget_book *b, const struct caller *caller, bool may_wait,
                  struct budget_entry **ret, struct err *err)
{
    struct shard *s = shard_of(b, &caller->subject);
    struct budget known;
    enum rc rc;

    *ret = budget_book_seek(b, &caller->subject);
    if (*ret)
        return RC_OK;
    /* may wait for the disk: not under the lock */
    rc = budget_book_read(b, caller->workspace.number, &caller->subject, may_wait, &known, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->lock);
    *ret = find(s, &caller->subject);
    if (!*ret)
        *ret = add(s, &known);
    return RC_OK;
}

void
budget_book_each(struct budget_book *b, void (*visit)(const struct budget_entry *e, void *arg),
                 void *arg)
{
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &b->shards[i];

        pthread_mutex_lock(&s->lock);
        for (int j = 0; j < BUCKETS; j++) {
            for (const struct budget_entry *e = s->buckets[j]; e; e = e->next_)
                visit(e, arg);
        }
        pthread_mutex_unlock(&s->lock);
    }
}

void
budget_rename(struct budget_entry *e)
{
    rand_bytes(&e->shared.name, sizeof(e->shared.name));
    e->shared.total = e->shared.alone = budget_untold(e);
    e->shared.told = 0;
    e->minute.own = 0;
}
