// SPDX-License-Identifier: Apache-2.0
/*
 * read: an object in windows, each of them one ranged GET that came whole.
 *
 * Opening brings the first window along, which is all of a small object. One that is read on gets
 * greater windows, and the next of them while it is at the present one: several, if its reader is
 * faster than they come. So a connection is never
 * held by a slow reader, and a broken one costs no more than a window.
 *
 *  I1  A window is handed out when it has exactly the range that was asked for, of an object with
 *      the size and the ETag that it had when it was opened.
 *  I2  A fetch belongs to its reader and to the thread that runs it; the last one that leaves
 *      frees it.
 */
#include "base/text.h"
#include "blob/s3/s3.h"

#define LEAST_WINDOW KIB(64)
#define FIRST_WINDOW KIB(256)
#define NEXT_WINDOW MIB(1)
#define MOST_WINDOW MIB(4)
#define AHEAD_MAX 4

struct window {
    char *bytes;
    int64_t at;
    int64_t len;
    int64_t room; /* taken of the store's */
};

/* A window that is fetched while its reader does something else. */
struct fetch {
    struct job job;
    struct s3_store *st;
    char key[S3_KEY_LEN];
    char etag[HTTP_FIELD_MAX];
    int64_t size; /* of the object */
    struct window window;
    pthread_mutex_t lock;
    pthread_cond_t ended;

    /* Under the lock: */
    unsigned refs;
    bool done;
    enum rc rc;
    struct err err;
    blob_wake_fn *wake;
    void *wake_arg;
};

struct s3_reader {
    struct blob_reader base;
    struct s3_store *st;
    char key[S3_KEY_LEN];
    char etag[HTTP_FIELD_MAX];
    struct window window;
    struct fetch *ahead[AHEAD_MAX]; /* one window after the other; the first follows `window` */
    unsigned n_ahead;
    unsigned depth; /* how many there should be */
};

/* --- windows --- */

static void
window_drop(struct s3_store *st, struct window *w)
{
    (void)talloc_free(w->bytes);
    (void)atomic_fetch_add(&st->read_room, w->room);
    *w = (struct window){0};
}

/*
 * Room for `want` bytes. Where many readers have taken what there is, a small window is to be had
 * nevertheless: they shall be slow rather than fail.
 */
static struct window
window_new(struct s3_store *st, int64_t at, int64_t want)
{
    struct window w = {.at = at, .len = want};

    if (want > LEAST_WINDOW && s3_take_room(&st->read_room, want))
        w.room = want;
    else if (want > LEAST_WINDOW)
        w.len = LEAST_WINDOW;
    w.bytes = talloc_size(NULL, (size_t)w.len);
    BUG_ON(!w.bytes);
    return w;
}

/* Gives back what `len` bytes do not need. */
static void
window_cut(struct s3_store *st, struct window *w, int64_t len)
{
    int64_t room = w->room < len ? w->room : len;

    w->bytes = talloc_realloc_size(NULL, w->bytes, (size_t)len);
    BUG_ON(!w->bytes);
    w->len = len;
    (void)atomic_fetch_add(&st->read_room, w->room - room);
    w->room = room;
}

static bool
window_has(const struct window *w, int64_t offset)
{
    return offset >= w->at && offset < w->at + w->len;
}

/* --- one ranged GET --- */

/* "bytes FIRST-LAST/SIZE", and no other numbers. */
static bool
is_range(const char *text, int64_t first, int64_t len, int64_t *ret_size)
{
    const char *slash = strchr(text, '/');
    char want[80];

    if (!slash || !text_uint(slash + 1, INT64_MAX, ret_size))
        return false;
    if (len > *ret_size - first)
        len = *ret_size - first;
    (void)snprintf(want, sizeof(want), "bytes %lld-%lld/", (long long)first,
                   (long long)(first + len - 1));
    return strncmp(text, want, (size_t)(slash + 1 - text)) == 0 &&
           strlen(want) == (size_t)(slash + 1 - text);
}

/* What a GET is to bring. */
struct wanted {
    const struct window *window;
    int64_t size; /* of the object, -1 before it is known */
};

static bool
is_window(struct s3_call *c, void *arg)
{
    const struct window *w;
    struct wanted *wanted = arg;
    int64_t size, len;

    w = wanted->window;
    if (c->answer.status != 206 || !is_range(c->answer.content_range, w->at, w->len, &size) ||
        (wanted->size >= 0 && size != wanted->size))
        return false;
    len = w->len < size - w->at ? w->len : size - w->at;
    if (len <= 0 || (int64_t)c->answer.len != len)
        return false;
    wanted->size = size;
    return true;
}

/*
 * Fills the window. An object that is known has an ETag, and a size; of another they are found
 * out: wanted->size, and c->answer.etag. Status 416 is left to the caller.
 */
