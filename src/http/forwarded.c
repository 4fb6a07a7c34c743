// SPDX-License-Identifier: Apache-2.0
#include "http/forwarded.h"

#include <arpa/inet.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/text.h"

#define PROXIES_MAX 64
#define MAPPED_BITS 96 /* before the IPv4 address in an IPv6 address that stands for it */

/* IPv4 addresses are kept as ::ffff:a.b.c.d. */
struct address {
    unsigned char bytes[16];
};

struct network {
    struct address address;
    unsigned bits;
};

struct proxies {
    struct network networks[PROXIES_MAX];
    size_t n;
    bool unix_sockets;
};

const char *
forwarded_address(TALLOC_CTX *pool, const struct sockaddr *sa)
{
    char text[INET6_ADDRSTRLEN] = "";

    if (sa && sa->sa_family == AF_UNIX)
        return FORWARDED_UNIX;
    if (sa && sa->sa_family == AF_INET)
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, text, sizeof(text));
    else if (sa && sa->sa_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)sa)->sin6_addr, text,
                        sizeof(text));
    return mem_strdup(pool, text);
}

/* *ret_bits: how long an address of this family is, in the 128 bits. */
static bool
read_address(const char *text, struct address *ret, unsigned *ret_bits)
{
    memset(ret->bytes, 0, 10);
    ret->bytes[10] = ret->bytes[11] = 0xff;
    *ret_bits = 32;
    if (inet_pton(AF_INET, text, ret->bytes + 12) == 1)
        return true;
    *ret_bits = 128;
    return inet_pton(AF_INET6, text, ret->bytes) == 1;
}

static const char *
write_address(TALLOC_CTX *pool, const struct address *a)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
    char text[INET6_ADDRSTRLEN] = "";

    (void)inet_ntop(v4 ? AF_INET : AF_INET6, a->bytes + (v4 ? 12 : 0), text, sizeof(text));
    return mem_strdup(pool, text);
}

static bool
holds(const struct network *n, const struct address *a)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    unsigned char mask = (unsigned char)(0xff00 >> rest);

    return memcmp(n->address.bytes, a->bytes, whole) == 0 &&
           (rest == 0 || ((n->address.bytes[whole] ^ a->bytes[whole]) & mask) == 0);
}

static bool
trusted(const struct proxies *p, const struct address *a)
{
    for (size_t i = 0; i < p->n; i++) {
        if (holds(&p->networks[i], a))
            return true;
    }
    return false;
}

/* "192.0.2.0/24" */
static bool
read_network(TALLOC_CTX *pool, const char *text, struct network *ret)
{
    const char *slash = strchr(text, '/');
    char *address = mem_strndup(pool, text, slash ? (size_t)(slash - text) : strlen(text));
    unsigned most;
    int64_t bits;

    if (!read_address(address, &ret->address, &most))
        return false;
    bits = most;
    if (slash && !text_uint(slash + 1, most, &bits))
        return false;
    ret->bits = (unsigned)bits + (most == 32 ? MAPPED_BITS : 0);
    return true;
}

enum rc
proxies_parse(TALLOC_CTX *pool, const char *text, struct proxies **ret, struct err *err)
{
    struct proxies *p = MEM_NEW(pool, struct proxies);
    const char *comma;

    for (const char *at = text; at; at = comma ? comma + 1 : NULL) {
        char *part;

        comma = strchr(at, ',');
        part = mem_strndup(pool, at, comma ? (size_t)(comma - at) : strlen(at));
        if (streq(part, FORWARDED_UNIX))
            p->unix_sockets = true;
        else if (p->n == PROXIES_MAX || !read_network(pool, part, &p->networks[p->n++]))
            return err_set(err, RC_INVALID,
                           "--trusted-proxy: '%s' is no address, no network like 10.0.0.0/8 and "
                           "not unix; or there are more than %d",
                           part, PROXIES_MAX);
    }
    *ret = p;
    return RC_OK;
}

/* One step to the left in "a, b, c": the text before *end, without blanks; false at its begin. */
static bool
step_left(TALLOC_CTX *pool, const char *list, const char **end, char **ret)
{
    const char *to = *end, *from;

    if (!to)
        return false;
    for (from = to; from > list && from[-1] != ',';)
        from--;
    *end = from > list ? from - 1 : NULL;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    *ret = mem_strndup(pool, from, (size_t)(to - from));
    return true;
}

static bool
named(const struct http_header *h, const char *name)
{
    return h->name_len == strlen(name) && strncasecmp(h->name, name, h->name_len) == 0;
}

/* Several headers of a name are one list, in their order (RFC 9110 §5.3). NULL: none is there. */
static const char *
joined(TALLOC_CTX *pool, const struct wire *w, const char *name)
{
    char *all = NULL;

    for (size_t i = 0; i < w->n_headers; i++) {
        const struct http_header *h = &w->headers[i];

        if (named(h, name))
            all = all ? mem_printf(pool, "%s,%s", all, h->value) : mem_strdup(pool, h->value);
    }
    return all;
}

/* NULL: there is no list, or it is not one of addresses as far as it is looked at. */
static const char *
client_of(const struct proxies *p, TALLOC_CTX *pool, const struct wire *w)
{
    const char *list = joined(pool, w, "X-Forwarded-For");
    const char *end = list ? list + strlen(list) : NULL;
    struct address a;
    unsigned bits;
    char *text;

    if (!list)
        return NULL;
    while (step_left(pool, list, &end, &text)) {
        if (!read_address(text, &a, &bits))
            return NULL;
        if (!trusted(p, &a))
            break;
    }
    return write_address(pool, &a);
}

static bool
comes_from_proxy(const struct proxies *p, const char *peer)
{
    struct address a;
    unsigned bits;

    if (streq(peer, FORWARDED_UNIX))
        return p->unix_sockets;
    return read_address(peer, &a, &bits) && trusted(p, &a);
}

void
forwarded_apply(const struct proxies *proxies, TALLOC_CTX *pool, struct wire *wire)
{
    const char *client, *scheme;

    if (!proxies || !comes_from_proxy(proxies, wire->address))
        return;
    client = client_of(proxies, pool, wire);
    if (client)
        wire->address = client;
    scheme = joined(pool, wire, "X-Forwarded-Proto");
    if (scheme && streq(scheme, "https"))
        wire->https = true;
    else if (scheme && streq(scheme, "http"))
        wire->https = false;
}
