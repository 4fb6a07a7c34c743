// SPDX-License-Identifier: Apache-2.0
#include "cmd/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/text.h"

#define LINE_MAX_BYTES ((size_t)GIB(1))
#define BLOCK (256 * 1024)
#define HEX_BYTES 256

struct rows_writer {
    const struct dump_table *table;
    char *path; /* NULL: only a hash */
    FILE *file;
    struct sha256 *hash;
    struct buf line;
    int64_t rows;
};

struct rows_reader {
    const struct dump_table *table;
    char *path;
    FILE *file;
    char *line; /* getline()'s */
    size_t room;
    int64_t at;
    TALLOC_CTX *pool; /* of the row */
    json_t *json;
};

static enum rc
failed(const char *verb, const char *path, struct err *err)
{
    SCOPED_POOL(pool);

    return err_errno(err, errno == ENOSPC ? RC_STORAGE_FULL : RC_IO,
                     mem_printf(pool, "cannot %s %s", verb, path));
}

/* ---- writing ---- */

enum rc
rows_create(const char *path, const struct dump_table *table, struct rows_writer **ret,
            struct err *err)
{
    struct rows_writer *w = MEM_NEW(NULL, struct rows_writer);
    int fd;

    w->table = table;
    w->hash = sha256_new();
    buf_init(&w->line, w, LINE_MAX_BYTES);
    if (path) {
        w->path = mem_strdup(w, path);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        w->file = fd < 0 ? NULL : fdopen(fd, "w");
        if (!w->file) {
            rows_writer_free(&w);
            return failed("write", path, err);
        }
        (void)setvbuf(w->file, NULL, _IOFBF, BLOCK);
    }
    *ret = w;
    return RC_OK;
}

static void
add_text(struct buf *b, const char *text)
{
    size_t plain;

    for (; *text; text += plain + 1) {
        for (plain = 0;
             (unsigned char)text[plain] >= 0x20 && text[plain] != '"' && text[plain] != '\\';)
            plain++;
        BUG_ON(!buf_append(b, text, plain));
        if (!text[plain])
            return;
        if (text[plain] == '"' || text[plain] == '\\')
            buf_printf(b, "\\%c", text[plain]);
        else
            buf_printf(b, "\\u%04x", (unsigned)text[plain]);
    }
}

static void
add_hex(struct buf *b, const uint8_t *bytes, size_t len)
{
    char hex[2 * HEX_BYTES + 1];

    for (size_t n; len > 0; bytes += n, len -= n) {
        n = len < HEX_BYTES ? len : HEX_BYTES;
        crypto_hex(bytes, n, hex);
        buf_puts(b, hex);
    }
}

static enum rc
add_value(struct rows_writer *w, const struct dump_column *column, const struct db_value *v,
          struct err *err)
{
    size_t chars;

    switch (v->type) {
    case DB_NULL:
        buf_puts(&w->line, "null");
        break;
    case DB_INT:
        buf_printf(&w->line, "%" PRId64, v->number);
        break;
    case DB_TEXT:
        if (!text_check(v->bytes, v->len, TEXT_CONTROLS | TEXT_BIDI, &chars))
            return err_set(err, RC_INVALID, "a %s in the table %s is no UTF-8", column->name,
                           w->table->name);
        buf_puts(&w->line, "\"");
        add_text(&w->line, v->bytes);
        buf_puts(&w->line, "\"");
        break;
    case DB_BLOB:
        buf_puts(&w->line, "\"");
        add_hex(&w->line, v->bytes, v->len);
        buf_puts(&w->line, "\"");
        break;
    }
    return RC_OK;
}

enum rc
rows_write(struct rows_writer *w, const struct db_value *row, struct err *err)
{
    enum rc rc = RC_OK;

    w->line.len = 0;
    for (size_t i = 0; i < w->table->n && !rc; i++) {
        buf_printf(&w->line, "%s\"%s\":", i ? "," : "{", w->table->columns[i].name);
        rc = add_value(w, &w->table->columns[i], &row[i], err);
    }
    if (rc)
        return rc;
    buf_puts(&w->line, "}\n");
    sha256_add(w->hash, w->line.bytes, w->line.len);
    w->rows++;
    if (w->file && fwrite(w->line.bytes, 1, w->line.len, w->file) != w->line.len)
        return failed("write", w->path, err);
    return RC_OK;
}

enum rc
rows_finish(struct rows_writer *w, struct rows_sum *ret, struct err *err)
{
    ret->rows = w->rows;
    sha256_done(&w->hash, ret->sha256);
    if (w->file && (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0))
        return failed("write", w->path, err);
    return RC_OK;
}

