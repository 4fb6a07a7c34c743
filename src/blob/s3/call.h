// SPDX-License-Identifier: Apache-2.0
/*
 * call: a signed request to the bucket, tried again as far as that is safe, within a deadline.
 *
 *  I1  A call ends by its deadline. Of a request that was sent and has no answer it is never said
 *      that it did nothing.
 *  I2  A 404 is believed when the store itself says it, not what stands in between; where it
 *      would be taken for a loss, when it says so twice.
 *  I3  An answer of 2xx that is not what was asked for, as an error in its body or a part of what
 *      it should have, is tried again like any other failure.
 *
 * Not here: what an answer means for a blob.
 */
#ifndef BLOB_S3_CALL_H
#define BLOB_S3_CALL_H
#include "blob/s3/breaker.h"
#include "blob/s3/credentials.h"
#include "blob/s3/http.h"
#include "blob/s3/sigv4.h"
#include "blob/s3/url.h"
#include "blob/s3/xml.h"

struct s3_call;

/* Whether an answer of 2xx is what was asked for. If not, it is as good as none. */
typedef bool s3_accept_fn(struct s3_call *c, void *arg);

#define CALL_PAIRS_MAX 8
#define CALL_TRIES 3

/* What all calls of a store share. */
struct s3_client {
    struct s3_conf conf;
    struct http *http;
    struct credentials *credentials;
    struct breaker breaker;
    atomic_bool started;     /* the store has answered as it should once */
    atomic_bool stopping;    /* calls give up */
    atomic_bool plain;       /* the store does not know If-None-Match */
    _Atomic int64_t skew_ms; /* what the store's clock is ahead of ours, when it minds */
};

struct s3_call {
    struct s3_client *client;
    const char *method;
    const char *key; /* below the prefix; NULL: the bucket itself */
    struct sigv4_pair query[CALL_PAIRS_MAX];
    size_t n_query;
    struct sigv4_pair headers[CALL_PAIRS_MAX];
    size_t n_headers;
    struct http_body body;
    const char *body_sha256; /* in hexadecimal; NULL: it is computed, for bytes in memory */
    void *into;              /* for the body of an answer */
    size_t room;
    int64_t deadline_ms;  /* monotonic */
    bool absent_is_loss;  /* ask again before a 404 is believed */
    s3_accept_fn *accept; /* NULL: any */
    void *accept_arg;

    /* Afterwards. */
    struct http_answer answer;
    struct s3_error error; /* of an answer that is not 2xx */
    char hash[SHA256_HEX_LEN];
};

/* The deadline of a call that begins now. */
int64_t s3_deadline(const struct s3_client *client);

void s3_call_query(struct s3_call *c, const char *name, const char *value);
void s3_call_header(struct s3_call *c, const char *name, const char *value);

/*
 * Runs the call; RC_OK when its answer is an accepted 2xx, or 404, 412 or 416: see answer.status.
 * Otherwise STORAGE_FULL, or UNAVAILABLE; before the store has started INVALID for what an operator
 * has to change.
 */
MUST_CHECK enum rc s3_call_run(struct s3_call *c, struct err *err);

/* Writes "/bucket/prefix/key" or "/prefix/key", not encoded, into `pool`. */
char *s3_path(TALLOC_CTX *pool, const struct s3_conf *conf, const char *key);

#endif
