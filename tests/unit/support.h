// SPDX-License-Identifier: Apache-2.0
/*
 * support: what the tests share: a database in a directory of its own, with the schema, one
 * workspace and one key's caller. A `scratch` works in one open write transaction, so a case
 * calls the store and the rules directly; a `house` has an engine, for what runs works.
 */
#ifndef UNIT_SUPPORT_H
#define UNIT_SUPPORT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/app.h"
#include "core/caller.h"
#include "store/schema.h"

/* Fails at the caller's line, with both names, when a call does not end as it should. */
#define EXPECT(want, call) support_expect((want), (call), #call, __FILE__, __LINE__)

static inline void
support_expect(enum rc want, enum rc got, const char *call, const char *file, int line)
{
    if (want == got)
        return;
    print_error("%s\n  gave %s, not %s\n", call, rc_info(got)->name, rc_info(want)->name);
    _fail(file, line);
}

/* What the audit trail is sealed with where no secret is at hand. */
static const uint8_t support_audit_key[SHA256_LEN] UNUSED = {1, 2, 3};

/* Opens a database of one driver in the directory `dir`. */
typedef enum rc support_open_fn(const char *dir, struct db **ret, struct err *err);

static inline enum rc
support_open_sqlite(const char *dir, struct db **ret, struct err *err)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/db", dir);
    return db_open_sqlite(path, ret, err);
}

static inline void
support_make_dir(char dir[64])
{
    (void)snprintf(dir, 64, "/tmp/dossier_test.XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline int
support_remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void
support_remove_dir(const char *dir)
{
    (void)nftw(dir, support_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A workspace without limits. */
static inline void
support_add_workspace(struct tx *tx, const char *public_id, struct workspace *ret)
{
    struct err err;

    *ret = (struct workspace){.public_id = mem_strdup(tx->pool, public_id),
                              .name = mem_strdup(tx->pool, "A workspace"),
                              .quota_bytes = -1,
                              .quota_documents = -1,
                              .audit_days = 365};
    EXPECT(RC_OK, workspace_insert(tx, ret, &err));
}

static inline struct caller
support_caller(const struct workspace *w)
{
    struct id key = id_new();

    return (struct caller){.workspace = *w,
                           .has_key = true,
                           .key_id = key,
                           .user_id = id_new(),
                           .permissions = (1u << PERMISSION_COUNT) - 1,
                           .tier = TIER_STANDARD,
                           .subject = key,
                           .request_id = "req_0",
                           .address = "192.0.2.1"};
}

/* ---- one open write transaction ---- */

struct scratch {
    char dir[64];
    struct db *db;
    struct db_conn *conn;
    TALLOC_CTX *pool;
    struct tx tx;
    struct err err;
    struct workspace ws, other; /* no test may see or change `other` from `ws` */
    struct caller caller;
};

static inline void
scratch_open(struct scratch *s, support_open_fn *open)
{
    int from, to;

    s->pool = base_pool_new(NULL);
    support_make_dir(s->dir);
    EXPECT(RC_OK, open(s->dir, &s->db, &s->err));
    EXPECT(RC_OK, db_connect(s->db, DB_WRITER, &s->conn, &s->err));
    EXPECT(RC_OK, schema_migrate(s->conn, support_audit_key, &from, &to, &s->err));
    s->tx = (struct tx){.conn = s->conn,
                        .pool = s->pool,
                        .now_ms = clock_wall_ms(),
                        .audit_key = support_audit_key};
    EXPECT(RC_OK, db_begin_write(s->conn, &s->err));
    support_add_workspace(&s->tx, "ws_1", &s->ws);
    support_add_workspace(&s->tx, "ws_2", &s->other);
    s->caller = support_caller(&s->ws);
}

static inline void
scratch_close(struct scratch *s)
{
    db_rollback(s->conn);
    db_conn_free(&s->conn);
    db_free(&s->db);
    base_pool_free(&s->pool);
    support_remove_dir(s->dir);
}

/* Expects a refusal and takes back what was written before it, as the engine does. */
#define REFUSED(s, want, call)                                                                     \
    do {                                                                                           \
        EXPECT(RC_OK, db_savepoint((s)->conn, &(s)->err));                                         \
        EXPECT((want), (call));                                                                    \
        db_savepoint_rollback((s)->conn);                                                          \
    } while (0)

/* ---- an engine ---- */

struct house {
    char dir[64];
    struct app app;
    TALLOC_CTX *pool;
    struct workspace ws;
    struct caller caller;
};

static inline enum rc
house_add_workspace(struct tx *tx, void *arg, struct err *err)
{
    (void)err;
    support_add_workspace(tx, "ws_1", arg);
    return RC_OK;
}

static inline void
house_migrate(struct db *db)
{
    SCOPED(db_conn) conn = NULL;
    struct err err;
    int from, to;

    EXPECT(RC_OK, db_connect(db, DB_WRITER, &conn, &err));
    EXPECT(RC_OK, schema_migrate(conn, support_audit_key, &from, &to, &err));
}

/* Fills in what the case left open of `config`, then opens all. */
static inline struct house *
house_new(struct engine_config config)
{
    struct house *h = MEM_NEW(NULL, struct house);
    struct err err;
    char path[96];

    h->pool = base_pool_new(NULL);
    support_make_dir(h->dir);
    EXPECT(RC_OK, support_open_sqlite(h->dir, &h->app.db, &err));
    house_migrate(h->app.db);
    config.query_threads = config.query_threads ? config.query_threads : 1;
    config.query_limit_ms = config.query_limit_ms ? config.query_limit_ms : 10000;
    config.lane_max = config.lane_max ? config.lane_max : 1000;
    config.metrics = &h->app.metrics;
    config.audit_key = support_audit_key;
    EXPECT(RC_OK, engine_open(h->app.db, &config, &h->app.engine, &err));
    (void)snprintf(path, sizeof(path), "%s/secret", h->dir);
    EXPECT(RC_OK, secret_load(path, true, &h->app.secret, &err));
    EXPECT(RC_OK, engine_write(h->app.engine, 1, h->pool, house_add_workspace, &h->ws, &err));
    h->caller = support_caller(&h->ws);
    return h;
}

static inline void
house_free(struct house **h)
{
    if (!*h)
        return;
    engine_free(&(*h)->app.engine);
    db_free(&(*h)->app.db);
    base_pool_free(&(*h)->pool);
    support_remove_dir((*h)->dir);
    (void)talloc_free(*h);
    *h = NULL;
}

#endif
