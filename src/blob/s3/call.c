// SPDX-License-Identifier: Apache-2.0
#include "blob/s3/call.h"

#include <curl/curl.h>
#include <errno.h>

#include "base/clock.h"
#include "base/rand.h"

#define BACKOFF_MS 100
#define BACKOFF_SLOW_MS 500 /* when the store asks for less */
#define BACKOFF_MAX_MS 3000
#define PROBE_STALL_MS 2000 /* of the one request that looks whether the store is back */
#define LEAST_MS 50         /* a try with less time left is not worth making */
#define SKEW_MIN_MS 60000

/* What to do about a try. */
enum verdict { DONE, AGAIN, SLOWER, GIVE_UP };

int64_t
s3_deadline(const struct s3_client *client)
{
    return clock_mono_ms() + client->conf.timeout_ms;
}

void
s3_call_query(struct s3_call *c, const char *name, const char *value)
{
    BUG_ON(c->n_query == CALL_PAIRS_MAX);
    c->query[c->n_query++] = (struct sigv4_pair){name, value};
}

void
s3_call_header(struct s3_call *c, const char *name, const char *value)
{
    BUG_ON(c->n_headers == CALL_PAIRS_MAX);
    c->headers[c->n_headers++] = (struct sigv4_pair){name, value};
}

char *
s3_path(TALLOC_CTX *pool, const struct s3_conf *conf, const char *key)
{
    const char *bucket = conf->virtual_host ? "" : conf->bucket;
    const char *slash = *bucket && key ? "/" : "";

    if (!key)
        return mem_printf(pool, "/%s", bucket);
    return mem_printf(pool, "/%s%s%s%s", bucket, slash, conf->prefix, key);
}

/* --- one try --- */

static void
hash_body(struct s3_call *c)
{
    uint8_t hash[SHA256_LEN];

    if (c->body_sha256)
        return;
    BUG_ON(!c->body.bytes && c->body.len > 0);
    crypto_sha256(c->body.bytes ? c->body.bytes : "", (size_t)c->body.len, hash);
    crypto_hex(hash, sizeof(hash), c->hash);
    c->body_sha256 = c->hash;
}

static void
sign(TALLOC_CTX *pool, const struct s3_call *c, const struct sigv4_keys *keys,
     struct http_request *rq)
{
    const struct s3_conf *conf = &c->client->conf;
    struct sigv4_pair all[CALL_PAIRS_MAX + 4];
    char time[SIGV4_TIME_LEN];
    struct sigv4_request to_sign = {.method = c->method,
                                    .path = s3_path(pool, conf, c->key),
                                    .query = c->query,
                                    .n_query = c->n_query,
                                    .headers = all,
                                    .payload = c->body_sha256,
                                    .now_ms = clock_wall_ms() + atomic_load(&c->client->skew_ms),
                                    .region = conf->region,
                                    .service = "s3"};
    size_t n = c->n_headers;

    sigv4_time(to_sign.now_ms, time);
    memcpy(all, c->headers, n * sizeof(*all));
    all[n++] = (struct sigv4_pair){"x-amz-content-sha256", c->body_sha256};
    all[n++] = (struct sigv4_pair){"x-amz-date", time};
    if (keys->token && *keys->token)
        all[n++] = (struct sigv4_pair){"x-amz-security-token", keys->token};
    for (size_t i = 0; i < n; i++)
        rq->headers[rq->n_headers++] = mem_printf(pool, "%s: %s", all[i].name, all[i].value);
    all[n++] = (struct sigv4_pair){"host", conf->endpoint.host}; /* the library sends that one */
    to_sign.n_headers = n;
    rq->headers[rq->n_headers++] =
        mem_printf(pool, "Authorization: %s", sigv4_authorization(pool, &to_sign, keys));
    rq->url = mem_printf(pool, "%s://%s%s%s%s", conf->endpoint.tls ? "https" : "http",
                         conf->endpoint.host, sigv4_encode(pool, to_sign.path, true),
                         c->n_query ? "?" : "", sigv4_query(pool, c->query, c->n_query));
}

