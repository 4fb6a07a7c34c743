// SPDX-License-Identifier: Apache-2.0
#include "http/route.h"

#include <pthread.h>

#include "base/text.h"

/* The gateway path of the records vendor's samples is an alias of the root. */
#define ALIAS "/functions/v1/api-gateway"

static const struct {
    enum http_method method;
    const char *name;
} methods[] = {
    {HTTP_GET, "GET"},     {HTTP_HEAD, "HEAD"},     {HTTP_POST, "POST"},       {HTTP_PUT, "PUT"},
    {HTTP_PATCH, "PATCH"}, {HTTP_DELETE, "DELETE"}, {HTTP_OPTIONS, "OPTIONS"},
};

const char *
http_method_name(enum http_method method)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (methods[i].method == method)
            return methods[i].name;
    }
    return "";
}

enum http_method
http_method_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (streq(methods[i].name, name))
            return methods[i].method;
    }
    return 0;
}

char *
route_allow(TALLOC_CTX *pool, unsigned set)
{
    char *out = mem_strdup(pool, "");

    if (set & HTTP_GET)
        set |= HTTP_HEAD;
    set |= HTTP_OPTIONS;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (set & methods[i].method)
            out = mem_printf(pool, "%s%s%s", out, *out ? ", " : "", methods[i].name);
    }
    return out;
}

/* Length of the segment at `p`, which ends at '/' or at `end`. */
static size_t
segment(const char *p, const char *end)
{
    const char *slash = memchr(p, '/', (size_t)(end - p));

    return (size_t)((slash ? slash : end) - p);
}

struct span {
    const char *at;
    size_t len;
};

/* True when `path` has the form of `pattern`; the segments that stand for names go to `args`. */
static bool
fits(const char *pattern, const char *path, const char *end, struct span args[ROUTE_ARGS_MAX],
     size_t *n_args)
{
    const char *pattern_end = pattern + strlen(pattern);

    *n_args = 0;
    while (pattern < pattern_end && path < end) {
        size_t want, have;

        if (*pattern++ != '/' || *path++ != '/')
            return false;
        want = segment(pattern, pattern_end);
        have = segment(path, end);
        if (*pattern == '{') {
            if (have == 0)
                return false;
            args[(*n_args)++] = (struct span){path, have};
        } else if (want != have || memcmp(pattern, path, want) != 0) {
            return false;
        }
        pattern += want;
        path += have;
    }
    return pattern == pattern_end && path == end;
}

/* A segment with a broken escape becomes "", which no thing is called. */
static void
decode_args(TALLOC_CTX *pool, const struct span *args, size_t n, struct route_match *ret)
{
    for (size_t i = 0; i < n; i++) {
        char *text;

        ret->args[i] = text_unescape(pool, args[i].at, args[i].len, false, &text) ? text : "";
    }
}

/*
 * How long each route's path is up to its first name. A name loses to the same segment spelled out:
 * /documents/upload-url, not {id}.
 */
static size_t *literals; /* as long as the process */
static pthread_once_t measured = PTHREAD_ONCE_INIT;

static void
measure_literals(void)
{
    size_t n = 0;

    while (routes[n].op)
        n++;
    literals = MEM_ARRAY(NULL, size_t, n + 1);
    for (size_t i = 0; i < n; i++)
        literals[i] = strcspn(routes[i].path, "{");
}

void
route_find(TALLOC_CTX *pool, enum http_method method, const char *path, size_t len,
           struct route_match *ret)
{
    const char *end = path + len;
    struct span args[ROUTE_ARGS_MAX], best_args[ROUTE_ARGS_MAX] = {{0}};
    size_t n, best_n = 0, best_literal = 0;

    memset(ret, 0, sizeof(*ret));
    if (len >= strlen(ALIAS "/v1/") && memcmp(path, ALIAS "/v1/", strlen(ALIAS "/v1/")) == 0)
        path += strlen(ALIAS);
    if (method == HTTP_HEAD)
        method = HTTP_GET;
    BUG_ON(pthread_once(&measured, measure_literals));
    for (const struct route *r = routes; r->op; r++) {
        size_t literal = literals[r - routes];

        if ((size_t)(end - path) < literal || memcmp(path, r->path, literal) != 0 ||
            !fits(r->path, path, end, args, &n))
            continue;
        if (literal < best_literal)
            continue;
        if (literal > best_literal) {
            *ret = (struct route_match){0};
            best_literal = literal;
        }
        ret->methods |= r->method;
        ret->any = r;
        if (r->method == method) {
            ret->route = r;
            memcpy(best_args, args, sizeof(args));
            best_n = n;
        }
    }
    if (ret->route)
        decode_args(pool, best_args, best_n, ret);
}

/* What is wrong with a row, whatever the others are; NULL when nothing is. */
static const char *
row_fault(const struct route *r)
{
    if (!r->access || !r->run || !r->dialect || !r->handler || !r->summary || !r->tag)
        return "access, run, dialect, handler, tag and summary have no default";
    if ((r->access == ACCESS_KEY) != (r->permission != 0))
        return "a permission goes with ACCESS_KEY, and only with it";
    if ((r->run == RUN_STREAM) != (r->stream != NULL))
        return "a stream goes with RUN_STREAM, and only with it";
    if (r->body && (!r->body_size || r->max_body == 0))
        return "a body needs body_size and max_body";
    if (r->query && !r->query_size)
        return "a query needs query_size";
    return NULL;
}

static const char *
clash(const struct route *r, const struct route *other)
{
    if (streq(other->op, r->op))
        return "duplicate op";
    if (other->method == r->method && streq(other->path, r->path))
        return "duplicate method and path";
    return NULL;
}

enum rc
route_check_table(const struct route *table, struct err *err)
{
    for (const struct route *r = table; r->op; r++) {
        const char *why = row_fault(r);

        for (const struct route *other = table; other != r && !why; other++)
            why = clash(r, other);
        if (why)
            return err_set(err, RC_INTERNAL, "route table: %s: %s", r->op, why);
    }
    return RC_OK;
}
