// SPDX-License-Identifier: Apache-2.0
#include "store/audit.h"

#include "base/buf.h"

#define COLUMNS                                                                                    \
    "id, action, resource_type, resource_id, key_id, user_id, request_id, address, details, hash"

static const struct sql insert = SQL("INSERT INTO audit (workspace_id, " COLUMNS
                                     ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
static const struct sql read_chain =
    SQL("SELECT head, base, lines, removed FROM audit_chain WHERE workspace_id = $1");
static const struct sql write_chain =
    SQL("INSERT INTO audit_chain (workspace_id, head, base, lines, removed)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (workspace_id) DO UPDATE SET"
        " head = excluded.head, base = excluded.base, lines = excluded.lines,"
        " removed = excluded.removed");
static const struct sql in_order =
    SQL("SELECT " COLUMNS " FROM audit WHERE workspace_id = $1 ORDER BY id");
static const struct sql nth_before =
    SQL("SELECT id, hash FROM audit WHERE workspace_id = $1 AND id < $2 ORDER BY id"
        " LIMIT 1 OFFSET $3");
static const struct sql count_before =
    SQL("SELECT count(*), min(id) FROM audit WHERE workspace_id = $1 AND id < $2");
static const struct sql remove_up_to =
    SQL("DELETE FROM audit WHERE workspace_id = $1 AND id <= $2");

/* State of a workspace's chain; all zero before the first line. */
struct chain {
    uint8_t head[SHA256_LEN]; /* hash of the last line */
    uint8_t base[SHA256_LEN]; /* hash of the last line that retention removed */
    int64_t lines;            /* ever written */
    int64_t removed;
};

static void
copy_hash(struct db_cursor *c, int col, uint8_t out[SHA256_LEN])
{
    size_t len = 0;
    const void *p = db_col_blob(c, col, &len);

    memset(out, 0, SHA256_LEN);
    if (p && len == SHA256_LEN)
        memcpy(out, p, SHA256_LEN);
}

static enum rc
chain_read(struct tx *tx, int64_t workspace, struct chain *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &read_chain, DB_ARGS(db_int(workspace)), &c, err);

    memset(ret, 0, sizeof(*ret));
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    if (rc)
        return rc;
    copy_hash(c, 0, ret->head);
    copy_hash(c, 1, ret->base);
    ret->lines = db_col_int(c, 2);
    ret->removed = db_col_int(c, 3);
    return RC_OK;
}

static enum rc
chain_write(struct tx *tx, int64_t workspace, const struct chain *ch, struct err *err)
{
    return db_exec(tx->conn, &write_chain,
                   DB_ARGS(db_int(workspace), db_blob(ch->head, SHA256_LEN),
                           db_blob(ch->base, SHA256_LEN), db_int(ch->lines), db_int(ch->removed)),
                   NULL, err);
}

/* Each member goes in with its length, so that no two different lines give the same bytes. */
static void
add_member(struct buf *b, const void *bytes, size_t len)
{
    uint32_t n = bytes ? (uint32_t)len : UINT32_MAX;

    BUG_ON(!buf_append(b, &n, sizeof(n)));
    if (bytes)
        BUG_ON(!buf_append(b, bytes, len));
}

static void
add_text(struct buf *b, const char *s)
{
    add_member(b, s, s ? strlen(s) : 0);
}

static void
line_hash(TALLOC_CTX *pool, const uint8_t before[SHA256_LEN], const struct audit_line *l,
          uint8_t out[SHA256_LEN])
{
    struct buf b;

    buf_init(&b, pool, (size_t)MIB(1));
    add_member(&b, before, SHA256_LEN);
    add_member(&b, &l->id, sizeof(l->id));
    add_text(&b, l->action);
    add_text(&b, l->resource_type);
    add_text(&b, l->resource_id);
    add_member(&b, l->key_id, sizeof(*l->key_id));
    add_member(&b, l->user_id, sizeof(*l->user_id));
    add_text(&b, l->request_id);
    add_text(&b, l->address);
    add_text(&b, l->details);
    crypto_sha256(b.bytes, b.len, out);
    (void)talloc_free(b.bytes);
}