static void
set_limits(const struct s3_call *c, bool probe, struct http_limits *ret)
{
    const struct s3_conf *conf = &c->client->conf;
    int64_t left = c->deadline_ms - clock_mono_ms();

    ret->total_ms = left;
    ret->connect_ms = conf->connect_timeout_ms < left ? conf->connect_timeout_ms : left;
    ret->stall_ms = conf->stall_timeout_ms;
    if (probe && ret->stall_ms > PROBE_STALL_MS)
        ret->stall_ms = PROBE_STALL_MS;
}

/* Sends the request once. *ret_keys: what it was signed with. */
static enum rc
send_once(TALLOC_CTX *pool, struct s3_call *c, bool probe, struct sigv4_keys *ret_keys,
          enum http_outcome *ret, char why[128], struct err *err)
{
    struct http_request rq = {
        .method = c->method, .body = c->body, .into = c->into, .room = c->room};
    enum rc rc = credentials_get(c->client->credentials, pool, ret_keys, err);

    if (rc)
        return rc;
    sign(pool, c, ret_keys, &rq);
    set_limits(c, probe, &rq.limits);
    *ret = http_exchange(c->client->http, &rq, &c->client->stopping, &c->answer, why);
    return RC_OK;
}

/* --- what an answer means --- */

static bool
is_code(const struct s3_call *c, const char *code)
{
    return streq(c->error.code, code);
}

/* A clock of ours that is far off would have every request refused: go by the store's. */
static void
learn_skew(const struct s3_call *c)
{
    time_t theirs = curl_getdate(c->answer.date, NULL);
    int64_t skew = (int64_t)theirs * 1000 - clock_wall_ms();

    if (theirs >= 0)
        atomic_store(&c->client->skew_ms, skew > SKEW_MIN_MS || skew < -SKEW_MIN_MS ? skew : 0);
}

static enum verdict
judge_refusal(const struct s3_call *c, const struct sigv4_keys *keys, struct err *err)
{
    const struct http_answer *a = &c->answer;
    bool started = atomic_load(&c->client->started);

    if (is_code(c, "QuotaExceeded") || a->status == 507) {
        (void)err_set(err, RC_STORAGE_FULL, "the store is full: %s", c->error.code);
        return GIVE_UP;
    }
    if (is_code(c, "RequestTimeTooSkewed")) {
        learn_skew(c);
        return AGAIN;
    }
    if (a->status == 403)
        credentials_refused(c->client->credentials, keys->access);
    if (started || a->status >= 500)
        return a->status == 503 || a->status == 429 || is_code(c, "SlowDown") ? SLOWER : AGAIN;
    if (a->status == 301 || a->status == 307 || is_code(c, "AuthorizationHeaderMalformed"))
        (void)err_set(err, RC_INVALID, "the bucket %s is in another region: %s",
                      c->client->conf.bucket, *a->region ? a->region : c->error.message);
    else
        (void)err_set(err, RC_INVALID, "the store refuses %s: status %d %s %s",
                      c->client->conf.bucket, a->status, c->error.code, c->error.message);
    return GIVE_UP;
}

/* Takes If-None-Match out of the call, and out of later ones. False: it was not in there. */
static bool
drop_condition(struct s3_call *c)
{
    for (size_t i = 0; i < c->n_headers; i++) {
        if (!streq(c->headers[i].name, "if-none-match"))
            continue;
        c->headers[i] = c->headers[--c->n_headers];
        atomic_store(&c->client->plain, true);
        return true;
    }
    return false;
}

