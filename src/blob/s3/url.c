// SPDX-License-Identifier: Apache-2.0
#include "blob/s3/url.h"

#include "base/text.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define PREFIX_MAX 512 /* a key has 1,024 bytes */
#define VALUE_MAX 1024

/* The options as they are written; NULL where one is not. */
struct written {
    const char *endpoint, *public_endpoint, *region, *style, *sse, *sse_kms_key, *credentials,
        *profile, *ca, *versions, *timeout_ms, *connect_timeout_ms, *stall_timeout_ms, *part_mib,
        *memory_mib;
};

static const struct {
    const char *name;
    size_t at;
} options[] = {
#define OPTION(name)                                                                               \
    {                                                                                              \
#name, offsetof(struct written, name)                                                      \
    }
    OPTION(endpoint),
    OPTION(public_endpoint),
    OPTION(region),
    OPTION(style),
    OPTION(sse),
    OPTION(sse_kms_key),
    OPTION(credentials),
    OPTION(profile),
    OPTION(ca),
    OPTION(versions),
    OPTION(timeout_ms),
    OPTION(connect_timeout_ms),
    OPTION(stall_timeout_ms),
    OPTION(part_mib),
    OPTION(memory_mib),
#undef OPTION
};

static enum rc
take_option(struct written *w, const char *name, const char *value, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char **at = (const char **)((char *)w + options[i].at);

        if (!streq(options[i].name, name))
            continue;
        if (*at)
            return err_set(err, RC_INVALID, "%s is given twice in the s3:// URL", name);
        if (!*value || strlen(value) > VALUE_MAX)
            return err_set(err, RC_INVALID, "%s has no value that can be used in the s3:// URL",
                           name);
        *at = value;
        return RC_OK;
    }
    return err_set(err, RC_INVALID, "the s3:// URL has no option '%.40s'", name);
}

static enum rc
read_options(TALLOC_CTX *pool, const char *text, struct written *w, struct err *err)
{
    while (*text) {
        size_t len = strcspn(text, "&");
        size_t name_len = strcspn(text, "=&");
        char *name, *value = NULL;
        enum rc rc;

        if (name_len >= len || !text_unescape(pool, text, name_len, false, &name) ||
            !text_unescape(pool, text + name_len + 1, len - name_len - 1, false, &value))
            return err_set(err, RC_INVALID, "'%.*s' is not OPTION=VALUE in the s3:// URL",
                           len > 60 ? 60 : (int)len, text);
        rc = take_option(w, name, value, err);
        if (rc)
            return rc;
        text += len + (text[len] == '&');
    }
    return RC_OK;
}

/* A number of the option `name`, `fallback` without one. */
static enum rc
read_number(const char *name, const char *text, int64_t least, int64_t most, int64_t fallback,
            int64_t *ret, struct err *err)
{
    *ret = fallback;
    if (!text || (text_uint(text, most, ret) && *ret >= least))
        return RC_OK;
    return err_set(err, RC_INVALID,
                   "%s of the s3:// URL is a number from %lld to %lld, not '%.40s'", name,
                   (long long)least, (long long)most, text);
}

/* One of the words, separated by bars, or NULL; *ret_which is its place. */
static enum rc
read_word(const char *name, const char *text, const char *words, struct err *err)
{
    const char *at = words;
    size_t len;

    while (text && *at) {
        len = strcspn(at, "|");
        if (strlen(text) == len && memcmp(at, text, len) == 0)
            return RC_OK;
        at += len + (at[len] == '|');
    }
    if (!text)
        return RC_OK;
    return err_set(err, RC_INVALID, "%s of the s3:// URL is one of %s, not '%.40s'", name, words,
                   text);
}

/* --- bucket, prefix, endpoint --- */

static bool
is_bucket(const char *s)
{
    size_t len = strlen(s);

    return len >= 3 && len <= 63 && strspn(s, LETTERS DIGITS "._-") == len &&
           strspn(s, LETTERS DIGITS) > 0 && !strstr(s, "..");
}

