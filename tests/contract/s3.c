// SPDX-License-Identifier: Apache-2.0
/*
 * blob/s3: what only a bucket has: signed URLs, uploads in parts, other objects beside ours. Runs
 * against the bucket that DOSSIER_TEST_S3 names, each case below a prefix of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <curl/curl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "blob/s3/s3.h"

#define WORKSPACE 42
#define BIG_PART "&part_mib=5&memory_mib=12"
#define HOUR_MS 3600000

/* The present case. */
struct scene {
    char prefix[64];
    struct blob_store *store;
};

static const char *bucket_url;

static enum rc
open_with(const struct scene *s, const char *options, struct blob_store **ret, struct err *err)
{
    const char *own = strchr(bucket_url, '?');
    char url[1024];

    (void)snprintf(url, sizeof(url), "%.*s/%s%s%s", (int)strcspn(bucket_url, "?"), bucket_url,
                   s->prefix, own ? own : "?", options);
    return blob_store_open_s3(url, "/tmp", ret, err);
}

static int
set_up(void **state)
{
    struct scene *s = test_malloc(sizeof(*s));
    struct id id = id_new();
    char hex[33];
    struct err err;

    crypto_hex(id.b, 16, hex);
    (void)snprintf(s->prefix, sizeof(s->prefix), "s3-%s", hex);
    s->store = NULL;
    if (open_with(s, "", &s->store, &err)) {
        print_error("%s\n", err.detail);
        return -1;
    }
    *state = s;
    return 0;
}

static enum rc
delete_one(void *arg, const struct blob_key *key, int64_t size, int64_t mtime, struct err *err)
{
    (void)size;
    (void)mtime;
    return blob_delete(arg, key, err);
}

static int
tear_down(void **state)
{
    struct scene *s = *state;
    struct err err;
    size_t n;
    int failed = blob_each(s->store, delete_one, NULL, s->store, &err) ||
                 blob_sweep_temporary(s->store, clock_wall_ms() + HOUR_MS, &n, &err);

    blob_store_free(&s->store);
    test_free(s);
    return failed;
}

static struct blob_key
new_key(void)
{
    return (struct blob_key){.workspace = WORKSPACE, .id = id_new()};
}

static enum rc
put(struct blob_store *store, const struct blob_key *key, const void *bytes, size_t len)
{
    SCOPED(blob_writer) w = NULL;
    struct blob_info info;
    struct err err;
    enum rc rc = blob_write_open(store, key, &w, &err);

    if (!rc)
        rc = blob_write(w, bytes, len, &err);
    if (!rc)
        rc = blob_write_finish(w, &info, &err);
    if (rc && rc != RC_CONFLICT)
        print_error("%s\n", err.detail);
    return rc;
}

static uint8_t *
pattern(TALLOC_CTX *pool, size_t size)
{
    uint8_t *bytes = mem_zalloc(pool, size);
    uint32_t x = 4711;

    for (size_t i = 0; i < size; i++) {
        x = x * 1664525U + 1013904223U;
        bytes[i] = (uint8_t)(x >> 24);
    }
    return bytes;
}

static void
check_bytes(struct blob_store *store, const struct blob_key *key, const void *bytes, size_t len)
{
    SCOPED(blob_reader) r = NULL;
    struct err err;
    char *got = malloc(len + 1);
    size_t n = 0;

    assert_int_equal(blob_read_open(store, key, &r, &err), RC_OK);
    assert_int_equal(blob_reader_size(r), len);
    assert_int_equal(blob_read(r, 0, got, len + 1, &n, &err), RC_OK);
    assert_int_equal(n, len);
    assert_int_equal(memcmp(got, bytes, len), 0);
    free(got);
}

/* --- a client --- */

struct client {
    const char *body; /* NULL: nothing is sent */
    size_t len, sent;
    char got[512];
    size_t got_len;
    char headers[2048];
};

