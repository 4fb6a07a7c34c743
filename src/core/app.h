// SPDX-License-Identifier: Apache-2.0
/* app: the parts of a running Dossier, passed to whoever needs them. Owned by cmd/. */
#ifndef CORE_APP_H
#define CORE_APP_H
#include "base/ballast.h"
#include "base/metric.h"
#include "base/workers.h"
#include "blob/blob.h"
#include "core/media_type.h"
#include "core/secret.h"
#include "core/tier.h"
#include "engine/engine.h"

/* What the operator may set, after parsing (conf/options.def). */
struct settings {
    const char *public_url; /* NULL: made from the Host of each request */
    int64_t purge_after_ms; /* between a soft delete and the erasure of the bytes */
    int64_t url_life_ms;    /* of signed URLs */
    int64_t max_upload_file;
    int64_t max_upload_request;
    int64_t max_upload_parts;
    int64_t idempotency_ms; /* how long answers are kept */
    int64_t orphan_ms;      /* how old bytes without a row must be to be swept */
    int64_t object_ms;      /* how long uploaded bytes may wait for a document */
    struct tier_limits tiers[TIER_MAX_];
    const char *cors_origin; /* NULL: CORS is off */
    bool direct_urls;        /* URLs lead to the store of bytes itself (core/arrival.h) */
};

struct app {
    struct settings settings;
    struct metrics metrics;
    struct secret secret;
    struct db *db;
    struct engine *engine;
    struct blob_store *blobs;
    struct workers *blob_workers; /* for what waits for the disk */
    struct workers *body_workers; /* for bytes that come: they run after what others wait for */
    struct media_detector *detector;
    struct ballast *ballast; /* disk space kept back for deleting; NULL: none */
};

/*
 * blob_delete(), where a disk that is full does not keep bytes from being erased: what is held back
 * is given up for that.
 */
MUST_CHECK static inline enum rc
app_erase(struct app *app, const struct blob_key *key, struct err *err)
{
    enum rc rc = blob_delete(app->blobs, key, err);

    if (rc != RC_STORAGE_FULL || !app->ballast)
        return rc;
    (void)ballast_drop(app->ballast); /* of no account when another has done it */
    return blob_delete(app->blobs, key, err);
}

#endif
