// SPDX-License-Identifier: Apache-2.0
#include "cmd/engines.h"

#include "base/text.h"

static bool
begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool
is_postgres(const char *database)
{
    return begins_with(database, "postgres://") || begins_with(database, "postgresql://");
}

static bool
is_s3(const char *blobs)
{
    return begins_with(blobs, "s3://");
}

enum rc
engines_check(const struct conf *conf, struct err *err)
{
    const char *database = conf_text(conf, CONF_DATABASE), *blobs = conf_text(conf, CONF_BLOBS);

    if (!streq(database, "sqlite") && !is_postgres(database))
        return err_set(err, RC_INVALID,
                       "--database is sqlite or postgres://USER:PASSWORD@HOST/NAME");
    if (!streq(blobs, "fs") && !is_s3(blobs))
        return err_set(err, RC_INVALID, "--blobs is fs or s3://BUCKET?endpoint=URL");
    return RC_OK;
}

bool
engines_embedded(const struct conf *conf)
{
    return !is_postgres(conf_text(conf, CONF_DATABASE));
}

bool
engines_remote(const struct conf *conf)
{
    return !engines_embedded(conf) || is_s3(conf_text(conf, CONF_BLOBS));
}

/* Host and path of a URL; the whole of what is none. */
static size_t
place_of(const char *url, const char **ret)
{
    const char *place = strstr(url, "://"), *at;
    size_t len;

    if (!place) {
        *ret = url;
        return strlen(url);
    }
    place += 3;
    len = strcspn(place, "?");
    at = memrchr(place, '@', strcspn(place, "/?"));
    if (at) {
        len -= (size_t)(at + 1 - place);
        place = at + 1;
    }
    *ret = place;
    return len;
}

static bool
agrees(const struct conf *conf, enum conf_option which, const char *other)
{
    const char *a, *b;
    size_t len = place_of(conf_text(conf, which), &a);

    return !conf->values[which].given || (len == place_of(other, &b) && memcmp(a, b, len) == 0);
}

enum rc
engines_agree(const struct conf *conf, const char *database, const char *blobs, const char *dir,
              struct err *err)
{
    bool same = agrees(conf, CONF_DATABASE, database);

    if (same && agrees(conf, CONF_BLOBS, blobs))
        return RC_OK;
    return err_set(err, RC_INVALID, "the server of %s has another --%s; give its own, or none", dir,
                   same ? "blobs" : "database");
}

/* Every value of a URL's query that is an absolute path. */
static size_t
files_of(TALLOC_CTX *pool, const char *url, const char **ret, size_t max)
{
    const char *p = strchr(url, '?');
    size_t found = 0;

    while (p && found < max) {
        size_t len = strcspn(++p, "&"), name = strcspn(p, "=&");
        char *value = NULL;

        if (name < len && text_unescape(pool, p + name + 1, len - name - 1, false, &value) &&
            value[0] == '/')
            ret[found++] = value;
        p = p[len] ? p + len : NULL;
    }
    return found;
}

void
engines_files(const struct conf *conf, TALLOC_CTX *pool, const char **ret, size_t max)
{
    size_t n = files_of(pool, conf_text(conf, CONF_DATABASE), ret, max);

    (void)files_of(pool, conf_text(conf, CONF_BLOBS), ret + n, max - n);
}

enum rc
engines_open_database(const struct conf *conf, const char *path, struct db **ret, struct err *err)
{
    return engines_embedded(conf) ? db_open_sqlite(path, ret, err)
                                  : db_open_postgres(conf_text(conf, CONF_DATABASE), ret, err);
}

enum rc
engines_open_blobs(const struct conf *conf, const char *dir, const char *spool,
                   struct blob_store **ret, struct err *err)
{
    const char *blobs = conf_text(conf, CONF_BLOBS);

    return is_s3(blobs) ? blob_store_open_s3(blobs, spool, ret, err)
                        : blob_store_open_fs(dir, ret, err);
}
