// SPDX-License-Identifier: Apache-2.0
#include "blob/s3/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define KEPT_MAX 64 /* handles that wait for a request, each with its connection */
#define CA_MAX MIB(16)
#define READ_BLOCK KIB(256)
#define WRITE_BLOCK KIB(256)

struct http {
    pthread_mutex_t lock; /* guards `kept` */
    CURL *kept[KEPT_MAX];
    size_t n_kept;
    struct curl_blob ca;
};

/* One request under way. */
struct exchange {
    const struct http_request *rq;
    struct http_answer *answer;
    const atomic_bool *stop;
    CURL *curl;
    int64_t sent; /* of the body */
    int64_t moved;
    int64_t moved_at_ms;
    bool stalled;
    bool too_long;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
start_library(void)
{
    BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT));
}

/* --- the pool --- */

static enum rc
read_certificates(struct http *h, const char *path, struct err *err)
{
    FILE *file = fopen(path, "re");
    char block[8192];
    struct buf b;
    size_t n;
    bool whole = true;

    if (!file) {
        return err_set(err, RC_INVALID, "the certificates in %s cannot be read: %s", path,
                       strerrordesc_np(errno));
    }
    buf_init(&b, h, CA_MAX);
    do {
        n = fread(block, 1, sizeof(block), file);
        whole = buf_append(&b, block, n);
    } while (n > 0 && whole);
    whole = whole && !ferror(file) && b.len > 0;
    (void)fclose(file);
    if (!whole)
        return err_set(err, RC_INVALID, "the certificates in %s cannot be read", path);
    h->ca = (struct curl_blob){.data = b.bytes, .len = b.len, .flags = CURL_BLOB_NOCOPY};
    return RC_OK;
}

enum rc
http_new(const char *ca, struct http **ret, struct err *err)
{
    SCOPED(http) h = NULL;
    const curl_version_info_data *library;
    enum rc rc = RC_OK;

    BUG_ON(pthread_once(&once, start_library));
    h = MEM_NEW(NULL, struct http);
    BUG_ON(pthread_mutex_init(&h->lock, NULL));
    library = curl_version_info(CURLVERSION_NOW);
    if (!ca)
        ca = library->cainfo;
    /* now and into memory: later the process may no longer be allowed to read there */
    if (ca)
        rc = read_certificates(h, ca, err);
    if (rc)
        return rc;
    *ret = h;
    h = NULL;
    return RC_OK;
}

void
http_free(struct http **h)
{
    if (!*h)
        return;
    while ((*h)->n_kept > 0)
        curl_easy_cleanup((*h)->kept[--(*h)->n_kept]);
    BUG_ON(pthread_mutex_destroy(&(*h)->lock));
    (void)talloc_free(*h);
    *h = NULL;
}

/* The handle that was used last: its connection is the least likely to have been closed. */
static CURL *
handle_take(struct http *h)
{
    CURL *curl = NULL;

    pthread_mutex_lock(&h->lock);
    if (h->n_kept > 0)
        curl = h->kept[--h->n_kept];
    pthread_mutex_unlock(&h->lock);
    if (!curl)
        curl = curl_easy_init();
    BUG_ON(!curl);
    return curl;
}

static void
handle_give(struct http *h, CURL *curl)
{
    curl_easy_reset(curl); /* keeps connections */
    pthread_mutex_lock(&h->lock);
    if (h->n_kept < KEPT_MAX) {
        h->kept[h->n_kept++] = curl;
        curl = NULL;
    }
    pthread_mutex_unlock(&h->lock);
    curl_easy_cleanup(curl);
}

/* --- what the library calls --- */

static size_t
send_body(char *into, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    const struct http_body *body = &x->rq->body;
    size_t n = size * count;
    ssize_t got;

    if (n > (uint64_t)(body->len - x->sent))
        n = (size_t)(body->len - x->sent);
    if (n == 0)
        return 0;
    if (body->bytes) {
        memcpy(into, (const char *)body->bytes + x->sent, n);
    } else {
        got = pread(body->fd, into, n, body->at + x->sent);
        if (got <= 0)
            return CURL_READFUNC_ABORT;
        n = (size_t)got;
    }
    x->sent += (int64_t)n;
    return n;
}

/* A kept connection may turn out to be closed: the library then sends again on another. */
static int
rewind_body(void *arg, curl_off_t offset, int origin)
{
    struct exchange *x = arg;

    if (origin != SEEK_SET || offset < 0 || offset > x->rq->body.len)
        return CURL_SEEKFUNC_FAIL;
    x->sent = offset;
    return CURL_SEEKFUNC_OK;
}

static size_t
take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    struct http_answer *a = x->answer;
    size_t n = size * count;
    long status = 0;

    (void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 != 2) {
        size_t kept = n < sizeof(a->body) - a->body_len ? n : sizeof(a->body) - a->body_len;

        memcpy(a->body + a->body_len, bytes, kept);
        a->body_len += kept;
        return n;
    }
    if (n > x->rq->room - a->len) {
        x->too_long = true;
        return 0;
    }
    memcpy((char *)x->rq->into + a->len, bytes, n);
    a->len += n;
    return n;
}

