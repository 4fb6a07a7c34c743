// SPDX-License-Identifier: Apache-2.0
/* wanted: the blobs that the rows of an export name, one after the other. Threads: one. */
#ifndef CMD_WANTED_H
#define CMD_WANTED_H
#include "cmd/carry.h"

struct wanted {
    struct blob_key key;
    int64_t size; /* -1: its row does not say */
    bool hashed;  /* `sha256` is known */
    uint8_t sha256[SHA256_LEN];
    bool is_object;
    struct id document; /* of a document */
    const char *storage_path;
};

struct wanted_walk;

/* `c` says where the rows are. The caller ends *ret with wanted_walk_free(). */
MUST_CHECK enum rc wanted_begin(const struct carry *c, struct wanted_walk **ret, struct err *err);
/* The next one; its text is in `pool`. *ret_more is false after the last. */
MUST_CHECK enum rc wanted_next(struct wanted_walk *w, TALLOC_CTX *pool, struct wanted *ret,
                               bool *ret_more, struct err *err);
void wanted_walk_free(struct wanted_walk **w);

#endif