static size_t
client_send(char *into, size_t size, size_t count, void *arg)
{
    struct client *c = arg;
    size_t n = size * count < c->len - c->sent ? size * count : c->len - c->sent;

    memcpy(into, c->body + c->sent, n);
    c->sent += n;
    return n;
}

static size_t
client_take(char *bytes, size_t size, size_t count, void *arg)
{
    struct client *c = arg;
    size_t n = size * count, room = sizeof(c->got) - 1 - c->got_len;

    memcpy(c->got + c->got_len, bytes, n < room ? n : room);
    c->got_len += n < room ? n : room;
    return n;
}

static size_t
client_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct client *c = arg;
    size_t used = strlen(c->headers);

    (void)snprintf(c->headers + used, sizeof(c->headers) - used, "%.*s", (int)(size * count),
                   bytes);
    return size * count;
}

/* Does as a client does with a signed request; `other` replaces the header of that name. */
static long
request(const struct blob_presigned *p, const char *url, const char *other, struct client *c)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    CURL *curl = curl_easy_init();
    char line[512];
    long status = 0;

    for (size_t i = 0; i < p->n_headers; i++) {
        size_t len = strlen(p->headers[i].name);

        (void)snprintf(line, sizeof(line), "%s: %s", p->headers[i].name, p->headers[i].value);
        if (other && strncmp(other, line, len + 1) == 0)
            headers = curl_slist_append(headers, other);
        else if (!streq(p->headers[i].name, "content-length"))
            headers = curl_slist_append(headers, line);
    }
    assert_int_equal(curl_easy_setopt(curl, CURLOPT_URL, url), CURLE_OK);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, client_take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, client_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, c);
    if (c->body) {
        (void)curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->len);
        (void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, client_send);
        (void)curl_easy_setopt(curl, CURLOPT_READDATA, c);
    }
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

static long
send_text(const struct blob_presigned *p, const char *text, const char *other)
{
    struct client c = {.body = text, .len = strlen(text)};

    return request(p, p->url, other, &c);
}

/* --- getting --- */

static void
a_client_gets_a_blob(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    struct blob_key key = new_key();
    struct blob_offer offer = {.ttl_s = 60,
                               .media_type = "text/plain; charset=utf-8",
                               .disposition = "attachment; filename=\"a b&c.txt\""};
    struct blob_presigned p;
    struct client c = {0};
    struct err err;
    char *url;

    assert_int_equal(put(s->store, &key, "hello", 5), RC_OK);
    assert_int_equal(blob_presign_get(s->store, pool, &key, &offer, &p, &err), RC_OK);
    assert_string_equal(p.method, "GET");
    assert_int_equal(p.n_headers, 0);
    assert_int_equal(request(&p, p.url, NULL, &c), 200);
    assert_string_equal(c.got, "hello");
    assert_non_null(strstr(c.headers, "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(c.headers, "attachment; filename=\"a b&c.txt\"\r\n"));
    /* whatever is changed in it makes it worthless */
    url = mem_strdup(pool, p.url);
    *strstr(url, "text") = 'T';
    c = (struct client){0};
    assert_int_equal(request(&p, url, NULL, &c), 403);
    c = (struct client){.body = "evil", .len = 4};
    assert_int_equal(request(&p, p.url, NULL, &c), 403);
    /* an hour ago it was good for a minute */
    atomic_store(&((struct s3_store *)s->store)->client.skew_ms, -HOUR_MS);
    assert_int_equal(blob_presign_get(s->store, pool, &key, &offer, &p, &err), RC_OK);
    c = (struct client){0};
    assert_int_equal(request(&p, p.url, NULL, &c), 403);
    atomic_store(&((struct s3_store *)s->store)->client.skew_ms, 0);
}

static void
urls_name_the_public_address(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    SCOPED(blob_store) store = NULL;
    struct blob_key key = new_key();
    struct blob_offer offer = {.ttl_s = 60};
    struct blob_presigned p;
    struct err err;

    assert_int_equal(open_with(s, "&public_endpoint=https://files.example", &store, &err), RC_OK);
    assert_int_equal(blob_presign_get(store, pool, &key, &offer, &p, &err), RC_OK);
    assert_int_equal(strncmp(p.url, "https://", 8), 0);
    assert_non_null(strstr(p.url, "files.example/")); /* the bucket may stand before it */
}

