// SPDX-License-Identifier: Apache-2.0
#include "cmd/carry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/workers.h"
#include "cmd/wanted.h"

#define THREADS 8
#define WINDOW 32 /* blobs under way; the oldest is waited for when there are so many */
#define BLOCK (256 * 1024)
#define SHOW_MS 1000
#define PATIENCE_MS 60000 /* with a store that cannot be reached */
#define PAUSE_US 500000
#define PRUNE_KEYS (1 << 20) /* names kept in memory at a time */

enum outcome {
    IS_THERE,
    COPIED,
    VERIFIED,
    MISSING,
    UNREADABLE,
    DAMAGED,  /* not what its row says */
    REJECTED, /* the same of the target, where it is removed */
    FAILED,   /* `err` ends it all */
};

static const char *const fault_names[] = {
    [MISSING] = "missing", [UNREADABLE] = "unreadable", [DAMAGED] = "damaged"};

struct round;

/* One blob on its way. */
struct load {
    struct job job;
    struct round *round;
    TALLOC_CTX *pool; /* of `wanted` */
    struct wanted wanted;
    uint8_t found[SHA256_LEN];
    enum outcome outcome;
    struct err err;
    bool done; /* under round->lock */
};

typedef enum outcome carry_fn(struct carry *c, struct load *l);

struct round {
    struct carry *carry;
    const char *verb;
    carry_fn *fn;
    struct workers *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct load loads[WINDOW];
    size_t first, n;
    _Atomic bool failed;        /* nobody need go on */
    struct rows_writer *hashes; /* NULL: not noted */
    struct sha256 *lost;
    int64_t blobs, bytes, shown_ms;
};

char *
carry_path(TALLOC_CTX *pool, const struct carry *c, const char *table)
{
    return mem_printf(pool, "%s/%s.jsonl%s", c->dir, table, c->suffix);
}

/* ---- one blob, on a thread of the workers ---- */

/* What came of reading a source: it is that blob's trouble alone, unless all would meet it. */
static enum outcome
source_outcome(enum rc rc)
{
    return rc == RC_NOT_FOUND ? MISSING : rc == RC_IO ? UNREADABLE : FAILED;
}

/* Reads all of it, into `w` as well when there is one. IO of `w` is FAILED. */
static enum outcome
pour(struct blob_reader *r, struct blob_writer *w, struct load *l)
{
    SCOPED(sha256) hash = sha256_new();
    SCOPED_POOL(pool);
    char *block = mem_zalloc(pool, BLOCK);
    int64_t at = 0;
    size_t n = 0;
    enum rc rc;

    do {
        rc = blob_read(r, at, block, BLOCK, &n, &l->err);
        if (rc)
            return source_outcome(rc);
        sha256_add(hash, block, n);
        if (w && n > 0 && blob_write(w, block, n, &l->err))
            return FAILED;
        at += (int64_t)n;
    } while (n > 0);
    sha256_done(&hash, l->found);
    return COPIED;
}

static bool
size_fits(const struct wanted *w, int64_t size)
{
    return w->size < 0 || w->size == size;
}

static bool
hash_fits(const struct load *l)
{
    return !l->wanted.hashed || crypto_equal(l->wanted.sha256, l->found, SHA256_LEN);
}

static enum outcome
hash_target(struct carry *c, struct load *l)
{
    SCOPED(blob_reader) r = NULL;
    enum rc rc = blob_read_open(c->to, &l->wanted.key, &r, &l->err);
    enum outcome outcome;

    if (rc)
        return source_outcome(rc);
    if (!size_fits(&l->wanted, blob_reader_size(r)))
        return DAMAGED;
    outcome = pour(r, NULL, l);
    return outcome == COPIED && !hash_fits(l) ? DAMAGED : outcome;
}

/* A try whose answer was lost may have left the blob there, or may come to that late. */
static enum outcome
finish(struct carry *c, struct blob_writer *w, struct load *l)
{
    struct blob_info info;
    enum rc rc = blob_write_finish(w, &info, &l->err);

    if (rc == RC_CONFLICT && hash_target(c, l) == COPIED)
        return COPIED;
    return rc ? FAILED : COPIED;
}

