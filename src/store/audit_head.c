// SPDX-License-Identifier: Apache-2.0
#include "store/audit_head.h"

#include "base/clock.h"

#define COLUMNS "lines, hash, signed_at, signature, chain"

static const struct sql insert =
    SQL("INSERT INTO audit_head (workspace_id, " COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6)");
static const struct sql last = SQL("SELECT " COLUMNS " FROM audit_head WHERE workspace_id = $1"
                                   " AND chain = $2 ORDER BY lines DESC LIMIT 1");
static const struct sql oldest_first =
    SQL("SELECT " COLUMNS " FROM audit_head WHERE workspace_id = $1 AND chain = $2 ORDER BY lines");
static const struct sql count =
    SQL("SELECT count(*) FROM audit_head WHERE workspace_id = $1 AND chain = $2");
static const struct sql remove_below =
    SQL("DELETE FROM audit_head WHERE workspace_id = $1 AND chain = $2 AND lines < $3");

static void
read_row(struct db_cursor *c, struct audit_head *h)
{
    size_t len = 0;
    const void *signature = db_col_blob(c, 3, &len);

    *h = (struct audit_head){
        .chain = db_col_int(c, 4), .lines = db_col_int(c, 0), .signed_ms = db_col_int(c, 2)};
    audit_chain_col(c, 1, h->hash);
    if (signature && len == ED25519_LEN)
        memcpy(h->signature, signature, ED25519_LEN);
}

/* The text that is signed, in `pool`. */
static const char *
statement(TALLOC_CTX *pool, const struct audit_head *h, const char *public_id)
{
    char hash[SHA256_HEX_LEN], when[CLOCK_TEXT_LEN];

    crypto_hex(h->hash, SHA256_LEN, hash);
    clock_format(h->signed_ms, when);
    if (h->chain > 0)
        return mem_printf(pool, "dossier audit head 2\n%s\n%lld\n%lld\n%s\n%s\n", public_id,
                          (long long)h->chain, (long long)h->lines, hash, when);
    return mem_printf(pool, "dossier audit head 1\n%s\n%lld\n%s\n%s\n", public_id,
                      (long long)h->lines, hash, when);
}

static enum rc
read_last(struct tx *tx, int64_t workspace, int64_t chain, struct audit_head *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &last, DB_ARGS(db_int(workspace), db_int(chain)), &c, err);

    *ret = (struct audit_head){.chain = chain};
    if (!rc)
        read_row(c, ret);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc
audit_head_sign(struct tx *tx, const struct workspace *w, int64_t chain,
                const uint8_t seed[SHA256_LEN], struct audit_head *ret, bool *ret_new,
                struct err *err)
{
    struct audit_chain ch;
    const char *text;
    enum rc rc;

    *ret_new = false;
    rc = audit_chain_lock(tx, w->number, chain, &ch, err);
    if (!rc)
        rc = read_last(tx, w->number, chain, ret, err);
    if (rc)
        return rc;
    if (!ch.sealed)
        return err_set(err, RC_CONFLICT,
                       "the audit trail of %s has a broken seal and is not signed; `dossier audit "
                       "verify` tells more",
                       w->public_id);
    if (ch.lines == ret->lines)
        return RC_OK;
    *ret = (struct audit_head){.chain = chain, .lines = ch.lines, .signed_ms = tx->now_ms};
    memcpy(ret->hash, ch.head, SHA256_LEN);
    text = statement(tx->pool, ret, w->public_id);
    crypto_ed25519_sign(seed, text, strlen(text), ret->signature);
    *ret_new = true;
    return db_exec(tx->conn, &insert,
                   DB_ARGS(db_int(w->number), db_int(ret->lines), db_blob(ret->hash, SHA256_LEN),
                           db_int(ret->signed_ms), db_blob(ret->signature, ED25519_LEN),
                           db_int(chain)),
                   NULL, err);
}

char *
audit_head_text(TALLOC_CTX *pool, const struct audit_head *head)
{
    char hash[SHA256_HEX_LEN];

    crypto_hex(head->hash, SHA256_LEN, hash);
    if (head->chain == 0)
        return mem_printf(pool, "%lld:%s", (long long)head->lines, hash);
    return mem_printf(pool, "%lld/%lld:%s", (long long)head->chain, (long long)head->lines, hash);
}

static enum rc
count_all(struct tx *tx, int64_t workspace, int64_t chain, size_t *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &count, DB_ARGS(db_int(workspace), db_int(chain)), &c, err);

    *ret = rc ? 0 : (size_t)db_col_int(c, 0);
    return rc;
}

enum rc
audit_head_list(struct tx *tx, int64_t workspace, int64_t chain, struct audit_head **ret,
                size_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    size_t n = 0;
    bool row = true;
    enum rc rc;

    *ret_n = 0;
    rc = count_all(tx, workspace, chain, &n, err);
    *ret = MEM_ARRAY(tx->pool, struct audit_head, n + 1);
    if (!rc)
        rc = db_query(tx->conn, &oldest_first, DB_ARGS(db_int(workspace), db_int(chain)), &c, err);
    while (!rc && *ret_n < n && (rc = db_next(c, &row, err)) == RC_OK && row)
        read_row(c, &(*ret)[(*ret_n)++]);
    return rc;
}

bool
audit_head_good(const struct audit_head *head, const char *public_id,
                const uint8_t key[ED25519_PUBLIC_LEN])
{
    SCOPED_POOL(pool);
    const char *text = statement(pool, head, public_id);

    return crypto_ed25519_verify(key, text, strlen(text), head->signature);
}

enum rc
audit_head_trim(struct tx *tx, int64_t workspace, int64_t chain, struct err *err)
{
    struct audit_chain ch;
    enum rc rc = audit_chain_read(tx, workspace, chain, &ch, err);

    return rc ? rc
              : db_exec(tx->conn, &remove_below,
                        DB_ARGS(db_int(workspace), db_int(chain), db_int(ch.removed)), NULL, err);
}
