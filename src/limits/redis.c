// SPDX-License-Identifier: Apache-2.0
/*
 * redis: shared limits on a Redis or Valkey server, by two scripts, which it runs as one act each.
 *
 * A subject has two hashes: dossier:{ID}:d:DAY, and dossier:{ID}:m for the minute that runs since
 * the first draw of it. Both hold `used` and, for each node by its name there, what it has counted;
 * the first when it was made, too, the second when it began. The braces keep them on one server of
 * a cluster. A day's is kept for a day longer, for nodes that have yet to add to it.
 *
 * Connections: as many as threads draw at once, kept for the next draw. A thread that finds none
 * connects to the address that limits_connect() has found, without a look-up.
 */
#include <hiredis/hiredis.h>

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "limits/limits_driver.h"
#include "limits/redis_url.h"

#define SHA_LEN 40
#define NUMBER_LEN 24
#define KEY_LEN 64
#define ARGS_MAX 16

enum script { DRAW, ADD, SCRIPTS };

static const char *const scripts[SCRIPTS] = {
    [DRAW] =
        "local t = redis.call('TIME')\n"
        "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
        "local day = KEYS[1] .. ':d:' .. math.floor(t[1] / 86400)\n"
        "local minute = KEYS[1] .. ':m'\n"
        "local name, per_minute, per_day = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])\n"
        "local used, born = unpack(redis.call('HMGET', day, 'used', 'born'))\n"
        "if not used then return {3, now, 0, 0, 0, 0} end\n"
        "used, born = tonumber(used), tonumber(born)\n"
        "local start, drawn = 0, 0\n"
        "if per_minute > 0 then\n"
        "  start, drawn = unpack(redis.call('HMGET', minute, 'start', 'used'))\n"
        "  start, drawn = tonumber(start or 0), tonumber(drawn or 0)\n"
        "  if now < start or now >= start + 60000 then\n"
        "    redis.call('DEL', minute)\n"
        "    start, drawn = now, 0\n"
        "  end\n"
        "end\n"
        "if per_day > 0 and used >= per_day then return {1, now, used, born, start, drawn} end\n"
        "if per_minute > 0 then\n"
        "  if drawn >= per_minute then return {2, now, used, born, start, drawn} end\n"
        "  drawn = redis.call('HINCRBY', minute, 'used', 1)\n"
        "  redis.call('HINCRBY', minute, name, 1)\n"
        "  if drawn == 1 then\n"
        "    redis.call('HSET', minute, 'start', start)\n"
        "    redis.call('PEXPIRE', minute, 60000)\n"
        "  end\n"
        "end\n"
        "redis.call('HINCRBY', day, name, 1)\n"
        "return {0, now, redis.call('HINCRBY', day, 'used', 1), born, start, drawn}\n",

    [ADD] = "local t = redis.call('TIME')\n"
            "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
            "local day = KEYS[1] .. ':d:' .. ARGV[2]\n"
            "local minute = KEYS[1] .. ':m'\n"
            "local name, total, alone, since, unsaved, drawn, age = ARGV[1], tonumber(ARGV[4]),\n"
            "  tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]),\n"
            "  tonumber(ARGV[9])\n"
            "local function raise(key, count, when_new)\n"
            "  local known = tonumber(redis.call('HGET', key, name) or count - when_new)\n"
            "  if count > known then redis.call('HINCRBY', key, 'used', count - known) end\n"
            "  redis.call('HSET', key, name, math.max(count, known))\n"
            "end\n"
            "if ARGV[10] == '0' and not redis.call('HGET', day, 'used') then return {0} end\n"
            "local made = redis.call('HSETNX', day, 'used', ARGV[3]) == 1\n"
            "if made then\n"
            "  redis.call('HSET', day, 'born', now)\n"
            "  redis.call('EXPIREAT', day, (ARGV[2] + 2) * 86400)\n"
            "end\n"
            "local born = tonumber(redis.call('HGET', day, 'born'))\n"
            "raise(day, total, (not made and born < since) and alone or unsaved)\n"
            "if drawn > 0 and age < 60000 then\n"
            "  if redis.call('HSETNX', minute, 'start', now - age) == 1 then\n"
            "    redis.call('PEXPIRE', minute, 60000 - age)\n"
            "  end\n"
            "  raise(minute, drawn, drawn)\n"
            "end\n"
            "return {born}\n",
};

/* A connection. */
struct link {
    redisContext *context;
    unsigned generation;
    struct link *next;
};