static enum outcome
copy_new(struct carry *c, struct load *l)
{
    SCOPED(blob_reader) r = NULL;
    SCOPED(blob_writer) w = NULL;
    enum rc rc = blob_read_open(c->from, &l->wanted.key, &r, &l->err);
    enum outcome outcome;

    if (rc)
        return source_outcome(rc);
    if (!size_fits(&l->wanted, blob_reader_size(r)))
        return DAMAGED;
    if (blob_write_open(c->to, &l->wanted.key, &w, &l->err))
        return FAILED;
    outcome = pour(r, w, l);
    if (outcome != COPIED)
        return outcome;
    if (!hash_fits(l))
        return DAMAGED;
    return finish(c, w, l);
}

static enum outcome
copy(struct carry *c, struct load *l)
{
    int64_t size = 0;
    enum rc rc = RC_NOT_FOUND;

    if (!c->fresh)
        rc = blob_stat(c->to, &l->wanted.key, &size, &l->err);
    if (!rc && size_fits(&l->wanted, size)) {
        if (l->wanted.hashed)
            return IS_THERE;
        /* only reading tells whether it is whole, and the hash */
        if (hash_target(c, l) == COPIED)
            return IS_THERE;
    }
    if (!rc)
        rc = blob_delete(c->to, &l->wanted.key, &l->err);
    return rc && rc != RC_NOT_FOUND ? FAILED : copy_new(c, l);
}

/* Bytes that cannot be read are as good as damaged: others may be put in their place. */
static enum outcome
verify(struct carry *c, struct load *l)
{
    enum outcome outcome = hash_target(c, l);

    if (outcome == COPIED)
        return VERIFIED;
    if (outcome == FAILED)
        return FAILED;
    return blob_delete(c->to, &l->wanted.key, &l->err) ? FAILED : REJECTED;
}

static void
work(void *arg)
{
    struct load *l = arg;
    struct round *round = l->round;
    int64_t until = clock_mono_ms() + PATIENCE_MS;

    while ((l->outcome = round->fn(round->carry, l)) == FAILED && l->err.code == RC_UNAVAILABLE &&
           clock_mono_ms() < until && !atomic_load(&round->failed))
        (void)usleep(PAUSE_US);
    pthread_mutex_lock(&round->lock);
    l->done = true;
    pthread_cond_signal(&round->wake);
    pthread_mutex_unlock(&round->lock);
}

/* ---- all of them ---- */

static void
show(struct round *round)
{
    const struct carry *c = round->carry;

    round->shown_ms = clock_mono_ms();
    command_progress(c->env, "%s %lld of %lld blobs, %lld of %lld MiB (%d %%)", round->verb,
                     (long long)round->blobs, (long long)c->all_blobs,
                     (long long)(round->bytes / MIB(1)), (long long)(c->all_bytes / MIB(1)),
                     c->all_bytes ? (int)(round->bytes * 100 / c->all_bytes) : 100);
}

static void
note_fault(struct carry *c, const struct load *l)
{
    const struct wanted *w = &l->wanted;
    char text[ID_TEXT_LEN];
    json_t *what;

    if (c->faulty++ >= CARRY_SHOWN)
        return;
    what = json_object();
    js_set(what, "what", js_text(fault_names[l->outcome]));
    if (!w->is_object)
        js_set(what, "document_id", command_id(&w->document, ID_DOCUMENT));
    js_set(what, "storage_path", js_text(w->storage_path));
    id_format(&w->key.id, ID_DOCUMENT, ID_UUID, text);
    js_set(what, "blob", js_text(text));
    BUG_ON(json_array_append_new(c->faults, what));
}

static enum rc
note_hash(struct round *round, const struct load *l, struct err *err)
{
    const struct db_value row[] = {db_int(l->wanted.key.workspace), db_id(&l->wanted.key.id),
                                   db_blob(l->found, SHA256_LEN)};

    if (l->wanted.hashed || !round->hashes)
        return RC_OK;
    return rows_write(round->hashes, row, err);
}

