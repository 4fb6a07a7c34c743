// SPDX-License-Identifier: Apache-2.0
/*
 * request: what a handler sees of a request that has passed every check of its route.
 *
 * Everything is borrowed from `pool`, which lives until the answer is sent. One thread at a time.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H
#include <jansson.h>

#include "core/app.h"
#include "core/caller.h"
#include "http/route.h"

struct http_header {
    const char *name;
    const char *value;
    size_t name_len, value_len;
};

/* The request as the wire had it; filled by the server, checked by the guard. */
struct wire {
    const char *method;
    const char *target;  /* raw, with the query */
    const char *version; /* "HTTP/1.1" */
    const char *address; /* of the client */
    bool https;          /* the client's connection is TLS */
    const struct http_header *headers;
    size_t n_headers;
};

struct request {
    TALLOC_CTX *pool;
    struct app *app;
    const struct route *route;
    const struct dialect *dialect;    /* of the path, also when no route fits; for errors */
    bool signed_path;                 /* the same of ACCESS_SIGNED: browsers come here */
    const char *args[ROUTE_ARGS_MAX]; /* decoded path segments */
    const void *query;                /* the struct that route->query filled */
    void *body;                       /* the struct that route->body filled */
    json_t *json;                     /* the body; kept for raw_json routes */
    void *stream;                     /* the state that route->stream made */
    struct caller caller;             /* ACCESS_SIGNED: filled by the handler */
    const struct wire *wire;
    const struct query_param *params; /* the query, decoded */
    size_t n_params;
    char request_id[ID_TEXT_LEN];
    int ready;            /* enum ready of the service */
    const char *base_url; /* "http://host:port", for URLs in answers */
    int64_t now_ms;
};

/* The value of a header (any case), NULL when absent. */
const char *request_header(const struct request *rq, const char *name);

/* Splits and decodes "a=b&c" into rq->params, in the order given. MALFORMED: a broken escape. */
MUST_CHECK enum rc request_read_query(struct request *rq, const char *text, struct err *err);

/* The permission it needs: the route's, or a stronger one that its query asks for. */
uint32_t request_permission(const struct request *rq);

/*
 * How a RUN_STREAM route takes its body. open() runs on the loop thread or where it may wait for
 * the database; data(), end() and settle() run one after the other where they may wait for the
 * disk, and must not look at what is of the connection; then the handler runs in a write
 * transaction.
 */
struct stream {
    /* Before the body. *ret_state is passed to the others; free() is called for it, once. */
    enum rc (*open)(struct request *rq, void **ret_state, struct err *err);
    enum rc (*data)(void *state, const char *bytes, size_t len, struct err *err);
    /* The whole body has arrived. */
    enum rc (*end)(void *state, struct err *err);
    /* Makes what was received durable. */
    enum rc (*settle)(void *state, struct err *err);
    /* Adds what tells this body from another to a running hash. */
    void (*fingerprint)(void *state, struct sha256 *hash);
    /* `kept`: the transaction that refers to the bytes is on disk. Else they are discarded. */
    void (*free)(void *state, bool kept);
    int64_t (*max_body)(const struct settings *settings);
};

#endif
