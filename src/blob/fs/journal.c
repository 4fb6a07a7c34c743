// SPDX-License-Identifier: Apache-2.0
#include "blob/fs/journal.h"

#include <errno.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/rand.h"
#include "base/workers.h"
#include "blob/fs/fs.h"

#define BYTES_MAX MIB(32)
#define ENTRIES_MAX 16384
#define BUCKETS 8192
#define AGE_MAX_MS 5000

enum turn {
    WRITTEN,  /* records go here, or it is empty and will be next */
    FULL,     /* no more of them; its files are being synced */
    EMPTYING, /* its files are on disk */
};

struct entry {
    struct blob_key key;
    int64_t size;
    int64_t at;    /* 0: not written yet, or no more */
    unsigned next; /* in its bucket, by its number + 1 */
};

struct filling {
    int fd;
    enum turn turn;
    uint8_t number[RECORD_NUMBER_LEN];
    int64_t end;      /* of what is written; the leader's alone */
    int64_t reserved; /* bytes given to holds */
    int64_t since_ms; /* the first of them */
    unsigned holds;
    unsigned n_entries;
    struct entry *entries;     /* ENTRIES_MAX */
    unsigned buckets[BUCKETS]; /* number of the first entry + 1 */
};

/* What one thread waits to have on disk. */
struct item {
    struct filling *f;
    const struct record *record;
    uint8_t *buffer;
    int64_t at; /* 0: at the end */
    enum rc rc;
    struct err err;
    bool done;
    pthread_cond_t woken;
    struct item *next;
};

struct journal {
    int root;
    atomic_bool *broken, *untold;
    pthread_mutex_t lock; /* guards all below but what a leader has taken */
    struct filling *fillings[JOURNALS];
    unsigned current;
    struct item *first, **end; /* waiting; the first one leads when nobody does */
    bool leading;
    bool stopping;
    bool hurried;           /* journal_settle() waits */
    pthread_cond_t tend;    /* something for the thread below */
    pthread_cond_t emptied; /* a filling was, or cannot be */
    struct workers *workers;
    struct job job;
};

const char *
journal_name(unsigned number)
{
    static const char *const names[JOURNALS] = {"journal-0", "journal-1"};

    return names[number];
}

/* --- the table of keys --- */

static unsigned *
bucket_of(struct filling *f, const struct blob_key *key)
{
    return &f->buckets[((unsigned)key->id.b[14] << 8 | key->id.b[15]) % BUCKETS];
}

static struct entry *
find_in(struct filling *f, const struct blob_key *key)
{
    for (unsigned i = *bucket_of(f, key); i; i = f->entries[i - 1].next) {
        struct entry *e = &f->entries[i - 1];

        if (id_equal(&e->key.id, &key->id) && e->key.workspace == key->workspace)
            return e;
    }
    return NULL;
}

/* Its number stays taken until the filling is emptied. */
static void
drop(struct filling *f, struct entry *e)
{
    unsigned *link = bucket_of(f, &e->key), number = (unsigned)(e - f->entries) + 1;

    while (*link != number)
        link = &f->entries[*link - 1].next;
    *link = e->next;
}

/* --- turns --- */

static bool
is_empty(const struct filling *f)
{
    return f->turn == WRITTEN && f->reserved == 0;
}

/* Whether the other one could take over; then it has. */
static bool
turn_over(struct journal *j)
{
    unsigned other = 1 - j->current;

    if (!is_empty(j->fillings[other]))
        return false;
    j->fillings[j->current]->turn = FULL;
    j->current = other;
    (void)pthread_cond_signal(&j->tend);
    return true;
}

static bool
has_room(const struct filling *f, size_t room)
{
    return f->turn == WRITTEN && f->n_entries < ENTRIES_MAX &&
           f->reserved + (int64_t)room + RECORD_SECTOR <= BYTES_MAX;
}

enum rc
journal_reserve(struct journal *j, const struct record *record, struct journal_hold *ret,
                struct err *err)
{
    size_t room = record_room(record->size);
    struct filling *f;
    struct entry *e;
    unsigned *bucket;
    enum rc rc = RC_OK;

