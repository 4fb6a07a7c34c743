// SPDX-License-Identifier: Apache-2.0
/* reply: the answer a handler builds. It is sent only when what it speaks of is on disk. */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H
#include <jansson.h>

#include "blob/blob.h"
#include "http/request.h"
#include "store/idempotency.h"

#define REPLY_HEADERS_MAX 16

struct reply_header {
    const char *name;
    const char *value;
};

/*
 * Something to do between the handler's commit and the answer: outside() runs where it may wait
 * for the disk, then after() in a second write transaction, which also keeps the answer.
 */
struct second_act {
    /*
     * Notes, in the first transaction, the answer to keep for the idempotency key once this is
     * done: whoever ends it after a crash keeps it.
     */
    enum rc (*promise)(struct request *rq, struct tx *tx, void *arg,
                       const uint8_t key_hash[SHA256_LEN], const struct idempotency *answer,
                       struct err *err);
    enum rc (*outside)(struct request *rq, void *arg, struct err *err);
    enum rc (*after)(struct request *rq, struct tx *tx, void *arg, struct err *err);
};

struct reply {
    TALLOC_CTX *pool;
    int status;
    struct reply_header headers[REPLY_HEADERS_MAX];
    size_t n_headers;
    json_t *json;     /* owned; written out when the answer is sent or kept */
    const char *text; /* the body, once written or when it is not JSON; in `pool` */
    size_t text_len;
    const char *media_type;   /* of `text`; NULL: application/json */
    struct blob_reader *blob; /* owned; the bytes first … first + length - 1 are the body */
    int64_t first, length;
    json_t *details; /* owned; for an error: what it says beyond code and message */
    const struct second_act *act;
    void *act_arg;
};

void reply_init(struct reply *rp, TALLOC_CTX *pool);
/* Drops what was built; the reply is as after reply_init(). */
void reply_clear(struct reply *rp);

/* The value must live as long as the pool. */
void reply_header(struct reply *rp, const char *name, const char *value);

/* Takes `json`. */
void reply_json(struct reply *rp, int status, json_t *json);
/* {"data": json}; takes `json`. */
void reply_data(struct reply *rp, int status, json_t *json);
/* {"data": {list: items}, "meta": meta}; takes both. */
void reply_list(struct reply *rp, const char *list, json_t *items, json_t *meta);
void reply_empty(struct reply *rp, int status);
void reply_text(struct reply *rp, int status, const char *media_type, const char *text, size_t len);

/* {"page", "per_page", "total"} */
json_t *reply_page_meta(int64_t page, int64_t per_page, int64_t total);

/* Writes `json` into `text`, if it has not been. */
void reply_render(struct reply *rp);

#endif