static enum rc
take_outcome(struct round *round, const struct load *l, struct err *err)
{
    struct carry *c = round->carry;
    int64_t size = l->wanted.size > 0 ? l->wanted.size : 0;

    round->blobs++;
    round->bytes += size;
    switch (l->outcome) {
    case FAILED:
        *err = l->err;
        return err->code;
    case COPIED:
        c->copied_blobs++;
        c->copied_bytes += size;
        return note_hash(round, l, err);
    case IS_THERE:
        return note_hash(round, l, err);
    case VERIFIED:
        c->verified_blobs++;
        return RC_OK;
    case REJECTED:
        c->rejected++;
        return RC_OK;
    case MISSING:
    case UNREADABLE: /* perhaps because it was erased meanwhile */
        c->lost++;
        sha256_add(round->lost, &l->wanted.key.id, sizeof(l->wanted.key.id));
        break;
    default:
        break;
    }
    note_fault(c, l);
    return RC_OK;
}

/* Waits for the oldest one; its outcome counts only while nothing has failed. */
static enum rc
settle(struct round *round, enum rc before, struct err *err)
{
    struct load *l = &round->loads[round->first];
    enum rc rc = before;

    pthread_mutex_lock(&round->lock);
    while (!l->done)
        pthread_cond_wait(&round->wake, &round->lock);
    pthread_mutex_unlock(&round->lock);
    round->first = (round->first + 1) % WINDOW;
    round->n--;
    if (!before)
        rc = take_outcome(round, l, err);
    if (rc)
        atomic_store(&round->failed, true);
    base_pool_free(&l->pool);
    if (clock_mono_ms() - round->shown_ms >= SHOW_MS)
        show(round);
    return rc;
}

static enum rc
send(struct round *round, struct wanted_walk *walk, bool *ret_more, struct err *err)
{
    struct load *l = &round->loads[(round->first + round->n) % WINDOW];
    enum rc rc;

    *l = (struct load){.job = {.fn = work, .arg = l}, .round = round, .pool = base_pool_new(NULL)};
    rc = wanted_next(walk, l->pool, &l->wanted, ret_more, err);
    if (!rc && *ret_more)
        rc = workers_submit(round->workers, &l->job, err);
    if (rc || !*ret_more)
        base_pool_free(&l->pool);
    else
        round->n++;
    return rc;
}

static enum rc
send_all(struct round *round, struct err *err)
{
    SCOPED(wanted_walk) walk = NULL;
    bool more = true;
    enum rc rc = wanted_begin(round->carry, &walk, err);

    while (!rc && more) {
        if (round->n == WINDOW)
            rc = settle(round, rc, err);
        if (!rc)
            rc = send(round, walk, &more, err);
    }
    while (round->n > 0)
        rc = settle(round, rc, err);
    return rc;
}

static void
begin(struct carry *c)
{
    c->lost = c->faulty = c->rejected = 0;
    json_decref(c->faults);
    c->faults = json_array();
    BUG_ON(!c->faults);
}

static enum rc
run_all(struct carry *c, const char *verb, carry_fn *fn, struct rows_writer *hashes,
        struct err *err)
{
    struct round round = {.carry = c, .verb = verb, .fn = fn, .hashes = hashes};
    enum rc rc;

    begin(c);
    round.shown_ms = clock_mono_ms();
    round.lost = sha256_new();
    BUG_ON(pthread_mutex_init(&round.lock, NULL) || pthread_cond_init(&round.wake, NULL));
    rc = workers_new("carry", THREADS, WINDOW, &round.workers, err);
    if (!rc)
        rc = send_all(&round, err);
    workers_free(&round.workers);
    BUG_ON(pthread_cond_destroy(&round.wake) || pthread_mutex_destroy(&round.lock));
    sha256_done(&round.lost, c->lost_sum);
    if (!rc)
        show(&round);
    return rc;
}

enum rc
carry_copy(struct carry *c, struct err *err)
{
    SCOPED(rows_writer) hashes = NULL;
    SCOPED_POOL(pool);
    enum rc rc = RC_OK;

    if (c->notes_hashes)
        rc = rows_create(carry_path(pool, c, MANIFEST_HASHES), carry_hashes(), &hashes, err);
    if (!rc)
        rc = run_all(c, "copied", copy, hashes, err);
    c->fresh = false;
    if (!rc && hashes)
        rc = rows_finish(hashes, &c->hashes, err);
    return rc;
}