/* --- putting --- */

static void
a_client_puts_what_was_agreed(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    struct blob_key upload = new_key();
    uint8_t sha256[SHA256_LEN];
    struct blob_demand demand = {
        .ttl_s = 60, .size = 5, .media_type = "text/plain", .sha256 = sha256};
    struct blob_incoming incoming;
    struct blob_presigned p;
    struct err err;

    crypto_sha256("hello", 5, sha256);
    assert_int_equal(blob_incoming_stat(s->store, &upload, &incoming, &err), RC_NOT_FOUND);
    assert_int_equal(blob_presign_put(s->store, pool, &upload, &demand, &p, &err), RC_OK);
    assert_string_equal(p.method, "PUT");
    assert_int_equal(send_text(&p, "hello you", NULL), 403);
    assert_int_equal(send_text(&p, "hello", "content-type: text/html"), 403);
    assert_int_equal(send_text(&p, "hallo", NULL), 400);
    assert_int_equal(send_text(&p, "hallo", "x-amz-content-sha256: UNSIGNED-PAYLOAD"), 403);
    assert_int_equal(blob_incoming_stat(s->store, &upload, &incoming, &err), RC_NOT_FOUND);
    assert_int_equal(send_text(&p, "hello", NULL), 200);
    assert_int_equal(blob_incoming_stat(s->store, &upload, &incoming, &err), RC_OK);
    assert_int_equal(incoming.size, 5);
    assert_int_equal(blob_incoming_remove(s->store, &upload, &err), RC_OK);
    assert_int_equal(blob_incoming_stat(s->store, &upload, &incoming, &err), RC_NOT_FOUND);
    assert_int_equal(blob_incoming_remove(s->store, &upload, &err), RC_OK);
}

static enum rc
count_blob(void *arg, const struct blob_key *key, int64_t size, int64_t mtime, struct err *err)
{
    (void)key;
    (void)size;
    (void)mtime;
    (void)err;
    ++*(size_t *)arg;
    return RC_OK;
}

static void
what_is_adopted_stays_as_it_is(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    struct blob_key upload = new_key(), key = new_key(), other = new_key();
    struct blob_demand demand = {.ttl_s = 60, .size = -1};
    struct blob_incoming first, second;
    struct blob_presigned p;
    struct err err;
    size_t n = 0;

    assert_int_equal(blob_presign_put(s->store, pool, &upload, &demand, &p, &err), RC_OK);
    assert_int_equal(send_text(&p, "agreed", NULL), 200);
    assert_int_equal(blob_incoming_stat(s->store, &upload, &first, &err), RC_OK);
    assert_int_equal(blob_each(s->store, count_blob, NULL, &n, &err), RC_OK);
    assert_int_equal(n, 0);
    assert_int_equal(blob_incoming_adopt(s->store, &upload, &first, &key, &err), RC_OK);
    check_bytes(s->store, &key, "agreed", 6);
    /* the URL is still good */
    assert_int_equal(send_text(&p, "forged", NULL), 200);
    check_bytes(s->store, &key, "agreed", 6);
    assert_int_equal(blob_incoming_adopt(s->store, &upload, &first, &other, &err), RC_NOT_FOUND);
    assert_int_equal(blob_incoming_stat(s->store, &upload, &second, &err), RC_OK);
    assert_string_not_equal(first.etag, second.etag);
    assert_int_equal(blob_incoming_adopt(s->store, &upload, &second, &key, &err), RC_CONFLICT);
    check_bytes(s->store, &key, "agreed", 6);
    assert_int_equal(blob_incoming_remove(s->store, &upload, &err), RC_OK);
    assert_int_equal(blob_incoming_adopt(s->store, &upload, &second, &other, &err), RC_NOT_FOUND);
    check_bytes(s->store, &key, "agreed", 6);
}

