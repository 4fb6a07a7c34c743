// SPDX-License-Identifier: Apache-2.0
#include "store/dump_chain.h"

#include "store/audit_chain.h"

#define WORKSPACES 16 /* sealed in one transaction */

/* The columns of audit_chain in dump_tables, in their order. */
enum { WORKSPACE, CHAIN, HEAD, BASE, LINES, REMOVED, KEEP_DAYS, SEALED, COLUMNS };

/* The rows of a page. */
struct rows {
    TALLOC_CTX *pool;
    struct db_value *list;
    size_t n;
};

static void
add(struct rows *r, int64_t workspace, const struct audit_chain *ch)
{
    struct db_value *row;

    r->list = talloc_realloc(r->pool, r->list, struct db_value, (unsigned)((r->n + 1) * COLUMNS));
    BUG_ON(!r->list);
    row = &r->list[r->n++ * COLUMNS];
    row[WORKSPACE] = db_int(workspace);
    row[CHAIN] = db_int(ch->chain);
    row[HEAD] = db_blob(mem_dup(r->pool, ch->head, SHA256_LEN), SHA256_LEN);
    row[BASE] = db_blob(mem_dup(r->pool, ch->base, SHA256_LEN), SHA256_LEN);
    row[LINES] = db_int(ch->lines);
    row[REMOVED] = db_int(ch->removed);
    row[KEEP_DAYS] = db_int(ch->keep_days);
    row[SEALED] = db_int(ch->sealed);
}

/* The chains before `end` that have no row and should have one. */
static void
add_gaps(struct dump_walk *w, int64_t end, struct rows *r)
{
    if (end > w->chains)
        end = w->chains;
    for (; w->next < end; w->next++)
        add(r, w->workspace, &(struct audit_chain){.chain = w->next});
}

/* How many chains there are is believed to a first one with a good seal only. */
static void
enter(struct dump_walk *w, int64_t workspace, const struct audit_chain *ch, struct rows *r)
{
    w->workspace = workspace;
    w->chains = w->keep_days = 0;
    w->next = 1;
    if (ch->chain > 0)
        add(r, workspace, &(struct audit_chain){.chain = 0});
    else
        w->keep_days = ch->keep_days;
    if (ch->chain == 0 && ch->sealed)
        w->chains = ch->chains;
}

static void
pass(struct dump_walk *w, int64_t workspace, struct audit_chain *ch, struct rows *r)
{
    if (workspace != w->workspace || !w->begun) {
        add_gaps(w, INT64_MAX, r);
        enter(w, workspace, ch, r);
        w->begun = true;
    }
    if (ch->chain > 0) {
        add_gaps(w, ch->chain, r);
        if (w->chains > 0 && (ch->chains != w->chains || ch->chain >= w->chains))
            ch->sealed = false;
        w->next = ch->chain + 1;
        if (ch->sealed && ch->lines == 0 && ch->removed == 0 && ch->keep_days == w->keep_days)
            return; /* nothing in it yet: the other engine makes its own */
    }
    add(r, workspace, ch);
}

enum rc
dump_chain_next(struct tx *tx, struct dump_walk *w, struct db_value **ret, size_t *ret_n,
                struct err *err)
{
    struct rows r = {.pool = tx->pool};
    enum rc rc = RC_OK;

    while (!rc && r.n == 0 && !w->ended) {
        struct audit_chain_at *list = NULL;
        int64_t workspace = w->begun ? w->after[WORKSPACE].number : INT64_MIN;
        size_t n = 0;

        rc = audit_chain_page(tx, workspace, w->after[CHAIN].number, DUMP_PAGE, &list, &n, err);
        for (size_t i = 0; !rc && i < n; i++)
            pass(w, list[i].workspace, &list[i].chain, &r);
        w->ended = n < DUMP_PAGE;
        if (w->ended)
            add_gaps(w, INT64_MAX, &r);
        if (n > 0) {
            w->after[WORKSPACE] = db_int(list[n - 1].workspace);
            w->after[CHAIN] = db_int(list[n - 1].chain.chain);
        }
    }
    *ret = r.list;
    *ret_n = r.n;
    return rc;
}

/* It says that there are 0 chains until dump_chain_seal_some() has come by. */
enum rc
dump_chain_put(struct tx *tx, const struct db_value *row, struct err *err)
{
    struct audit_chain ch = {.chain = row[CHAIN].number,
                             .lines = row[LINES].number,
                             .removed = row[REMOVED].number,
                             .keep_days = row[KEEP_DAYS].number,
                             .sealed = row[SEALED].number == 1};

    if (row[HEAD].len != SHA256_LEN || row[BASE].len != SHA256_LEN)
        return err_set(err, RC_INVALID, "a chain of audit lines has no hash of 32 bytes");
    memcpy(ch.head, row[HEAD].bytes, SHA256_LEN);
    memcpy(ch.base, row[BASE].bytes, SHA256_LEN);
    return audit_chain_insert(tx, row[WORKSPACE].number, &ch, err);
}

/* Those that are not there are added empty, up to the last one that is good. */
static enum rc
adopt(struct tx *tx, int64_t workspace, struct audit_chain_at *list, size_t n, struct err *err)
{
    struct audit_chain empty = {.keep_days = list[0].chain.keep_days, .sealed = true};
    size_t at = 0;
    enum rc rc = audit_chain_usual(tx, &empty.chains, err);

    for (size_t i = 0; i < n; i++) {
        if (list[i].chain.sealed && list[i].chain.chain >= empty.chains)
            empty.chains = list[i].chain.chain + 1;
    }
    for (; at < n && !rc; at++) {
        struct audit_chain *ch = &list[at].chain;

        for (; empty.chain < ch->chain && empty.chain < empty.chains && !rc; empty.chain++)
            rc = audit_chain_insert(tx, workspace, &empty, err);
        empty.chain = ch->chain + 1;
        ch->chains = empty.chains;
        if (!rc)
            rc = audit_chain_write(tx, workspace, ch, err);
    }
    for (; empty.chain < empty.chains && !rc; empty.chain++)
        rc = audit_chain_insert(tx, workspace, &empty, err);
    return rc;
}

static enum rc
adopt_next(struct tx *tx, int64_t *after, struct err *err)
{
    struct audit_chain_at *list = NULL;
    size_t n = 0;
    enum rc rc = audit_chain_next_of(tx, *after, &list, &n, err);

    if (rc || n == 0) {
        *after = 0;
        return rc;
    }
    *after = list[0].workspace;
    return list[0].chain.chains == 0 ? adopt(tx, *after, list, n, err) : RC_OK;
}

enum rc
dump_chain_seal_some(struct tx *tx, int64_t *after, struct err *err)
{
    enum rc rc = RC_OK;

    for (int i = 0; i < WORKSPACES && !rc; i++) {
        rc = adopt_next(tx, after, err);
        if (*after == 0)
            break;
    }
    return rc;
}
