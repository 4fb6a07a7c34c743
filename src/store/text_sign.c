// SPDX-License-Identifier: Apache-2.0
#include "store/text_sign.h"

#define SEGMENT_BLOCKS 16 /* some 12 KB of texts: a tenth of the words below are set by them */
#define GROUP_BLOCKS ((int64_t)SEGMENT_BLOCKS * TEXT_SEGMENTS)
#define WORDS 32768 /* of a group */
#define PART_WORDS 512
#define PARTS (WORDS / PART_WORDS)
#define STALE_MANY 4
#define CLASSES_MAX 8 /* of a needle that are looked up: more hardly tell more */

static const struct sql newest =
    SQL("SELECT last_id FROM text_group WHERE workspace_id = $1 ORDER BY last_id DESC LIMIT 1");
static const struct sql blocks_between =
    SQL("SELECT last_id, texts FROM text_block WHERE workspace_id = $1 AND last_id > $2"
        " AND last_id <= $3 ORDER BY last_id LIMIT $4");
static const struct sql has_blocks =
    SQL("SELECT 1 FROM text_block WHERE workspace_id = $1 AND last_id > $2 ORDER BY last_id"
        " LIMIT 1 OFFSET $3");
static const struct sql put_group =
    SQL("INSERT INTO text_group (workspace_id, last_id, after_id, ends, stale)"
        " VALUES ($1, $2, $3, $4, 0) ON CONFLICT (workspace_id, last_id) DO UPDATE SET"
        " ends = excluded.ends, stale = 0");
static const struct sql put_part =
    SQL("INSERT INTO text_sign (workspace_id, last_id, part, bits) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (workspace_id, last_id, part) DO UPDATE SET bits = excluded.bits");
static const struct sql read_part =
    SQL("SELECT bits FROM text_sign WHERE workspace_id = $1 AND last_id = $2 AND part = $3");
static const struct sql all_groups =
    SQL("SELECT after_id, last_id, ends, stale FROM text_group WHERE workspace_id = $1"
        " ORDER BY last_id");
static const struct sql group_of =
    SQL("SELECT after_id, last_id, ends, stale FROM text_group WHERE workspace_id = $1"
        " AND last_id >= $2 ORDER BY last_id LIMIT 1");
static const struct sql set_stale =
    SQL("UPDATE text_group SET stale = $3 WHERE workspace_id = $1 AND last_id = $2");
static const struct sql stale_groups =
    SQL("SELECT after_id, last_id, stale, workspace_id FROM text_group WHERE stale <> 0");

static unsigned
class_of(const char *p)
{
    uint32_t three = (uint32_t)(uint8_t)p[0] << 16 | (uint32_t)(uint8_t)p[1] << 8 | (uint8_t)p[2];

    return three * 2654435761u >> 17;
}

/* Three bytes that go over the end of a text are no harm: they only set a bit too many. */
static void
sign(uint64_t *words, const char *texts, size_t len, unsigned segment)
{
    for (size_t i = 0; i + TEXT_SIGN_MIN <= len; i++)
        words[class_of(texts + i)] |= UINT64_C(1) << segment;
}

static enum rc
write_group(struct tx *tx, int64_t workspace, const struct text_group *g, const uint64_t *words,
            struct err *err)
{
    enum rc rc = db_exec(tx->conn, &put_group,
                         DB_ARGS(db_int(workspace), db_id(&g->last), db_id(&g->after),
                                 db_blob(g->ends, sizeof(g->ends))),
                         NULL, err);

    for (int64_t i = 0; i < PARTS && !rc; i++)
        rc = db_exec(tx->conn, &put_part,
                     DB_ARGS(db_int(workspace), db_id(&g->last), db_int(i),
                             db_blob(words + i * PART_WORDS, PART_WORDS * sizeof(*words))),
                     NULL, err);
    return rc;
}

/* Signs the blocks behind `after` up to `upto`, as many as fit; *ret_n is how many there were. */
static enum rc
sign_blocks(struct tx *tx, int64_t workspace, const struct id *upto, struct text_group *g,
            uint64_t *words, int64_t *ret_n, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    int64_t n = 0;
    enum rc rc = db_query(
        tx->conn, &blocks_between,
        DB_ARGS(db_int(workspace), db_id(&g->after), db_id(upto), db_int(GROUP_BLOCKS)), &c, err);

    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        unsigned segment = (unsigned)(n++ / SEGMENT_BLOCKS);
        size_t len = 0;
        const char *texts = db_col_blob(c, 1, &len);

        (void)db_col_id(c, 0, &g->last);
        for (size_t i = segment; i < TEXT_SEGMENTS; i++)
            g->ends[i] = g->last;
        sign(words, texts, len, segment);
    }
    *ret_n = n;
    return rc;
}

