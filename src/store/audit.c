// SPDX-License-Identifier: Apache-2.0
#include "store/audit.h"

#include "base/buf.h"
#include "store/audit_turn.h"

#define COLUMNS                                                                                    \
    "id, action, resource_type, resource_id, key_id, user_id, request_id, address, details, seq, " \
    "hash, chain"

static const struct sql insert =
    SQL("INSERT INTO audit (workspace_id, " COLUMNS
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)");
static const struct sql count_before =
    SQL("SELECT count(*), (SELECT id FROM audit WHERE workspace_id = $1 AND chain = $3 AND id < $2"
        " ORDER BY id LIMIT 1) FROM audit WHERE workspace_id = $1 AND chain = $3 AND id < $2");
static const struct sql oldest_first =
    SQL("SELECT id, hash FROM audit WHERE workspace_id = $1 AND chain = $4 AND seq > $2"
        " ORDER BY seq LIMIT $3");
/*
 * Whether the columns hold what we write. A text that was made bytes, or goes on behind a NUL,
 * would be hashed as before and found by no filter.
 */
#define AS_WRITTEN                                                                                 \
    "typeof(id) || typeof(hash) || typeof(action) || typeof(resource_type) || typeof(resource_id)" \
    " = 'blobblobtexttexttext'"                                                                    \
    " AND typeof(key_id) IN ('null', 'blob') AND ifnull(length(key_id), 16) = 16"                  \
    " AND typeof(user_id) IN ('null', 'blob') AND ifnull(length(user_id), 16) = 16"                \
    " AND typeof(request_id) IN ('null', 'text') AND typeof(address) IN ('null', 'text')"          \
    " AND typeof(details) IN ('null', 'text')"                                                     \
    " AND instr(action || resource_type || resource_id || ifnull(request_id, '')"                  \
    " || ifnull(address, '') || ifnull(details, ''), char(0)) = 0"

static const struct sql in_order = {
    .sqlite = "SELECT " COLUMNS ", " AS_WRITTEN " FROM audit WHERE workspace_id = $1 AND chain = $2"
              " ORDER BY seq",
    /* columns have types there, and texts no NUL */
    .pg = "SELECT " COLUMNS ", CASE WHEN coalesce(length(key_id), 16) = 16"
          " AND coalesce(length(user_id), 16) = 16 THEN 1 ELSE 0 END"
          " FROM audit WHERE workspace_id = $1 AND chain = $2 ORDER BY seq",
    .large = true,
};
static const struct sql remove_up_to =
    SQL("DELETE FROM audit WHERE workspace_id = $1 AND chain = $3 AND seq <= $2");
static const struct sql by_place =
    SQL("SELECT id FROM audit WHERE workspace_id = $1 AND chain = $2 AND seq = $3");

enum rc
audit_append(struct tx *tx, int64_t workspace, const struct audit_line *line, struct err *err)
{
    struct audit_line l = *line;
    struct audit_turn *turn;
    struct audit_chain own, *ch;
    enum rc rc = audit_turn_read(tx, workspace, &turn, err);

    ch = turn ? &turn->chain : &own;
    if (!rc && !turn)
        rc = audit_chain_own(tx, workspace, ch, err);
    if (rc)
        return rc;
    tx->deferred = tx->deferred || turn;
    l.id = id_new();
    l.seq = ++ch->lines;
    audit_chain_hash(tx->pool, ch->head, &l, ch->head);
    if (tx->mark)
        *tx->mark = (struct tx_mark){true, workspace, ch->chain, l.seq, l.id};
    rc = db_exec_later(tx->conn, &insert,
                       DB_ARGS(db_int(workspace), db_id(&l.id), db_text(l.action),
                               db_text(l.resource_type), db_text(l.resource_id), db_id(l.key_id),
                               db_id(l.user_id), db_text(l.request_id), db_text(l.address),
                               db_text(l.details), db_int(l.seq), db_blob(ch->head, SHA256_LEN),
                               db_int(ch->chain)),
                       err);
    if (turn)
        turn->changed = true; /* written at the end of the turn */
    return rc || turn ? rc : audit_chain_write(tx, workspace, ch, err);
}

