// SPDX-License-Identifier: Apache-2.0
/*
 * write: bytes that come in become an object.
 *
 * What fits into one part is sent when the writer finishes, with one request. Of more, each full
 * part is sent by a thread of the store while the next fills: a writer's caller never waits for
 * the network before it finishes. Parts are kept in memory as long as there is room for them among
 * those of all writers, else in an unnamed file.
 *
 *  I1  A part's bytes do not change once it is queued; its SHA-256 is signed along with it.
 *  I2  An upload belongs to its writer and to the threads that send its parts; the last one that
 *      leaves frees it, and aborts it when the writer has gone without success.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "blob/s3/s3.h"

#define SENDERS 4 /* parts of one writer under way at once */
#define PARTS_MAX 10000
#define FIRST_ROOM (size_t) KIB(64)
#define HASH_BLOCK KIB(64)

/* The bytes of one part. */
struct piece {
    char *bytes; /* NULL when they are in the file, or there are none yet */
    size_t room;
    int64_t len;
    int64_t at; /* in the file; -1 when they are in memory */
};

struct part {
    struct piece piece;
    unsigned number; /* from 1 */
    struct part *next;
};

struct upload;

struct sender {
    struct job job;
    struct upload *upload;
    bool busy;
};

struct upload {
    struct s3_store *st;
    struct s3_target target;
    char key[S3_KEY_LEN];
    int spool; /* -1 until it is needed */
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* Under the lock: */
    unsigned refs;
    TALLOC_CTX *pool; /* of what follows */
    const char *id;   /* NULL until the first sender has begun the upload */
    struct part *first;
    struct part **end;
    const char **etags; /* PARTS_MAX; of those sent */
    unsigned sent;
    bool discarded; /* the writer has gone without success */
    bool done;      /* the object is there, or was never begun */
    enum rc failed;
    struct err err;
    struct sender senders[SENDERS];
};

struct s3_writer {
    struct blob_writer base;
    struct upload *upload;
    struct piece piece; /* that fills */
    unsigned parts;     /* that are full */
};

/* --- pieces --- */

static void
piece_drop(struct s3_store *st, struct piece *p)
{
    (void)talloc_free(p->bytes);
    (void)atomic_fetch_add(&st->write_room, (int64_t)p->room);
    *p = (struct piece){.at = -1};
}

static enum rc
spool_fail(struct err *err)
{
    bool full = errno == ENOSPC || errno == EDQUOT;

    return err_errno(err, full ? RC_STORAGE_FULL : RC_UNAVAILABLE, "keeping a part in a file");
}

static enum rc
spool_write(struct upload *up, int64_t at, const char *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        ssize_t n = pwrite(up->spool, bytes, len, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return spool_fail(err);
        bytes += n;
        at += n;
        len -= (size_t)n;
    }
    return RC_OK;
}

