// SPDX-License-Identifier: Apache-2.0
#include "store/audit_verify.h"

static const struct sql beyond =
    SQL("SELECT 1 FROM audit WHERE workspace_id = $1 AND chain >= $2 UNION ALL"
        " SELECT 1 FROM audit_head WHERE workspace_id = $1 AND chain >= $2 UNION ALL"
        " SELECT 1 FROM audit_chain WHERE workspace_id = $1 AND chain >= $2 LIMIT 1");

struct walk {
    struct audit_chain chain;
    int64_t chains; /* as the first one says */
    struct audit_head *heads;
    size_t n_heads, next_head;
    const struct audit_claim *claim;
    TALLOC_CTX *pool;
    int64_t at;               /* the number of the line before */
    uint8_t hash[SHA256_LEN]; /* and its hash */
    struct audit_report *report;
};

const char *
audit_fault_name(enum audit_fault fault)
{
    static const char *const names[] = {
        [AUDIT_SEAL] = "seal",           [AUDIT_LINE] = "line", [AUDIT_END] = "end",
        [AUDIT_SIGNATURE] = "signature", [AUDIT_HEAD] = "head",
    };

    return names[fault];
}

/* The claim is about this chain. */
static bool
claimed(const struct walk *k)
{
    return k->claim->lines > 0 && k->claim->chain == k->chain.chain;
}

/* What is said of the line that the walk has come to agrees with it. */
static bool
agrees(struct walk *k)
{
    bool good =
        !claimed(k) || k->claim->lines != k->at || memcmp(k->claim->hash, k->hash, SHA256_LEN) == 0;

    while (k->next_head < k->n_heads && k->heads[k->next_head].lines <= k->at) {
        const struct audit_head *h = &k->heads[k->next_head++];

        k->report->heads++;
        if (h->lines == k->at && memcmp(h->hash, k->hash, SHA256_LEN) != 0)
            good = false;
    }
    if (!good)
        k->report->fault = AUDIT_HEAD;
    return good;
}

static bool
visit(void *arg, const struct audit_line *l, const uint8_t stored[SHA256_LEN])
{
    struct walk *k = arg;

    k->report->lines++;
    k->report->broken_at = l->id;
    audit_chain_hash(k->pool, k->hash, l, k->hash);
    k->at++;
    if (l->seq != k->at || memcmp(k->hash, stored, SHA256_LEN) != 0) {
        k->report->fault = AUDIT_LINE;
        return false;
    }
    return agrees(k);
}

static void
check_signatures(struct walk *k, const char *public_id, const uint8_t key[ED25519_PUBLIC_LEN])
{
    for (size_t i = 0; i < k->n_heads; i++) {
        if (!audit_head_good(&k->heads[i], public_id, key))
            k->report->fault = AUDIT_SIGNATURE;
    }
}

static enum rc
prepare(struct tx *tx, int64_t workspace, struct walk *k, struct err *err)
{
    enum rc rc = audit_head_list(tx, workspace, k->chain.chain, &k->heads, &k->n_heads, err);

    if (!rc && claimed(k) && k->claim->lines < k->chain.removed)
        rc = err_set(err, RC_INVALID, "line %lld is past its retention; %lld is the first left",
                     (long long)k->claim->lines, (long long)k->chain.removed + 1);
    k->at = k->chain.removed;
    memcpy(k->hash, k->chain.base, SHA256_LEN);
    return rc;
}

/* A cut tail leaves good lines that end elsewhere than the state, a head or a claim says. */
static void
check_end(struct walk *k)
{
    if (k->at != k->chain.lines || memcmp(k->hash, k->chain.head, SHA256_LEN) != 0)
        k->report->fault = AUDIT_END;
    else if (k->next_head < k->n_heads || (claimed(k) && k->claim->lines > k->at))
        k->report->fault = AUDIT_HEAD;
}

static enum rc
verify_chain(struct tx *tx, const struct workspace *w, const uint8_t key[ED25519_PUBLIC_LEN],
             struct walk *k, struct err *err)
{
    struct audit_report *ret = k->report;
    enum rc rc = prepare(tx, w->number, k, err);

    if (rc)
        return rc;
    if (agrees(k))
        rc = audit_each(tx, w->number, k->chain.chain, visit, k, err);
    if (!rc && ret->fault == AUDIT_INTACT)
        check_end(k);
    if (!rc && ret->fault == AUDIT_INTACT)
        check_signatures(k, w->public_id, key);
    if (!rc && ret->fault == AUDIT_INTACT && (!k->chain.sealed || k->chain.chains != k->chains))
        ret->fault = AUDIT_SEAL;
    return rc;
}

/* Lines and heads of chains that the first chain does not know of were put there by others. */
static enum rc
look_beyond(struct tx *tx, int64_t workspace, int64_t chains, struct audit_report *ret,
            struct err *err)
{
    bool any = false;
    enum rc rc =
        db_exists(tx->conn, &beyond, DB_ARGS(db_int(workspace), db_int(chains)), &any, err);

    if (any)
        ret->fault = AUDIT_SEAL;
    return rc;
}

enum rc
audit_verify(struct tx *tx, const struct workspace *w, const uint8_t key[ED25519_PUBLIC_LEN],
             const struct audit_claim *claim, struct audit_report *ret, struct err *err)
{
    int64_t chains = 1;
    enum rc rc = RC_OK;

    memset(ret, 0, sizeof(*ret));
    for (int64_t i = 0; i < chains && !rc && ret->fault == AUDIT_INTACT; i++) {
        SCOPED_POOL(pool);
        struct walk k = {.claim = claim, .pool = pool, .report = ret};

        rc = audit_chain_read(tx, w->number, i, &k.chain, err);
        if (!rc && i == 0)
            chains = k.chain.chains;
        k.chains = chains;
        if (!rc)
            rc = verify_chain(tx, w, key, &k, err);
    }
    if (!rc && ret->fault == AUDIT_INTACT)
        rc = look_beyond(tx, w->number, chains, ret, err);
    return rc;
}
