// SPDX-License-Identifier: Apache-2.0
#include "store/audit_chain.h"

#include "base/buf.h"

static const struct sql read_chain = SQL(
    "SELECT head, base, lines, removed, seal, keep_days FROM audit_chain WHERE workspace_id = $1");
static const struct sql insert_chain = SQL("INSERT INTO audit_chain"
                                           " (workspace_id, head, base, lines, removed, seal,"
                                           " keep_days) VALUES ($1, $2, $3, $4, $5, $6, $7)");
static const struct sql update_chain =
    SQL("UPDATE audit_chain SET head = $2, base = $3, lines = $4, removed = $5, seal = $6,"
        " keep_days = $7 WHERE workspace_id = $1");
static const struct sql next_after = SQL(
    "SELECT workspace_id FROM audit_chain WHERE workspace_id > $1 ORDER BY workspace_id LIMIT 1");

/* What is sealed, without padding. */
struct sealed {
    int64_t workspace;
    int64_t lines;
    int64_t removed;
    int64_t keep_days;
    uint8_t head[SHA256_LEN];
    uint8_t base[SHA256_LEN];
};

static void
make_seal(const struct tx *tx, int64_t workspace, const struct audit_chain *ch,
          uint8_t out[SHA256_LEN])
{
    struct sealed s = {.workspace = workspace,
                       .lines = ch->lines,
                       .removed = ch->removed,
                       .keep_days = ch->keep_days};

    BUG_ON(!tx->audit_key);
    memcpy(s.head, ch->head, SHA256_LEN);
    memcpy(s.base, ch->base, SHA256_LEN);
    crypto_hmac(tx->audit_key, &s, sizeof(s), out);
}

void
audit_chain_col(struct db_cursor *c, int col, uint8_t out[SHA256_LEN])
{
    size_t len = 0;
    const void *p = db_col_blob(c, col, &len);

    memset(out, 0, SHA256_LEN);
    if (p && len == SHA256_LEN)
        memcpy(out, p, SHA256_LEN);
}

enum rc
audit_chain_read(struct tx *tx, int64_t workspace, struct audit_chain *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    uint8_t stored[SHA256_LEN], right[SHA256_LEN];
    enum rc rc = db_query_one(tx->conn, &read_chain, DB_ARGS(db_int(workspace)), &c, err);

    memset(ret, 0, sizeof(*ret));
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    if (rc)
        return rc;
    audit_chain_col(c, 0, ret->head);
    audit_chain_col(c, 1, ret->base);
    ret->lines = db_col_int(c, 2);
    ret->removed = db_col_int(c, 3);
    audit_chain_col(c, 4, stored);
    ret->keep_days = db_col_int(c, 5);
    make_seal(tx, workspace, ret, right);
    ret->sealed = crypto_equal(stored, right, SHA256_LEN);
    return RC_OK;
}

static enum rc
put(struct tx *tx, const struct sql *sql, int64_t workspace, const struct audit_chain *ch,
    struct err *err)
{
    uint8_t seal[SHA256_LEN] = {0}; /* fits nothing */
    int64_t changed;
    enum rc rc;

    if (ch->sealed)
        make_seal(tx, workspace, ch, seal);
    rc = db_exec(tx->conn, sql,
                 DB_ARGS(db_int(workspace), db_blob(ch->head, SHA256_LEN),
                         db_blob(ch->base, SHA256_LEN), db_int(ch->lines), db_int(ch->removed),
                         db_blob(seal, SHA256_LEN), db_int(ch->keep_days)),
                 &changed, err);
    if (!rc && changed != 1)
        rc = err_set(err, RC_INTERNAL, "no chain of audit lines");
    return rc;
}

enum rc
audit_chain_begin(struct tx *tx, int64_t workspace, int64_t keep_days, struct err *err)
{
    struct audit_chain ch = {.sealed = true, .keep_days = keep_days};

    return put(tx, &insert_chain, workspace, &ch, err);
}

enum rc
audit_chain_write(struct tx *tx, int64_t workspace, const struct audit_chain *chain,
                  struct err *err)
{
    return put(tx, &update_chain, workspace, chain, err);
}

enum rc
audit_chain_seal_all(struct tx *tx, struct err *err)
{
    struct audit_chain ch;
    int64_t workspace = 0;
    enum rc rc;

    for (;;) {
        SCOPED(db_cursor) c = NULL;

        rc = db_query_one(tx->conn, &next_after, DB_ARGS(db_int(workspace)), &c, err);
        if (rc)
            return rc == RC_NOT_FOUND ? RC_OK : rc;
        workspace = db_col_int(c, 0);
        db_cursor_free(&c); /* the write below may not meet a statement under way */
        rc = audit_chain_read(tx, workspace, &ch, err);
        ch.sealed = true;
        if (!rc)
            rc = audit_chain_write(tx, workspace, &ch, err);
        if (rc)
            return rc;
    }
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

void
audit_chain_hash(TALLOC_CTX *pool, const uint8_t before[SHA256_LEN], const struct audit_line *l,
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
