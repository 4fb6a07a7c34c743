// SPDX-License-Identifier: Apache-2.0
#include "blob/s3/credentials.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/js.h"

#define INSTANCE_ENDPOINT "http://169.254.169.254"
#define CONTAINER_ENDPOINT "http://169.254.170.2"
#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"
#define EARLY_MS 300000    /* before the end of keys, when new ones can be had already */
#define FILE_AGE_MS 300000 /* a file is read again after this */
#define RETRY_MS 10000     /* after a failed try, while the old keys are still good */
#define FILE_MAX KIB(64)
#define ANSWER_MAX KIB(16)
#define KEY_MAX 4096 /* session tokens have about 1,500 bytes */

static const struct http_limits limits = {.connect_ms = 1000, .stall_ms = 2000, .total_ms = 3000};

enum source { FROM_ENV, FROM_FILE, FROM_CONTAINER, FROM_INSTANCE };

struct credentials {
    struct http *http;
    enum source source;
    char *path; /* of the file, or URL of the endpoint */
    char *profile;
    char *authorization;      /* of the container's endpoint, NULL without one */
    char *authorization_file; /* the same, from a file that is written anew */
    pthread_mutex_t fetching; /* held by the one that fetches */
    pthread_mutex_t lock;     /* guards what follows */
    TALLOC_CTX *pool;         /* of `keys` */
    struct sigv4_keys keys;   /* .access is NULL before the first */
    int64_t good_until_ms;    /* wall time */
    int64_t fetch_after_ms;
    unsigned failures; /* of fetches */
};

/* --- keys from a text --- */

static char *
trimmed(char *text)
{
    size_t len;

    text += strspn(text, " \t\r");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]))
        text[--len] = '\0';
    return text;
}

static bool
are_usable(const struct sigv4_keys *k)
{
    return k->access && k->secret && *k->access && *k->secret && strlen(k->access) < KEY_MAX &&
           strlen(k->secret) < KEY_MAX && strcspn(k->access, "\r\n") == strlen(k->access) &&
           (!k->token ||
            (strlen(k->token) < KEY_MAX && strcspn(k->token, "\r\n") == strlen(k->token)));
}

/* The section [profile] of `text`, which is taken apart. */
static void
read_section(char *text, const char *profile, struct sigv4_keys *ret)
{
    bool ours = false;
    char *rest = text, *line;

    while ((line = strsep(&rest, "\n"))) {
        char *value = strchr(line, '=');

        line = trimmed(line);
        if (*line == '[') {
            line[strcspn(line, "]")] = '\0';
            ours = streq(trimmed(line + 1), profile);
        }
        if (!ours || !value || *line == '#' || *line == ';')
            continue;
        *value++ = '\0';
        line = trimmed(line);
        if (streq(line, "aws_access_key_id"))
            ret->access = trimmed(value);
        else if (streq(line, "aws_secret_access_key"))
            ret->secret = trimmed(value);
        else if (streq(line, "aws_session_token"))
            ret->token = trimmed(value);
    }
}

static enum rc
read_file(TALLOC_CTX *pool, const char *path, char **ret, struct err *err)
{
    FILE *file = fopen(path, "re");
    char block[4096];
    struct buf b;
    bool whole;
    size_t n;

    if (!file)
        return err_errno(err, RC_UNAVAILABLE, path);
    buf_init(&b, pool, FILE_MAX);
    buf_puts(&b, "");
    do {
        n = fread(block, 1, sizeof(block), file);
        whole = buf_append(&b, block, n);
    } while (n > 0 && whole);
    whole = whole && !ferror(file);
    (void)fclose(file);
    if (!whole)
        return err_set(err, RC_UNAVAILABLE, "%s cannot be read", path);
    *ret = b.bytes;
    return RC_OK;
}

static enum rc
from_file(struct credentials *c, TALLOC_CTX *pool, struct sigv4_keys *ret, int64_t *until,
          struct err *err)
{
    char *text;
    enum rc rc = read_file(pool, c->path, &text, err);

