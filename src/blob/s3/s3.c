// SPDX-License-Identifier: Apache-2.0
/*
 * s3: blobs as objects of a bucket.
 *
 *   PREFIX/objects/ab/cd/…                           a blob (blob/name.h)
 *   PREFIX/incoming/<16 hex of the workspace>-<32 hex of the upload's id>   put by a client
 *   PREFIX/dossier-store                             who this store is
 *
 *  I1  What was acknowledged has been seen: an object after it was made (put.c), its absence after
 *      it was removed.
 *  I2  A call of the driver ends in bounded time, whatever the store does; what it cannot do now is
 *      UNAVAILABLE. A key that may or may not have been written is one that nobody names: the
 *      sweep of orphans finds it, so COMMIT_UNKNOWN has no use here.
 *  I3  Threads begin with the first job that needs one, and with no signal unblocked.
 */
#include "blob/s3/s3.h"

#include "base/clock.h"

#define WORKERS 16
#define WAITING_MAX 100000 /* no more than there are readers and writers */
#define READ_MEMORY MIB(128)

/* --- what the files of the driver share --- */

enum rc
s3_submit(struct s3_store *st, struct job *job, struct err *err)
{
    enum rc rc = RC_OK;

    pthread_mutex_lock(&st->workers_lock);
    if (!st->workers)
        rc = workers_new("s3", WORKERS, WAITING_MAX, &st->workers, err);
    pthread_mutex_unlock(&st->workers_lock);
    return rc ? rc : workers_submit(st->workers, job, err);
}

bool
s3_take_room(_Atomic int64_t *room, int64_t n)
{
    int64_t left = atomic_load(room);

    do {
        if (left < n)
            return false;
    } while (!atomic_compare_exchange_weak(room, &left, left - n));
    return true;
}

struct s3_call
s3_call_to(struct s3_store *st, const char *method, const char *key, int64_t deadline_ms)
{
    return (struct s3_call){
        .client = &st->client, .method = method, .key = key, .deadline_ms = deadline_ms};
}

void
s3_call_encrypt(struct s3_call *c)
{
    const struct s3_conf *conf = &c->client->conf;

    if (conf->sse)
        s3_call_header(c, "x-amz-server-side-encryption", conf->sse);
    if (conf->sse_kms_key)
        s3_call_header(c, "x-amz-server-side-encryption-aws-kms-key-id", conf->sse_kms_key);
}

/* What is between us and the store can say 200, too. */
static bool
is_object(struct s3_call *c, void *arg)
{
    (void)arg;
    return c->answer.declared >= 0 && s3_is_etag(c->answer.etag);
}

enum rc
s3_head(struct s3_store *st, const char *key, int64_t deadline_ms, bool absent_is_loss,
        struct http_answer *ret, struct err *err)
{
    struct s3_call c = s3_call_to(st, "HEAD", key, deadline_ms);
    enum rc rc;

    c.absent_is_loss = absent_is_loss;
    c.accept = is_object;
    rc = s3_call_run(&c, err);
    if (rc)
        return rc;
    if (c.answer.status == 404)
        return err_set(err, RC_NOT_FOUND, "no object %s", key);
    if (c.answer.status / 100 != 2)
        return err_set(err, RC_UNAVAILABLE, "HEAD %s: status %d", key, c.answer.status);
    *ret = c.answer;
    return RC_OK;
}

enum rc
s3_erase(struct s3_store *st, const char *key, struct err *err)
{
    int64_t deadline = s3_deadline(&st->client);
    struct http_answer answer;
    enum rc rc;

    for (int i = 0; i < CALL_TRIES; i++) {
        struct s3_call c = s3_call_to(st, "DELETE", key, deadline);

        rc = s3_call_run(&c, err);
        if (!rc)
            rc = s3_head(st, key, deadline, false, &answer, err);
        if (rc)
            return rc == RC_NOT_FOUND ? RC_OK : rc;
    }
    return err_set(err, RC_UNAVAILABLE, "%s is still there after it was deleted", key);
}

/* --- slots --- */

static enum rc
s3_stat(struct blob_store *base, const struct blob_key *key, int64_t *ret_size, struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    char name[NAME_PATH_LEN + 1];
    struct http_answer answer;
    enum rc rc;

    name_path(key, name);
    /* who asks copies or erases it next; a pause for each that is absent makes copying slow */
    rc = s3_head(st, name, s3_deadline(&st->client), false, &answer, err);
    if (!rc)
        *ret_size = answer.declared;
    return rc;
}

static enum rc
s3_remove(struct blob_store *base, const struct blob_key *key, struct err *err)
{
    char name[NAME_PATH_LEN + 1];

    name_path(key, name);
    return s3_erase((struct s3_store *)base, name, err);
}

static int64_t
s3_free_bytes(struct blob_store *base)
{
    (void)base;
    return INT64_MAX;
}