    pthread_mutex_lock(&j->lock);
    for (unsigned i = 0; i < JOURNALS && !rc; i++)
        if (find_in(j->fillings[i], &record->key))
            rc = err_set(err, RC_CONFLICT, "the blob exists, or is being written");
    if (!rc && !has_room(j->fillings[j->current], room) && !turn_over(j))
        rc = err_set(err, RC_BUSY, "both journals are full");
    if (!rc) {
        f = j->fillings[j->current];
        if (f->reserved == 0) {
            f->since_ms = clock_mono_ms();
            (void)pthread_cond_signal(&j->tend);
        }
        f->reserved += (int64_t)room;
        f->holds++;
        e = &f->entries[f->n_entries++];
        bucket = bucket_of(f, &record->key);
        *e = (struct entry){.key = record->key, .size = record->size, .next = *bucket};
        *bucket = f->n_entries;
        *ret = (struct journal_hold){*record, j->current, f->n_entries - 1};
    }
    pthread_mutex_unlock(&j->lock);
    return rc;
}

/* With the lock held. */
static void
let_go(struct journal *j, struct filling *f)
{
    if (--f->holds == 0 && f->turn != WRITTEN)
        (void)pthread_cond_signal(&j->tend);
}

void
journal_release(struct journal *j, const struct journal_hold *hold, bool kept)
{
    struct filling *f = j->fillings[hold->file];

    pthread_mutex_lock(&j->lock);
    if (!kept && find_in(f, &hold->record.key) == &f->entries[hold->entry])
        drop(f, &f->entries[hold->entry]);
    let_go(j, f);
    pthread_mutex_unlock(&j->lock);
}

/* --- writing, by one thread for all --- */