/* Comes along often, and at least once a second. */
static int
watch(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    struct exchange *x = arg;
    int64_t now = clock_mono_ms();

    (void)down_all;
    (void)up_all;
    if (down + up != x->moved) {
        x->moved = down + up;
        x->moved_at_ms = now;
    }
    x->stalled = now - x->moved_at_ms >= x->rq->limits.stall_ms;
    return x->stalled || (x->stop && atomic_load(x->stop));
}

/* --- one exchange --- */

#define SET(option, value) BUG_ON(curl_easy_setopt(x->curl, option, value))

static void
set_limits(struct exchange *x)
{
    const struct http_limits *l = &x->rq->limits;

    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(l->connect_ms > 0 ? l->connect_ms : 1));
    SET(CURLOPT_TIMEOUT_MS, (long)(l->total_ms > 0 ? l->total_ms : 1));
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, watch);
    SET(CURLOPT_XFERINFODATA, x);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_BUFFERSIZE, (long)READ_BLOCK);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)WRITE_BLOCK);
}

static void
set_target(struct exchange *x, struct http *h)
{
    SET(CURLOPT_URL, x->rq->url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_USERAGENT, "dossier/" DOSSIER_VERSION);
    if (h->ca.len > 0)
        SET(CURLOPT_CAINFO_BLOB, &h->ca);
}

static void
set_request(struct exchange *x, struct curl_slist *headers)
{
    const struct http_request *rq = x->rq;

    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, x);
    if (streq(rq->method, "GET"))
        return;
    if (streq(rq->method, "HEAD")) {
        SET(CURLOPT_NOBODY, 1L);
        return;
    }
    SET(CURLOPT_CUSTOMREQUEST, rq->method);
    if (streq(rq->method, "DELETE"))
        return;
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)rq->body.len);
    SET(CURLOPT_READFUNCTION, send_body);
    SET(CURLOPT_READDATA, x);
    SET(CURLOPT_SEEKFUNCTION, rewind_body);
    SET(CURLOPT_SEEKDATA, x);
}

static void
copy_header(CURL *curl, const char *name, char into[HTTP_FIELD_MAX])
{
    struct curl_header *header;

    if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        strlen(header->value) < HTTP_FIELD_MAX)
        (void)snprintf(into, HTTP_FIELD_MAX, "%s", header->value);
}

static void
read_answer(struct exchange *x)
{
    struct http_answer *a = x->answer;
    curl_off_t declared = -1;
    long status = 0;

    (void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(x->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &declared);
    a->status = (int)status;
    a->declared = declared;
    copy_header(x->curl, "etag", a->etag);
    copy_header(x->curl, "content-range", a->content_range);
    copy_header(x->curl, "x-amz-request-id", a->request_id);
    copy_header(x->curl, "x-amz-bucket-region", a->region);
    copy_header(x->curl, "x-amz-meta-dossier-writer", a->writer);
    copy_header(x->curl, "date", a->date);
}

static enum http_outcome
judge(struct exchange *x, CURLcode code, char why[128])
{
    bool unsent = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
                  code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION;
    curl_off_t connected = 0;

    if (code == CURLE_OK) {
        read_answer(x);
        return HTTP_ANSWERED;
    }
    /* a timeout before the connection stood */
    (void)curl_easy_getinfo(x->curl, CURLINFO_PRETRANSFER_TIME_T, &connected);
    if (code == CURLE_OPERATION_TIMEDOUT && connected == 0)
        unsent = true;
    (void)snprintf(why, 128, "%s%s",
                   x->stalled    ? "no progress: "
                   : x->too_long ? "more than was asked for: "
                                 : "",
                   curl_easy_strerror(code));
    return unsent ? HTTP_UNSENT : HTTP_UNKNOWN;
}

enum http_outcome
http_exchange(struct http *h, const struct http_request *rq, const atomic_bool *stop,
              struct http_answer *ret, char why[128])
{
    struct exchange self = {.rq = rq, .answer = ret, .stop = stop, .curl = handle_take(h)};
    struct exchange *x = &self;
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    enum http_outcome outcome;

    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < rq->n_headers && headers; i++)
        headers = curl_slist_append(headers, rq->headers[i]);
    BUG_ON(!headers);
    x->moved_at_ms = clock_mono_ms();
    set_limits(x);
    set_target(x, h);
    set_request(x, headers);
    outcome = judge(x, curl_easy_perform(x->curl), why);
    /* one that could not look up a name refuses some options ever after (libcurl 7.88) */
    if (outcome == HTTP_ANSWERED)
        handle_give(h, x->curl);
    else
        curl_easy_cleanup(x->curl);
    curl_slist_free_all(headers);
    return outcome;
}