static void
large_uploads_are_adopted_in_parts(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    SCOPED(blob_store) store = NULL;
    struct blob_key upload = new_key(), key = new_key();
    struct blob_demand demand = {.ttl_s = 60, .size = -1};
    struct client c = {.len = (size_t)MIB(41) + 1};
    struct blob_incoming incoming;
    struct blob_presigned p;
    struct err err;

    c.body = (char *)pattern(pool, c.len);
    assert_int_equal(open_with(s, BIG_PART, &store, &err), RC_OK);
    assert_int_equal(blob_presign_put(store, pool, &upload, &demand, &p, &err), RC_OK);
    assert_int_equal(request(&p, p.url, NULL, &c), 200);
    assert_int_equal(blob_incoming_stat(store, &upload, &incoming, &err), RC_OK);
    assert_int_equal(blob_incoming_adopt(store, &upload, &incoming, &key, &err), RC_OK);
    check_bytes(store, &key, c.body, c.len);
    assert_int_equal(blob_incoming_adopt(store, &upload, &incoming, &key, &err), RC_CONFLICT);
    (void)snprintf(incoming.etag, sizeof(incoming.etag), "\"%032d\"", 0);
    key = new_key();
    assert_int_equal(blob_incoming_adopt(store, &upload, &incoming, &key, &err), RC_NOT_FOUND);
}

/* --- writing --- */

static void
large_blobs_go_in_parts(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    SCOPED(blob_store) store = NULL;
    const size_t size = (size_t)MIB(33) + 5; /* more than there is memory for */
    uint8_t *bytes = pattern(pool, size);
    struct blob_key key = new_key();
    struct s3_store *st;
    struct err err;
    size_t n = 99;

    assert_int_equal(open_with(s, BIG_PART, &store, &err), RC_OK);
    st = (struct s3_store *)store;
    assert_int_equal(put(store, &key, bytes, size), RC_OK);
    check_bytes(store, &key, bytes, size);
    /* one that exists is not replaced */
    assert_int_equal(put(store, &key, bytes + 1, size - 1), RC_CONFLICT);
    check_bytes(store, &key, bytes, size);
    blob_store_free(&store); /* waits for what the writer left to be done */
    assert_int_equal(open_with(s, BIG_PART, &store, &err), RC_OK);
    st = (struct s3_store *)store;
    assert_int_equal(atomic_load(&st->write_room), MIB(12));
    assert_int_equal(blob_sweep_temporary(store, clock_wall_ms() + HOUR_MS, &n, &err), RC_OK);
    assert_int_equal(n, 0);
}

static void
a_part_exactly_is_a_whole(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    SCOPED(blob_store) store = NULL;
    uint8_t *bytes = pattern(pool, (size_t)MIB(10));
    struct blob_key one = new_key(), two = new_key();
    struct err err;

    assert_int_equal(open_with(s, BIG_PART, &store, &err), RC_OK);
    assert_int_equal(put(store, &one, bytes, (size_t)MIB(5)), RC_OK);
    assert_int_equal(put(store, &two, bytes, (size_t)MIB(10)), RC_OK);
    check_bytes(store, &one, bytes, (size_t)MIB(5));
    check_bytes(store, &two, bytes, (size_t)MIB(10));
}

static void
memory_is_given_back(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    SCOPED(blob_store) store = NULL;
    uint8_t *bytes = pattern(pool, (size_t)MIB(7));
    struct blob_writer *writers[4] = {NULL};
    struct s3_store *st;
    struct err err;

    assert_int_equal(open_with(s, BIG_PART, &store, &err), RC_OK);
    st = (struct s3_store *)store;
    for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
        struct blob_key key = new_key();

        assert_int_equal(blob_write_open(store, &key, &writers[i], &err), RC_OK);
        for (int j = 0; j < 4; j++)
            assert_int_equal(blob_write(writers[i], bytes + MIB(j), (size_t)MIB(1), &err), RC_OK);
    }
    assert_int_equal(atomic_load(&st->write_room), 0); /* the last of them is in a file */
    for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
        struct blob_info info;

        assert_int_equal(blob_write(writers[i], bytes + MIB(4), (size_t)MIB(3), &err), RC_OK);
        if (i % 2 == 1) {
            assert_int_equal(blob_write_finish(writers[i], &info, &err), RC_OK);
            check_bytes(store, &writers[i]->key, bytes, (size_t)MIB(7));
        }
        blob_writer_free(&writers[i]);
    }
    workers_stop(st->workers);
    assert_int_equal(atomic_load(&st->write_room), MIB(12));
}