static int
write_at(int fd, const uint8_t *bytes, size_t len, int64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A failed write may have left something; nothing of it may come before what follows. */
static enum rc
take_back(struct journal *j, struct item *item)
{
    enum rc rc = fs_fail(&item->err, "writing a journal");

    if (ftruncate(item->f->fd, item->f->end) == 0)
        return rc;
    atomic_store(j->broken, true);
    return err_errno(&item->err, RC_COMMIT_UNKNOWN, "taking back a record of a journal");
}

static enum rc
write_item(struct journal *j, struct item *item)
{
    uint8_t begin[RECORD_SECTOR];
    struct filling *f = item->f;
    size_t room = record_room(item->record->size);

    record_write(f->number, item->record, item->buffer);
    if (item->at > 0) {
        if (write_at(f->fd, item->buffer, room, item->at) == 0)
            return RC_OK;
        (void)fs_fail(&item->err, "erasing in a journal");
        return item->err.code = RC_IO;
    }
    if (f->end == 0) {
        record_begin(f->number, begin);
        if (write_at(f->fd, begin, sizeof(begin), 0))
            return take_back(j, item);
        f->end = sizeof(begin);
    }
    if (write_at(f->fd, item->buffer, room, f->end))
        return take_back(j, item);
    item->at = f->end;
    f->end += (int64_t)room;
    return RC_OK;
}

static bool
sync_written(struct journal *j, const struct item *items)
{
    bool written[JOURNALS] = {false};

    for (const struct item *i = items; i; i = i->next)
        if (!i->rc)
            written[i->f == j->fillings[1]] = true;
    CRASH_POINT("journal.before-sync");
    for (unsigned i = 0; i < JOURNALS; i++)
        if (written[i] && fdatasync(j->fillings[i]->fd))
            return false;
    CRASH_POINT("journal.after-sync");
    return true;
}

/* Takes all that wait, with the lock held: it is given back meanwhile. */
static void
lead(struct journal *j)
{
    struct item *items = j->first, *next;
    bool synced;

    j->first = NULL;
    j->end = &j->first;
    j->leading = true;
    pthread_mutex_unlock(&j->lock);
    for (struct item *i = items; i; i = i->next)
        i->rc = atomic_load(j->broken)
                    ? err_set(&i->err, RC_UNAVAILABLE, "a journal could not be synced before")
                    : write_item(j, i);
    synced = !atomic_load(j->broken) && sync_written(j, items);
    if (!synced)
        atomic_store(j->broken, true);
    for (struct item *i = items; i; i = i->next)
        if (!i->rc && !synced)
            i->rc = err_set(&i->err, RC_COMMIT_UNKNOWN, "a journal could not be synced");
    pthread_mutex_lock(&j->lock);
    for (struct item *i = items; i; i = next) {
        next = i->next;
        i->done = true;
        (void)pthread_cond_signal(&i->woken);
    }
    j->leading = false;
    if (!synced)
        (void)pthread_cond_broadcast(&j->emptied);
    if (j->first)
        (void)pthread_cond_signal(&j->first->woken);
}

/* Waits until the item is on disk; with the lock held. */
static void
wait_written(struct journal *j, struct item *item)
{
    BUG_ON(pthread_cond_init(&item->woken, NULL));
    *j->end = item;
    j->end = &item->next;
    while (!item->done) {
        if (j->first == item && !j->leading)
            lead(j);
        else
            pthread_cond_wait(&item->woken, &j->lock);
    }
    BUG_ON(pthread_cond_destroy(&item->woken));
}

enum rc
journal_write(struct journal *j, const struct journal_hold *hold, uint8_t *buffer, struct err *err)
{
    struct filling *f = j->fillings[hold->file];
    struct item item = {.f = f, .record = &hold->record, .buffer = buffer};

    pthread_mutex_lock(&j->lock);
    wait_written(j, &item);
    if (!item.rc)
        f->entries[hold->entry].at = item.at;
    pthread_mutex_unlock(&j->lock);
    if (item.rc)
        *err = item.err;
    return item.rc;
}

/* The filling that has the key, once it is none that is being emptied; NULL when none has. */
static struct filling *
find_live(struct journal *j, const struct blob_key *key, struct entry **ret)
{
    for (unsigned i = 0; i < JOURNALS; i++) {
        struct filling *f = j->fillings[i];

        while (f->turn == EMPTYING && find_in(f, key) && !atomic_load(j->broken))
            pthread_cond_wait(&j->emptied, &j->lock);
        *ret = find_in(f, key);
        if (*ret && (*ret)->at > 0)
            return f;
    }
    return NULL;
}

enum rc
journal_erase(struct journal *j, const struct blob_key *key, struct err *err)
{
    struct record record = {.key = *key, .erased = true};
    struct item item = {.record = &record};
    struct entry *e = NULL;

    pthread_mutex_lock(&j->lock);
    item.f = find_live(j, key, &e);
    if (item.f) {
        record.size = e->size;
        item.at = e->at;
        item.buffer = mem_zalloc(NULL, record_room(e->size));
        item.f->holds++;
        wait_written(j, &item);
        if (!item.rc && find_in(item.f, key) == e)
            drop(item.f, e);
        let_go(j, item.f);
    }
    pthread_mutex_unlock(&j->lock);
    (void)talloc_free(item.buffer);
    if (item.rc)
        *err = item.err;
    return item.rc;
}

/* --- emptying --- */

static void
begin_filling(struct filling *f)
{
    rand_bytes(f->number, sizeof(f->number));
    memset(f->buckets, 0, sizeof(f->buckets));
    f->end = f->reserved = 0;
    f->n_entries = 0;
    f->turn = WRITTEN;
}

/* With the lock held, which is given back meanwhile. */
static void
wait_for_holds(struct journal *j, struct filling *f)
{
    while (f->holds > 0)
        pthread_cond_wait(&j->tend, &j->lock);
}

static void
fail(struct journal *j)
{
    atomic_store(j->untold, true);
    atomic_store(j->broken, true);
    (void)pthread_cond_broadcast(&j->emptied);
}

/* Brings the files of a full one to disk and empties it. As above. */
static void
empty(struct journal *j, struct filling *f)
{
    bool failed;

    wait_for_holds(j, f);
    pthread_mutex_unlock(&j->lock);
    CRASH_POINT("journal.before-files");
    failed = !atomic_load(j->broken) && fs_sync_all(j->root) != 0;
    CRASH_POINT("journal.after-files");
    pthread_mutex_lock(&j->lock);
    wait_for_holds(j, f); /* of whoever erases */
    if (failed)
        fail(j);
    if (atomic_load(j->broken))
        return;
    f->turn = EMPTYING;
    pthread_mutex_unlock(&j->lock);
    failed = ftruncate(f->fd, 0) != 0;
    CRASH_POINT("journal.after-truncate");
    failed = failed || fdatasync(f->fd) != 0;
    pthread_mutex_lock(&j->lock);
    if (failed) {
        fail(j);
        return;
    }
    begin_filling(f);
    (void)pthread_cond_broadcast(&j->emptied);
}

static bool
is_old(const struct journal *j, const struct filling *f)
{
    return !is_empty(f) &&
           (j->stopping || j->hurried || clock_mono_ms() - f->since_ms >= AGE_MAX_MS);
}

/* Until something is to be done; with the lock held. */
static void
wait_for_work(struct journal *j)
{
    const struct filling *f = j->fillings[j->current];
    struct timespec until;
    int64_t ms = f->since_ms + AGE_MAX_MS - clock_mono_ms();

    if (is_empty(f)) {
        pthread_cond_wait(&j->tend, &j->lock);
        return;
    }
    ms = ms < 1 ? 1 : ms;
    BUG_ON(clock_gettime(CLOCK_MONOTONIC, &until));
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&j->tend, &j->lock, &until);
}

