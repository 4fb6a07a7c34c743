// SPDX-License-Identifier: Apache-2.0
/*
 * incoming: what clients do with the bucket themselves, by URLs that are signed for them, and how
 * what they put there becomes a blob.
 *
 *  I1  A client's URL is good for one method and one key; what it may put there is no blob.
 *  I2  A blob is a copy, made within the store, of bytes that their ETag names; the URL cannot
 *      reach it. The store is asked to copy nothing else. As radosgw does not heed that, the ETag
 *      is looked at once more after the copy.
 */
#include "base/clock.h"
#include "blob/s3/s3.h"

#define COPY_PARTS 8 /* what one request copies is that many parts */

static void
incoming_key(const struct blob_key *upload, char out[S3_KEY_LEN])
{
    char name[NAME_HEX + 1];

    name_of(upload, name);
    (void)snprintf(out, S3_KEY_LEN, INCOMING_FOLDER "%s", name);
}

/* --- signed URLs --- */

/* Signs `rq`, whose first header is the host, for the address that clients know. */
static enum rc
presign(struct s3_store *st, TALLOC_CTX *pool, const char *key, int64_t ttl_s,
        struct sigv4_request *rq, struct blob_presigned *ret, struct err *err)
{
    const struct s3_conf *conf = &st->client.conf;
    const struct s3_endpoint *to = &conf->public_endpoint;
    struct sigv4_keys keys;
    enum rc rc = credentials_get(st->client.credentials, pool, &keys, err);

    if (rc)
        return rc;
    rq->path = s3_path(pool, conf, key);
    rq->now_ms = clock_wall_ms() + atomic_load(&st->client.skew_ms);
    rq->region = conf->region;
    rq->service = "s3";
    ret->method = rq->method;
    ret->url =
        mem_printf(pool, "%s://%s%s?%s", to->tls ? "https" : "http", to->host,
                   sigv4_encode(pool, rq->path, true), sigv4_presign(pool, rq, &keys, ttl_s));
    ret->n_headers = rq->n_headers - 1;
    for (size_t i = 0; i < ret->n_headers; i++)
        ret->headers[i] = (struct blob_header){rq->headers[i + 1].name, rq->headers[i + 1].value};
    return RC_OK;
}

enum rc
s3_presign_get(struct blob_store *base, TALLOC_CTX *pool, const struct blob_key *key,
               const struct blob_offer *offer, struct blob_presigned *ret, struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    const struct sigv4_pair host = {"host", st->client.conf.public_endpoint.host};
    struct sigv4_pair query[2];
    struct sigv4_request rq = {.method = "GET",
                               .query = query,
                               .headers = &host,
                               .n_headers = 1,
                               .payload = SIGV4_UNSIGNED};
    char name[NAME_PATH_LEN + 1];

    name_path(key, name);
    query[rq.n_query++] =
        (struct sigv4_pair){"response-content-type",
                            offer->media_type ? offer->media_type : "application/octet-stream"};
    if (offer->disposition)
        query[rq.n_query++] =
            (struct sigv4_pair){"response-content-disposition", offer->disposition};
    return presign(st, pool, name, offer->ttl_s, &rq, ret, err);
}

enum rc
s3_presign_put(struct blob_store *base, TALLOC_CTX *pool, const struct blob_key *upload,
               const struct blob_demand *demand, struct blob_presigned *ret, struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    struct sigv4_pair headers[6] = {{"host", st->client.conf.public_endpoint.host}};
    struct sigv4_request rq = {
        .method = "PUT", .headers = headers, .n_headers = 1, .payload = SIGV4_UNSIGNED};
    char name[S3_KEY_LEN], sha256[SHA256_HEX_LEN];

    incoming_key(upload, name);
    if (demand->size >= 0)
        headers[rq.n_headers++] = (struct sigv4_pair){
            "content-length", mem_printf(pool, "%lld", (long long)demand->size)};
    if (demand->media_type)
        headers[rq.n_headers++] = (struct sigv4_pair){"content-type", demand->media_type};
    if (demand->sha256) {
        crypto_hex(demand->sha256, SHA256_LEN, sha256);
        rq.payload = mem_strdup(pool, sha256);
        headers[rq.n_headers++] = (struct sigv4_pair){"x-amz-content-sha256", rq.payload};
        headers[rq.n_headers++] = (struct sigv4_pair){
            "x-amz-checksum-sha256", crypto_base64(pool, demand->sha256, SHA256_LEN)};
    }
    return presign(st, pool, name, demand->ttl_s, &rq, ret, err);
}

/* --- what has come --- */

enum rc
s3_incoming_stat(struct blob_store *base, const struct blob_key *upload, struct blob_incoming *ret,
                 struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    char name[S3_KEY_LEN];
    struct http_answer answer;
    enum rc rc;

    incoming_key(upload, name);
    rc = s3_head(st, name, s3_deadline(&st->client), false, &answer, err);
    if (rc)
        return rc;
    if (!s3_is_etag(answer.etag))
        return err_set(err, RC_UNAVAILABLE, "%s has no ETag", name);
    ret->size = answer.declared;
    memcpy(ret->etag, answer.etag, sizeof(ret->etag));
    return RC_OK;
}

enum rc
s3_incoming_remove(struct blob_store *base, const struct blob_key *upload, struct err *err)
{
    char name[S3_KEY_LEN];

    incoming_key(upload, name);
    return s3_erase((struct s3_store *)base, name, err);
}

/* --- copying --- */