/* Segments of what AWS calls safe characters; "" is one without any. */
static bool
is_prefix(const char *s)
{
    if (strlen(s) > PREFIX_MAX || strspn(s, LETTERS DIGITS "!_.*'()-/") != strlen(s))
        return false;
    while (*s) {
        size_t len = strcspn(s, "/");

        if (len == 0 || (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.'))))
            return false;
        s += len + (s[len] == '/');
    }
    return true;
}

/* A name or an address, with a port or without. */
static bool
is_host(const char *s)
{
    size_t len =
        *s == '[' ? strspn(s + 1, DIGITS "abcdefABCDEF:.") + 2 : strspn(s, LETTERS DIGITS ".-");
    int64_t port;

    if (len == 0 || len > 255 || len > strlen(s) || (*s == '[' && s[len - 1] != ']'))
        return false;
    return !s[len] || (s[len] == ':' && text_uint(s + len + 1, 65535, &port) && port > 0);
}

/* `text` is http[s]://HOST[:PORT][/]. */
static enum rc
read_endpoint(TALLOC_CTX *pool, const char *name, const char *text, struct s3_conf *conf,
              struct s3_endpoint *ret, struct err *err)
{
    const char *host = NULL;
    size_t len;

    ret->tls = strncmp(text, "https://", 8) == 0;
    if (ret->tls)
        host = text + 8;
    else if (strncmp(text, "http://", 7) == 0)
        host = text + 7;
    len = host ? strcspn(host, "/") : 0;
    if (host && (!host[len] || !host[len + 1])) {
        char *own = mem_strndup(pool, host, len);
        const char *port = ret->tls ? ":443" : ":80";
        size_t end = strlen(port);

        /* the Host header has no port that is the scheme's own, so the signature has none */
        if (len > end && streq(own + len - end, port))
            own[len - end] = '\0';
        ret->host = conf->virtual_host ? mem_printf(pool, "%s.%s", conf->bucket, own) : own;
        if (is_host(own) && (!conf->virtual_host || *own != '['))
            return RC_OK;
    }
    return err_set(err, RC_INVALID,
                   "%s of the s3:// URL is http[s]://HOST[:PORT] and no more, not '%.60s'", name,
                   text);
}

static enum rc
read_endpoints(TALLOC_CTX *pool, const struct written *w, struct s3_conf *conf, struct err *err)
{
    const char *own = w->endpoint;
    enum rc rc;

    if (!own)
        own = mem_printf(pool, "https://s3.%s.amazonaws.com", conf->region);
    /* a wildcard certificate has one level: no dots in the bucket's name */
    conf->virtual_host =
        w->style ? streq(w->style, "virtual") : !w->endpoint && !strchr(conf->bucket, '.');
    rc = read_endpoint(pool, "endpoint", own, conf, &conf->endpoint, err);
    if (rc)
        return rc;
    return read_endpoint(pool, "public_endpoint", w->public_endpoint ? w->public_endpoint : own,
                         conf, &conf->public_endpoint, err);
}

static enum rc
read_numbers(const struct written *w, struct s3_conf *conf, struct err *err)
{
    int64_t total, part, memory;
    enum rc rc = read_number("timeout_ms", w->timeout_ms, 100, 600000, 30000, &total, err);

    if (!rc)
        rc = read_number("connect_timeout_ms", w->connect_timeout_ms, 10, total,
                         total / 3 < 2000 ? total / 3 : 2000, &conf->connect_timeout_ms, err);
    if (!rc)
        rc = read_number("stall_timeout_ms", w->stall_timeout_ms, 10, total,
                         total / 3 < 10000 ? total / 3 : 10000, &conf->stall_timeout_ms, err);
    if (!rc)
        rc = read_number("part_mib", w->part_mib, 5, 512, 16, &part, err);
    if (!rc)
        rc = read_number("memory_mib", w->memory_mib, 1, 1 << 20, 256, &memory, err);
    if (rc)
        return rc;
    conf->timeout_ms = total;
    conf->part_size = MIB(part);
    conf->memory = MIB(memory);
    return RC_OK;
}

/* Checks the words and takes those that are texts. */
static enum rc
read_words(const struct written *w, struct s3_conf *conf, struct err *err)
{
    enum rc rc = read_word("style", w->style, "path|virtual", err);

    if (!rc)
        rc = read_word("sse", w->sse, "AES256|aws:kms", err);
    if (!rc)
        rc = read_word("versions", w->versions, "allow", err);
    if (rc)
        return rc;
    if (w->sse_kms_key && (!w->sse || !streq(w->sse, "aws:kms")))
        return err_set(err, RC_INVALID, "sse_kms_key of the s3:// URL needs sse=aws:kms");
    if (w->sse_kms_key && strspn(w->sse_kms_key, LETTERS DIGITS ":/_-") != strlen(w->sse_kms_key))
        return err_set(err, RC_INVALID, "sse_kms_key of the s3:// URL is the name of no key");
    conf->region = w->region ? w->region : "us-east-1";
    if (strspn(conf->region, LETTERS DIGITS "-") != strlen(conf->region))
        return err_set(err, RC_INVALID, "region of the s3:// URL is letters, digits and '-'");
    conf->sse = w->sse;
    conf->sse_kms_key = w->sse_kms_key;
    conf->versions = w->versions != NULL;
    conf->profile = w->profile ? w->profile : "default";
    conf->ca = w->ca;
    conf->credentials = w->credentials;
    if (w->credentials && !strchr(w->credentials, '/'))
        return read_word("credentials", w->credentials, "env|container|instance|FILE", err);
    return RC_OK;
}

enum rc
s3_url_parse(TALLOC_CTX *pool, const char *url, struct s3_conf *ret, struct err *err)
{
    struct written w = {0};
    struct s3_conf conf = {0};
    size_t len, bucket_len;
    char *prefix;
    enum rc rc;

    if (strncmp(url, "s3://", 5) != 0)
        return err_set(err, RC_INVALID, "a bucket is s3://BUCKET[/PREFIX][?OPTION=VALUE…]");
    url += 5;
    len = strcspn(url, "?");
    bucket_len = strcspn(url, "/?");
    conf.bucket = mem_strndup(pool, url, bucket_len);
    if (!is_bucket(conf.bucket))
        return err_set(err, RC_INVALID, "'%.70s' is no name of a bucket", conf.bucket);
    prefix = mem_strndup(pool, url + bucket_len, len - bucket_len);
    prefix += *prefix == '/';
    if (!is_prefix(prefix))
        return err_set(err, RC_INVALID,
                       "the prefix in the s3:// URL has letters, digits and !_.*'()-, between "
                       "single slashes, not '%.60s'",
                       prefix);
    if (*prefix && prefix[strlen(prefix) - 1] != '/')
        prefix = mem_printf(pool, "%s/", prefix);
    conf.prefix = prefix;
    rc = read_options(pool, url + len + (url[len] == '?'), &w, err);
    if (!rc)
        rc = read_words(&w, &conf, err);
    if (!rc)
        rc = read_numbers(&w, &conf, err);
    if (!rc)
        rc = read_endpoints(pool, &w, &conf, err);
    if (!rc)
        *ret = conf;
    return rc;
}