static void
readers_share_memory(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    struct s3_store *st = (struct s3_store *)s->store;
    const size_t size = (size_t)MIB(2);
    uint8_t *bytes = pattern(pool, size);
    int64_t room = atomic_load(&st->read_room);
    struct blob_key key = new_key();
    SCOPED(blob_reader) r = NULL;
    struct err err;
    size_t n;

    assert_int_equal(put(s->store, &key, bytes, size), RC_OK);
    check_bytes(s->store, &key, bytes, size);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_OK);
    assert_int_equal(atomic_load(&st->read_room), room - KIB(256));
    blob_reader_free(&r);
    /* where others have taken all of it, reading is slow and right */
    atomic_store(&st->read_room, 0);
    check_bytes(s->store, &key, bytes, size);
    assert_int_equal(blob_read_open(s->store, &key, &r, &err), RC_OK);
    assert_int_equal(blob_read(r, MIB(1), bytes, 10, &n, &err), RC_OK);
    blob_reader_free(&r);
    workers_stop(st->workers);
    assert_int_equal(atomic_load(&st->read_room), 0);
}

/* As a bit that is flipped on the way would have it: the store compares, and keeps nothing. */
static void
bytes_that_are_not_those_signed_are_refused(void **state)
{
    struct scene *s = *state;
    struct s3_store *st = (struct s3_store *)s->store;
    struct http_body body = {.bytes = "flipped", .len = 7};
    char name[NAME_PATH_LEN + 1], sha256[SHA256_HEX_LEN];
    struct blob_key key = new_key();
    struct s3_target target;
    uint8_t hash[SHA256_LEN];
    struct err err;
    int64_t size;

    name_path(&key, name);
    crypto_sha256("flippee", 7, hash);
    crypto_hex(hash, sizeof(hash), sha256);
    s3_target_init(&target, st, name);
    assert_int_equal(s3_put(&target, &body, sha256, s3_deadline(&st->client), &err),
                     RC_UNAVAILABLE);
    assert_non_null(strstr(err.detail, "XAmzContentSHA256Mismatch"));
    assert_int_equal(blob_stat(s->store, &key, &size, &err), RC_NOT_FOUND);
}

/* --- sweeping --- */

static void
what_nobody_finished_is_swept(void **state)
{
    struct scene *s = *state;
    SCOPED_POOL(pool);
    struct blob_key upload = new_key(), key = new_key();
    struct blob_demand demand = {.ttl_s = 60, .size = -1};
    char name[NAME_PATH_LEN + 1];
    struct blob_incoming incoming;
    struct s3_target target;
    struct blob_presigned p;
    const char *id;
    struct err err;
    size_t n = 99;

    assert_int_equal(blob_presign_put(s->store, pool, &upload, &demand, &p, &err), RC_OK);
    assert_int_equal(send_text(&p, "left", NULL), 200);
    name_path(&key, name);
    s3_target_init(&target, (struct s3_store *)s->store, name);
    assert_int_equal(s3_upload_begin(&target, pool, &id, &err), RC_OK);
    assert_int_equal(put(s->store, &key, "kept", 4), RC_OK);
    assert_int_equal(blob_sweep_temporary(s->store, clock_wall_ms() - HOUR_MS, &n, &err), RC_OK);
    assert_int_equal(n, 0);
    assert_int_equal(blob_incoming_stat(s->store, &upload, &incoming, &err), RC_OK);
    assert_int_equal(blob_sweep_temporary(s->store, clock_wall_ms() + HOUR_MS, &n, &err), RC_OK);
    assert_int_equal(n, 2);
    assert_int_equal(blob_incoming_stat(s->store, &upload, &incoming, &err), RC_NOT_FOUND);
    assert_int_equal(blob_sweep_temporary(s->store, clock_wall_ms() + HOUR_MS, &n, &err), RC_OK);
    assert_int_equal(n, 0);
    check_bytes(s->store, &key, "kept", 4);
}