struct redis {
    struct limits limits;
    struct redis_url url;
    pthread_mutex_t lock; /* guards what follows */
    struct link *idle;
    unsigned generation; /* of connections: those of an earlier one are closed when given back */
    char address[NI_MAXHOST]; /* of url.host, as numbers; "" before the first connection */
    char sha[SCRIPTS][SHA_LEN + 1];
    TALLOC_CTX *pool;
};

static struct redis *
redis_of(struct limits *l)
{
    return (struct redis *)l;
}

static void
link_free(struct link **link)
{
    if (!*link)
        return;
    if ((*link)->context)
        redisFree((*link)->context);
    (void)talloc_free(*link);
    *link = NULL;
}

static void
reply_free(redisReply **reply)
{
    if (*reply)
        freeReplyObject(*reply);
    *reply = NULL;
}
#define SCOPED_REPLY __attribute__((cleanup(reply_free))) redisReply

static struct timeval
milliseconds(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static enum rc
unavailable(const struct redis *r, const char *why, struct err *err)
{
    return err_set(err, RC_UNAVAILABLE, "Redis at %s: %s", r->url.shown, why);
}

static bool
begins_with(const redisReply *reply, const char *text)
{
    return reply->len >= strlen(text) && memcmp(reply->str, text, strlen(text)) == 0;
}

/* What the server answers to everybody for a while, and what it has against us in particular. */
static enum rc
refused(const struct redis *r, const redisReply *reply, struct err *err)
{
    static const char *const ours[] = {"NOAUTH", "WRONGPASS", "NOPERM", "ERR"};
    bool full = begins_with(reply, "ERR max number of clients");

    for (size_t i = 0; i < ARRAY_LEN(ours) && !full; i++) {
        if (begins_with(reply, ours[i]))
            return err_set(err, RC_INVALID, "--limits: Redis at %s refuses this: %s", r->url.shown,
                           reply->str);
    }
    return unavailable(r, reply->str, err);
}

/* Sends a command and waits for its answer; one that is an error is passed on as it is. */
static enum rc
ask(const struct redis *r, const struct link *link, size_t n, const char **words, redisReply **ret,
    struct err *err)
{
    *ret = redisCommandArgv(link->context, (int)n, words, NULL);
    return *ret ? RC_OK : unavailable(r, link->context->errstr, err);
}

/* The same where only an answer that is no error will do. */
static enum rc
demand(const struct redis *r, const struct link *link, size_t n, const char **words,
       redisReply **ret, struct err *err)
{
    enum rc rc = ask(r, link, n, words, ret, err);

    if (rc || (*ret)->type != REDIS_REPLY_ERROR)
        return rc;
    return refused(r, *ret, err);
}

static enum rc
introduce(const struct redis *r, const struct link *link, struct err *err)
{
    const char *user = r->url.user;
    const char *with_user[] = {"AUTH", user, r->url.password},
               *without[] = {"AUTH", r->url.password};
    char number[NUMBER_LEN];
    const char *database[] = {"SELECT", number};
    enum rc rc = RC_OK;

    if (r->url.password) {
        SCOPED_REPLY *reply = NULL;

        rc = demand(r, link, user ? 3 : 2, user ? with_user : without, &reply, err);
    }
    if (!rc && r->url.database > 0) {
        SCOPED_REPLY *reply = NULL;

        (void)snprintf(number, sizeof(number), "%lld", (long long)r->url.database);
        rc = demand(r, link, 2, database, &reply, err);
    }
    return rc;
}

/* `address` as numbers; not used for a Unix socket. */
static enum rc
open_link(const struct redis *r, const char *address, unsigned generation, struct link **ret,
          struct err *err)
{
    SCOPED(link) link = MEM_NEW(NULL, struct link);
    struct timeval limit = milliseconds(LIMITS_CONNECT_MS),
                   answer = milliseconds(r->url.timeout_ms);
    enum rc rc;

    link->generation = generation;
    link->context = r->url.path ? redisConnectUnixWithTimeout(r->url.path, limit)
                                : redisConnectWithTimeout(address, r->url.port, limit);
    BUG_ON(!link->context);
    if (link->context->err)
        return unavailable(r, link->context->errstr, err);
    if (!r->url.path)
        (void)redisEnableKeepAlive(link->context);
    if (redisSetTimeout(link->context, answer) != REDIS_OK)
        return unavailable(r, link->context->errstr, err);
    rc = introduce(r, link, err);
    if (rc)
        return rc;
    *ret = link;
    link = NULL;
    return RC_OK;
}

/* Tries each address of the host's name; `address` gets the one that worked. */
static enum rc
open_anew(const struct redis *r, unsigned generation, char address[NI_MAXHOST], struct link **ret,
          struct err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    enum rc rc;
    int code;

    address[0] = '\0';
    if (r->url.path)
        return open_link(r, address, generation, ret, err);
    code = getaddrinfo(r->url.host, NULL, &hints, &list);
    if (code != 0)
        return unavailable(r, gai_strerror(code), err);
    rc = unavailable(r, "it has no address", err);
    for (const struct addrinfo *a = list; a && rc == RC_UNAVAILABLE; a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, address, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) ==
            0)
            rc = open_link(r, address, generation, ret, err);
    }
    freeaddrinfo(list);
    return rc;
}

