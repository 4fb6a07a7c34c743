// SPDX-License-Identifier: Apache-2.0
#include "store/audit_chain.h"

#include "base/buf.h"

#define SLOTS 16 /* writers are spread over so many chains, where there are as many */
#define COLUMNS "chain, chains, head, base, lines, removed, seal, keep_days"
#define WORKSPACE_COLUMN 8 /* behind these, where it is asked for */
#define SELECT_ONE "SELECT " COLUMNS " FROM audit_chain WHERE workspace_id = $1 AND chain = $2"
/* the slot's, or the first where there is no such one */
#define SELECT_OWN                                                                                 \
    "SELECT " COLUMNS " FROM audit_chain WHERE workspace_id = $1 AND chain IN (0, $2)"             \
    " ORDER BY chain DESC LIMIT 1"
#define SELECT_ALL "SELECT " COLUMNS " FROM audit_chain WHERE workspace_id = $1 ORDER BY chain"

static const struct sql read_chain = SQL(SELECT_ONE);
static const struct sql lock_chain = {.sqlite = SELECT_ONE, .pg = SELECT_ONE " FOR UPDATE"};
static const struct sql lock_own = {.sqlite = SELECT_OWN, .pg = SELECT_OWN " FOR UPDATE"};
static const struct sql lock_all = {.sqlite = SELECT_ALL, .pg = SELECT_ALL " FOR UPDATE"};
static const struct sql page =
    SQL("SELECT " COLUMNS ", workspace_id FROM audit_chain WHERE (workspace_id, chain) > ($1, $2)"
        " AND chain >= 0 ORDER BY workspace_id, chain LIMIT $3");
static const struct sql next_of =
    SQL("SELECT " COLUMNS ", workspace_id FROM audit_chain WHERE workspace_id ="
        " (SELECT min(workspace_id) FROM audit_chain WHERE workspace_id > $1) ORDER BY chain");
