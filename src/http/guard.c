// SPDX-License-Identifier: Apache-2.0
#include "http/guard.h"

#include <strings.h>

#include "base/text.h"

enum {
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    HOST,
    CONTENT_TYPE,
    AUTHORIZATION,
    API_KEY,
    ENTITY,
    IDEMPOTENCY,
    X_IDEMPOTENCY,
    SINGLE_MAX_
};

/* Headers that may come once. */
static const char *const single[] = {
    [CONTENT_LENGTH] = "Content-Length",
    [TRANSFER_ENCODING] = "Transfer-Encoding",
    [HOST] = "Host",
    [CONTENT_TYPE] = "Content-Type",
    [AUTHORIZATION] = "Authorization",
    [API_KEY] = "X-API-Key",
    [ENTITY] = "Docs-Entity-ID",
    [IDEMPOTENCY] = "Idempotency-Key",
    [X_IDEMPOTENCY] = "X-Idempotency-Key",
};

/* How an absolute target begins (RFC 9112 §3.2.2). */
static const char *
absolute(const struct wire *w)
{
    return w->https ? "https://" : "http://";
}

/* What follows that beginning: host, port, path. NULL: the target is in another form. */
static const char *
authority(const struct wire *w)
{
    size_t n = strlen(absolute(w));

    return strncmp(w->target, absolute(w), n) == 0 ? w->target + n : NULL;
}

static bool
named(const struct http_header *h, const char *name)
{
    return h->name_len == strlen(name) && strncasecmp(h->name, name, h->name_len) == 0;
}

/* A folded line glues its text to the name in the parser underneath: "Content-Lengthxyz". */
static bool
mangled(const struct http_header *h, const char *name)
{
    size_t n = strlen(name);

    return h->name_len > n && strncasecmp(h->name, name, n) == 0;
}

static enum rc
check_header(const struct http_header *h, struct err *err)
{
    if (h->name_len == 0)
        return err_set(err, RC_MALFORMED, "empty header name");
    for (size_t i = 0; i < h->name_len; i++) {
        if (!text_is_tchar((unsigned char)h->name[i]))
            return err_set(err, RC_MALFORMED, "header name with a byte that is no token");
    }
    for (size_t i = 0; i < h->value_len; i++) {
        unsigned char c = (unsigned char)h->value[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return err_set(err, RC_MALFORMED, "control byte in a header");
    }
    if (mangled(h, "Content-Length") || mangled(h, "Transfer-Encoding"))
        return err_set(err, RC_MALFORMED, "folded framing header");
    return RC_OK;
}

static enum rc
check_headers(const struct wire *w, const struct http_header *found[SINGLE_MAX_], struct err *err)
{
    size_t bytes = 0;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < w->n_headers && !rc; i++) {
        const struct http_header *h = &w->headers[i];

        bytes += h->name_len + h->value_len + 4;
        rc = check_header(h, err);
        for (int s = 0; s < SINGLE_MAX_ && !rc; s++) {
            if (!named(h, single[s]))
                continue;
            if (found[s])
                rc = err_set(err, RC_MALFORMED, "%s is repeated", single[s]);
            found[s] = h;
        }
    }
    if (!rc && (bytes > GUARD_HEADER_BYTES || w->n_headers > GUARD_HEADERS_MAX))
        rc = err_set(err, RC_HEADERS_LARGE, "%zu headers of %zu bytes", w->n_headers, bytes);
    return rc;
}

static enum rc
check_version(const struct wire *w, struct err *err)
{
    if (strncmp(w->version, "HTTP/1.", 7) != 0)
        return err_set(err, RC_HTTP_VERSION, "not HTTP/1.x");
    for (const char *p = w->method; *p; p++) {
        if (!text_is_tchar((unsigned char)*p))
            return err_set(err, RC_MALFORMED, "method with a byte that is no token");
    }
    return RC_OK;
}

static enum rc
check_target(const struct wire *w, struct err *err)
{
    size_t len = strlen(w->target);

    if (len > GUARD_TARGET_MAX)
        return err_set(err, RC_URI_TOO_LONG, "%zu bytes of target", len);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)w->target[i];

        if (c <= 0x20 || c == 0x7f || c == '#')
            return err_set(err, RC_MALFORMED, "byte 0x%02x in the target", c);
    }
    if (w->target[0] != '/' && !authority(w) &&
        !(streq(w->target, "*") && streq(w->method, "OPTIONS")))
        return err_set(err, RC_MALFORMED, "the target is in no known form");
    return RC_OK;
}

static enum rc
check_body(const struct wire *w, const struct http_header *length,
           const struct http_header *encoding, struct framing *ret, struct err *err)
{
    *ret = (struct framing){.length = -1};
    if (length && encoding)
        return err_set(err, RC_MALFORMED, "both Content-Length and Transfer-Encoding");
    if (length && (length->value_len > 19 || !text_uint(length->value, INT64_MAX, &ret->length)))
        return err_set(err, RC_MALFORMED, "bad Content-Length");
    if (!encoding)
        return RC_OK;
    if (strcasecmp(encoding->value, "chunked") != 0 || encoding->value_len != 7 ||
        streq(w->version, "HTTP/1.0"))
        return err_set(err, RC_MALFORMED, "Transfer-Encoding is not plain chunked");
    ret->chunked = true;
    return RC_OK;
}

/* A name or address, and a port (RFC 3986 §3.2.2); it ends up in the URLs we answer with. */
static bool
plausible_host(const struct http_header *host)
{
    return host->value_len < 256 &&
           strspn(host->value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "._~-:[]%") == host->value_len;
}

/* An absolute target must name the host that the Host header names. */
static enum rc
check_host(const struct wire *w, const struct http_header *host, struct err *err)
{
    const char *named = authority(w);

    if (!host)
        return streq(w->version, "HTTP/1.0") && !named ? RC_OK
                                                       : err_set(err, RC_MALFORMED, "no Host");
    if (!plausible_host(host) || (named && host->value_len == 0))
        return err_set(err, RC_MALFORMED, "no host name in Host");
    if (!named)
        return RC_OK;
    if (strncasecmp(named, host->value, host->value_len) != 0 || named[host->value_len] != '/')
        return err_set(err, RC_MALFORMED, "target and Host differ");
    return RC_OK;
}

const char *
guard_path(const struct wire *w)
{
    const char *named = authority(w);

    return named ? strchr(named, '/') : w->target;
}

enum rc
guard_check(const struct wire *w, struct framing *ret, struct err *err)
{
    const struct http_header *found[SINGLE_MAX_] = {NULL};
    enum rc rc;

    rc = check_version(w, err);
    if (!rc)
        rc = check_target(w, err);
    if (!rc)
        rc = check_headers(w, found, err);
    if (!rc)
        rc = check_body(w, found[CONTENT_LENGTH], found[TRANSFER_ENCODING], ret, err);
    return rc ? rc : check_host(w, found[HOST], err);
}