static enum rc
get(struct s3_call *c, const char *etag, struct wanted *wanted, struct err *err)
{
    const struct window *w = wanted->window;
    char range[64];
    enum rc rc;

    (void)snprintf(range, sizeof(range), "bytes=%lld-%lld", (long long)w->at,
                   (long long)(w->at + w->len - 1));
    s3_call_header(c, "range", range);
    if (*etag)
        s3_call_header(c, "if-match", etag);
    c->into = w->bytes;
    c->room = (size_t)w->len;
    c->absent_is_loss = true;
    c->accept = is_window;
    c->accept_arg = wanted;
    rc = s3_call_run(c, err);
    if (rc)
        return rc;
    if (c->answer.status == 404)
        return err_set(err, RC_NOT_FOUND, "no object %s", c->key);
    return c->answer.status == 412 ? err_set(err, RC_IO, "%s is not what it was", c->key) : RC_OK;
}

/* The window of an object that is known. */
static enum rc
get_window(struct s3_store *st, const char *key, const char *etag, int64_t size, struct window *w,
           struct err *err)
{
    struct s3_call c = s3_call_to(st, "GET", key, s3_deadline(&st->client));
    struct wanted wanted = {w, size};
    enum rc rc = get(&c, etag, &wanted, err);

    if (rc == RC_NOT_FOUND)
        return err_set(err, RC_IO, "%s is gone", key);
    if (!rc && c.answer.status == 416)
        return err_set(err, RC_IO, "%s is shorter than it was", key);
    return rc;
}

/* --- fetches --- */

static void
fetch_free(struct fetch *f)
{
    window_drop(f->st, &f->window);
    BUG_ON(pthread_mutex_destroy(&f->lock) || pthread_cond_destroy(&f->ended));
    (void)talloc_free(f);
}

static void
fetch_unref(struct fetch *f)
{
    bool last;

    pthread_mutex_lock(&f->lock);
    last = --f->refs == 0;
    pthread_mutex_unlock(&f->lock);
    if (last)
        fetch_free(f);
}

static void
run_fetch(void *arg)
{
    struct fetch *f = arg;
    struct err err;
    enum rc rc = get_window(f->st, f->key, f->etag, f->size, &f->window, &err);

    pthread_mutex_lock(&f->lock);
    f->done = true;
    f->rc = rc;
    if (rc)
        f->err = err;
    (void)pthread_cond_broadcast(&f->ended);
    if (f->wake) /* under the lock: whoever takes it away knows that it does not run any more */
        f->wake(f->wake_arg);
    pthread_mutex_unlock(&f->lock);
    fetch_unref(f);
}

/* Begins to fetch the window at `at`. False when that cannot be done beside the reader. */
static bool
fetch_start(struct s3_reader *r, int64_t at, int64_t want)
{
    struct fetch *f = MEM_NEW(NULL, struct fetch);
    struct err err;

    f->st = r->st;
    memcpy(f->key, r->key, sizeof(f->key));
    memcpy(f->etag, r->etag, sizeof(f->etag));
    f->size = r->base.size;
    f->job = (struct job){.fn = run_fetch, .arg = f};
    f->refs = 2;
    BUG_ON(pthread_mutex_init(&f->lock, NULL) || pthread_cond_init(&f->ended, NULL));
    f->window = window_new(f->st, at, want < f->size - at ? want : f->size - at);
    if (s3_submit(f->st, &f->job, &err) == RC_OK) {
        r->ahead[r->n_ahead++] = f;
        return true;
    }
    fetch_free(f);
    return false;
}

/* Takes no more interest in the first of what is fetched. */
static void
fetch_forget(struct s3_reader *r)
{
    struct fetch *f = r->ahead[0];

    pthread_mutex_lock(&f->lock);
    f->wake = NULL;
    pthread_mutex_unlock(&f->lock);
    fetch_unref(f);
    r->n_ahead--;
    for (unsigned i = 0; i < r->n_ahead; i++)
        r->ahead[i] = r->ahead[i + 1];
}

static void
fetch_forget_all(struct s3_reader *r)
{
    while (r->n_ahead > 0)
        fetch_forget(r);
}

/* What is fetched that has `offset`, after what is before it was dropped; NULL: nothing. */
static struct fetch *
fetch_of(struct s3_reader *r, int64_t offset)
{
    while (r->n_ahead > 0 && !window_has(&r->ahead[0]->window, offset))
        fetch_forget(r);
    return r->n_ahead > 0 ? r->ahead[0] : NULL;
}

/* One that has to wait reads faster than windows come: more of them should be under way. */
static void
fetch_deeper(struct s3_reader *r)
{
    if (r->depth < AHEAD_MAX)
        r->depth++;
}

/* Waits for the first of what is fetched, and makes it the reader's window. */
static enum rc
fetch_take(struct s3_reader *r, struct err *err)
{
    struct fetch *f = r->ahead[0];
    enum rc rc;

    pthread_mutex_lock(&f->lock);
    if (!f->done)
        fetch_deeper(r);
    while (!f->done)
        (void)pthread_cond_wait(&f->ended, &f->lock);
    rc = f->rc;
    if (rc) {
        *err = f->err;
    } else {
        window_drop(r->st, &r->window);
        r->window = f->window;
        f->window = (struct window){0};
    }
    pthread_mutex_unlock(&f->lock);
    fetch_forget(r);
    return rc;
}

/* --- the reader --- */

