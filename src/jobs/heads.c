// SPDX-License-Identifier: Apache-2.0
/*
 * heads: signs the ends of the audit trails that have grown, once an hour and when the server
 * stops, and logs them: whoever keeps the log elsewhere can tell later whether a trail is still
 * the one it was.
 */
#include "base/log.h"
#include "jobs/job.h"
#include "store/audit_head.h"

#define BATCH 100 /* chains a transaction */

struct signed_head {
    struct workspace w;
    struct audit_head head;
};

struct batch {
    const uint8_t *seed;
    TALLOC_CTX *pool;
    struct workspace at;             /* the workspace under way */
    int64_t chain, chains;           /* the next of its chains; how many there are */
    struct signed_head fresh[BATCH]; /* since the last time */
    size_t n;
    int64_t broken;    /* chains that were not signed because their seal is broken */
    struct err reason; /* of the first of them */
    bool more;
};

/* Moves on to the next workspace when all chains of this one have been looked at. */
static enum rc
find_next(struct tx *tx, struct batch *b, struct err *err)
{
    struct audit_chain first;
    enum rc rc;

    if (b->chain < b->chains)
        return RC_OK;
    rc = workspace_after(tx, b->at.number, &b->at, err);
    if (!rc)
        rc = audit_chain_read(tx, b->at.number, 0, &first, err);
    if (rc)
        return rc;
    b->at.public_id = mem_strdup(b->pool, b->at.public_id);
    b->chain = 0;
    b->chains = first.chains;
    return RC_OK;
}

/* A broken seal does not hold up the other chains. */
static enum rc
sign_one(struct tx *tx, struct batch *b, struct err *err)
{
    struct signed_head *to = &b->fresh[b->n];
    bool fresh = false;
    enum rc rc = find_next(tx, b, err);

    if (rc)
        return rc;
    to->w = b->at;
    rc = audit_head_sign(tx, &to->w, b->chain++, b->seed, &to->head, &fresh, err);
    if (rc == RC_CONFLICT && b->broken++ == 0)
        b->reason = *err;
    if (!rc && fresh)
        b->n++;
    return rc == RC_CONFLICT ? RC_OK : rc;
}

static enum rc
sign_batch(struct tx *tx, void *arg, struct err *err)
{
    struct batch *b = arg;
    struct batch before = *b; /* it may run again */
    enum rc rc = RC_OK;

    b->n = 0;
    for (int i = 0; i < BATCH && !rc; i++)
        rc = sign_one(tx, b, err);
    b->more = !rc;
    if (rc && rc != RC_NOT_FOUND)
        *b = before;
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static void
log_heads(const struct batch *b)
{
    char signature[2 * ED25519_LEN + 1];

    for (size_t i = 0; i < b->n; i++) {
        crypto_hex(b->fresh[i].head.signature, ED25519_LEN, signature);
        log_info("audit head %s %s signature %s", b->fresh[i].w.public_id,
                 audit_head_text(b->pool, &b->fresh[i].head), signature);
    }
}

static enum rc
run(struct jobs *jobs, struct err *err)
{
    SCOPED_POOL(pool);
    struct batch *b = MEM_NEW(pool, struct batch);
    enum rc rc;

    b->seed = jobs->service->app->secret.audit_sign;
    b->pool = pool;
    do {
        rc = engine_write(jobs->service->app->engine, 0, pool, sign_batch, b, err);
        if (!rc)
            log_heads(b);
    } while (!rc && b->more);
    job_backlog(jobs, &job_heads, b->broken, 0);
    if (!rc && b->broken) {
        *err = b->reason;
        rc = err->code;
    }
    return rc;
}

const struct job_kind job_heads = {
    .name = "heads",
    .first_ms = 60000,
    .interval_ms = 3600000,
    .run = run,
    .last_run = METRIC_HEADS_LAST_RUN,
    .backlog = METRIC_HEADS_BACKLOG,
    .oldest = METRIC_HEADS_OLDEST,
};