    if (rc)
        return rc;
    read_section(text, c->profile, ret);
    if (!are_usable(ret))
        return err_set(err, RC_UNAVAILABLE, "%s has no keys in [%s]", c->path, c->profile);
    *until = INT64_MAX;
    return RC_OK;
}

/* --- keys from an endpoint --- */

static enum rc
ask(struct credentials *c, TALLOC_CTX *pool, const char *method, const char *url,
    const char *header, char **ret, struct err *err)
{
    char *into = mem_zalloc(pool, ANSWER_MAX + 1);
    struct http_request rq = {.method = method,
                              .url = url,
                              .headers = {header},
                              .n_headers = header ? 1 : 0,
                              .into = into,
                              .room = ANSWER_MAX,
                              .limits = limits};
    struct http_answer *answer = MEM_NEW(pool, struct http_answer);
    char why[128];

    if (http_exchange(c->http, &rq, NULL, answer, why) != HTTP_ANSWERED)
        return err_set(err, RC_UNAVAILABLE, "no credentials from %s: %s", url, why);
    if (answer->status != 200)
        return err_set(err, RC_UNAVAILABLE, "no credentials from %s: status %d", url,
                       answer->status);
    into[answer->len] = '\0';
    *ret = into;
    return RC_OK;
}

static const char *
text_of(TALLOC_CTX *pool, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? mem_strdup(pool, text) : NULL;
}

/* {"AccessKeyId":…,"SecretAccessKey":…,"Token":…,"Expiration":…} */
static enum rc
read_keys(TALLOC_CTX *pool, const char *text, struct sigv4_keys *ret, int64_t *until,
          struct err *err)
{
    json_auto_t *object = NULL;
    struct err unread;
    const char *end;

    if (js_read(text, strlen(text), &object, &unread))
        return err_set(err, RC_UNAVAILABLE, "the endpoint of credentials answers no JSON");
    ret->access = text_of(pool, object, "AccessKeyId");
    ret->secret = text_of(pool, object, "SecretAccessKey");
    ret->token = text_of(pool, object, "Token");
    end = text_of(pool, object, "Expiration");
    if (!are_usable(ret) || (end && !clock_parse(end, until)))
        return err_set(err, RC_UNAVAILABLE, "the endpoint of credentials answers no keys");
    if (!end)
        *until = INT64_MAX;
    return RC_OK;
}

static enum rc
from_container(struct credentials *c, TALLOC_CTX *pool, struct sigv4_keys *ret, int64_t *until,
               struct err *err)
{
    char *token = c->authorization, *header = NULL, *text;
    enum rc rc;

    if (c->authorization_file) {
        rc = read_file(pool, c->authorization_file, &token, err);
        if (rc)
            return rc;
        token[strcspn(token, "\r\n")] = '\0';
    }
    if (token)
        header = mem_printf(pool, "Authorization: %s", token);
    rc = ask(c, pool, "GET", c->path, header, &text, err);
    return rc ? rc : read_keys(pool, text, ret, until, err);
}

static enum rc
from_instance(struct credentials *c, TALLOC_CTX *pool, struct sigv4_keys *ret, int64_t *until,
              struct err *err)
{
    const char *roles = mem_printf(pool, "%s" ROLE_PATH, c->path);
    char *token, *role, *text;
    enum rc rc = ask(c, pool, "PUT", mem_printf(pool, "%s/latest/api/token", c->path),
                     "X-aws-ec2-metadata-token-ttl-seconds: 300", &token, err);

    if (rc)
        return rc;
    token[strcspn(token, "\r\n")] = '\0';
    token = mem_printf(pool, "X-aws-ec2-metadata-token: %s", token);
    rc = ask(c, pool, "GET", roles, token, &role, err);
    if (rc)
        return rc;
    role[strcspn(role, "\r\n")] = '\0';
    rc = ask(c, pool, "GET", mem_printf(pool, "%s%s", roles, sigv4_encode(pool, role, false)),
             token, &text, err);
    return rc ? rc : read_keys(pool, text, ret, until, err);
}

