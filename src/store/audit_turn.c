// SPDX-License-Identifier: Apache-2.0
#include "store/audit_turn.h"

enum rc
audit_turn_take(struct tx *tx, int64_t workspace, bool sole, struct err *err)
{
    struct audit_turn *turn = MEM_NEW(tx->pool, struct audit_turn);
    enum rc rc = sole ? audit_chain_lock_all(tx, workspace, &turn->chain, err)
                      : audit_chain_own(tx, workspace, &turn->chain, err);

    turn->workspace = workspace;
    tx->turn = turn;
    return rc;
}