enum rc
audit_has(struct tx *tx, const struct tx_mark *mark, bool *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct audit_chain ch;
    struct id id;
    enum rc rc = audit_chain_lock(tx, mark->workspace, mark->chain, &ch, err);

    if (!rc)
        rc = db_query_one(tx->conn, &by_place,
                          DB_ARGS(db_int(mark->workspace), db_int(mark->chain), db_int(mark->seq)),
                          &c, err);
    *ret = !rc && db_col_id(c, 0, &id) && id_equal(&id, &mark->id);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static const struct id *
col_id_or_null(struct db_cursor *c, int col, TALLOC_CTX *pool)
{
    struct id id;

    return db_col_id(c, col, &id) ? mem_dup(pool, &id, sizeof(id)) : NULL;
}

static void
read_line(struct db_cursor *c, TALLOC_CTX *pool, struct audit_line *l)
{
    (void)db_col_id(c, 0, &l->id);
    l->action = db_col_strdup(c, 1, pool);
    l->resource_type = db_col_strdup(c, 2, pool);
    l->resource_id = db_col_strdup(c, 3, pool);
    l->key_id = col_id_or_null(c, 4, pool);
    l->user_id = col_id_or_null(c, 5, pool);
    l->request_id = db_col_strdup(c, 6, pool);
    l->address = db_col_strdup(c, 7, pool);
    l->details = db_col_strdup(c, 8, pool);
    l->seq = db_col_int(c, 9);
}

/* Appends " AND column op $n" and its value. */
static void
add_condition(struct buf *where, struct db_value *values, size_t *n, const char *condition,
              struct db_value value)
{
    values[(*n)++] = value;
    buf_printf(where, " AND %s $%zu", condition, *n);
}

static void
build_where(const struct audit_filter *f, struct buf *where, struct db_value *values, size_t *n,
            struct id bounds[2])
{
    if (f->resource_id)
        add_condition(where, values, n, "resource_id =", db_text(f->resource_id));
    if (f->action)
        add_condition(where, values, n, "action =", db_text(f->action));
    if (f->resource_type)
        add_condition(where, values, n, "resource_type =", db_text(f->resource_type));
    if (f->from_ms >= 0) {
        bounds[0] = id_floor(f->from_ms);
        add_condition(where, values, n, "id >=", db_id(&bounds[0]));
    }
    if (f->to_ms >= 0) {
        bounds[1] = id_floor(f->to_ms);
        add_condition(where, values, n, "id <", db_id(&bounds[1]));
    }
}

static enum rc
count_matches(struct tx *tx, const char *where, const struct db_value *values, size_t n,
              int64_t *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct buf text;
    bool row;
    enum rc rc;

    buf_init(&text, tx->pool, 4096);
    buf_printf(&text, "SELECT count(*) FROM audit WHERE workspace_id = $1%s", where);
    rc = db_query_built(tx->conn, text.bytes, values, n, &c, err);
    if (!rc)
        rc = db_next(c, &row, err);
    if (!rc)
        *ret = db_col_int(c, 0);
    return rc;
}

enum rc
audit_list(struct tx *tx, int64_t workspace, const struct audit_filter *f, struct audit_line **ret,
           size_t *ret_n, int64_t *ret_total, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct db_value values[8] = {db_int(workspace)};
    struct audit_line *lines;
    struct buf where, text;
    struct id bounds[2];
    size_t n = 1, count = 0;
    bool row = false;
    enum rc rc;

    buf_init(&where, tx->pool, 2048);
    buf_init(&text, tx->pool, 4096);
    buf_puts(&where, "");
    build_where(f, &where, values, &n, bounds);
    rc = count_matches(tx, where.bytes, values, n, ret_total, err);
    if (rc)
        return rc;
    buf_printf(&text,
               "SELECT " COLUMNS " FROM audit WHERE workspace_id = $1%s"
               " ORDER BY id DESC LIMIT %lld OFFSET %lld",
               where.bytes, (long long)f->limit, (long long)f->offset);
    lines = MEM_ARRAY(tx->pool, struct audit_line, f->limit + 1);
    rc = db_query_built(tx->conn, text.bytes, values, n, &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row)
        read_line(c, tx->pool, &lines[count++]);
    *ret = lines;
    *ret_n = count;
    return rc;
}

/* How far the first lines are old, up to `max` of them; moves the base of the chain there. */
static enum rc
pass_old(struct tx *tx, int64_t workspace, int64_t before_ms, int64_t max, struct audit_chain *ch,
         struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct id bound = id_floor(before_ms), id;
    bool row = true;
    enum rc rc;

    rc = db_query(tx->conn, &oldest_first,
                  DB_ARGS(db_int(workspace), db_int(ch->removed), db_int(max), db_int(ch->chain)),
                  &c, err);
    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        (void)db_col_id(c, 0, &id);
        if (memcmp(&id, &bound, sizeof(id)) >= 0)
            break;
        audit_chain_col(c, 1, ch->base);
        ch->removed++;
    }
    return rc;
}

enum rc
audit_trim(struct tx *tx, int64_t workspace, int64_t chain, int64_t before_ms, int64_t max,
           int64_t *ret_n, struct err *err)
{
    struct audit_chain ch;
    enum rc rc;

    *ret_n = 0;
    rc = audit_chain_lock(tx, workspace, chain, &ch, err);
    if (!rc)
        rc = pass_old(tx, workspace, before_ms, max, &ch, err);
    if (!rc)
        rc = audit_chain_write(tx, workspace, &ch, err); /* first: a trigger looks at it */
    if (!rc)
        rc = db_exec(tx->conn, &remove_up_to,
                     DB_ARGS(db_int(workspace), db_int(ch.removed), db_int(chain)), ret_n, err);
    return rc;
}

enum rc
audit_count_before(struct tx *tx, int64_t workspace, int64_t chain, int64_t before_ms,
                   int64_t *ret_n, int64_t *ret_oldest_ms, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct id bound = id_floor(before_ms), oldest;
    enum rc rc;

    rc = db_query_one(tx->conn, &count_before,
                      DB_ARGS(db_int(workspace), db_id(&bound), db_int(chain)), &c, err);
    if (rc)
        return rc;
    *ret_n = db_col_int(c, 0);
    *ret_oldest_ms = db_col_id(c, 1, &oldest) ? id_time_ms(&oldest) : before_ms;
    return RC_OK;
}

enum rc
audit_each(struct tx *tx, int64_t workspace, int64_t chain, audit_visit_fn *visit, void *arg,
           struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    uint8_t hash[SHA256_LEN];
    bool row = true;
    enum rc rc = db_query(tx->conn, &in_order, DB_ARGS(db_int(workspace), db_int(chain)), &c, err);

    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        SCOPED_POOL(pool);
        struct audit_line l = {0};

        read_line(c, pool, &l);
        audit_chain_col(c, 10, hash);
        if (!db_col_int(c, 12))
            memset(hash, 0, SHA256_LEN); /* fits nothing */
        if (!visit(arg, &l, hash))
            break;
    }
    return rc;
}