enum rc
audit_append(struct tx *tx, int64_t workspace, const struct audit_line *line, struct err *err)
{
    struct audit_line l = *line;
    struct chain ch;
    enum rc rc;

    rc = chain_read(tx, workspace, &ch, err);
    if (rc)
        return rc;
    l.id = id_new();
    line_hash(tx->pool, ch.head, &l, ch.head);
    ch.lines++;
    rc = db_exec(tx->conn, &insert,
                 DB_ARGS(db_int(workspace), db_id(&l.id), db_text(l.action),
                         db_text(l.resource_type), db_text(l.resource_id), db_id(l.key_id),
                         db_id(l.user_id), db_text(l.request_id), db_text(l.address),
                         db_text(l.details), db_blob(ch.head, SHA256_LEN)),
                 NULL, err);
    if (rc)
        return rc;
    return chain_write(tx, workspace, &ch, err);
}

static const struct id *
col_id_or_null(struct db_cursor *c, int col, TALLOC_CTX *pool)
{
    struct id id;

    return db_col_id(c, col, &id) ? mem_dup(pool, &id, sizeof(id)) : NULL;
}

static void
read_line(struct db_cursor *c, TALLOC_CTX *pool, struct audit_line *l)
{
    (void)db_col_id(c, 0, &l->id);
    l->action = db_col_strdup(c, 1, pool);
    l->resource_type = db_col_strdup(c, 2, pool);
    l->resource_id = db_col_strdup(c, 3, pool);
    l->key_id = col_id_or_null(c, 4, pool);
    l->user_id = col_id_or_null(c, 5, pool);
    l->request_id = db_col_strdup(c, 6, pool);
    l->address = db_col_strdup(c, 7, pool);
    l->details = db_col_strdup(c, 8, pool);
}

/* Appends " AND column op $n" and its value. */
static void
add_condition(struct buf *where, struct db_value *values, size_t *n, const char *condition,
              struct db_value value)
{
    values[(*n)++] = value;
    buf_printf(where, " AND %s $%zu", condition, *n);
}

static void
build_where(const struct audit_filter *f, struct buf *where, struct db_value *values, size_t *n,
            struct id bounds[2])
{
    if (f->resource_id)
        add_condition(where, values, n, "resource_id =", db_text(f->resource_id));
    if (f->action)
        add_condition(where, values, n, "action =", db_text(f->action));
    if (f->resource_type)
        add_condition(where, values, n, "resource_type =", db_text(f->resource_type));
    if (f->from_ms >= 0) {
        bounds[0] = id_floor(f->from_ms);
        add_condition(where, values, n, "id >=", db_id(&bounds[0]));
    }
    if (f->to_ms >= 0) {
        bounds[1] = id_floor(f->to_ms);
        add_condition(where, values, n, "id <", db_id(&bounds[1]));
    }
}

static enum rc
count_matches(struct tx *tx, const char *where, const struct db_value *values, size_t n,
              int64_t *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct buf text;
    bool row;
    enum rc rc;

    buf_init(&text, tx->pool, 4096);
    buf_printf(&text, "SELECT count(*) FROM audit WHERE workspace_id = $1%s", where);
    rc = db_query_built(tx->conn, text.bytes, values, n, &c, err);
    if (!rc)
        rc = db_next(c, &row, err);
    if (!rc)
        *ret = db_col_int(c, 0);
    return rc;
}