static void
take_stranger(void *arg, const char *path)
{
    char *seen = arg;

    assert_int_equal(strlen(seen), 0);
    (void)snprintf(seen, 64, "%s", path);
}

static enum rc
visit_none(void *arg, const struct blob_key *key, int64_t size, int64_t mtime, struct err *err)
{
    (void)key;
    (void)size;
    (void)mtime;
    assert_null(arg);
    return err_set(err, RC_BUSY, "no blob was expected");
}

static void
other_objects_are_strangers(void **state)
{
    struct scene *s = *state;
    struct s3_store *st = (struct s3_store *)s->store;
    struct http_body body = {.bytes = "x", .len = 1};
    const uint8_t identity[BLOB_IDENTITY_LEN] = {1};
    struct s3_target target;
    char seen[64] = "";
    struct err err;

    assert_int_equal(blob_store_identify(s->store, identity, &err), RC_OK);
    s3_target_init(&target, st, "objects/ab/other & more");
    assert_int_equal(s3_put(&target, &body, NULL, s3_deadline(&st->client), &err), RC_OK);
    assert_int_equal(blob_each(s->store, visit_none, take_stranger, seen, &err), RC_OK);
    assert_string_equal(seen, "objects/ab/other & more");
    assert_int_equal(s3_erase(st, "objects/ab/other & more", &err), RC_OK);
    assert_int_equal(s3_erase(st, IDENTITY_KEY, &err), RC_OK);
}

/* --- opening --- */

static void
says_what_is_wrong(void **state)
{
    struct scene *s = *state;
    SCOPED(blob_store) store = NULL;
    char *access = strdup(getenv("AWS_ACCESS_KEY_ID"));
    const char *before = bucket_url;
    struct err err;

    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "nobody", 1), 0);
    assert_int_equal(open_with(s, "", &store, &err), RC_INVALID);
    assert_non_null(strstr(err.detail, "InvalidAccessKeyId"));
    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", access, 1), 0);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "guess", 0), 0);
    free(access);
    bucket_url = "s3://nowhere?endpoint=http://127.0.0.1:1&timeout_ms=500";
    assert_int_equal(open_with(s, "", &store, &err), RC_UNAVAILABLE);
    bucket_url = "s3://nowhere?endpoint=http://no-such-host.invalid&timeout_ms=2000";
    assert_int_equal(open_with(s, "", &store, &err), RC_UNAVAILABLE);
    bucket_url = before;
}

static void
a_wrong_clock_is_noticed(void **state)
{
    struct scene *s = *state;
    struct s3_store *st = (struct s3_store *)s->store;
    struct blob_key key = new_key();

    atomic_store(&st->client.skew_ms, 5 * (int64_t)HOUR_MS);
    assert_int_equal(put(s->store, &key, "now", 3), RC_OK);
    assert_int_equal(atomic_load(&st->client.skew_ms), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_client_gets_a_blob, set_up, tear_down),
        cmocka_unit_test_setup_teardown(urls_name_the_public_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_puts_what_was_agreed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_adopted_stays_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_uploads_are_adopted_in_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_blobs_go_in_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_part_exactly_is_a_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_share_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_that_are_not_those_signed_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_finished_is_swept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_objects_are_strangers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_clock_is_noticed, set_up, tear_down),
    };

    bucket_url = getenv("DOSSIER_TEST_S3");
    if (!bucket_url) {
        print_message("left out: needs a bucket, in DOSSIER_TEST_S3\n");
        return 77; /* what meson takes for "skipped" */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