struct copy {
    TALLOC_CTX *pool;
    struct s3_target target;
    const struct blob_incoming *incoming;
    const char *source; /* "/bucket/prefix/incoming/…", encoded */
    const char *root;   /* of the answer that is waited for */
    const char *etag;   /* that it has */
    int64_t deadline_ms;
    char into[RESULT_MAX];
};

/* A status of 200 may come with an error: the store begins to answer before it has copied. */
static bool
is_copied(struct s3_call *c, void *arg)
{
    struct copy *k = arg;

    return s3_xml_child(k->pool, k->into, c->answer.len, k->root, "ETag", &k->etag) && *k->etag &&
           strcspn(k->etag, "<>&") == strlen(k->etag);
}

/* `root`: what the answer is. */
static struct s3_call
copy_call(struct copy *k, const char *root, int64_t deadline_ms)
{
    struct s3_call c = s3_call_to(k->target.st, "PUT", k->target.key, deadline_ms);

    s3_call_header(&c, "x-amz-copy-source", k->source);
    s3_call_header(&c, "x-amz-copy-source-if-match", k->incoming->etag);
    k->root = root;
    c.into = k->into;
    c.room = sizeof(k->into);
    c.accept = is_copied;
    c.accept_arg = k;
    return c;
}

static enum rc
copy_run(struct copy *k, struct s3_call *c, struct err *err)
{
    enum rc rc = s3_call_run(c, err);

    if (!rc && c->answer.status / 100 != 2)
        return err_set(err, RC_NOT_FOUND, "%s is not there any more as it was: status %d",
                       k->source, c->answer.status);
    return rc;
}

static enum rc
copy_whole(struct copy *k, struct err *err)
{
    struct s3_call c = copy_call(k, "CopyObjectResult", k->deadline_ms);
    enum rc rc;

    s3_call_header(&c, "x-amz-metadata-directive", "REPLACE");
    s3_call_header(&c, "content-type", "application/octet-stream");
    s3_call_header(&c, WRITER_HEADER, k->target.writer);
    s3_call_encrypt(&c);
    rc = s3_check_free(&k->target, k->deadline_ms, err);
    if (!rc)
        rc = copy_run(k, &c, err);
    return rc ? rc : s3_look(&k->target, k->incoming->size, k->deadline_ms, err);
}

static enum rc
copy_part(struct copy *k, const char *id, unsigned number, int64_t first, int64_t len,
          const char **ret_etag, struct err *err)
{
    struct s3_call c = copy_call(k, "CopyPartResult", s3_deadline(&k->target.st->client));
    enum rc rc;

    s3_call_query(&c, "partNumber", mem_printf(k->pool, "%u", number));
    s3_call_query(&c, "uploadId", id);
    s3_call_header(
        &c, "x-amz-copy-source-range",
        mem_printf(k->pool, "bytes=%lld-%lld", (long long)first, (long long)(first + len - 1)));
    rc = copy_run(k, &c, err);
    if (!rc)
        *ret_etag = k->etag;
    return rc;
}

static enum rc
copy_parts(struct copy *k, int64_t part, struct err *err)
{
    int64_t size = k->incoming->size;
    const char **etags = MEM_ARRAY(k->pool, const char *, size / part + 1);
    const char *id;
    unsigned n = 0;
    enum rc rc = s3_upload_begin(&k->target, k->pool, &id, err);

    if (rc)
        return rc;
    for (int64_t at = 0; !rc && at < size; at += part, n++)
        rc = copy_part(k, id, n + 1, at, size - at < part ? size - at : part, &etags[n], err);
    if (!rc)
        rc = s3_upload_complete(&k->target, id, etags, n, size, s3_deadline(&k->target.st->client),
                                err);
    if (rc)
        s3_upload_abort(&k->target, id);
    return rc;
}

/* Whether what was copied is what is there still; if not, the copy goes. */
static enum rc
check_source(struct copy *k, const struct blob_key *upload, struct err *err)
{
    struct blob_incoming now;
    struct err ignored;
    enum rc rc = s3_incoming_stat(&k->target.st->base, upload, &now, err);

    if (!rc && streq(now.etag, k->incoming->etag) && now.size == k->incoming->size)
        return RC_OK;
    (void)!s3_erase(k->target.st, k->target.key, &ignored); /* else it is an orphan */
    return rc ? rc : err_set(err, RC_NOT_FOUND, "%s is not what it was", k->source);
}

enum rc
s3_incoming_adopt(struct blob_store *base, const struct blob_key *upload,
                  const struct blob_incoming *incoming, const struct blob_key *key, struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    int64_t part = st->client.conf.part_size * COPY_PARTS;
    SCOPED_POOL(pool);
    struct copy *k = MEM_NEW(pool, struct copy);
    char source[S3_KEY_LEN], name[NAME_PATH_LEN + 1];
    enum rc rc = RC_UNAVAILABLE;

    incoming_key(upload, source);
    name_path(key, name);
    k->pool = pool;
    k->incoming = incoming;
    k->source = mem_printf(pool, "/%s/%s%s", st->client.conf.bucket,
                           sigv4_encode(pool, st->client.conf.prefix, true), source);
    k->deadline_ms = s3_deadline(&st->client);
    s3_target_init(&k->target, st, name);
    if (incoming->size > part)
        rc = copy_parts(k, part, err);
    else
        for (int i = 0; i < CALL_TRIES && rc == RC_UNAVAILABLE; i++)
            rc = copy_whole(k, err);
    return rc ? rc : check_source(k, upload, err);
}
