// SPDX-License-Identifier: Apache-2.0
/* The input is a URL of a bucket. What was read is fit to go into requests. */
#include "blob/s3/url.h"
#include "fuzz.h"

static void
check_endpoint(const struct s3_endpoint *e, const char *bucket, bool virtual_host)
{
    BUG_ON(!*e->host || strpbrk(e->host, "/?#@% \r\n"));
    BUG_ON(virtual_host &&
           (strncmp(e->host, bucket, strlen(bucket)) != 0 || e->host[strlen(bucket)] != '.'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    struct s3_conf c = {0};
    struct err err = {0};

    if (s3_url_parse(pool, fuzz_text(pool, data, size), &c, &err)) {
        BUG_ON(err.code != RC_INVALID || !*err.detail || c.bucket);
        return 0;
    }
    BUG_ON(strlen(c.bucket) < 3 || strpbrk(c.bucket, "/?#%: \r\n"));
    BUG_ON(*c.prefix == '/' || strstr(c.prefix, "//") || strpbrk(c.prefix, "?#% \r\n"));
    BUG_ON(*c.prefix && c.prefix[strlen(c.prefix) - 1] != '/');
    check_endpoint(&c.endpoint, c.bucket, c.virtual_host);
    check_endpoint(&c.public_endpoint, c.bucket, c.virtual_host);
    BUG_ON(!*c.region || strpbrk(c.region, "/\r\n "));
    BUG_ON(c.sse_kms_key && strpbrk(c.sse_kms_key, "\r\n "));
    BUG_ON(c.connect_timeout_ms < 10 || c.connect_timeout_ms > c.timeout_ms);
    BUG_ON(c.stall_timeout_ms < 10 || c.stall_timeout_ms > c.timeout_ms);
    BUG_ON(c.part_size < MIB(5) || c.memory < MIB(1));
    return 0;
}