enum rc
carry_verify(struct carry *c, struct err *err)
{
    struct carry reading = *c;
    enum rc rc;

    reading.notes_hashes = false; /* they are written by now */
    reading.faults = NULL;
    rc = run_all(&reading, "verified", verify, NULL, err);
    c->rejected = reading.rejected;
    c->verified_blobs = reading.verified_blobs;
    json_decref(reading.faults);
    return rc;
}

/* ---- what no row names ---- */

/* Of the names with the same remainder, which are looked at together. */
struct pruning {
    struct blob_store *store;
    unsigned part, parts;
    struct blob_key *keys;
    size_t n, room;
};

static int
compare(const void *a, const void *b)
{
    const struct blob_key *x = a, *y = b;

    if (x->workspace != y->workspace)
        return x->workspace < y->workspace ? -1 : 1;
    return memcmp(&x->id, &y->id, sizeof(x->id));
}

/* The last bytes of an id are random. */
static bool
is_part(const struct pruning *p, const struct blob_key *key)
{
    return (unsigned)(key->id.b[14] << 8 | key->id.b[15]) % p->parts == p->part;
}

static enum rc
collect(const struct carry *c, TALLOC_CTX *pool, struct pruning *p, struct err *err)
{
    SCOPED(wanted_walk) walk = NULL;
    bool more = true;
    enum rc rc = wanted_begin(c, &walk, err);

    while (!rc && more) {
        SCOPED_POOL(text);
        struct wanted w;

        rc = wanted_next(walk, text, &w, &more, err);
        if (rc || !more || !is_part(p, &w.key))
            continue;
        if (p->n == p->room) {
            p->room = p->room ? 2 * p->room : 1024;
            p->keys = talloc_realloc(pool, p->keys, struct blob_key, (unsigned)p->room);
            BUG_ON(!p->keys);
        }
        p->keys[p->n++] = w.key;
    }
    if (p->n > 0)
        qsort(p->keys, p->n, sizeof(*p->keys), compare);
    return rc;
}

static enum rc
prune_one(void *arg, const struct blob_key *key, int64_t size, int64_t mtime_ms, struct err *err)
{
    const struct pruning *p = arg;

    (void)size;
    (void)mtime_ms;
    if (!is_part(p, key) || (p->n > 0 && bsearch(key, p->keys, p->n, sizeof(*key), compare)))
        return RC_OK;
    return blob_delete(p->store, key, err);
}

enum rc
carry_prune(struct carry *c, struct err *err)
{
    const unsigned parts = (unsigned)(c->all_blobs / PRUNE_KEYS) + 1;
    enum rc rc = RC_OK;

    for (unsigned part = 0; part < parts && !rc; part++) {
        SCOPED_POOL(pool);
        struct pruning p = {.store = c->to, .part = part, .parts = parts};
        struct carry reading = *c;

        reading.notes_hashes = false;
        rc = collect(&reading, pool, &p, err);
        if (!rc)
            rc = blob_each(c->to, prune_one, NULL, &p, err);
    }
    return rc;
}

json_t *
carry_report(const struct carry *c, const struct manifest *m, bool finished)
{
    char hex[SHA256_HEX_LEN];
    json_t *out = json_object();

    crypto_hex(m->sha256, SHA256_LEN, hex);
    js_set(out, "finished", json_boolean(finished));
    js_set(out, "sha256", finished ? js_text(hex) : json_null());
    js_set(out, "rows", manifest_counts(m));
    js_set(out, "blobs", json_integer(c->all_blobs));
    js_set(out, "bytes", json_integer(c->all_bytes));
    js_set(out, "copied_blobs", json_integer(c->copied_blobs));
    js_set(out, "copied_bytes", json_integer(c->copied_bytes));
    js_set(out, "verified_blobs", json_integer(c->verified_blobs));
    js_set(out, "faulty", json_integer(c->faulty));
    js_set(out, "faults", c->faults ? json_incref(c->faults) : json_array());
    return out;
}