enum rc
audit_list(struct tx *tx, int64_t workspace, const struct audit_filter *f, struct audit_line **ret,
           size_t *ret_n, int64_t *ret_total, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct db_value values[8] = {db_int(workspace)};
    struct audit_line *lines;
    struct buf where, text;
    struct id bounds[2];
    size_t n = 1, count = 0;
    bool row = false;
    enum rc rc;

    buf_init(&where, tx->pool, 2048);
    buf_init(&text, tx->pool, 4096);
    buf_puts(&where, "");
    build_where(f, &where, values, &n, bounds);
    rc = count_matches(tx, where.bytes, values, n, ret_total, err);
    if (rc)
        return rc;
    buf_printf(&text,
               "SELECT " COLUMNS " FROM audit WHERE workspace_id = $1%s"
               " ORDER BY id DESC LIMIT %lld OFFSET %lld",
               where.bytes, (long long)f->limit, (long long)f->offset);
    lines = MEM_ARRAY(tx->pool, struct audit_line, f->limit + 1);
    rc = db_query_built(tx->conn, text.bytes, values, n, &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row)
        read_line(c, tx->pool, &lines[count++]);
    *ret = lines;
    *ret_n = count;
    return rc;
}

enum rc
audit_verify(struct tx *tx, int64_t workspace, struct audit_report *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    uint8_t hash[SHA256_LEN], stored[SHA256_LEN];
    struct chain ch;
    bool row = true;
    enum rc rc;

    *ret = (struct audit_report){.intact = true};
    rc = chain_read(tx, workspace, &ch, err);
    if (!rc)
        rc = db_query(tx->conn, &in_order, DB_ARGS(db_int(workspace)), &c, err);
    memcpy(hash, ch.base, SHA256_LEN);
    while (!rc && ret->intact && (rc = db_next(c, &row, err)) == RC_OK && row) {
        SCOPED_POOL(pool);
        struct audit_line l = {0};

        read_line(c, pool, &l);
        line_hash(pool, hash, &l, hash);
        copy_hash(c, 9, stored);
        ret->lines++;
        ret->intact = memcmp(hash, stored, SHA256_LEN) == 0;
        ret->broken_at = l.id;
    }
    /* a cut tail leaves a good chain that ends elsewhere than the head says */
    if (!rc && ret->intact)
        ret->intact = memcmp(hash, ch.head, SHA256_LEN) == 0 && ret->lines == ch.lines - ch.removed;
    return rc;
}

enum rc
audit_trim(struct tx *tx, int64_t workspace, int64_t before_ms, int64_t max, int64_t *ret_n,
           struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct id bound = id_floor(before_ms), last;
    struct chain ch;
    int64_t n, oldest;
    enum rc rc;

    *ret_n = 0;
    rc = audit_count_before(tx, workspace, before_ms, &n, &oldest, err);
    if (rc || n == 0)
        return rc;
    n = n < max ? n : max;
    rc = db_query_one(tx->conn, &nth_before,
                      DB_ARGS(db_int(workspace), db_id(&bound), db_int(n - 1)), &c, err);
    if (!rc)
        rc = chain_read(tx, workspace, &ch, err);
    if (rc)
        return rc;
    (void)db_col_id(c, 0, &last);
    copy_hash(c, 1, ch.base);
    ch.removed += n;
    rc = db_exec(tx->conn, &remove_up_to, DB_ARGS(db_int(workspace), db_id(&last)), ret_n, err);
    return rc ? rc : chain_write(tx, workspace, &ch, err);
}

enum rc
audit_count_before(struct tx *tx, int64_t workspace, int64_t before_ms, int64_t *ret_n,
                   int64_t *ret_oldest_ms, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct id bound = id_floor(before_ms), oldest;
    enum rc rc;

    rc = db_query_one(tx->conn, &count_before, DB_ARGS(db_int(workspace), db_id(&bound)), &c, err);
    if (rc)
        return rc;
    *ret_n = db_col_int(c, 0);
    *ret_oldest_ms = db_col_id(c, 1, &oldest) ? id_time_ms(&oldest) : before_ms;
    return RC_OK;
}
