// SPDX-License-Identifier: Apache-2.0
/*
 * http: one request and its answer, over libcurl.
 *
 *  I1  What is waited for is bounded: connecting, a stretch without a byte, and all of it.
 *  I2  An answer counts when it came whole: shorter than it said, or longer than there is room
 *      for, is no answer.
 *  I3  A request goes to the host it names: no redirects, no proxy, no other protocol; with TLS
 *      the certificate is checked.
 *
 * Connections are kept and used again. Threads: a pool is shared, an exchange is one thread's.
 */
#ifndef BLOB_S3_HTTP_H
#define BLOB_S3_HTTP_H
#include <stdatomic.h>

#include "base/base.h"

#define HTTP_HEADERS_MAX 20
#define HTTP_FIELD_MAX 256
#define HTTP_ERROR_BODY_MAX 4096

struct http;

struct http_limits {
    int64_t connect_ms;
    int64_t stall_ms;
    int64_t total_ms;
};

/* What a request sends: bytes in memory, or of a file. */
struct http_body {
    const void *bytes; /* NULL: those of the file */
    int fd;
    int64_t at; /* in the file */
    int64_t len;
};

struct http_request {
    const char *method;
    const char *url;
    const char *headers[HTTP_HEADERS_MAX]; /* "name: value" */
    size_t n_headers;
    struct http_body body;
    void *into; /* gets the body of a 2xx answer */
    size_t room;
    struct http_limits limits;
};

struct http_answer {
    int status;
    size_t len;                /* bytes in `into` */
    int64_t declared;          /* Content-Length, -1 without one */
    char etag[HTTP_FIELD_MAX]; /* with its quotes, "" without one; so are the others */
    char content_range[HTTP_FIELD_MAX];
    char request_id[HTTP_FIELD_MAX];
    char region[HTTP_FIELD_MAX];
    char writer[HTTP_FIELD_MAX];
    char date[HTTP_FIELD_MAX];
    char body[HTTP_ERROR_BODY_MAX]; /* the beginning of any other answer's body */
    size_t body_len;
};

/* How far a request came that has no answer. */
enum http_outcome {
    HTTP_ANSWERED,
    HTTP_UNSENT,  /* no connection: nothing of it was seen by the other side */
    HTTP_UNKNOWN, /* it may have been carried out */
};

/*
 * A pool that trusts the certificates of the file `ca` (NULL: the system's), which is read now.
 * The caller ends *ret with http_free(), after all exchanges. Errors: INVALID (no such file).
 */
MUST_CHECK enum rc http_new(const char *ca, struct http **ret, struct err *err);
void http_free(struct http **h);

/*
 * Sends `rq` and waits for its answer. `stop` may be NULL; once true, the exchange is given up.
 * But for HTTP_ANSWERED, *why tells what went wrong.
 */
enum http_outcome http_exchange(struct http *h, const struct http_request *rq,
                                const atomic_bool *stop, struct http_answer *ret, char why[128]);

#endif
