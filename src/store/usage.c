// SPDX-License-Identifier: Apache-2.0
#include "store/usage.h"

#include "store/audit_turn.h"

#define BYTES_MAX (INT64_MAX / 2) /* of a workspace without a quota: sums must not overflow */
#define BYTES_MANY GIB(4)         /* only so many at once can come near that */

static const struct sql read_totals = SQL("SELECT CAST(coalesce(sum(documents), 0) AS BIGINT),"
                                          " CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM usage"
                                          " WHERE workspace_id = $1");
static const struct sql read_pending =
    SQL("SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM purge WHERE workspace_id = $1");
static const struct sql add =
    SQL("INSERT INTO usage (workspace_id, slot, documents, bytes) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (workspace_id, slot) DO UPDATE SET"
        " documents = usage.documents + excluded.documents, bytes = usage.bytes + excluded.bytes");

/* What the transaction has not written yet; NULL: it writes at once. */
static struct audit_turn *
pending(const struct tx *tx, int64_t workspace)
{
    return tx->turn && tx->turn->workspace == workspace ? tx->turn : NULL;
}

enum rc
usage_totals(struct tx *tx, int64_t workspace, struct usage *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    const struct audit_turn *turn = pending(tx, workspace);
    enum rc rc = db_query_one(tx->conn, &read_totals, DB_ARGS(db_int(workspace)), &c, err);

    if (rc)
        return rc;
    ret->documents = db_col_int(c, 0) + (turn ? turn->documents : 0);
    ret->bytes = db_col_int(c, 1) + (turn ? turn->bytes : 0);
    return RC_OK;
}

enum rc
usage_read(struct tx *tx, int64_t workspace, struct usage *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc;

    rc = usage_totals(tx, workspace, ret, err);
    if (!rc)
        rc = db_query_one(tx->conn, &read_pending, DB_ARGS(db_int(workspace)), &c, err);
    if (!rc)
        ret->pending_purge_bytes = db_col_int(c, 0);
    return rc;
}

static enum rc
write_slot(struct tx *tx, int64_t workspace, int64_t slot, int64_t documents, int64_t bytes,
           struct err *err)
{
    return db_exec_later(tx->conn, &add,
                         DB_ARGS(db_int(workspace), db_int(slot), db_int(documents), db_int(bytes)),
                         err);
}

enum rc
usage_add(struct tx *tx, int64_t workspace, int64_t documents, int64_t bytes, struct err *err)
{
    struct audit_turn *turn = pending(tx, workspace);

    if (documents == 0 && bytes == 0)
        return RC_OK;
    if (!turn)
        return write_slot(tx, workspace, 0, documents, bytes, err);
    tx->deferred = true;
    turn->documents += documents;
    turn->bytes += bytes;
    return RC_OK;
}

enum rc
usage_settle(struct tx *tx, int64_t workspace, struct err *err)
{
    struct audit_turn *turn;
    enum rc rc = audit_turn_read(tx, workspace, &turn, err);

    /* the slot of its chain, which nobody else writes to */
    return rc ? rc
              : write_slot(tx, workspace, turn->chain.chain, turn->documents, turn->bytes, err);
}

enum rc
usage_claim(struct tx *tx, const struct workspace *w, int64_t documents, int64_t bytes,
            struct err *err)
{
    int64_t most = w->quota_bytes >= 0 ? w->quota_bytes : BYTES_MAX;
    struct usage now;
    enum rc rc;

    if (w->quota_bytes >= 0 || w->quota_documents >= 0 || bytes > BYTES_MANY) {
        rc = usage_totals(tx, w->number, &now, err);
        if (rc)
            return rc;
        if (bytes > 0 && bytes > most - now.bytes)
            return err_set(err, RC_QUOTA, "quota of %lld bytes", (long long)most);
        if (documents > 0 && w->quota_documents >= 0 &&
            documents > w->quota_documents - now.documents)
            return err_set(err, RC_QUOTA, "quota of %lld documents", (long long)w->quota_documents);
    }
    return usage_add(tx, w->number, documents, bytes, err);
}