static void
tend_job(void *arg)
{
    struct journal *j = arg;

    pthread_mutex_lock(&j->lock);
    while (!atomic_load(j->broken)) {
        struct filling *other = j->fillings[1 - j->current];

        if (other->turn == FULL)
            empty(j, other);
        else if (is_old(j, j->fillings[j->current]))
            (void)turn_over(j);
        else if (j->stopping)
            break;
        else
            wait_for_work(j);
    }
    pthread_mutex_unlock(&j->lock);
}

void
journal_settle(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    j->hurried = true;
    (void)pthread_cond_signal(&j->tend);
    while (!atomic_load(j->broken) && !(is_empty(j->fillings[0]) && is_empty(j->fillings[1])))
        pthread_cond_wait(&j->emptied, &j->lock);
    j->hurried = false;
    pthread_mutex_unlock(&j->lock);
}

/* --- beginning and end --- */

static enum rc
open_file(struct journal *j, unsigned number, struct err *err)
{
    struct filling *f = j->fillings[number];
    struct stat info;

    f->fd = openat(j->root, journal_name(number), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->fd < 0)
        return fs_fail(err, "opening a journal");
    if (flock(f->fd, LOCK_EX | LOCK_NB))
        return err_errno(err, RC_UNAVAILABLE, "another process has the journal of the blobs");
    if (fstat(f->fd, &info))
        return fs_fail(err, "looking at a journal");
    return info.st_size == 0 ? RC_OK : err_set(err, RC_IO, "a journal was not replayed");
}

void
journal_free(struct journal **ret)
{
    struct journal *j = *ret;

    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    (void)pthread_cond_signal(&j->tend);
    pthread_mutex_unlock(&j->lock);
    workers_free(&j->workers);
    for (unsigned i = 0; i < JOURNALS; i++)
        fd_close(&j->fillings[i]->fd);
    BUG_ON(pthread_cond_destroy(&j->emptied));
    BUG_ON(pthread_cond_destroy(&j->tend));
    BUG_ON(pthread_mutex_destroy(&j->lock));
    (void)talloc_free(j);
    *ret = NULL;
}

static void
init_locks(struct journal *j)
{
    pthread_condattr_t monotonic;

    BUG_ON(pthread_condattr_init(&monotonic));
    BUG_ON(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC));
    BUG_ON(pthread_cond_init(&j->tend, &monotonic));
    BUG_ON(pthread_condattr_destroy(&monotonic));
    BUG_ON(pthread_cond_init(&j->emptied, NULL));
    BUG_ON(pthread_mutex_init(&j->lock, NULL));
}

enum rc
journal_new(int root, atomic_bool *broken, atomic_bool *untold, struct journal **ret,
            struct err *err)
{
    SCOPED(journal) j = MEM_NEW(NULL, struct journal);
    enum rc rc = RC_OK;

    j->root = root;
    j->broken = broken;
    j->untold = untold;
    j->end = &j->first;
    init_locks(j);
    for (unsigned i = 0; i < JOURNALS; i++) {
        j->fillings[i] = MEM_NEW(j, struct filling);
        j->fillings[i]->fd = -1;
        /* not cleared, so that an idle server has no memory in it */
        j->fillings[i]->entries = talloc_array(j, struct entry, ENTRIES_MAX);
        BUG_ON(!j->fillings[i]->entries);
        begin_filling(j->fillings[i]);
    }
    for (unsigned i = 0; i < JOURNALS && !rc; i++)
        rc = open_file(j, i, err);
    /* the names, before anything is promised */
    if (!rc && fsync(root))
        rc = fs_fail(err, "syncing the blob directory");
    if (!rc)
        rc = workers_new("journal", 1, 1, &j->workers, err);
    if (rc)
        return rc;
    j->job = (struct job){.fn = tend_job, .arg = j};
    rc = workers_submit(j->workers, &j->job, err);
    if (rc)
        return rc;
    *ret = j;
    j = NULL;
    return RC_OK;
}