static enum rc
open_empty(struct s3_reader *r, int64_t deadline_ms, struct err *err)
{
    struct http_answer answer;
    enum rc rc = s3_head(r->st, r->key, deadline_ms, true, &answer, err);

    if (rc)
        return rc;
    if (answer.declared != 0)
        return err_set(err, RC_UNAVAILABLE, "%s has no range, and yet %lld bytes", r->key,
                       (long long)answer.declared);
    r->base.size = 0;
    window_drop(r->st, &r->window);
    return RC_OK;
}

static enum rc
open_first(struct s3_reader *r, int64_t deadline_ms, struct err *err)
{
    struct s3_call c = s3_call_to(r->st, "GET", r->key, deadline_ms);
    struct wanted wanted = {&r->window, -1};
    enum rc rc = get(&c, "", &wanted, err);

    if (rc)
        return rc;
    if (c.answer.status == 416)
        return open_empty(r, deadline_ms, err);
    r->base.size = wanted.size;
    window_cut(r->st, &r->window, (int64_t)c.answer.len);
    memcpy(r->etag, c.answer.etag, sizeof(r->etag));
    return RC_OK;
}

enum rc
s3_read_open(struct blob_store *base, const struct blob_key *key, struct blob_reader **ret,
             struct err *err)
{
    struct s3_reader *r = MEM_NEW(NULL, struct s3_reader);
    enum rc rc;

    r->st = (struct s3_store *)base;
    r->depth = 1;
    name_path(key, r->key);
    r->window = window_new(r->st, 0, FIRST_WINDOW);
    rc = open_first(r, s3_deadline(&r->st->client), err);
    if (rc) {
        s3_reader_free(&r->base);
        return rc;
    }
    *ret = &r->base;
    return RC_OK;
}

/* How great the window is that begins at `at`, after `before`: those of one that reads on grow. */
static int64_t
window_size(const struct window *before, int64_t at)
{
    if (at != before->at + before->len)
        return FIRST_WINDOW;
    if (before->len < NEXT_WINDOW)
        return NEXT_WINDOW;
    return before->len < MOST_WINDOW / 2 ? before->len * 2 : MOST_WINDOW;
}

/* Makes the window one that has `offset`. */
static enum rc
move_to(struct s3_reader *r, int64_t offset, struct err *err)
{
    struct window w;
    int64_t want;
    enum rc rc;

    if (fetch_of(r, offset))
        return fetch_take(r, err);
    want = window_size(&r->window, offset);
    w = window_new(r->st, offset, want < r->base.size - offset ? want : r->base.size - offset);
    rc = get_window(r->st, r->key, r->etag, r->base.size, &w, err);
    if (rc) {
        window_drop(r->st, &w);
        return rc;
    }
    window_drop(r->st, &r->window);
    r->window = w;
    return RC_OK;
}

/* From the middle of a window on, its reader will need what follows, most likely. */
static void
look_ahead(struct s3_reader *r, int64_t offset)
{
    const struct window *last = r->n_ahead > 0 ? &r->ahead[r->n_ahead - 1]->window : &r->window;

    if (offset < r->window.at + r->window.len / 2)
        return;
    while (r->n_ahead < r->depth && last->at + last->len < r->base.size) {
        int64_t next = last->at + last->len;

        if (!fetch_start(r, next, window_size(last, next)))
            return;
        last = &r->ahead[r->n_ahead - 1]->window;
    }
}

enum rc
s3_read(struct blob_reader *base, int64_t offset, void *into, size_t len, struct err *err)
{
    struct s3_reader *r = (struct s3_reader *)base;
    char *at = into;
    enum rc rc = RC_OK;

    while (len > 0) {
        size_t n = len;

        if (!window_has(&r->window, offset))
            rc = move_to(r, offset, err);
        if (rc)
            return rc;
        if (n > (uint64_t)(r->window.at + r->window.len - offset))
            n = (size_t)(r->window.at + r->window.len - offset);
        look_ahead(r, offset + (int64_t)n);
        memcpy(at, r->window.bytes + (offset - r->window.at), n);
        at += n;
        offset += (int64_t)n;
        len -= n;
    }
    return RC_OK;
}

bool
s3_read_ready(struct blob_reader *base, int64_t offset, blob_wake_fn *wake, void *arg)
{
    struct s3_reader *r = (struct s3_reader *)base;
    struct fetch *f;
    bool ready;

    if (window_has(&r->window, offset))
        return true;
    if (!fetch_of(r, offset) && !fetch_start(r, offset, window_size(&r->window, offset)))
        return true; /* it has to wait then */
    f = r->ahead[0];
    pthread_mutex_lock(&f->lock);
    ready = f->done;
    if (!ready) {
        f->wake = wake;
        f->wake_arg = arg;
        fetch_deeper(r);
    }
    pthread_mutex_unlock(&f->lock);
    return ready;
}

void
s3_reader_free(struct blob_reader *base)
{
    struct s3_reader *r = (struct s3_reader *)base;

    fetch_forget_all(r);
    window_drop(r->st, &r->window);
    (void)talloc_free(r);
}
