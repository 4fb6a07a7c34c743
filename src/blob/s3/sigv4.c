// SPDX-License-Identifier: Apache-2.0
#include "blob/s3/sigv4.h"

#include "base/buf.h"
#include "base/text.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_DIGITS 8
/* What is put together here is as long as a request line and headers are: ours, or bounded. */
#define TEXT_MAX (size_t) KIB(64)

void
sigv4_time(int64_t now_ms, char out[SIGV4_TIME_LEN])
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;

    BUG_ON(!gmtime_r(&seconds, &tm));
    BUG_ON(strftime(out, SIGV4_TIME_LEN, "%Y%m%dT%H%M%SZ", &tm) != SIGV4_TIME_LEN - 1);
}

static void
put_encoded(struct buf *b, const char *text, bool slash)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;

        if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
            strchr("-._~", c) || (slash && c == '/'))
            BUG_ON(!buf_append(b, p, 1));
        else
            buf_printf(b, "%%%02X", c);
    }
}

char *
sigv4_encode(TALLOC_CTX *pool, const char *text, bool slash)
{
    struct buf b;

    buf_init(&b, pool, TEXT_MAX);
    buf_puts(&b, "");
    put_encoded(&b, text, slash);
    return b.bytes;
}

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/*
 * Sorted by the encoded name, then by the encoded value. '=' would come after some of the letters
 * of a longer name, so it is put in as a byte below all of them.
 */
char *
sigv4_query(TALLOC_CTX *pool, const struct sigv4_pair *query, size_t n)
{
    const char **parts = MEM_ARRAY(pool, const char *, n + 1);
    struct buf b;

    for (size_t i = 0; i < n; i++)
        parts[i] = mem_printf(pool, "%s\001%s", sigv4_encode(pool, query[i].name, false),
                              sigv4_encode(pool, query[i].value, false));
    qsort(parts, n, sizeof(*parts), compare_texts);
    buf_init(&b, pool, TEXT_MAX);
    buf_puts(&b, "");
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%s", i ? "&" : "", parts[i]);
    for (char *p = b.bytes; *p; p++) {
        if (*p == '\001')
            *p = '=';
    }
    return b.bytes;
}

