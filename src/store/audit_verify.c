// SPDX-License-Identifier: Apache-2.0
#include "store/audit_verify.h"

struct walk {
    struct audit_chain chain;
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

/* What is said of the line that the walk has come to agrees with it. */
static bool
agrees(struct walk *k)
{
    bool good = k->claim->lines != k->at || memcmp(k->claim->hash, k->hash, SHA256_LEN) == 0;

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
    enum rc rc = audit_chain_read(tx, workspace, &k->chain, err);

    if (!rc)
        rc = audit_head_list(tx, workspace, &k->heads, &k->n_heads, err);
    if (!rc && k->claim->lines > 0 && k->claim->lines < k->chain.removed)
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
    else if (k->next_head < k->n_heads || k->claim->lines > k->at)
        k->report->fault = AUDIT_HEAD;
}

enum rc
audit_verify(struct tx *tx, const struct workspace *w, const uint8_t key[ED25519_PUBLIC_LEN],
             const struct audit_claim *claim, struct audit_report *ret, struct err *err)
{
    SCOPED_POOL(pool);
    struct walk k = {.claim = claim, .pool = pool, .report = ret};
    enum rc rc;

    memset(ret, 0, sizeof(*ret));
    rc = prepare(tx, w->number, &k, err);
    if (rc)
        return rc;
    if (agrees(&k))
        rc = audit_each(tx, w->number, visit, &k, err);
    if (!rc && ret->fault == AUDIT_INTACT)
        check_end(&k);
    if (!rc && ret->fault == AUDIT_INTACT)
        check_signatures(&k, w->public_id, key);
    if (!rc && ret->fault == AUDIT_INTACT && !k.chain.sealed)
        ret->fault = AUDIT_SEAL;
    return rc;
}