/* how many a new workspace gets: as many as writers are likely to be at work in it */
static const struct sql how_many = {.sqlite = "SELECT 1", .pg = "SELECT 16"};
static const struct sql insert_chain = SQL("INSERT INTO audit_chain (workspace_id, " COLUMNS
                                           ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
static const struct sql update_chain =
    SQL("UPDATE audit_chain SET chains = $3, head = $4, base = $5, lines = $6, removed = $7,"
        " seal = $8, keep_days = $9 WHERE workspace_id = $1 AND chain = $2");

/* What is sealed, without padding. */
struct sealed {
    int64_t workspace;
    int64_t lines;
    int64_t removed;
    int64_t keep_days;
    uint8_t head[SHA256_LEN];
    uint8_t base[SHA256_LEN];
};

/* The same where there are several; a seal of an only chain is as it was before there could be. */
struct sealed_of_many {
    struct sealed one;
    int64_t chain;
    int64_t chains;
};

static void
make_seal(const struct tx *tx, int64_t workspace, const struct audit_chain *ch,
          uint8_t out[SHA256_LEN])
{
    bool only = ch->chain == 0 && ch->chains == 1;
    struct sealed_of_many s = {
        .one = {.workspace = workspace,
                .lines = ch->lines,
                .removed = ch->removed,
                .keep_days = ch->keep_days},
        .chain = ch->chain,
        .chains = ch->chains,
    };

    BUG_ON(!tx->audit_key);
    memcpy(s.one.head, ch->head, SHA256_LEN);
    memcpy(s.one.base, ch->base, SHA256_LEN);
    crypto_hmac(tx->audit_key, &s, only ? sizeof(s.one) : sizeof(s), out);
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

static void
read_row(struct tx *tx, int64_t workspace, struct db_cursor *c, struct audit_chain *ret)
{
    uint8_t stored[SHA256_LEN], right[SHA256_LEN];

    ret->chain = db_col_int(c, 0);
    ret->chains = db_col_int(c, 1);
    audit_chain_col(c, 2, ret->head);
    audit_chain_col(c, 3, ret->base);
    ret->lines = db_col_int(c, 4);
    ret->removed = db_col_int(c, 5);
    audit_chain_col(c, 6, stored);
    ret->keep_days = db_col_int(c, 7);
    make_seal(tx, workspace, ret, right);
    ret->sealed = crypto_equal(stored, right, SHA256_LEN);
}

static enum rc
answer(struct tx *tx, int64_t workspace, int64_t chain, struct db_cursor *c,
       struct audit_chain *ret, struct err *err)
{
    enum rc rc = db_first(c, err);

    *ret = (struct audit_chain){.chain = chain, .chains = 1};
    if (!rc)
        read_row(tx, workspace, c, ret);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc
read_one(struct tx *tx, const struct sql *sql, int64_t workspace, int64_t chain,
         struct audit_chain *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query(tx->conn, sql, DB_ARGS(db_int(workspace), db_int(chain)), &c, err);

    return rc ? rc : answer(tx, workspace, chain, c, ret, err);
}

enum rc
audit_chain_read(struct tx *tx, int64_t workspace, int64_t chain, struct audit_chain *ret,
                 struct err *err)
{
    return read_one(tx, &read_chain, workspace, chain, ret, err);
}

enum rc
audit_chain_lock(struct tx *tx, int64_t workspace, int64_t chain, struct audit_chain *ret,
                 struct err *err)
{
    return read_one(tx, &lock_chain, workspace, chain, ret, err);
}

enum rc
audit_chain_own(struct tx *tx, int64_t workspace, struct audit_chain *ret, struct err *err)
{
    return read_one(tx, &lock_own, workspace, tx->slot % SLOTS, ret, err);
}

enum rc
audit_chain_ask_own(struct tx *tx, int64_t workspace, struct db_cursor **ret, struct err *err)
{
    return db_query(tx->conn, &lock_own, DB_ARGS(db_int(workspace), db_int(tx->slot % SLOTS)), ret,
                    err);
}

enum rc
audit_chain_answer(struct tx *tx, int64_t workspace, struct db_cursor *asked,
                   struct audit_chain *ret, struct err *err)
{
    return answer(tx, workspace, tx->slot % SLOTS, asked, ret, err);
}

enum rc
audit_chain_lock_all(struct tx *tx, int64_t workspace, struct audit_chain *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc = db_query(tx->conn, &lock_all, DB_ARGS(db_int(workspace)), &c, err);

    *ret = (struct audit_chain){.chains = 1};
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        if (db_col_int(c, 0) == 0 || db_col_int(c, 0) == tx->slot % SLOTS)
            read_row(tx, workspace, c, ret);
    }
    return rc;
}

/* The columns of `ch` as parameters; `seal` is for its seal. */
#define CHAIN_VALUES(workspace, ch, seal)                                                          \
    DB_ARGS(db_int(workspace), db_int((ch)->chain), db_int((ch)->chains),                          \
            db_blob((ch)->head, SHA256_LEN), db_blob((ch)->base, SHA256_LEN), db_int((ch)->lines), \
            db_int((ch)->removed), db_blob(seal, SHA256_LEN), db_int((ch)->keep_days))

/* One that fits nothing when it is not to be sealed. */
static void
seal_of(const struct tx *tx, int64_t workspace, const struct audit_chain *ch,
        uint8_t out[SHA256_LEN])
{
    memset(out, 0, SHA256_LEN);
    if (ch->sealed)
        make_seal(tx, workspace, ch, out);
}

enum rc
audit_chain_insert(struct tx *tx, int64_t workspace, const struct audit_chain *ch, struct err *err)
{
    uint8_t seal[SHA256_LEN];

    seal_of(tx, workspace, ch, seal);
    return db_exec_later(tx->conn, &insert_chain, CHAIN_VALUES(workspace, ch, seal), err);
}

enum rc
audit_chain_usual(struct tx *tx, int64_t *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &how_many, DB_NO_ARGS, &c, err);

    if (!rc)
        *ret = db_col_int(c, 0);
    return rc;
}

enum rc
audit_chain_begin(struct tx *tx, int64_t workspace, int64_t keep_days, struct err *err)
{
    struct audit_chain ch = {.sealed = true, .keep_days = keep_days};
    enum rc rc = audit_chain_usual(tx, &ch.chains, err);

    for (; ch.chain < ch.chains && !rc; ch.chain++)
        rc = audit_chain_insert(tx, workspace, &ch, err);
    return rc;
}

enum rc
audit_chain_write(struct tx *tx, int64_t workspace, const struct audit_chain *ch, struct err *err)
{
    uint8_t seal[SHA256_LEN];
    int64_t changed;
    enum rc rc;

    seal_of(tx, workspace, ch, seal);
    /* one of many writers holds the row, so knows that it is there, and need not wait to hear so */
    if (tx->turn && tx->mark)
        return db_exec_later(tx->conn, &update_chain, CHAIN_VALUES(workspace, ch, seal), err);
    rc = db_exec(tx->conn, &update_chain, CHAIN_VALUES(workspace, ch, seal), &changed, err);
    if (!rc && changed != 1)
        rc = err_set(err, RC_INTERNAL, "no chain of audit lines");
    return rc;
}

static enum rc
read_list(struct tx *tx, const struct sql *sql, const struct db_value *values, size_t n_values,
          struct audit_chain_at **ret, size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct audit_chain_at *list = NULL;
    bool row = true;
    size_t n = 0;
    enum rc rc = db_query(tx->conn, sql, values, n_values, &c, err);

    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        list = talloc_realloc(tx->pool, list, struct audit_chain_at, (unsigned)n + 1);
        BUG_ON(!list);
        list[n].workspace = db_col_int(c, WORKSPACE_COLUMN);
        read_row(tx, list[n].workspace, c, &list[n].chain);
        n++;
    }
    *ret = list;
    *ret_n = n;
    return rc;
}

