// SPDX-License-Identifier: Apache-2.0
/*
 * replay: the answer kept for a repeated idempotency key.
 *
 * Only hashes of the key's text are stored, and the answer is sealed under a key derived from that
 * text: who reads the database learns neither, though answers may hold secrets.
 */
#ifndef HTTP_REPLAY_H
#define HTTP_REPLAY_H
#include "http/reply.h"

struct replay {
    bool on;
    bool replayed;   /* the answer is one kept before */
    const char *key; /* as the client sent it */
    uint8_t key_hash[SHA256_LEN];
    uint8_t fingerprint[SHA256_LEN]; /* of the request */
    int64_t expired_ms;              /* what was completed before is no answer any more */
    bool replaces;                   /* such a one stands there */
};

/*
 * Reads the key header of the route's dialect. INVALID when it is empty, too long or no visible
 * ASCII; MISSING when the dialect requires one.
 */
MUST_CHECK enum rc replay_start(struct replay *r, const struct request *rq, struct err *err);

/* `body`: what tells one body from another. */
void replay_fingerprint(struct replay *r, const struct request *rq, const uint8_t body[SHA256_LEN]);

/*
 * Puts a kept answer into *rp and sets r->replayed, when there is one. MISMATCH: the key was used
 * with another request. DUPLICATE: the dialect does not replay (rp->details holds the first id).
 */
MUST_CHECK enum rc replay_find(struct replay *r, const struct request *rq, struct tx *tx,
                               struct reply *rp, struct err *err);

/* Seals the answer into a record fit to be kept; its bytes are in rq->pool. */
void replay_seal(const struct replay *r, const struct request *rq, struct tx *tx, struct reply *rp,
                 struct idempotency *ret);

/* Keeps the answer. */
MUST_CHECK enum rc replay_keep(const struct replay *r, const struct request *rq, struct tx *tx,
                               struct reply *rp, struct err *err);

#endif
