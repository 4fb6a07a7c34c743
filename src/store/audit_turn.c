// SPDX-License-Identifier: Apache-2.0
#include "store/audit_turn.h"

#include "store/usage.h"

static int
forget(struct audit_turn *turn)
{
    db_cursor_free(&turn->asked_);
    return 0;
}

enum rc
audit_turn_take(struct tx *tx, int64_t workspace, bool sole, struct err *err)
{
    struct audit_turn *turn = MEM_NEW(tx->pool, struct audit_turn);

    turn->workspace = workspace;
    talloc_set_destructor(turn, forget);
    tx->turn = turn;
    return sole ? audit_chain_lock_all(tx, workspace, &turn->chain, err)
                : audit_chain_ask_own(tx, workspace, &turn->asked_, err);
}

enum rc
audit_turn_read(struct tx *tx, int64_t workspace, struct audit_turn **ret, struct err *err)
{
    struct audit_turn *turn = tx->turn && tx->turn->workspace == workspace ? tx->turn : NULL;
    enum rc rc = RC_OK;

    if (turn && turn->asked_) {
        rc = audit_chain_answer(tx, workspace, turn->asked_, &turn->chain, err);
        db_cursor_free(&turn->asked_);
    }
    *ret = turn;
    return rc;
}

enum rc
audit_turn_end(struct tx *tx, struct err *err)
{
    struct audit_turn *turn = tx->turn;
    enum rc rc = RC_OK;

    if (turn->documents || turn->bytes)
        rc = usage_settle(tx, turn->workspace, err);
    if (!rc && turn->changed)
        rc = audit_chain_write(tx, turn->workspace, &turn->chain, err);
    return rc;
}
