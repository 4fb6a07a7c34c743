// SPDX-License-Identifier: Apache-2.0
/*
 * route: one row says all about one operation; the rows stand in api/routes.c.
 *
 * Everything around a handler (key, rate, permission, sizes, checks of body and query,
 * idempotency, transactions) is done from the row, once, by http/exchange.c.
 */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H
#include "core/permission.h"
#include "db/db.h"
#include "http/dialect.h"
#include "http/field.h"

struct request;
struct reply;
struct stream;

enum http_method {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 4,
    HTTP_PUT = 8,
    HTTP_PATCH = 16,
    HTTP_DELETE = 32,
    HTTP_OPTIONS = 64,
};

enum run {
    RUN_NONE = 1, /* no transaction; answers on the loop thread */
    RUN_READ,     /* point reads in a snapshot, on the loop thread */
    RUN_QUERY,    /* lists and counts, on a query thread, with a time limit */
    RUN_WRITE,    /* in a write transaction; answered when it is on disk */
    RUN_STREAM,   /* takes the body as it comes, then like RUN_WRITE */
};

enum access {
    ACCESS_KEY = 1, /* a key of the workspace with `permission` */
    ACCESS_SIGNED,  /* the path carries a signed token; no key */
    ACCESS_PUBLIC,  /* no key: operations */
};

/*
 * A handler. It has no effect but through `tx` and `reply`, so it may run again. `tx` is NULL for
 * RUN_NONE. Its pool is tx->pool or request->pool, which are one.
 */
typedef enum rc handler_fn(struct request *rq, struct tx *tx, struct reply *rp, struct err *err);

/* One documented answer. */
struct reply_doc {
    int status;
    const char *help;
    const struct field *shape; /* of the body; NULL: none, or not JSON */
    enum { SHAPE_BARE, SHAPE_DATA, SHAPE_PAGE, SHAPE_CURSOR, SHAPE_ARRAY } wrap;
    const char *list;       /* SHAPE_PAGE and data arrays: the member that holds the items */
    const char *media_type; /* NULL: application/json */
};

#define ROUTE_ERRORS_MAX 6

struct route {
    const char *op; /* "document.create": unique, for clients' method names and metrics */
    enum http_method method;
    const char *path; /* below the base path; "{name}" stands for one segment */
    enum run run;
    enum access access;
    enum permission permission; /* required when access is ACCESS_KEY */
    /* A query parameter that, when true, asks for this permission instead. */
    struct {
        const char *query;
        enum permission permission;
    } elevated;
    const struct dialect *dialect;
    const struct field *query;
    const size_t *query_size; /* of the struct that `query` fills */
    const struct field *body;
    const size_t *body_size; /* of the struct that `body` fills */
    bool raw_json;           /* the handler reads request->json itself */
    bool body_optional;      /* none at all stands for {} */
    int64_t max_body;        /* bytes; 0: no body is looked at */
    bool no_idempotency;     /* the dialect's key header is not read */
    bool sole;               /* no other write of the workspace may run beside it (engine.h) */
    bool changes_keys;       /* cached keys are forgotten when it succeeds */
    const struct stream *stream;
    /* What the checked body asks for, against what the caller may: also before a replay. */
    enum rc (*authorise)(struct request *rq, struct err *err);
    /*
     * With --direct-urls: takes in bytes that may have arrived at the store, on a thread that may
     * wait for it, before the handler runs. May be NULL.
     */
    enum rc (*look_for_bytes)(struct request *rq, struct err *err);
    bool reads_bytes; /* the handler opens a blob */
    handler_fn *handler;

    const char *tag; /* for the documentation: the group it stands in */
    const char *summary;
    struct reply_doc replies[3];
    enum rc errors[ROUTE_ERRORS_MAX]; /* beyond those of every route of its kind */
};

/* The table, ended by a row without op. */
extern const struct route routes[];

#define ROUTE_ARGS_MAX 3

struct route_match {
    const struct route *route;        /* NULL: none */
    const struct route *any;          /* a row of this path, whatever its method; NULL: none */
    unsigned methods;                 /* of all rows that fit the path; 0: no such path */
    const char *args[ROUTE_ARGS_MAX]; /* decoded segments, in the order of the path */
};

/* Whether a table keeps the rules of tables: asked once at start. Errors: INTERNAL. */
MUST_CHECK enum rc route_check_table(const struct route *table, struct err *err);

/*
 * Finds the row of a path (raw, without the query) and method. HEAD finds GET's row. Decoded
 * segments go to `pool`; one with a broken escape becomes "", which no thing is called.
 */
void route_find(TALLOC_CTX *pool, enum http_method method, const char *path, size_t len,
                struct route_match *ret);

/* "GET, HEAD, OPTIONS" in `pool`. */
char *route_allow(TALLOC_CTX *pool, unsigned methods);

const char *http_method_name(enum http_method method);
/* 0 when unknown. */
enum http_method http_method_parse(const char *name);

#endif