static enum rc
load(const struct redis *r, const struct link *link, const char *script, char sha[SHA_LEN + 1],
     struct err *err)
{
    const char *words[] = {"SCRIPT", "LOAD", script};
    SCOPED_REPLY *reply = NULL;
    enum rc rc = demand(r, link, ARRAY_LEN(words), words, &reply, err);

    if (rc)
        return rc;
    if (reply->type != REDIS_REPLY_STRING || reply->len != SHA_LEN)
        return unavailable(r, "it did not take a script", err);
    memcpy(sha, reply->str, SHA_LEN + 1);
    return RC_OK;
}

static void
close_idle(struct redis *r)
{
    while (r->idle) {
        struct link *link = r->idle;

        r->idle = link->next;
        link_free(&link);
    }
}

static enum rc
redis_connect(struct limits *l, struct err *err)
{
    SCOPED(link) link = NULL;
    struct redis *r = redis_of(l);
    char sha[SCRIPTS][SHA_LEN + 1], address[NI_MAXHOST];
    unsigned generation;
    enum rc rc;

    pthread_mutex_lock(&r->lock);
    generation = ++r->generation;
    close_idle(r);
    pthread_mutex_unlock(&r->lock);
    rc = open_anew(r, generation, address, &link, err);
    for (int i = 0; i < SCRIPTS && !rc; i++)
        rc = load(r, link, scripts[i], sha[i], err);
    if (rc)
        return rc;
    pthread_mutex_lock(&r->lock);
    memcpy(r->sha, sha, sizeof(sha));
    memcpy(r->address, address, sizeof(address));
    link->next = r->idle;
    r->idle = link;
    link = NULL;
    pthread_mutex_unlock(&r->lock);
    return RC_OK;
}

/* The server has closed it meanwhile, as after a restart. */
static bool
stale(const struct link *link)
{
    char byte;

    return recv(link->context->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != -1 || errno != EAGAIN;
}

static enum rc
take_link(struct redis *r, struct link **ret, struct err *err)
{
    char address[NI_MAXHOST];
    unsigned generation;

    for (;;) {
        struct link *link;

        pthread_mutex_lock(&r->lock);
        link = r->idle;
        r->idle = link ? link->next : NULL;
        generation = r->generation;
        memcpy(address, r->address, sizeof(address));
        pthread_mutex_unlock(&r->lock);
        if (!link)
            break;
        if (!stale(link)) {
            *ret = link;
            return RC_OK;
        }
        link_free(&link);
    }
    if (!r->url.path && !*address)
        return unavailable(r, "no connection yet", err);
    return open_link(r, address, generation, ret, err);
}

static void
give_link(struct redis *r, struct link *link)
{
    bool keep;

    pthread_mutex_lock(&r->lock);
    keep = link->generation == r->generation;
    if (keep) {
        link->next = r->idle;
        r->idle = link;
    }
    pthread_mutex_unlock(&r->lock);
    if (!keep)
        link_free(&link);
}

/* A script that the server has forgotten is sent to it again. */
static enum rc
run_script(const struct redis *r, const struct link *link, enum script which, size_t n,
           const char **words, redisReply **ret, struct err *err)
{
    enum rc rc = ask(r, link, n, words, ret, err);

    if (rc || (*ret)->type != REDIS_REPLY_ERROR || !begins_with(*ret, "NOSCRIPT"))
        return rc;
    reply_free(ret);
    words[0] = "EVAL";
    words[1] = scripts[which];
    return ask(r, link, n, words, ret, err);
}

static enum rc
read_numbers(const struct redis *r, const redisReply *reply, int64_t *ret, size_t n,
             struct err *err)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return unavailable(r, reply->str, err);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return unavailable(r, "its answer is not what the script gives", err);
    for (size_t i = 0; i < n; i++)
        ret[i] = reply->element[i]->integer;
    return RC_OK;
}