static enum verdict
judge(struct s3_call *c, const struct sigv4_keys *keys, unsigned *absent, struct err *err)
{
    const struct http_answer *a = &c->answer;

    c->error = (struct s3_error){0};
    if (a->status / 100 == 2)
        return !c->accept || c->accept(c, c->accept_arg) ? DONE : AGAIN;
    s3_xml_error(a->body, a->body_len, &c->error);
    if (a->status == 412 || a->status == 416)
        return DONE;
    /* something between us and the store can answer 404 as well */
    if (a->status == 404 && *a->request_id && !is_code(c, "NoSuchBucket") &&
        (streq(c->method, "HEAD") || *c->error.code))
        return !c->absent_is_loss || ++*absent == 2 ? DONE : AGAIN;
    if (a->status == 501 && drop_condition(c))
        return AGAIN;
    return judge_refusal(c, keys, err);
}

/* --- tries --- */

static void
pause_before(const struct s3_call *c, unsigned tries, enum verdict verdict)
{
    int64_t most = verdict == SLOWER ? BACKOFF_SLOW_MS : BACKOFF_MS;
    int64_t left = c->deadline_ms - clock_mono_ms();
    struct timespec ts;
    uint32_t luck;

    most <<= tries - 1;
    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    rand_bytes(&luck, sizeof(luck));
    most = most / 2 + luck % (most / 2 + 1);
    if (most > left)
        most = left;
    if (most <= 0)
        return;
    ts = (struct timespec){.tv_sec = most / 1000, .tv_nsec = most % 1000 * 1000000};
    while (nanosleep(&ts, &ts) && errno == EINTR)
        ;
}

static enum rc
say_failure(const struct s3_call *c, enum http_outcome outcome, const char *why, struct err *err)
{
    const char *key = c->key ? c->key : c->client->conf.bucket;

    if (outcome != HTTP_ANSWERED)
        return err_set(err, RC_UNAVAILABLE, "%s %s: %s", c->method, key, why);
    return err_set(err, RC_UNAVAILABLE, "%s %s: status %d %s %s", c->method, key, c->answer.status,
                   c->error.code, c->error.message);
}

/* Whether what came counts as the store being able to answer. */
static bool
is_healthy(const struct s3_call *c, enum http_outcome outcome)
{
    return outcome == HTTP_ANSWERED && c->answer.status < 500 && c->answer.status != 403 &&
           c->answer.status != 429;
}

/* One try, under the breaker. GIVE_UP with *err filled. */
static enum verdict
try_once(struct s3_call *c, unsigned *absent, struct err *err)
{
    SCOPED_POOL(pool);
    enum breaker_pass pass = breaker_enter(&c->client->breaker);
    enum http_outcome outcome = HTTP_UNSENT;
    struct sigv4_keys keys = {0};
    enum verdict verdict = AGAIN;
    char why[128] = "";

    if (pass == BREAKER_OPEN) {
        (void)err_set(err, RC_UNAVAILABLE, "the store has failed too often just now");
        return GIVE_UP;
    }
    if (send_once(pool, c, pass == BREAKER_PROBE, &keys, &outcome, why, err)) {
        breaker_leave(&c->client->breaker, pass, false);
        return GIVE_UP;
    }
    breaker_leave(&c->client->breaker, pass, is_healthy(c, outcome));
    if (outcome == HTTP_ANSWERED)
        verdict = judge(c, &keys, absent, err);
    if (verdict == AGAIN || verdict == SLOWER)
        (void)say_failure(c, outcome, why, err);
    return verdict;
}

enum rc
s3_call_run(struct s3_call *c, struct err *err)
{
    unsigned absent = 0;
    enum verdict verdict;

    hash_body(c);
    (void)err_set(err, RC_UNAVAILABLE, "%s: no time is left", c->method);
    for (unsigned tries = 1; c->deadline_ms - clock_mono_ms() > LEAST_MS; tries++) {
        verdict = try_once(c, &absent, err);
        if (verdict == DONE)
            return RC_OK;
        if (verdict == GIVE_UP || tries == CALL_TRIES)
            break;
        pause_before(c, tries, verdict);
    }
    return err->code;
}