/* A header's value without blanks around it, and with one blank where there are several. */
static char *
trim(TALLOC_CTX *pool, const char *value)
{
    char *out = mem_zalloc(pool, strlen(value) + 1);
    size_t n = 0;

    for (const char *p = value + strspn(value, " "); *p; p++) {
        if (*p != ' ' || out[n - 1] != ' ')
            out[n++] = *p;
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
    return out;
}

struct header {
    char *name; /* lower case */
    char *value;
    size_t at; /* among those of the request: several of one name keep their order */
};

static int
compare_headers(const void *a, const void *b)
{
    const struct header *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* The canonical headers, and into *names their names. */
static char *
headers_of(TALLOC_CTX *pool, const struct sigv4_request *rq, char **names)
{
    struct header *list = MEM_ARRAY(pool, struct header, rq->n_headers + 1);
    struct buf lines, signed_names;

    for (size_t i = 0; i < rq->n_headers; i++) {
        list[i] = (struct header){mem_strdup(pool, rq->headers[i].name),
                                  trim(pool, rq->headers[i].value), i};
        text_lower(list[i].name);
    }
    qsort(list, rq->n_headers, sizeof(*list), compare_headers);
    buf_init(&lines, pool, TEXT_MAX);
    buf_init(&signed_names, pool, TEXT_MAX);
    buf_puts(&lines, "");
    buf_puts(&signed_names, "");
    for (size_t i = 0; i < rq->n_headers; i++) {
        if (i > 0 && streq(list[i].name, list[i - 1].name)) {
            buf_printf(&lines, ",%s", list[i].value);
            continue;
        }
        buf_printf(&lines, "%s%s:%s", i ? "\n" : "", list[i].name, list[i].value);
        buf_printf(&signed_names, "%s%s", i ? ";" : "", list[i].name);
    }
    buf_puts(&lines, "\n");
    *names = signed_names.bytes;
    return lines.bytes;
}

char *
sigv4_canonical(TALLOC_CTX *pool, const struct sigv4_request *rq)
{
    char *names, *headers = headers_of(pool, rq, &names);

    return mem_printf(pool, "%s\n%s\n%s\n%s\n%s\n%s", rq->method,
                      sigv4_encode(pool, rq->path, true), sigv4_query(pool, rq->query, rq->n_query),
                      headers, names, rq->payload);
}

static char *
scope_of(TALLOC_CTX *pool, const struct sigv4_request *rq, const char *time)
{
    return mem_printf(pool, "%.*s/%s/%s/aws4_request", DATE_DIGITS, time, rq->region, rq->service);
}

static void
add_to_key(uint8_t key[SHA256_LEN], const char *text, size_t len)
{
    uint8_t before[SHA256_LEN];

    memcpy(before, key, sizeof(before));
    crypto_hmac(before, text, len, key);
    explicit_bzero(before, sizeof(before));
}

static char *
signature(TALLOC_CTX *pool, const struct sigv4_request *rq, const struct sigv4_keys *keys,
          const char *time)
{
    const char *canonical = sigv4_canonical(pool, rq);
    char *first = mem_printf(pool, "AWS4%s", keys->secret);
    char hash_hex[SHA256_HEX_LEN], *out = mem_zalloc(pool, SHA256_HEX_LEN);
    uint8_t hash[SHA256_LEN], key[SHA256_LEN];
    const char *text;

    crypto_sha256(canonical, strlen(canonical), hash);
    crypto_hex(hash, sizeof(hash), hash_hex);
    text = mem_printf(pool, ALGORITHM "\n%s\n%s\n%s", time, scope_of(pool, rq, time), hash_hex);
    crypto_hmac_with(first, strlen(first), time, DATE_DIGITS, key);
    explicit_bzero(first, strlen(first));
    add_to_key(key, rq->region, strlen(rq->region));
    add_to_key(key, rq->service, strlen(rq->service));
    add_to_key(key, "aws4_request", strlen("aws4_request"));
    crypto_hmac(key, text, strlen(text), hash);
    explicit_bzero(key, sizeof(key));
    crypto_hex(hash, sizeof(hash), out);
    return out;
}

char *
sigv4_authorization(TALLOC_CTX *pool, const struct sigv4_request *rq, const struct sigv4_keys *keys)
{
    char time[SIGV4_TIME_LEN], *names;

    sigv4_time(rq->now_ms, time);
    (void)headers_of(pool, rq, &names);
    return mem_printf(pool, ALGORITHM " Credential=%s/%s,SignedHeaders=%s,Signature=%s",
                      keys->access, scope_of(pool, rq, time), names,
                      signature(pool, rq, keys, time));
}

char *
sigv4_presign(TALLOC_CTX *pool, const struct sigv4_request *rq, const struct sigv4_keys *keys,
              int64_t ttl_s)
{
    struct sigv4_pair *query = MEM_ARRAY(pool, struct sigv4_pair, rq->n_query + 6);
    struct sigv4_request all = *rq;
    char time[SIGV4_TIME_LEN], *names;
    size_t n = rq->n_query;

    sigv4_time(rq->now_ms, time);
    (void)headers_of(pool, rq, &names);
    if (n > 0)
        memcpy(query, rq->query, n * sizeof(*query));
    query[n++] = (struct sigv4_pair){"X-Amz-Algorithm", ALGORITHM};
    query[n++] = (struct sigv4_pair){
        "X-Amz-Credential", mem_printf(pool, "%s/%s", keys->access, scope_of(pool, rq, time))};
    query[n++] = (struct sigv4_pair){"X-Amz-Date", time};
    query[n++] = (struct sigv4_pair){"X-Amz-Expires", mem_printf(pool, "%lld", (long long)ttl_s)};
    query[n++] = (struct sigv4_pair){"X-Amz-SignedHeaders", names};
    if (keys->token && *keys->token)
        query[n++] = (struct sigv4_pair){"X-Amz-Security-Token", keys->token};
    all.query = query;
    all.n_query = n;
    return mem_printf(pool, "%s&X-Amz-Signature=%s", sigv4_query(pool, query, n),
                      signature(pool, &all, keys, time));
}
