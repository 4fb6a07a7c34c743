// SPDX-License-Identifier: Apache-2.0
/*
 * orphan: bytes that no document, waiting object or purge entry refers to.
 *
 * Bytes are finished before the row that names them is written, so those of an upload under way
 * look like an orphan for a while: how old an orphan must be is for the caller to say.
 */
#ifndef JOBS_ORPHAN_H
#define JOBS_ORPHAN_H
#include "core/app.h"

struct orphan {
    struct blob_key key;
    int64_t size;
    int64_t mtime_ms;
};

struct orphan_search {
    struct app *app;
    /* Asked for every blob: whether it matters if it is an orphan. Not RC_OK ends the search. */
    enum rc (*wanted)(void *arg, const struct orphan *blob, bool *ret, struct err *err);
    /* Gets each orphan. Anything but RC_OK ends the search. No transaction is open. */
    enum rc (*found)(void *arg, const struct orphan *o, struct err *err);
    blob_stranger_fn *stranger; /* as of blob_each(); may be NULL */
    void *arg;
};

/* Walks through the whole store. Safe beside a running server. Errors: as blob_each(). */
MUST_CHECK enum rc orphan_each(const struct orphan_search *search, struct err *err);

/*
 * Looks once more, in the order of the workspace's writes, and erases the bytes if nothing refers
 * to them now; *ret_erased tells. Errors: as blob_delete() and engine_write().
 */
MUST_CHECK enum rc orphan_erase(struct app *app, const struct orphan *o, bool *ret_erased,
                                struct err *err);

#endif