/* --- what is known now --- */

static void
keep(struct credentials *c, const struct sigv4_keys *keys, int64_t until)
{
    int64_t now = clock_wall_ms();

    pthread_mutex_lock(&c->lock);
    base_pool_free(&c->pool);
    c->pool = base_pool_new(NULL);
    c->keys =
        (struct sigv4_keys){mem_strdup(c->pool, keys->access), mem_strdup(c->pool, keys->secret),
                            keys->token ? mem_strdup(c->pool, keys->token) : NULL};
    c->good_until_ms = until;
    if (c->source == FROM_FILE)
        c->fetch_after_ms = now + FILE_AGE_MS;
    else
        c->fetch_after_ms = until == INT64_MAX ? until : until - EARLY_MS;
    /* keys that are short of five minutes already are not asked for with every request */
    if (c->fetch_after_ms < now + RETRY_MS)
        c->fetch_after_ms = now + RETRY_MS;
    pthread_mutex_unlock(&c->lock);
}

static enum rc
fetch(struct credentials *c, struct err *err)
{
    SCOPED_POOL(pool);
    struct sigv4_keys keys = {0};
    int64_t until = 0;
    enum rc rc = RC_OK;

    switch (c->source) {
    case FROM_ENV:
        return RC_OK;
    case FROM_FILE:
        rc = from_file(c, pool, &keys, &until, err);
        break;
    case FROM_CONTAINER:
        rc = from_container(c, pool, &keys, &until, err);
        break;
    case FROM_INSTANCE:
        rc = from_instance(c, pool, &keys, &until, err);
        break;
    }
    if (!rc) {
        keep(c, &keys, until);
        return RC_OK;
    }
    pthread_mutex_lock(&c->lock);
    c->fetch_after_ms = clock_wall_ms() + RETRY_MS;
    c->failures++;
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static unsigned
failures_of(struct credentials *c)
{
    unsigned n;

    pthread_mutex_lock(&c->lock);
    n = c->failures;
    pthread_mutex_unlock(&c->lock);
    return n;
}

/* Copies the keys when they are good; *ret_due: new ones should be fetched. */
static bool
copy_good(struct credentials *c, TALLOC_CTX *pool, struct sigv4_keys *ret, bool *ret_due)
{
    int64_t now = clock_wall_ms();
    bool good;

    pthread_mutex_lock(&c->lock);
    good = c->keys.access && now < c->good_until_ms;
    *ret_due = now >= c->fetch_after_ms;
    if (good)
        *ret =
            (struct sigv4_keys){mem_strdup(pool, c->keys.access), mem_strdup(pool, c->keys.secret),
                                c->keys.token ? mem_strdup(pool, c->keys.token) : NULL};
    pthread_mutex_unlock(&c->lock);
    return good;
}

enum rc
credentials_get(struct credentials *c, TALLOC_CTX *pool, struct sigv4_keys *ret, struct err *err)
{
    unsigned failures = failures_of(c);
    bool due, good = copy_good(c, pool, ret, &due);
    enum rc rc = RC_OK;

    if (good && !due)
        return RC_OK;
    if (good && pthread_mutex_trylock(&c->fetching) != 0)
        return RC_OK; /* another does it */
    if (!good)
        pthread_mutex_lock(&c->fetching);
    good = copy_good(c, pool, ret, &due);
    /* those who waited for a fetch in vain do not try one after the other */
    if (!good && failures_of(c) != failures)
        rc = err_set(err, RC_UNAVAILABLE, "no credentials could be fetched");
    else if (!good || due)
        rc = fetch(c, err);
    pthread_mutex_unlock(&c->fetching);
    if (copy_good(c, pool, ret, &due))
        return RC_OK;
    return rc ? rc : err_set(err, RC_UNAVAILABLE, "the credentials have expired");
}

void
credentials_refused(struct credentials *c, const char *access)
{
    pthread_mutex_lock(&c->lock);
    if (c->source != FROM_ENV && c->keys.access && streq(c->keys.access, access))
        c->fetch_after_ms = 0;
    pthread_mutex_unlock(&c->lock);
}

/* --- where from --- */

static enum rc
begin_env(struct credentials *c, struct err *err)
{
    struct sigv4_keys keys = {.access = getenv("AWS_ACCESS_KEY_ID"),
                              .secret = getenv("AWS_SECRET_ACCESS_KEY"),
                              .token = getenv("AWS_SESSION_TOKEN")};

    c->source = FROM_ENV;
    if (!are_usable(&keys))
        return err_set(err, RC_INVALID,
                       "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both in the "
                       "environment");
    keep(c, &keys, INT64_MAX);
    return RC_OK;
}

static char *
copy_env(struct credentials *c, const char *name)
{
    const char *value = getenv(name);

    return value && *value ? mem_strdup(c, value) : NULL;
}

static enum rc
begin_container(struct credentials *c, struct err *err)
{
    const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");

    c->source = FROM_CONTAINER;
    c->path = relative && *relative ? mem_printf(c, CONTAINER_ENDPOINT "%s", relative)
                                    : copy_env(c, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    c->authorization = copy_env(c, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    c->authorization_file = copy_env(c, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (c->path)
        return RC_OK;
    return err_set(err, RC_INVALID,
                   "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
                   "AWS_CONTAINER_CREDENTIALS_FULL_URI is in the environment");
}

static enum rc
begin_file(struct credentials *c, const char *path, struct err *err)
{
    struct err why;

    c->source = FROM_FILE;
    c->path = mem_strdup(c, path);
    if (fetch(c, &why))
        return err_set(err, RC_INVALID, "%s", why.detail);
    return RC_OK;
}

static enum rc
begin_instance(struct credentials *c)
{
    c->source = FROM_INSTANCE;
    c->path = copy_env(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (!c->path)
        c->path = mem_strdup(c, INSTANCE_ENDPOINT);
    if (c->path[strlen(c->path) - 1] == '/')
        c->path[strlen(c->path) - 1] = '\0';
    return RC_OK;
}

/* The first place that there is. */
static enum rc
look_around(struct credentials *c, struct err *err)
{
    char *shared = copy_env(c, "AWS_SHARED_CREDENTIALS_FILE");
    const char *home = getenv("HOME");

    if (getenv("AWS_ACCESS_KEY_ID"))
        return begin_env(c, err);
    if (getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
        getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
        return begin_container(c, err);
    if (!shared && home)
        shared = mem_printf(c, "%s/.aws/credentials", home);
    if (shared && access(shared, R_OK) == 0)
        return begin_file(c, shared, err);
    return begin_instance(c);
}

enum rc
credentials_new(const char *from, const char *profile, struct http *http, struct credentials **ret,
                struct err *err)
{
    SCOPED(credentials) c = MEM_NEW(NULL, struct credentials);
    enum rc rc;

    BUG_ON(pthread_mutex_init(&c->lock, NULL) || pthread_mutex_init(&c->fetching, NULL));
    c->http = http;
    c->profile = mem_strdup(c, profile);
    if (!from)
        rc = look_around(c, err);
    else if (streq(from, "env"))
        rc = begin_env(c, err);
    else if (streq(from, "container"))
        rc = begin_container(c, err);
    else if (streq(from, "instance"))
        rc = begin_instance(c);
    else
        rc = begin_file(c, from, err);
    if (rc)
        return rc;
    *ret = c;
    c = NULL;
    return RC_OK;
}

void
credentials_free(struct credentials **c)
{
    if (!*c)
        return;
    base_pool_free(&(*c)->pool);
    BUG_ON(pthread_mutex_destroy(&(*c)->lock) || pthread_mutex_destroy(&(*c)->fetching));
    (void)talloc_free(*c);
    *c = NULL;
}
