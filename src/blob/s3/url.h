// SPDX-License-Identifier: Apache-2.0
/*
 * url: what an operator writes to name a bucket and how to reach it.
 *
 *   s3://BUCKET[/PREFIX][?OPTION=VALUE[&…]]      values may be percent-encoded
 *
 *   endpoint=http[s]://HOST[:PORT]   default https://s3.REGION.amazonaws.com
 *   public_endpoint=…                what URLs given to clients begin with; default: endpoint
 *   region=us-east-1
 *   style=path|virtual               default: path with `endpoint`, virtual without
 *   sse=AES256|aws:kms               encryption asked for with each object; sse_kms_key=KEY
 *   credentials=env|container|instance|FILE   default: the first of these that there is
 *   profile=default                  the section of FILE
 *   ca=FILE                          certificates that are trusted, in place of the system's
 *   versions=allow                   take a bucket that keeps what is deleted
 *   timeout_ms=30000                 of one call, tries and all; connect_timeout_ms and
 *                                    stall_timeout_ms are 2000 and 10000, or less in proportion
 *   part_mib=16, memory_mib=256      size of a part; all that is held of uploads
 */
#ifndef BLOB_S3_URL_H
#define BLOB_S3_URL_H
#include "base/base.h"

struct s3_endpoint {
    bool tls;
    const char *host; /* with the bucket in front when that is the style, and ":PORT" */
};

struct s3_conf {
    const char *bucket;
    const char *prefix; /* "" or ending with '/' */
    struct s3_endpoint endpoint;
    struct s3_endpoint public_endpoint;
    bool virtual_host; /* the bucket is in the host's name, not in the path */
    const char *region;
    const char *sse;         /* NULL: whatever is the bucket's */
    const char *sse_kms_key; /* NULL: the store's own */
    const char *credentials; /* NULL: look around */
    const char *profile;
    const char *ca; /* NULL: the system's */
    bool versions;
    int64_t timeout_ms;
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms;
    int64_t part_size;
    int64_t memory;
};

/* Reads `url` into `pool`. INVALID: the detail says what is wrong, fit to be shown. */
MUST_CHECK enum rc s3_url_parse(TALLOC_CTX *pool, const char *url, struct s3_conf *ret,
                                struct err *err);

#endif
