// SPDX-License-Identifier: Apache-2.0
#include "cmd/manifest.h"

#include <errno.h>

#include "base/js.h"
#include "cmd/copy.h"

#define KIND "dossier export"
#define TEXT_MAX 65536

static json_t *
hex_json(const uint8_t bytes[SHA256_LEN])
{
    char hex[SHA256_HEX_LEN];

    crypto_hex(bytes, SHA256_LEN, hex);
    return js_text(hex);
}

static json_t *
sum_json(const struct rows_sum *sum)
{
    json_t *out = json_object();

    js_set(out, "rows", json_integer(sum->rows));
    js_set(out, "sha256", hex_json(sum->sha256));
    return out;
}

static void
hash_json(const json_t *value, uint8_t out[SHA256_LEN])
{
    SCOPED_POOL(pool);
    size_t len;
    const char *text = js_write(pool, value, &len);

    crypto_sha256(text, len, out);
}

json_t *
manifest_json(struct manifest *m)
{
    json_t *out = json_object(), *tables = json_object();

    js_set(out, "kind", js_text(KIND));
    js_set(out, "format", json_integer(MANIFEST_FORMAT));
    for (size_t i = 0; i < DUMP_TABLES; i++)
        js_set(tables, dump_tables[i].name, sum_json(&m->tables[i]));
    js_set(tables, MANIFEST_HASHES, sum_json(&m->hashes));
    js_set(out, "tables", tables);
    js_set(out, "blobs", json_integer(m->blobs));
    js_set(out, "bytes", json_integer(m->bytes));
    js_set(out, "secret", hex_json(m->secret));
    hash_json(out, m->sha256);
    js_set(out, "sha256", hex_json(m->sha256));
    return out;
}

static bool
take_hex(const json_t *from, uint8_t out[SHA256_LEN])
{
    const char *text = json_string_value(from);

    return text && strlen(text) == 2 * SHA256_LEN && crypto_unhex(text, out, SHA256_LEN);
}

static bool
take_sum(const json_t *tables, const char *name, struct rows_sum *ret)
{
    const json_t *from = json_object_get(tables, name);

    ret->rows = json_integer_value(json_object_get(from, "rows"));
    return take_hex(json_object_get(from, "sha256"), ret->sha256);
}

/* False when anything is missing, or it is not what its own hash says. */
static bool
take(json_t *from, struct manifest *m)
{
    const json_t *tables = json_object_get(from, "tables");
    uint8_t right[SHA256_LEN];
    bool good = take_sum(tables, MANIFEST_HASHES, &m->hashes) &&
                take_hex(json_object_get(from, "secret"), m->secret) &&
                take_hex(json_object_get(from, "sha256"), m->sha256);

    for (size_t i = 0; i < DUMP_TABLES && good; i++)
        good = take_sum(tables, dump_tables[i].name, &m->tables[i]);
    m->blobs = json_integer_value(json_object_get(from, "blobs"));
    m->bytes = json_integer_value(json_object_get(from, "bytes"));
    if (!good || json_object_del(from, "sha256") != 0)
        return false;
    hash_json(from, right);
    return crypto_equal(right, m->sha256, SHA256_LEN);
}

static enum rc
read_text(TALLOC_CTX *pool, const char *dir, char **ret, size_t *ret_len, struct err *err)
{
    const char *path = home_path(pool, dir, COPY_MANIFEST);
    FILE *file = fopen(path, "re");

    if (!file && errno == ENOENT)
        return err_set(err, RC_INVALID,
                       "%s is no finished export: it has no " COPY_MANIFEST "; run `dossier export`"
                       " to its end",
                       dir);
    if (!file)
        return err_errno(err, RC_IO, path);
    *ret = mem_zalloc(pool, TEXT_MAX);
    *ret_len = fread(*ret, 1, TEXT_MAX, file);
    (void)fclose(file);
    return RC_OK;
}

static enum rc
damaged(const char *dir, struct err *err)
{
    return err_set(err, RC_IO, "%s/" COPY_MANIFEST " is damaged; export again", dir);
}

enum rc
manifest_read(const char *dir, struct manifest *ret, struct err *err)
{
    SCOPED_POOL(pool);
    json_auto_t *json = NULL;
    const char *kind;
    char *text = NULL;
    size_t len = 0;
    enum rc rc = read_text(pool, dir, &text, &len, err);

    *ret = (struct manifest){0};
    if (rc)
        return rc;
    if (js_read(text, len, &json, err))
        return damaged(dir, err);
    kind = json_string_value(json_object_get(json, "kind"));
    if (!kind || !streq(kind, KIND))
        return err_set(err, RC_INVALID, "%s is no export; if it is a backup, use `dossier restore`",
                       dir);
    if (json_integer_value(json_object_get(json, "format")) != MANIFEST_FORMAT)
        return err_set(err, RC_INVALID,
                       "%s is of a format this program does not know: use a newer one", dir);
    return take(json, ret) ? RC_OK : damaged(dir, err);
}

json_t *
manifest_counts(const struct manifest *m)
{
    json_t *out = json_object();

    for (size_t i = 0; i < DUMP_TABLES; i++)
        js_set(out, dump_tables[i].name, json_integer(m->tables[i].rows));
    return out;
}
