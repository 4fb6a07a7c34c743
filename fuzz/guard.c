// SPDX-License-Identifier: Apache-2.0
/*
 * First line: method, target and version, parted by spaces; each further line: a header, as the
 * parser underneath would split it. An accepted request can be read in one way only.
 */
#include "fuzz.h"
#include "http/guard.h"

#include <stdlib.h>
#include <strings.h>

#define HEADERS 128

static bool
named(const struct http_header *h, const char *name)
{
    return h->name_len == strlen(name) && strncasecmp(h->name, name, h->name_len) == 0;
}

/* The one header of that name, NULL when absent. */
static const struct http_header *
only(const struct wire *w, const char *name)
{
    const struct http_header *found = NULL;

    for (size_t i = 0; i < w->n_headers; i++) {
        if (!named(&w->headers[i], name))
            continue;
        BUG_ON(found);
        found = &w->headers[i];
    }
    return found;
}

static void
check_bytes(const struct wire *w)
{
    size_t bytes = 0;

    BUG_ON(strlen(w->target) > GUARD_TARGET_MAX || w->n_headers > GUARD_HEADERS_MAX);
    for (const char *p = w->target; *p; p++)
        BUG_ON((*p > 0 && *p <= ' ') || *p == 0x7f || *p == '#');
    for (size_t i = 0; i < w->n_headers; i++) {
        const struct http_header *h = &w->headers[i];

        bytes += h->name_len + h->value_len;
        BUG_ON(h->name_len == 0 || strlen(h->name) != h->name_len);
        BUG_ON(strpbrk(h->name, " \t\r\n:\"(),/;<=>?@[\\]{}"));
        BUG_ON(strlen(h->value) != h->value_len || strpbrk(h->value, "\r\n"));
    }
    BUG_ON(bytes > GUARD_HEADER_BYTES);
}

static void
check_framing(const struct wire *w, const struct framing *f)
{
    const struct http_header *length = only(w, "Content-Length");
    const struct http_header *encoding = only(w, "Transfer-Encoding");

    BUG_ON(length && encoding);
    BUG_ON(f->chunked != (encoding != NULL) || (f->length == -1) != (length == NULL));
    if (length)
        BUG_ON(f->length < 0 || strspn(length->value, "0123456789") != length->value_len ||
               strtoll(length->value, NULL, 10) != f->length);
    if (encoding)
        BUG_ON(strcasecmp(encoding->value, "chunked") != 0 || streq(w->version, "HTTP/1.0"));
}

static void
check_target(TALLOC_CTX *pool, const struct wire *w)
{
    const struct http_header *host = only(w, "Host");
    const char *path = guard_path(w);

    BUG_ON(!host && !streq(w->version, "HTTP/1.0"));
    BUG_ON(!path);
    BUG_ON(*path != '/' && !(streq(w->target, "*") && streq(w->method, "OPTIONS")));
    if (path == w->target)
        return;
    BUG_ON(!host);
    BUG_ON(strcasecmp(w->target, mem_printf(pool, "http://%s%s", host->value, path)) != 0);
}

/* Cuts the line at *p off the text up to `end`; false when there is none. Lines may hold NUL. */
static bool
next_line(char **p, char *end, char **ret, size_t *ret_len)
{
    char *eol = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;

    if (*p >= end)
        return false;
    eol = eol ? eol : end;
    *eol = '\0';
    *ret = *p;
    *ret_len = (size_t)(eol - *p);
    *p = eol + 1;
    return true;
}

static void
read_headers(char *p, char *end, struct http_header *headers, size_t *n)
{
    char *line;
    size_t len;

    while (*n < HEADERS && next_line(&p, end, &line, &len)) {
        char *colon = memchr(line, ':', len);
        struct http_header *h = &headers[(*n)++];

        *h = (struct http_header){.name = line, .name_len = len, .value = ""};
        if (!colon)
            continue;
        *colon = '\0';
        h->name_len = (size_t)(colon - line);
        colon += 1 + strspn(colon + 1, " \t");
        h->value = colon;
        h->value_len = (size_t)(line + len - colon);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    struct http_header headers[HEADERS];
    char *p = fuzz_text(pool, data, size), *end = p + size, *method, *rest;
    struct wire w = {.headers = headers, .address = "192.0.2.1"};
    struct framing f;
    struct err err;
    size_t len;

    if (!next_line(&p, end, &method, &len))
        return 0;
    rest = method;
    w.method = strsep(&rest, " ");
    w.target = rest ? strsep(&rest, " ") : "";
    w.version = rest ? rest : "";
    read_headers(p, end, headers, &w.n_headers);
    if (guard_check(&w, &f, &err))
        return 0;
    BUG_ON(strncmp(w.version, "HTTP/1.", 7) != 0);
    check_bytes(&w);
    check_framing(&w, &f);
    check_target(pool, &w);
    return 0;
}