/* Runs a script for the subject with these numbers; it answers `n_ret` of them. */
static enum rc
call(struct redis *r, enum script which, const struct id *subject, uint64_t name,
     const int64_t *numbers, size_t n, int64_t *ret, size_t n_ret, struct err *err)
{
    char sha[SHA_LEN + 1], key[KEY_LEN] = "dossier:{", own[NUMBER_LEN];
    char texts[ARGS_MAX][NUMBER_LEN];
    const char *words[ARGS_MAX] = {"EVALSHA", sha, "1", key, own};
    size_t n_words = 5, at = strlen(key);
    SCOPED(link) link = NULL;
    SCOPED_REPLY *reply = NULL;
    enum rc rc = take_link(r, &link, err);

    if (rc)
        return rc;
    pthread_mutex_lock(&r->lock);
    memcpy(sha, r->sha[which], sizeof(sha));
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < sizeof(subject->b); i++, at += 2)
        (void)snprintf(key + at, sizeof(key) - at, "%02x", subject->b[i]);
    (void)snprintf(key + at, sizeof(key) - at, "}");
    (void)snprintf(own, sizeof(own), "%016llx", (unsigned long long)name);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%lld", (long long)numbers[i]);
        words[n_words++] = texts[i];
    }
    rc = run_script(r, link, which, n_words, words, &reply, err);
    if (!rc)
        rc = read_numbers(r, reply, ret, n_ret, err);
    if (rc)
        return rc;
    give_link(r, link);
    link = NULL;
    return RC_OK;
}

static enum rc
redis_draw(struct limits *l, const struct limits_draw *draw, struct limits_state *ret,
           struct err *err)
{
    const int64_t numbers[] = {draw->per_minute, draw->per_day};
    int64_t answer[6];
    enum rc rc = call(redis_of(l), DRAW, &draw->subject, draw->name, numbers, ARRAY_LEN(numbers),
                      answer, ARRAY_LEN(answer), err);

    if (rc)
        return rc;
    *ret = (struct limits_state){.outcome = (enum limits_outcome)answer[0],
                                 .now_ms = answer[1],
                                 .day_used = answer[2],
                                 .born_ms = answer[3],
                                 .minute_start_ms = answer[4],
                                 .minute_used = answer[5]};
    return RC_OK;
}

static enum rc
redis_add(struct limits *l, const struct limits_count *c, int64_t *ret_born_ms, struct err *err)
{
    const int64_t numbers[] = {c->day,     c->seed,   c->total,         c->alone, c->alone_since_ms,
                               c->unsaved, c->minute, c->minute_age_ms, c->make};

    return call(redis_of(l), ADD, &c->subject, c->name, numbers, ARRAY_LEN(numbers), ret_born_ms, 1,
                err);
}

static enum rc
redis_check(struct limits *l, struct err *err)
{
    struct redis *r = redis_of(l);
    const char *words[] = {"PING"};
    SCOPED(link) link = NULL;
    SCOPED_REPLY *reply = NULL;
    enum rc rc = take_link(r, &link, err);

    if (!rc)
        rc = demand(r, link, ARRAY_LEN(words), words, &reply, err);
    if (rc)
        return rc;
    give_link(r, link);
    link = NULL;
    return RC_OK;
}

static void
redis_free(struct limits *l)
{
    struct redis *r = redis_of(l);
    TALLOC_CTX *pool = r->pool;

    close_idle(r);
    pthread_mutex_destroy(&r->lock);
    base_pool_free(&pool);
}

static const struct limits_driver redis_driver = {
    .connect = redis_connect,
    .check = redis_check,
    .draw = redis_draw,
    .add = redis_add,
    .free = redis_free,
};

enum rc
limits_open_redis(const char *url, struct limits **ret, struct err *err)
{
    TALLOC_CTX *pool = base_pool_new(NULL);
    struct redis *r = MEM_NEW(pool, struct redis);
    enum rc rc = redis_url_parse(pool, url, &r->url, err);

    if (rc) {
        base_pool_free(&pool);
        return rc;
    }
    r->pool = pool;
    r->limits = (struct limits){.driver = &redis_driver, .port = r->url.port};
    pthread_mutex_init(&r->lock, NULL);
    *ret = &r->limits;
    return RC_OK;
}