void
rows_writer_free(struct rows_writer **w)
{
    if (!*w)
        return;
    if ((*w)->file)
        (void)fclose((*w)->file);
    sha256_free(&(*w)->hash);
    (void)talloc_free(*w);
    *w = NULL;
}

/* ---- reading ---- */

static enum rc
open_file(const char *path, FILE **ret, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    *ret = fd < 0 ? NULL : fdopen(fd, "r");
    if (*ret) {
        (void)setvbuf(*ret, NULL, _IOFBF, BLOCK);
        return RC_OK;
    }
    return fd < 0 && errno == ENOENT ? err_set(err, RC_NOT_FOUND, "no %s", path)
                                     : failed("read", path, err);
}

enum rc
rows_open(const char *path, const struct dump_table *table, int64_t at, struct rows_reader **ret,
          struct err *err)
{
    struct rows_reader *r = MEM_NEW(NULL, struct rows_reader);
    enum rc rc;

    r->table = table;
    r->path = mem_strdup(r, path);
    r->at = at;
    rc = open_file(path, &r->file, err);
    if (!rc && fseeko(r->file, at, SEEK_SET) != 0)
        rc = failed("read", path, err);
    if (rc) {
        rows_reader_free(&r);
        return rc;
    }
    *ret = r;
    return RC_OK;
}

/* False: not a value of this type in our form. */
static bool
take_value(struct rows_reader *r, enum dump_type type, const json_t *from, struct db_value *ret)
{
    const char *text = json_string_value(from);
    size_t len = json_string_length(from);
    uint8_t *bytes;

    *ret = db_null();
    if (json_is_null(from))
        return true;
    if (type == DUMP_INT) {
        *ret = db_int(json_integer_value(from));
        return json_is_integer(from);
    }
    if (!text)
        return false;
    if (type == DUMP_TEXT) {
        *ret = db_text(text);
        return true;
    }
    bytes = mem_zalloc(r->pool, len / 2 + 1);
    *ret = db_blob(bytes, len / 2);
    return len % 2 == 0 && crypto_unhex(text, bytes, len / 2);
}

static bool
take_row(struct rows_reader *r, struct db_value *ret)
{
    bool good = json_object_size(r->json) == r->table->n;

    for (size_t i = 0; i < r->table->n && good; i++) {
        const json_t *from = json_object_get(r->json, r->table->columns[i].name);

        good = from && take_value(r, r->table->columns[i].type, from, &ret[i]);
    }
    return good;
}

enum rc
rows_read(struct rows_reader *r, const struct db_value **ret, struct err *err)
{
    struct db_value *row;
    ssize_t n;

    json_decref(r->json);
    r->json = NULL;
    base_pool_free(&r->pool);
    r->pool = base_pool_new(r);
    *ret = NULL;
    errno = 0;
    n = getline(&r->line, &r->room, r->file);
    if (n < 0)
        return ferror(r->file) || errno ? failed("read", r->path, err) : RC_OK;
    row = MEM_ARRAY(r->pool, struct db_value, r->table->n);
    if (r->line[n - 1] != '\n' || js_read(r->line, (size_t)n, &r->json, err) || !take_row(r, row))
        return err_set(err, RC_INVALID, "%s is damaged at byte %" PRId64, r->path, r->at);
    r->at += n;
    *ret = row;
    return RC_OK;
}

int64_t
rows_at(const struct rows_reader *r)
{
    return r->at;
}

void
rows_reader_free(struct rows_reader **r)
{
    if (!*r)
        return;
    json_decref((*r)->json);
    free((*r)->line);
    if ((*r)->file)
        (void)fclose((*r)->file);
    (void)talloc_free(*r);
    *r = NULL;
}

enum rc
rows_sum_file(const char *path, struct rows_sum *ret, struct err *err)
{
    SCOPED(sha256) hash = sha256_new();
    SCOPED_POOL(pool);
    char *block = mem_zalloc(pool, BLOCK);
    FILE *file = NULL;
    size_t n;
    enum rc rc = open_file(path, &file, err);

    if (rc)
        return rc;
    ret->rows = 0;
    while ((n = fread(block, 1, BLOCK, file)) > 0) {
        sha256_add(hash, block, n);
        for (size_t i = 0; i < n; i++)
            ret->rows += block[i] == '\n';
    }
    if (ferror(file))
        rc = failed("read", path, err);
    (void)fclose(file);
    sha256_done(&hash, ret->sha256);
    return rc;
}