/* Moves a piece to the file, at the place that is its part's. */
static enum rc
piece_spool(struct upload *up, struct piece *p, int64_t at, struct err *err)
{
    struct piece spooled = {.len = p->len, .at = at};
    enum rc rc;

    if (up->spool < 0)
        up->spool = open(up->st->spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (up->spool < 0)
        return spool_fail(err);
    rc = spool_write(up, at, p->bytes, (size_t)p->len, err);
    if (rc)
        return rc;
    piece_drop(up->st, p);
    *p = spooled;
    return RC_OK;
}

/* Makes room for `len` more bytes in memory; false when there is none to be had. */
static bool
piece_grow(struct s3_store *st, struct piece *p, size_t len)
{
    size_t need = (size_t)p->len + len, room = p->room ? p->room : FIRST_ROOM;
    char *grown;

    if (p->bytes && need <= p->room)
        return true;
    while (room < need)
        room *= 2;
    if (room > (size_t)st->client.conf.part_size)
        room = (size_t)st->client.conf.part_size;
    if (!s3_take_room(&st->write_room, (int64_t)(room - p->room)))
        return false;
    grown = talloc_realloc_size(NULL, p->bytes, room);
    if (!grown) {
        (void)atomic_fetch_add(&st->write_room, (int64_t)(room - p->room));
        return false;
    }
    p->bytes = grown;
    p->room = room;
    return true;
}

/* `at`: where the part's place in the file is. */
static enum rc
piece_add(struct upload *up, struct piece *p, int64_t at, const char *bytes, size_t len,
          struct err *err)
{
    bool in_memory = p->at < 0 && piece_grow(up->st, p, len);
    enum rc rc = RC_OK;

    if (p->at < 0 && !in_memory)
        rc = piece_spool(up, p, at, err);
    if (in_memory)
        memcpy(p->bytes + p->len, bytes, len);
    else if (!rc)
        rc = spool_write(up, p->at + p->len, bytes, len, err);
    if (!rc)
        p->len += (int64_t)len;
    return rc;
}

static enum rc
piece_hash(const struct upload *up, const struct piece *p, char out[SHA256_HEX_LEN],
           struct err *err)
{
    struct sha256 *hash = sha256_new();
    uint8_t digest[SHA256_LEN];
    char block[HASH_BLOCK];
    ssize_t n = 1;

    if (p->at < 0)
        sha256_add(hash, p->bytes, (size_t)p->len);
    for (int64_t at = 0; p->at >= 0 && at < p->len && n > 0; at += n) {
        int64_t left = p->len - at;

        n = pread(up->spool, block, left < HASH_BLOCK ? (size_t)left : HASH_BLOCK, p->at + at);
        if (n > 0)
            sha256_add(hash, block, (size_t)n);
    }
    sha256_done(&hash, digest);
    crypto_hex(digest, sizeof(digest), out);
    return n > 0 ? RC_OK : err_set(err, RC_UNAVAILABLE, "a part that was kept in a file is gone");
}

/* The file is looked at for what is in it only: the writer may make it meanwhile. */
static struct http_body
piece_body(const struct upload *up, const struct piece *p)
{
    struct http_body body = {.bytes = p->bytes ? p->bytes : "", .fd = -1, .len = p->len};

    if (p->at >= 0)
        body = (struct http_body){.fd = up->spool, .at = p->at, .len = p->len};
    return body;
}

/* --- the upload that writer and senders share --- */

static void
drop_parts(struct upload *up)
{
    while (up->first) {
        struct part *part = up->first;

        up->first = part->next;
        piece_drop(up->st, &part->piece);
        (void)talloc_free(part);
    }
    up->end = &up->first;
}

/* The last reference is gone. */
static void
upload_end(struct upload *up)
{
    if (up->id && !up->done)
        s3_upload_abort(&up->target, up->id);
    if (up->spool >= 0)
        (void)close(up->spool);
    BUG_ON(pthread_cond_destroy(&up->changed) || pthread_mutex_destroy(&up->lock));
    base_pool_free(&up->pool);
    (void)talloc_free(up);
}

static void
upload_unref(struct upload *up)
{
    bool last;

    pthread_mutex_lock(&up->lock);
    last = --up->refs == 0;
    pthread_mutex_unlock(&up->lock);
    if (last)
        upload_end(up);
}

static struct upload *
upload_new(struct s3_store *st, const struct blob_key *key)
{
    struct upload *up = MEM_NEW(NULL, struct upload);

    up->st = st;
    name_path(key, up->key);
    s3_target_init(&up->target, st, up->key);
    up->spool = -1;
    up->end = &up->first;
    up->refs = 1;
    up->pool = base_pool_new(NULL);
    BUG_ON(pthread_mutex_init(&up->lock, NULL) || pthread_cond_init(&up->changed, NULL));
    return up;
}

/* --- sending parts --- */

static bool
has_etag(struct s3_call *c, void *arg)
{
    (void)arg;
    return s3_is_etag(c->answer.etag);
}

static enum rc
send_part(struct upload *up, const struct part *part, char etag[HTTP_FIELD_MAX], struct err *err)
{
    struct s3_call c = s3_call_to(up->st, "PUT", up->key, s3_deadline(&up->st->client));
    char number[16], sha256[SHA256_HEX_LEN];
    enum rc rc = piece_hash(up, &part->piece, sha256, err);

    if (rc)
        return rc;
    (void)snprintf(number, sizeof(number), "%u", part->number);
    s3_call_query(&c, "partNumber", number);
    s3_call_query(&c, "uploadId", up->id);
    c.body = piece_body(up, &part->piece);
    c.body_sha256 = sha256;
    c.accept = has_etag;
    rc = s3_call_run(&c, err);
    if (rc)
        return rc;
    if (c.answer.status / 100 != 2)
        return err_set(err, RC_UNAVAILABLE, "part %u of %s was not stored: status %d %s",
                       part->number, up->key, c.answer.status, c.error.code);
    memcpy(etag, c.answer.etag, HTTP_FIELD_MAX);
    return RC_OK;
}

static void start_senders(struct upload *up);

/* Begins the upload, without the lock. */
static enum rc
begin(struct upload *up, struct err *err)
{
    SCOPED_POOL(pool);
    const char *id = NULL;
    enum rc rc = s3_upload_begin(&up->target, pool, &id, err);

    pthread_mutex_lock(&up->lock);
    if (!rc)
        up->id = mem_strdup(up->pool, id);
    pthread_mutex_unlock(&up->lock);
    return rc;
}

/* Sends one part. Under the lock, which it gives up meanwhile. */
static void
send_next(struct upload *up)
{
    struct part *part = up->first;
    char etag[HTTP_FIELD_MAX];
    bool first = !up->id;
    struct err err;
    enum rc rc = RC_OK;

    up->first = part->next;
    if (!up->first)
        up->end = &up->first;
    pthread_mutex_unlock(&up->lock);
    if (first)
        rc = begin(up, &err);
    pthread_mutex_lock(&up->lock);
    if (!rc && first)
        start_senders(up); /* there was but this one so far */
    pthread_mutex_unlock(&up->lock);
    if (!rc)
        rc = send_part(up, part, etag, &err);
    piece_drop(up->st, &part->piece);
    pthread_mutex_lock(&up->lock);
    if (!rc) {
        up->etags[part->number - 1] = mem_strdup(up->pool, etag);
        up->sent++;
    } else if (!up->failed) {
        up->failed = rc;
        up->err = err;
    }
    (void)talloc_free(part);
    (void)pthread_cond_broadcast(&up->changed);
}

static void
run_sender(void *arg)
{
    struct sender *s = arg;
    struct upload *up = s->upload;

    pthread_mutex_lock(&up->lock);
    while (up->first && !up->failed && !up->discarded)
        send_next(up);
    s->busy = false;
    pthread_mutex_unlock(&up->lock);
    upload_unref(up);
}

static void
start_sender(struct upload *up, struct sender *s)
{
    struct err err;

    s->upload = up;
    s->job = (struct job){.fn = run_sender, .arg = s};
    s->busy = true;
    up->refs++;
    if (s3_submit(up->st, &s->job, &err) == RC_OK)
        return;
    up->refs--;
    s->busy = false;
    up->failed = err.code;
    up->err = err;
}

/* Has as many senders as there are parts for, but one before the upload is begun. */
static void
start_senders(struct upload *up)
{
    const struct part *part = up->first;
    size_t most = up->id ? SENDERS : 1;

    for (size_t i = 0; i < most; i++) {
        if (up->senders[i].busy)
            continue;
        if (!part || up->failed)
            break;
        start_sender(up, &up->senders[i]);
        part = part->next;
    }
}

/* Hands the full piece over. */
static enum rc
queue_part(struct s3_writer *w, struct err *err)
{
    struct upload *up = w->upload;
    struct part *part = NULL;
    enum rc rc;

    if (w->parts == PARTS_MAX)
        return err_set(err, RC_STORAGE_FULL, "more than %d parts of %lld bytes", PARTS_MAX,
                       (long long)up->st->client.conf.part_size);
    part = MEM_NEW(NULL, struct part);
    part->piece = w->piece;
    part->number = ++w->parts;
    w->piece = (struct piece){.at = -1};
    pthread_mutex_lock(&up->lock);
    if (!up->etags)
        up->etags = MEM_ARRAY(up->pool, const char *, PARTS_MAX);
    *up->end = part;
    up->end = &part->next;
    start_senders(up);
    rc = up->failed;
    if (rc)
        *err = up->err;
    pthread_mutex_unlock(&up->lock);
    return rc;
}

/* --- the writer --- */

enum rc
s3_write_open(struct blob_store *base, const struct blob_key *key, struct blob_writer **ret,
              struct err *err)
{
    struct s3_writer *w = MEM_NEW(NULL, struct s3_writer);

    (void)err;
    w->upload = upload_new((struct s3_store *)base, key);
    w->piece.at = -1;
    *ret = &w->base;
    return RC_OK;
}

enum rc
s3_write(struct blob_writer *base, const void *bytes, size_t len, struct err *err)
{
    struct s3_writer *w = (struct s3_writer *)base;
    int64_t size = w->upload->st->client.conf.part_size;
    const char *at = bytes;
    enum rc rc = RC_OK;

    while (len > 0 && !rc) {
        size_t n = len;

        /* only now: what ends exactly here needs one request */
        if (w->piece.len == size)
            rc = queue_part(w, err);
        if (n > (size_t)(size - w->piece.len))
            n = (size_t)(size - w->piece.len);
        if (!rc)
            rc = piece_add(w->upload, &w->piece, w->parts * size, at, n, err);
        at += n;
        len -= n;
    }
    return rc;
}

static struct timespec
monotonic(int64_t ms)
{
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

/* Waits until all parts are sent. Gives up when none is for as long as a call may take. */
static enum rc
wait_for_parts(struct upload *up, unsigned parts, struct err *err)
{
    struct timespec until = monotonic(s3_deadline(&up->st->client));
    unsigned sent = 0;
    int failed = 0;
    enum rc rc;

    pthread_mutex_lock(&up->lock);
    while (!up->failed && up->sent < parts && !failed) {
        if (sent < up->sent)
            until = monotonic(s3_deadline(&up->st->client));
        sent = up->sent;
        failed = pthread_cond_clockwait(&up->changed, &up->lock, CLOCK_MONOTONIC, &until);
    }
    rc = up->failed;
    if (rc)
        *err = up->err;
    else if (up->sent < parts)
        rc = err_set(err, RC_UNAVAILABLE, "%u of %u parts of %s are stored", up->sent, parts,
                     up->key);
    pthread_mutex_unlock(&up->lock);
    return rc;
}

static enum rc
finish_whole(struct s3_writer *w, struct err *err)
{
    struct upload *up = w->upload;
    struct http_body body = piece_body(up, &w->piece);
    int64_t deadline = s3_deadline(&up->st->client);
    char sha256[SHA256_HEX_LEN];
    enum rc rc = piece_hash(up, &w->piece, sha256, err);

    return rc ? rc : s3_put(&up->target, &body, sha256, deadline, err);
}

static enum rc
finish_parts(struct s3_writer *w, struct err *err)
{
    struct upload *up = w->upload;
    enum rc rc = queue_part(w, err);

    if (!rc)
        rc = wait_for_parts(up, w->parts, err);
    if (!rc)
        rc = s3_upload_complete(&up->target, up->id, up->etags, w->parts, w->base.size,
                                s3_deadline(&up->st->client), err);
    if (!rc)
        up->done = true;
    return rc;
}

enum rc
s3_write_finish(struct blob_writer *base, struct err *err)
{
    struct s3_writer *w = (struct s3_writer *)base;

    return w->parts == 0 ? finish_whole(w, err) : finish_parts(w, err);
}

static void
run_nothing(void *arg)
{
    struct sender *s = arg;

    upload_unref(s->upload);
}

/*
 * Whoever frees a writer shall not wait for the network: what has to be told to the store is left
 * to a thread that is sending anyway, or to one that only does that.
 */
void
s3_writer_free(struct blob_writer *base)
{
    struct s3_writer *w = (struct s3_writer *)base;
    struct upload *up = w->upload;
    struct sender *s = &up->senders[0];
    struct err err;

    piece_drop(up->st, &w->piece);
    pthread_mutex_lock(&up->lock);
    up->discarded = true;
    drop_parts(up);
    if (up->id && !up->done && up->refs == 1) {
        s->upload = up;
        s->job = (struct job){.fn = run_nothing, .arg = s};
        up->refs += s3_submit(up->st, &s->job, &err) == RC_OK;
    }
    pthread_mutex_unlock(&up->lock);
    upload_unref(up);
    (void)talloc_free(w);
}