static void
s3_store_free(struct blob_store *base)
{
    struct s3_store *st = (struct s3_store *)base;

    atomic_store(&st->client.stopping, true);
    workers_free(&st->workers);
    credentials_free(&st->client.credentials);
    http_free(&st->client.http);
    breaker_release(&st->client.breaker);
    BUG_ON(pthread_mutex_destroy(&st->workers_lock));
    base_pool_free(&st->pool);
    (void)talloc_free(st);
}

static const struct blob_driver s3_driver = {
    .name = "s3",
    .caps = BLOB_DURABLE | BLOB_REMOTE | BLOB_CAN_PRESIGN,
    .store_free = s3_store_free,
    .identity = s3_identity,
    .identify = s3_identify,
    .free_bytes = s3_free_bytes,
    .write_open = s3_write_open,
    .write = s3_write,
    .write_finish = s3_write_finish,
    .writer_free = s3_writer_free,
    .read_open = s3_read_open,
    .read = s3_read,
    .read_ready = s3_read_ready,
    .reader_free = s3_reader_free,
    .stat = s3_stat,
    .remove = s3_remove,
    .each = s3_each,
    .sweep = s3_sweep,
    .presign_get = s3_presign_get,
    .presign_put = s3_presign_put,
    .incoming_stat = s3_incoming_stat,
    .incoming_adopt = s3_incoming_adopt,
    .incoming_remove = s3_incoming_remove,
};

/* --- opening --- */

/* One request that needs keys which may list, and an answer only a store gives. */
static enum rc
check_bucket(struct s3_store *st, struct err *err)
{
    SCOPED_POOL(pool);
    struct s3_call c = s3_call_to(st, "GET", NULL, s3_deadline(&st->client));
    char *into = mem_zalloc(pool, RESULT_MAX);
    struct s3_list list;
    enum rc rc;

    s3_call_query(&c, "list-type", "2");
    s3_call_query(&c, "max-keys", "1");
    s3_call_query(&c, "prefix", mem_printf(pool, "%s" NAME_FOLDER, st->client.conf.prefix));
    c.into = into;
    c.room = RESULT_MAX;
    rc = s3_call_run(&c, err);
    if (rc)
        return rc;
    if (c.answer.status != 200 || !s3_xml_objects(pool, into, c.answer.len, &list))
        return err_set(err, RC_INVALID, "%s is no bucket of an S3 store: status %d %s",
                       st->client.conf.bucket, c.answer.status, c.error.code);
    return RC_OK;
}

/* In a bucket that keeps versions, what is deleted is not gone: that breaks what we promise. */
static enum rc
check_versions(struct s3_store *st, struct err *err)
{
    SCOPED_POOL(pool);
    struct s3_call c = s3_call_to(st, "GET", NULL, s3_deadline(&st->client));
    char *into = mem_zalloc(pool, RESULT_MAX);
    const char *status = "";
    struct err unread;

    if (st->client.conf.versions)
        return RC_OK;
    s3_call_query(&c, "versioning", "");
    c.into = into;
    c.room = RESULT_MAX;
    /* that we may not ask is no reason to refuse */
    if (s3_call_run(&c, &unread) || c.answer.status != 200 ||
        !s3_xml_child(pool, into, c.answer.len, "VersioningConfiguration", "Status", &status) ||
        !*status)
        return RC_OK;
    return err_set(err, RC_INVALID,
                   "the bucket %s keeps versions of what is deleted, so nothing can be erased; "
                   "versions=allow in the URL takes it nevertheless",
                   st->client.conf.bucket);
}

enum rc
blob_store_open_s3(const char *url, const char *spool, struct blob_store **ret, struct err *err)
{
    SCOPED(blob_store) base = NULL;
    struct s3_store *st = MEM_NEW(NULL, struct s3_store);
    struct s3_conf *conf = &st->client.conf;
    const char *ca;
    enum rc rc;

    base = &st->base;
    st->base.driver = &s3_driver;
    st->pool = base_pool_new(NULL);
    breaker_init(&st->client.breaker);
    BUG_ON(pthread_mutex_init(&st->workers_lock, NULL));
    st->spool = mem_strdup(st->pool, spool);
    rc = s3_url_parse(st->pool, url, conf, err);
    if (rc)
        return rc;
    st->write_room = conf->memory;
    st->read_room = READ_MEMORY;
    ca = conf->ca ? conf->ca : getenv("AWS_CA_BUNDLE");
    rc = http_new(ca, &st->client.http, err);
    if (!rc)
        rc = credentials_new(conf->credentials, conf->profile, st->client.http,
                             &st->client.credentials, err);
    if (!rc)
        rc = check_bucket(st, err);
    if (!rc)
        rc = check_versions(st, err);
    if (rc)
        return rc;
    atomic_store(&st->client.started, true);
    *ret = base;
    base = NULL;
    return RC_OK;
}
