// SPDX-License-Identifier: Apache-2.0
#include "store/document.h"

#include "base/buf.h"
#include "base/text.h"
#include "store/digest.h"
#include "store/document_row.h"
#include "store/folder.h"

static const struct sql insert =
    SQL("INSERT INTO document (workspace_id, " DOCUMENT_COLUMNS
        ", search_text) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)");
#define BY_ID "SELECT " DOCUMENT_COLUMNS " FROM document WHERE workspace_id = $1 AND id = $2"
static const struct sql by_id[] = {
    [DOCUMENT_FREE] = SQL(BY_ID),
    [DOCUMENT_KEPT] = {.sqlite = BY_ID, .pg = BY_ID " FOR KEY SHARE"},
    [DOCUMENT_LOCKED] = {.sqlite = BY_ID, .pg = BY_ID " FOR UPDATE"},
};
static const struct sql by_path =
    SQL("SELECT " DOCUMENT_COLUMNS " FROM document WHERE workspace_id = $1 AND storage_path = $2");
static const struct sql by_blob =
    SQL("SELECT 1 FROM document WHERE workspace_id = $1 AND blob_id = $2");
static const struct sql with_blob = SQL_LARGE(
    "SELECT " DOCUMENT_COLUMNS " FROM document WHERE workspace_id = $1 AND blob_id IS NOT NULL"
    " ORDER BY blob_id");
static const struct sql update =
    SQL("UPDATE document SET name = $3, description = $4, mime_type = $5, folder = $6, tags = $7,"
        " updated_at = $8, search_text = $9 WHERE workspace_id = $1 AND id = $2");
static const struct sql attach =
    SQL("UPDATE document SET blob_id = $3, size_bytes = $4, sha256 = $5, updated_at = $6"
        " WHERE workspace_id = $1 AND id = $2");
static const struct sql tag_insert =
    SQL("INSERT INTO document_tag (workspace_id, tag, document_id) VALUES ($1, $2, $3)");
static const struct sql tag_delete =
    SQL("DELETE FROM document_tag WHERE workspace_id = $1 AND tag = $2 AND document_id = $3");
static const struct sql delete_row =
    SQL("DELETE FROM document WHERE workspace_id = $1 AND id = $2");
static const struct sql delete_links =
    SQL("DELETE FROM link WHERE workspace_id = $1 AND document_id = $2");
static const struct sql delete_references =
    SQL("DELETE FROM document_reference WHERE workspace_id = $1 AND document_id = $2");

void
document_row_tags(TALLOC_CTX *pool, const char *lines, const char ***ret, size_t *ret_n)
{
    char *copy = mem_strdup(pool, lines ? lines : ""), *line, *rest = copy;
    const char **tags;
    size_t n = 0;

    for (const char *p = copy; *p; p++)
        n += *p == '\n';
    tags = MEM_ARRAY(pool, const char *, n + 1);
    n = 0;
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (*line)
            tags[n++] = line;
    }
    *ret = tags;
    *ret_n = n;
}

void
document_row_read(struct db_cursor *c, TALLOC_CTX *pool, struct document *d)
{
    size_t len = 0;
    const void *sha;

    (void)db_col_id(c, 0, &d->id);
    d->name = db_col_strdup(c, 1, pool);
    d->description = db_col_strdup(c, 2, pool);
    d->mime_type = db_col_strdup(c, 3, pool);
    d->size_bytes = db_col_null(c, 4) ? -1 : db_col_int(c, 4);
    d->storage_path = db_col_strdup(c, 5, pool);
    d->folder = db_col_strdup(c, 6, pool);
    document_row_tags(pool, db_col_text(c, 7), &d->tags, &d->n_tags);
    (void)db_col_id(c, 8, &d->created_by);
    d->updated_ms = db_col_int(c, 9);
    d->has_blob = db_col_id(c, 10, &d->blob_id);
    memset(d->sha256, 0, sizeof(d->sha256));
    sha = db_col_blob(c, 11, &len);
    if (sha && len == SHA256_LEN)
        memcpy(d->sha256, sha, SHA256_LEN);
}

static char *
tag_lines(TALLOC_CTX *pool, const struct document *d)
{
    struct buf b;

    buf_init(&b, pool, (size_t)KIB(64));
    buf_puts(&b, "");
    for (size_t i = 0; i < d->n_tags; i++) {
        buf_puts(&b, i ? "\n" : "");
        buf_puts(&b, d->tags[i]);
    }
    return b.bytes;
}

static char *
search_text(TALLOC_CTX *pool, const struct document *d)
{
    return text_fold(pool, d->description ? mem_printf(pool, "%s\n%s", d->name, d->description)
                                          : d->name);
}

static enum rc
each_tag(struct tx *tx, int64_t workspace, const struct document *d, const struct sql *sql,
         struct err *err)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < d->n_tags && !rc; i++)
        rc = db_exec_later(tx->conn, sql,
                           DB_ARGS(db_int(workspace), db_text(d->tags[i]), db_id(&d->id)), err);
    return rc;
}

static struct db_value
hash_value(const uint8_t sha256[SHA256_LEN])
{
    return sha256_known(sha256) ? db_blob(sha256, SHA256_LEN) : db_null();
}

