// SPDX-License-Identifier: Apache-2.0
/*
 * put: an object comes to be, whole, once, and seen to be there.
 *
 *  I1  Success means that a HEAD after it showed an object of the right size that this writer has
 *      made. What a PUT or the end of an upload answered is never enough: a store can say 200 and
 *      mean an error, and an answer can be lost.
 *  I2  Each object carries a random name of its writer. So a try whose answer was lost is told
 *      from another's object, and making the request again is safe.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"
#include "blob/s3/s3.h"

#define PARTS_TEXT_MAX (size_t) MIB(4) /* 10,000 parts */

void
s3_target_init(struct s3_target *t, struct s3_store *st, const char *key)
{
    uint8_t random[ID_HEX / 2];

    rand_bytes(random, sizeof(random));
    t->st = st;
    t->key = key;
    crypto_hex(random, sizeof(random), t->writer);
}

bool
s3_is_etag(const char *etag)
{
    return *etag && strcspn(etag, "<>&\r\n") == strlen(etag);
}

enum rc
s3_look(const struct s3_target *t, int64_t size, int64_t deadline_ms, struct err *err)
{
    struct http_answer answer;
    enum rc rc = s3_head(t->st, t->key, deadline_ms, true, &answer, err);

    if (rc == RC_NOT_FOUND)
        return err_set(err, RC_UNAVAILABLE, "%s is not there after it was made", t->key);
    if (rc)
        return rc;
    if (!streq(answer.writer, t->writer))
        return err_set(err, RC_CONFLICT, "%s exists", t->key);
    if (answer.declared == size)
        return RC_OK;
    return err_set(err, RC_UNAVAILABLE, "%s has %lld bytes instead of %lld", t->key,
                   (long long)answer.declared, (long long)size);
}

enum rc
s3_check_free(const struct s3_target *t, int64_t deadline_ms, struct err *err)
{
    struct http_answer answer;
    enum rc rc = s3_head(t->st, t->key, deadline_ms, false, &answer, err);

    if (rc == RC_NOT_FOUND || (!rc && streq(answer.writer, t->writer)))
        return RC_OK;
    return rc ? rc : err_set(err, RC_CONFLICT, "%s exists", t->key);
}

static enum rc
put_once(const struct s3_target *t, const struct http_body *body, const char *sha256,
         int64_t deadline_ms, struct err *err)
{
    struct s3_call c = s3_call_to(t->st, "PUT", t->key, deadline_ms);
    enum rc rc = RC_OK;

    if (atomic_load(&t->st->client.plain))
        rc = s3_check_free(t, deadline_ms, err);
    else
        s3_call_header(&c, "if-none-match", "*");
    s3_call_header(&c, "content-type", "application/octet-stream");
    s3_call_header(&c, WRITER_HEADER, t->writer);
    s3_call_encrypt(&c);
    c.body = *body;
    c.body_sha256 = sha256;
    return rc ? rc : s3_call_run(&c, err);
}

enum rc
s3_put(const struct s3_target *t, const struct http_body *body, const char *sha256,
       int64_t deadline_ms, struct err *err)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < CALL_TRIES; i++) {
        rc = put_once(t, body, sha256, deadline_ms, err);
        if (rc)
            return rc;
        rc = s3_look(t, body->len, deadline_ms, err);
        if (!rc || rc == RC_CONFLICT)
            return rc;
    }
    return rc;
}

struct id_place {
    TALLOC_CTX *pool;
    const char **id;
};

static bool
has_upload_id(struct s3_call *c, void *arg)
{
    struct id_place *to = arg;

    return s3_xml_child(to->pool, c->into, c->answer.len, "InitiateMultipartUploadResult",
                        "UploadId", to->id) &&
           **to->id;
}

enum rc
s3_upload_begin(const struct s3_target *t, TALLOC_CTX *pool, const char **ret_id, struct err *err)
{
    struct s3_call c = s3_call_to(t->st, "POST", t->key, s3_deadline(&t->st->client));
    struct id_place to = {pool, ret_id};
    enum rc rc;

    s3_call_query(&c, "uploads", "");
    s3_call_header(&c, "content-type", "application/octet-stream");
    s3_call_header(&c, WRITER_HEADER, t->writer);
    s3_call_encrypt(&c);
    c.into = mem_zalloc(pool, RESULT_MAX);
    c.room = RESULT_MAX;
    c.accept = has_upload_id;
    c.accept_arg = &to;
    rc = s3_call_run(&c, err);
    if (rc)
        return rc;
    if (c.answer.status / 100 != 2)
        return err_set(err, RC_UNAVAILABLE, "the store began no upload of %s: status %d", t->key,
                       c.answer.status);
    return RC_OK;
}

static void
list_parts(struct buf *b, const char *const *etags, unsigned n)
{
    buf_puts(b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (unsigned i = 0; i < n; i++)
        buf_printf(b, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", i + 1, etags[i]);
    buf_puts(b, "</CompleteMultipartUpload>");
}

static enum rc
complete_once(const struct s3_target *t, const char *id, const struct buf *parts,
              int64_t deadline_ms, struct err *err)
{
    struct s3_call c = s3_call_to(t->st, "POST", t->key, deadline_ms);
    char into[RESULT_MAX];

    s3_call_query(&c, "uploadId", id);
    s3_call_header(&c, "content-type", "application/xml");
    if (!atomic_load(&t->st->client.plain))
        s3_call_header(&c, "if-none-match", "*");
    c.body = (struct http_body){.bytes = parts->bytes, .len = (int64_t)parts->len};
    c.into = into;
    c.room = sizeof(into);
    return s3_call_run(&c, err);
}

/*
 * Whatever the answer was: 200 may hold an error, 404 may mean that a try before has done it, 412
 * that another has. So look. An upload of a store that does not know If-None-Match here, as
 * radosgw, would replace: that the key is free is seen before.
 */
enum rc
s3_upload_complete(const struct s3_target *t, const char *id, const char *const *etags, unsigned n,
                   int64_t size, int64_t deadline_ms, struct err *err)
{
    SCOPED_POOL(pool);
    struct buf parts;
    enum rc rc;

    buf_init(&parts, pool, PARTS_TEXT_MAX);
    list_parts(&parts, etags, n);
    for (int i = 0; i < CALL_TRIES; i++) {
        rc = s3_check_free(t, deadline_ms, err);
        if (!rc)
            rc = complete_once(t, id, &parts, deadline_ms, err);
        if (rc)
            return rc;
        rc = s3_look(t, size, deadline_ms, err);
        if (!rc || rc == RC_CONFLICT)
            return rc;
    }
    return rc == RC_NOT_FOUND ? err_set(err, RC_UNAVAILABLE,
                                        "%s is not there after its parts were put together", t->key)
                              : rc;
}

void
s3_upload_abort(const struct s3_target *t, const char *id)
{
    struct s3_call c = s3_call_to(t->st, "DELETE", t->key, s3_deadline(&t->st->client));
    struct err err;

    s3_call_query(&c, "uploadId", id);
    (void)!s3_call_run(&c, &err); /* what stays is swept later */
}
