// SPDX-License-Identifier: Apache-2.0
#include "limits/redis_url.h"

#include <sys/un.h>

#include "base/text.h"
#include "limits/limits.h"

#define PORT 6379
#define TIMEOUT_MS_MAX 10000
#define TIMEOUT "timeout_ms="
#define DATABASE_MAX 65535

static enum rc
refuse(struct err *err, const char *why)
{
    return err_set(err, RC_INVALID,
                   "--limits: %s; it takes redis://[user:password@]host[:port][/database] or "
                   "unix:/path",
                   why);
}

/* "user:password", ":password", or nothing. */
static enum rc
parse_who(TALLOC_CTX *pool, const char *text, size_t len, struct redis_url *ret, struct err *err)
{
    const char *colon = memchr(text, ':', len);
    char *user, *password;

    if (!colon)
        return refuse(err, "there is no password after the user");
    if (!text_unescape(pool, text, (size_t)(colon - text), false, &user) ||
        !text_unescape(pool, colon + 1, len - (size_t)(colon - text) - 1, false, &password))
        return refuse(err, "a percent escape is broken");
    if (!*password)
        return refuse(err, "the password is empty");
    ret->user = *user ? user : NULL;
    ret->password = password;
    return RC_OK;
}

static enum rc
parse_where(TALLOC_CTX *pool, const char *text, size_t len, struct redis_url *ret, struct err *err)
{
    bool bracket = len > 0 && text[0] == '[';
    const char *end = bracket ? memchr(text, ']', len) : memchr(text, ':', len), *rest;
    int64_t port = PORT;
    char *host;

    if (bracket && !end)
        return refuse(err, "a bracket is not closed");
    end = end ? end : text + len;
    if (!text_unescape(pool, text + bracket, (size_t)(end - text) - bracket, false, &host) ||
        !*host || strpbrk(host, " /@[]"))
        return refuse(err, "there is no host in it");
    rest = mem_strndup(pool, end + bracket, len - (size_t)(end - text) - bracket);
    if (*rest && (*rest != ':' || !text_uint(rest + 1, UINT16_MAX, &port) || port == 0))
        return refuse(err, "the port is no number from 1 to 65535");
    ret->host = host;
    ret->port = (uint16_t)port;
    ret->shown =
        mem_printf(pool, "%s%s%s:%u", bracket ? "[" : "", host, bracket ? "]" : "", (unsigned)port);
    return RC_OK;
}

static enum rc
parse_tcp(TALLOC_CTX *pool, const char *text, struct redis_url *ret, struct err *err)
{
    size_t len = strcspn(text, "/");
    const char *at = memrchr(text, '@', len), *where = at ? at + 1 : text;
    enum rc rc = RC_OK;

    if (text[len] == '/' && text[len + 1] &&
        !text_uint(text + len + 1, DATABASE_MAX, &ret->database))
        return refuse(err, "the database is no number from 0 to 65535");
    if (at)
        rc = parse_who(pool, text, (size_t)(at - text), ret, err);
    return rc ? rc : parse_where(pool, where, len - (size_t)(where - text), ret, err);
}

/* What stands behind a question mark. */
static enum rc
parse_query(const char *text, struct redis_url *ret, struct err *err)
{
    if (strncmp(text, TIMEOUT, strlen(TIMEOUT)) != 0 ||
        !text_uint(text + strlen(TIMEOUT), TIMEOUT_MS_MAX, &ret->timeout_ms) ||
        ret->timeout_ms == 0)
        return refuse(err, "behind ? stands timeout_ms= and a number from 1 to 10000");
    return RC_OK;
}

enum rc
redis_url_parse(TALLOC_CTX *pool, const char *whole, struct redis_url *ret, struct err *err)
{
    const struct sockaddr_un *address;
    const char *query = strchr(whole, '?');
    const char *text = query ? mem_strndup(pool, whole, (size_t)(query - whole)) : whole;
    enum rc rc;

    *ret = (struct redis_url){.timeout_ms = LIMITS_ANSWER_MS};
    rc = query ? parse_query(query + 1, ret, err) : RC_OK;
    if (rc)
        return rc;
    if (strncmp(text, "rediss://", strlen("rediss://")) == 0)
        return refuse(err, "this build cannot speak TLS to Redis (put a TLS tunnel between)");
    if (strncmp(text, "redis://", strlen("redis://")) == 0)
        return parse_tcp(pool, text + strlen("redis://"), ret, err);
    if (strncmp(text, "unix:/", strlen("unix:/")) != 0)
        return refuse(err, "this is no such URL");
    ret->path = mem_strdup(pool, text + strlen("unix:"));
    ret->shown = ret->path;
    if (strlen(ret->path) >= sizeof(address->sun_path))
        return refuse(err, "the path is too long");
    return RC_OK;
}