enum rc
document_insert(struct tx *tx, int64_t workspace, const struct document *d,
                struct db_cursor **folder, struct err *err)
{
    enum rc rc;

    rc = db_insert_later(
        tx->conn, &insert,
        DB_ARGS(db_int(workspace), db_id(&d->id), db_text(d->name), db_text(d->description),
                db_text(d->mime_type), d->size_bytes < 0 ? db_null() : db_int(d->size_bytes),
                db_text(d->storage_path), db_text(d->folder), db_text(tag_lines(tx->pool, d)),
                db_id(&d->created_by), db_int(d->updated_ms),
                d->has_blob ? db_id(&d->blob_id) : db_null(),
                d->has_blob ? hash_value(d->sha256) : db_null(), db_text(search_text(tx->pool, d))),
        RC_STORAGE_CONFLICT, err);
    if (!rc && d->folder)
        rc = folder_ensure(tx, workspace, d->folder, folder, err);
    if (!rc)
        rc = each_tag(tx, workspace, d, &tag_insert, err);
    return rc ? rc : digest_change(tx, workspace, NULL, d, err);
}

enum rc
document_ask(struct tx *tx, int64_t workspace, const struct id *id, enum document_hold hold,
             struct db_cursor **ret, struct err *err)
{
    return db_query(tx->conn, &by_id[hold], DB_ARGS(db_int(workspace), db_id(id)), ret, err);
}

enum rc
document_answer(struct tx *tx, struct db_cursor *asked, struct document *ret, struct err *err)
{
    enum rc rc = db_first(asked, err);

    if (!rc)
        document_row_read(asked, tx->pool, ret);
    return rc;
}

static enum rc
read_one(struct tx *tx, int64_t workspace, const struct id *id, enum document_hold hold,
         struct document *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = document_ask(tx, workspace, id, hold, &c, err);

    return rc ? rc : document_answer(tx, c, ret, err);
}

enum rc
document_read(struct tx *tx, int64_t workspace, const struct id *id, struct document *ret,
              struct err *err)
{
    return read_one(tx, workspace, id, DOCUMENT_FREE, ret, err);
}

enum rc
document_lock(struct tx *tx, int64_t workspace, const struct id *id, struct document *ret,
              struct err *err)
{
    return read_one(tx, workspace, id, DOCUMENT_LOCKED, ret, err);
}

enum rc
document_by_path(struct tx *tx, int64_t workspace, const char *storage_path, struct document *ret,
                 struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc =
        db_query(tx->conn, &by_path, DB_ARGS(db_int(workspace), db_text(storage_path)), &c, err);

    return rc ? rc : document_answer(tx, c, ret, err);
}

enum rc
document_has_blob(struct tx *tx, int64_t workspace, const struct id *blob_id, bool *ret,
                  struct err *err)
{
    return db_exists(tx->conn, &by_blob, DB_ARGS(db_int(workspace), db_id(blob_id)), ret, err);
}

enum rc
document_update(struct tx *tx, int64_t workspace, const struct document *before,
                const struct document *after, struct err *err)
{
    struct db_cursor *folder = NULL;
    enum rc rc;

    rc = each_tag(tx, workspace, before, &tag_delete, err);
    if (!rc)
        rc = each_tag(tx, workspace, after, &tag_insert, err);
    if (!rc && after->folder)
        rc = folder_ensure(tx, workspace, after->folder, &folder, err);
    if (rc)
        return rc;
    rc = db_exec_later(tx->conn, &update,
                       DB_ARGS(db_int(workspace), db_id(&after->id), db_text(after->name),
                               db_text(after->description), db_text(after->mime_type),
                               db_text(after->folder), db_text(tag_lines(tx->pool, after)),
                               db_int(after->updated_ms), db_text(search_text(tx->pool, after))),
                       err);
    return rc ? rc : digest_change(tx, workspace, before, after, err);
}

enum rc
document_attach(struct tx *tx, int64_t workspace, const struct id *id, const struct id *blob_id,
                int64_t size_bytes, const uint8_t sha256[SHA256_LEN], struct err *err)
{
    return db_exec(tx->conn, &attach,
                   DB_ARGS(db_int(workspace), db_id(id), db_id(blob_id), db_int(size_bytes),
                           hash_value(sha256), db_int(tx->now_ms)),
                   NULL, err);
}

enum rc
document_delete(struct tx *tx, int64_t workspace, const struct document *d, struct err *err)
{
    static const struct sql *const parts[] = {&delete_links, &delete_references, &delete_row};
    enum rc rc = each_tag(tx, workspace, d, &tag_delete, err);

    for (size_t i = 0; i < ARRAY_LEN(parts) && !rc; i++)
        rc = db_exec_later(tx->conn, parts[i], DB_ARGS(db_int(workspace), db_id(&d->id)), err);
    return rc ? rc : digest_change(tx, workspace, d, NULL, err);
}

enum rc
document_each_blob(struct tx *tx, int64_t workspace,
                   enum rc (*fn)(void *arg, const struct document *d, struct err *err), void *arg,
                   struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc;

    rc = db_query(tx->conn, &with_blob, DB_ARGS(db_int(workspace)), &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        SCOPED_POOL(pool);
        struct document d;

        document_row_read(c, pool, &d);
        rc = fn(arg, &d, err);
    }
    return rc;
}