static enum rc
newest_end(struct tx *tx, int64_t workspace, struct id *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    enum rc rc = db_query_one(tx->conn, &newest, DB_ARGS(db_int(workspace)), &c, err);

    memset(ret, 0, sizeof(*ret));
    if (!rc)
        (void)db_col_id(c, 0, ret);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc
text_sign_next(struct tx *tx, int64_t workspace, struct err *err)
{
    struct text_group g = {.stale = 0};
    uint64_t *words;
    struct id all;
    bool enough = false;
    int64_t n = 0;
    enum rc rc = newest_end(tx, workspace, &g.after, err);

    memset(&all, 0xff, sizeof(all));
    if (!rc)
        rc = db_exists(tx->conn, &has_blocks,
                       DB_ARGS(db_int(workspace), db_id(&g.after), db_int(GROUP_BLOCKS - 1)),
                       &enough, err);
    if (rc || !enough)
        return rc;
    words = MEM_ARRAY(tx->pool, uint64_t, WORDS);
    rc = sign_blocks(tx, workspace, &all, &g, words, &n, err);
    return rc ? rc : write_group(tx, workspace, &g, words, err);
}

static enum rc
find_stale(struct tx *tx, int64_t *workspace, struct text_group *g, bool *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    bool row = true;
    enum rc rc = db_query(tx->conn, &stale_groups, DB_NO_ARGS, &c, err);

    *ret = false;
    while (!rc && !*ret && (rc = db_next(c, &row, err)) == RC_OK && row) {
        *ret = __builtin_popcountll((uint64_t)db_col_int(c, 2)) > STALE_MANY;
        (void)db_col_id(c, 0, &g->after);
        (void)db_col_id(c, 1, &g->last);
        *workspace = db_col_int(c, 3);
    }
    return rc;
}

enum rc
text_sign_mend(struct tx *tx, bool *ret, struct err *err)
{
    struct text_group g = {.stale = 0};
    uint64_t *words = MEM_ARRAY(tx->pool, uint64_t, WORDS);
    int64_t workspace = 0, n = 0;
    struct id last;
    enum rc rc = find_stale(tx, &workspace, &g, ret, err);

    if (rc || !*ret)
        return rc;
    last = g.last;
    for (size_t i = 0; i < TEXT_SEGMENTS; i++)
        g.ends[i] = last;
    rc = sign_blocks(tx, workspace, &last, &g, words, &n, err);
    g.last = g.ends[TEXT_SEGMENTS - 1] = last; /* its last block may be gone */
    return rc ? rc : write_group(tx, workspace, &g, words, err);
}

static void
read_group(struct db_cursor *c, struct text_group *g)
{
    size_t len = 0;
    const void *ends = db_col_blob(c, 2, &len);

    (void)db_col_id(c, 0, &g->after);
    (void)db_col_id(c, 1, &g->last);
    BUG_ON(len != sizeof(g->ends));
    memcpy(g->ends, ends, len);
    g->stale = (uint64_t)db_col_int(c, 3);
}

enum rc
text_sign_stale(struct tx *tx, int64_t workspace, const struct id *last, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct text_group g;
    unsigned i = 0;
    enum rc rc =
        db_query_one(tx->conn, &group_of, DB_ARGS(db_int(workspace), db_id(last)), &c, err);

    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    read_group(c, &g);
    while (memcmp(last, &g.ends[i], sizeof(*last)) > 0)
        i++;
    return db_exec(
        tx->conn, &set_stale,
        DB_ARGS(db_int(workspace), db_id(&g.last), db_int((int64_t)(g.stale | UINT64_C(1) << i))),
        NULL, err);
}

enum rc
text_sign_groups(struct tx *tx, int64_t workspace, struct text_group **ret, size_t *ret_n,
                 struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    struct text_group *list = NULL;
    bool row = true;
    size_t n = 0;
    enum rc rc = db_query(tx->conn, &all_groups, DB_ARGS(db_int(workspace)), &c, err);

    while (!rc && (rc = db_next(c, &row, err)) == RC_OK && row) {
        if ((n & (n - 1)) == 0)
            list = talloc_realloc(tx->pool, list, struct text_group, (unsigned)(n ? n * 2 : 1));
        BUG_ON(!list);
        read_group(c, &list[n++]);
    }
    *ret = list;
    *ret_n = n;
    return rc;
}

static enum rc
read_word(struct tx *tx, int64_t workspace, const struct text_group *g, unsigned class,
          uint64_t *ret, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    size_t len = 0;
    const uint8_t *bits;
    enum rc rc = db_query_one(
        tx->conn, &read_part,
        DB_ARGS(db_int(workspace), db_id(&g->last), db_int(class / PART_WORDS)), &c, err);

    if (rc)
        return rc;
    bits = db_col_blob(c, 0, &len);
    BUG_ON(len != PART_WORDS * sizeof(*ret));
    memcpy(ret, bits + class % PART_WORDS * sizeof(*ret), sizeof(*ret));
    return RC_OK;
}

enum rc
text_sign_ask(struct tx *tx, int64_t workspace, const struct text_group *g, const char *needle,
              uint64_t *ret, struct err *err)
{
    size_t len = strlen(needle);
    size_t places = len - TEXT_SIGN_MIN + 1;
    size_t step = (places + CLASSES_MAX - 1) / CLASSES_MAX;
    uint64_t found = UINT64_MAX, word = 0;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < places && found && !rc; i += step) {
        rc = read_word(tx, workspace, g, class_of(needle + i), &word, err);
        found &= word;
    }
    *ret = found | g->stale;
    return rc;
}