enum rc
audit_chain_page(struct tx *tx, int64_t workspace, int64_t chain, int64_t max,
                 struct audit_chain_at **ret, size_t *ret_n, struct err *err)
{
    return read_list(tx, &page, DB_ARGS(db_int(workspace), db_int(chain), db_int(max)), ret, ret_n,
                     err);
}

enum rc
audit_chain_next_of(struct tx *tx, int64_t after, struct audit_chain_at **ret, size_t *ret_n,
                    struct err *err)
{
    return read_list(tx, &next_of, DB_ARGS(db_int(after)), ret, ret_n, err);
}

/* As the tables were then: one chain a workspace. */
static const struct sql unsealed_after =
    SQL("SELECT workspace_id, head, base, lines, removed, keep_days FROM audit_chain"
        " WHERE workspace_id > $1 ORDER BY workspace_id LIMIT 1");
static const struct sql seal_one = SQL("UPDATE audit_chain SET seal = $2 WHERE workspace_id = $1");

enum rc
audit_chain_seal_all(struct tx *tx, struct err *err)
{
    uint8_t seal[SHA256_LEN];
    int64_t workspace = 0;
    enum rc rc;

    for (;;) {
        SCOPED(db_cursor) c = NULL;
        struct audit_chain ch = {.chains = 1};

        rc = db_query_one(tx->conn, &unsealed_after, DB_ARGS(db_int(workspace)), &c, err);
        if (rc)
            return rc == RC_NOT_FOUND ? RC_OK : rc;
        workspace = db_col_int(c, 0);
        audit_chain_col(c, 1, ch.head);
        audit_chain_col(c, 2, ch.base);
        ch.lines = db_col_int(c, 3);
        ch.removed = db_col_int(c, 4);
        ch.keep_days = db_col_int(c, 5);
        make_seal(tx, workspace, &ch, seal);
        db_cursor_free(&c); /* the write below may not meet a statement under way */
        rc = db_exec(tx->conn, &seal_one, DB_ARGS(db_int(workspace), db_blob(seal, SHA256_LEN)),
                     NULL, err);
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
