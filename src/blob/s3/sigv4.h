// SPDX-License-Identifier: Apache-2.0
/*
 * sigv4: AWS Signature Version 4, as S3 and all that speak its protocol check it.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
 *
 * Pure functions: nothing but what they are given goes into a result. Results are in `pool`.
 *
 * Not here: signing of chunks (aws-chunked), Signature Version 4A.
 */
#ifndef BLOB_S3_SIGV4_H
#define BLOB_S3_SIGV4_H
#include "base/base.h"
#include "base/crypto.h"

#define SIGV4_TIME_LEN 17 /* "20130524T000000Z" and NUL */
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct sigv4_keys {
    const char *access;
    const char *secret;
    const char *token; /* of a session; NULL or "" without one */
};

struct sigv4_pair {
    const char *name;
    const char *value;
};

/* What is signed. Nothing in it is encoded yet; pairs may be in any order. */
struct sigv4_request {
    const char *method;
    const char *path; /* begins with '/' */
    const struct sigv4_pair *query;
    size_t n_query;
    const struct sigv4_pair *headers; /* all of them are signed; "host" has to be among them */
    size_t n_headers;
    const char *payload; /* SHA-256 in hexadecimal, or SIGV4_UNSIGNED */
    int64_t now_ms;
    const char *region;
    const char *service; /* "s3" */
};

/* As the header x-amz-date has it. */
void sigv4_time(int64_t now_ms, char out[SIGV4_TIME_LEN]);

/* Percent-encoding of all but A-Z a-z 0-9 - . _ ~, and of '/' unless `slash`. */
char *sigv4_encode(TALLOC_CTX *pool, const char *text, bool slash);

/* The query as it is signed and as it is to be sent: encoded, sorted, without '?'. */
char *sigv4_query(TALLOC_CTX *pool, const struct sigv4_pair *query, size_t n);

/* The canonical request, which a store that refuses a signature shows as it sees it. */
char *sigv4_canonical(TALLOC_CTX *pool, const struct sigv4_request *rq);

/*
 * The value of the header Authorization. x-amz-date, x-amz-content-sha256 and
 * x-amz-security-token are the caller's to add to the headers.
 */
char *sigv4_authorization(TALLOC_CTX *pool, const struct sigv4_request *rq,
                          const struct sigv4_keys *keys);

/*
 * The query of a URL that needs no header Authorization for `ttl_s` seconds (at most 7 days):
 * that of `rq` and what signs it. `rq->headers` have to be sent as they are.
 */
char *sigv4_presign(TALLOC_CTX *pool, const struct sigv4_request *rq, const struct sigv4_keys *keys,
                    int64_t ttl_s);

#endif
