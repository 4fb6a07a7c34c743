// SPDX-License-Identifier: Apache-2.0
/* The contracts of the store: the same cases on every driver, each a row of `drivers`. */
#include "postgres.h"

#include "base/text.h"
#include "store/api_key.h"
#include "store/budget.h"
#include "store/census.h"
#include "store/docs.h"
#include "store/folder.h"
#include "store/idempotency.h"
#include "store/link.h"
#include "store/object.h"
#include "store/purge.h"
#include "store/reference.h"
#include "store/usage.h"
#include "store/audit_verify.h"

#define ERR (&s->err)
#define TX (&s->tx)
#define WS (s->ws.number)
#define OTHER (s->other.number)

struct driver {
    const char *name;
    support_open_fn *open;
    struct scratch scratch;
};

static struct driver drivers[] = {
    {.name = "sqlite", .open = support_open_sqlite},
    {.name = "postgres", .open = postgres_open},
};

static int
set_up(void **state)
{
    struct driver *d = *state;

    d->scratch = (struct scratch){0};
    scratch_open(&d->scratch, d->open);
    *state = &d->scratch;
    return 0;
}

static int
tear_down(void **state)
{
    struct scratch *s = *state;
    bool served = !(db_caps(s->db) & DB_EMBEDDED);

    scratch_close(s);
    if (served)
        postgres_remove(s->dir);
    return 0;
}

/* ---- workspaces ---- */

static enum rc
count_workspace(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    struct workspace again;
    int *n = arg;

    *n += 1;
    return workspace_by_number(tx, w->number, &again, err);
}

static enum rc
stop_at_once(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    (void)tx;
    (void)w;
    *(int *)arg += 1;
    return err_set(err, RC_QUOTA, "enough");
}

static void
test_workspace(void **state)
{
    struct scratch *s = *state;
    struct workspace w = {.public_id = mem_strdup(s->pool, "ws_3"),
                          .name = mem_strdup(s->pool, "T"),
                          .verify_bytes = true,
                          .quota_bytes = 5,
                          .quota_documents = -1,
                          .audit_days = 7},
                     back;
    int n = 0;

    EXPECT(RC_OK, workspace_insert(TX, &w, ERR));
    EXPECT(RC_OK, workspace_by_public_id(TX, "ws_3", &back, ERR));
    assert_int_equal(back.number, w.number);
    assert_true(w.number > 0 && id_equal(&back.owner_id, &w.owner_id));
    assert_true(back.verify_bytes && !back.open_entities);
    assert_int_equal(back.quota_bytes, 5);
    assert_int_equal(back.quota_documents, -1);
    assert_int_equal(back.audit_days, 7);
    assert_int_equal(back.created_ms, s->tx.now_ms);
    EXPECT(RC_OK, workspace_by_number(TX, w.number, &back, ERR));
    assert_string_equal(back.name, "T");
    REFUSED(s, RC_CONFLICT, workspace_insert(TX, &w, ERR));
    EXPECT(RC_NOT_FOUND, workspace_by_public_id(TX, "WS_3", &back, ERR));
    EXPECT(RC_NOT_FOUND, workspace_by_number(TX, 0, &back, ERR));
    EXPECT(RC_OK, workspace_each(TX, count_workspace, &n, ERR));
    assert_int_equal(n, 3);
    EXPECT(RC_QUOTA, workspace_each(TX, stop_at_once, &n, ERR));
    assert_int_equal(n, 4);
}

/* ---- keys ---- */

static struct api_key
key(struct scratch *s, const char *name, const char *handle, uint32_t permissions, int64_t expires)
{
    struct api_key k = {.workspace = WS,
                        .id = id_new(),
                        .name = name,
                        .description = "For Tests",
                        .prefix = "wbk_abc",
                        .permissions = permissions,
                        .tier = TIER_HIGH,
                        .user_id = id_new(),
                        .expires_ms = expires,
                        .secret_mac = {9}};

    EXPECT(RC_OK, api_key_insert(TX, &k, handle, ERR));
    return k;
}

static void
test_api_key(void **state)
{
    struct scratch *s = *state;
    struct api_key a = key(s, "Alpha", "h1", 3, -1), b = key(s, "Beta", "h2", 1, s->tx.now_ms),
                   back, same = a;
    int64_t n;

    same.id = id_new();
    REFUSED(s, RC_CONFLICT, api_key_insert(TX, &same, "h1", ERR));
    EXPECT(RC_OK, api_key_by_handle(TX, "h1", &back, ERR));
    assert_true(id_equal(&back.id, &a.id) && back.workspace == WS);
    assert_memory_equal(back.secret_mac, a.secret_mac, SHA256_LEN);
    assert_int_equal(back.expires_ms, -1);
    EXPECT(RC_NOT_FOUND, api_key_by_handle(TX, "h3", &back, ERR));
    EXPECT(RC_NOT_FOUND, api_key_read(TX, OTHER, &a.id, &back, ERR));
    EXPECT(RC_OK, api_key_count_active(TX, WS, 1, &n, ERR));
    assert_int_equal(n, 1); /* the other has expired */
    EXPECT(RC_OK, api_key_count_active(TX, WS, 5, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_OK, api_key_revoke(TX, OTHER, &a.id, ERR));
    EXPECT(RC_OK, api_key_read(TX, WS, &a.id, &back, ERR));
    assert_int_equal(back.revoked_ms, -1);
    EXPECT(RC_OK, api_key_revoke(TX, WS, &a.id, ERR));
    s->tx.now_ms += 10;
    EXPECT(RC_OK, api_key_revoke(TX, WS, &a.id, ERR));
    EXPECT(RC_OK, api_key_read(TX, WS, &a.id, &back, ERR));
    assert_int_equal(back.revoked_ms, s->tx.now_ms - 10);
    EXPECT(RC_OK, api_key_find(TX, &b.id, &n, ERR));
    assert_int_equal(n, WS);
    EXPECT(RC_NOT_FOUND, api_key_find(TX, &same.id, &n, ERR));
}

static const struct {
    bool revoked;
    const char *search;
    int64_t limit, offset;
    const char *names; /* newest first, a letter each */
    int64_t total;
} key_lists[] = {
    {true, NULL, 10, 0, "CBA", 3},   {false, NULL, 10, 0, "CA", 2},
    {true, NULL, 1, 1, "B", 3},      {true, NULL, 10, 3, "", 3},
    {true, "beta", 10, 0, "B", 1},   {true, "for t", 10, 0, "CBA", 3},
    {true, "nothing", 10, 0, "", 0},
};

static void
test_api_key_list(void **state)
{
    struct scratch *s = *state;
    struct api_key a = key(s, "Alpha", "h1", 1, -1), b = key(s, "Beta", "h2", 1, -1), *keys;
    struct budget used = {.workspace = WS, .subject = a.id, .last_used_ms = 77}, sum;

    (void)key(s, "Cee", "h3", 1, -1);
    EXPECT(RC_OK, api_key_revoke(TX, WS, &b.id, ERR));
    EXPECT(RC_OK, budget_add(TX, &used, &sum, ERR));
    for (size_t i = 0; i < ARRAY_LEN(key_lists); i++) {
        int64_t total;
        size_t n;

        EXPECT(RC_OK,
               api_key_list(TX, WS, key_lists[i].revoked, key_lists[i].search, key_lists[i].limit,
                            key_lists[i].offset, &keys, &n, &total, ERR));
        assert_int_equal(total, key_lists[i].total);
        assert_int_equal(n, strlen(key_lists[i].names));
        for (size_t j = 0; j < n; j++) {
            assert_int_equal(keys[j].name[0], key_lists[i].names[j]);
            assert_int_equal(keys[j].last_used_ms, keys[j].name[0] == 'A' ? 77 : -1);
        }
    }
}

/* ---- budgets, usage, idempotency ---- */

#define NOON_MS (s->tx.now_ms - s->tx.now_ms % 86400000 + 43200000)

/* Draws that are added one after the other to a row, and what it says then. */
static const struct {
    int64_t day, used, last_ms; /* of today and its noon */
    int64_t now_ms;             /* the same */
    int64_t sum_day, sum_used, sum_last_ms;
} additions[] = {
    {0, 7, 10, 10, 0, 7, 10},
    {0, 2, 20, 20, 0, 9, 20},  /* of the same node or of another */
    {0, 1, 15, 30, 0, 10, 20}, /* of one that saw it last before */
    {1, 3, 40, 40, 1, 3, 40},  /* the first in the next day */
    {0, 4, 35, 45, 1, 3, 40},  /* of one that is not there yet */
    {1, 2, 50, 50, 1, 5, 50},  /* nothing was lost of the day */
    {9, 1, 900000, 900000, 9, 1, 900000},
    {1, 6, 60, 60, 1, 6, 60}, /* that clock was wrong */
    {1, 1, 55, 60, 1, 7, 60},
};

static void
test_budget(void **state)
{
    struct scratch *s = *state;
    int64_t noon = NOON_MS, today = noon / 86400000;
    struct id subject = id_new();
    struct budget back, sum;

    EXPECT(RC_NOT_FOUND, budget_read(TX, WS, &subject, &back, ERR));
    for (size_t i = 0; i < ARRAY_LEN(additions); i++) {
        const struct budget added = {.workspace = WS,
                                     .subject = subject,
                                     .day = today + additions[i].day,
                                     .used = additions[i].used,
                                     .last_used_ms = noon + additions[i].last_ms};

        s->tx.now_ms = noon + additions[i].now_ms;
        EXPECT(RC_OK, budget_add(TX, &added, &sum, ERR));
        EXPECT(RC_OK, budget_read(TX, WS, &subject, &back, ERR));
        assert_memory_equal(&back, &sum, sizeof(back));
        assert_int_equal(back.day, today + additions[i].sum_day);
        assert_int_equal(back.used, additions[i].sum_used);
        assert_int_equal(back.last_used_ms, noon + additions[i].sum_last_ms);
    }
    assert_true(back.workspace == WS && id_equal(&back.subject, &subject));
    EXPECT(RC_NOT_FOUND, budget_read(TX, OTHER, &subject, &back, ERR));
}

static void
test_usage(void **state)
{
    struct scratch *s = *state;
    struct usage u;

    EXPECT(RC_OK, usage_read(TX, WS, &u, ERR));
    assert_true(u.documents == 0 && u.bytes == 0 && u.pending_purge_bytes == 0);
    EXPECT(RC_OK, usage_add(TX, WS, 2, 100, ERR));
    EXPECT(RC_OK, usage_add(TX, WS, -1, -30, ERR));
    EXPECT(RC_OK, usage_add(TX, OTHER, 5, 5, ERR));
    s->ws.quota_bytes = 80;
    s->ws.quota_documents = 2;
    EXPECT(RC_QUOTA, usage_claim(TX, &s->ws, 0, 11, ERR));
    EXPECT(RC_QUOTA, usage_claim(TX, &s->ws, 2, 0, ERR));
    EXPECT(RC_OK, usage_claim(TX, &s->ws, 1, 10, ERR));
    s->ws.quota_bytes = s->ws.quota_documents = 0;
    EXPECT(RC_OK, usage_claim(TX, &s->ws, -1, -1, ERR));
    EXPECT(RC_OK, usage_read(TX, WS, &u, ERR));
    assert_true(u.documents == 1 && u.bytes == 79);
}

/* A refusal may come as late as this. */
static enum rc
keep_and_settle(struct scratch *s, const uint8_t hash[SHA256_LEN], const struct idempotency *r,
                int64_t expired_ms)
{
    enum rc rc = idempotency_write(TX, WS, hash, r, expired_ms, ERR);

    return rc ? rc : db_savepoint_release(s->conn, ERR);
}

static void
test_idempotency(void **state)
{
    struct scratch *s = *state;
    uint8_t hash[SHA256_LEN] = {1};
    struct idempotency r = {.fingerprint = {2},
                            .answer = "a\0b",
                            .answer_len = 3,
                            .completed_ms = 100},
                       back;
    int64_t n, oldest;

    EXPECT(RC_NOT_FOUND, idempotency_read(TX, WS, hash, 0, &back, ERR));
    EXPECT(RC_OK, idempotency_write(TX, WS, hash, &r, INT64_MAX, ERR));
    EXPECT(RC_OK, idempotency_read(TX, WS, hash, 100, &back, ERR));
    assert_memory_equal(back.answer, "a\0b", 3);
    assert_memory_equal(back.fingerprint, r.fingerprint, SHA256_LEN);
    EXPECT(RC_NOT_FOUND, idempotency_read(TX, OTHER, hash, 0, &back, ERR));
    assert_false(back.replaces);
    EXPECT(RC_NOT_FOUND, idempotency_read(TX, WS, hash, 101, &back, ERR));
    assert_true(back.replaces);
    REFUSED(s, RC_RERUN, keep_and_settle(s, hash, &r, 101));
    r.replaces = true;
    REFUSED(s, RC_RERUN, keep_and_settle(s, hash, &r, 100));
    r.completed_ms = 200;
    EXPECT(RC_OK, idempotency_write(TX, WS, hash, &r, 101, ERR));
    r.replaces = false;
    EXPECT(RC_OK, idempotency_read(TX, WS, hash, 101, &back, ERR));
    EXPECT(RC_OK, idempotency_write(TX, OTHER, hash, &r, INT64_MAX, ERR));
    EXPECT(RC_OK, idempotency_backlog(TX, 201, &n, &oldest, ERR));
    assert_true(n == 2 && oldest == 200);
    EXPECT(RC_OK, idempotency_expire(TX, 200, 10, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_OK, idempotency_expire(TX, 201, 1, &n, ERR));
    assert_int_equal(n, 1);
    EXPECT(RC_OK, idempotency_expire(TX, 201, 9, &n, ERR));
    assert_int_equal(n, 1);
}

/* An answer of this date, in the place of an older one if there is. */
static void
keep_of(struct scratch *s, uint8_t key, int64_t completed_ms, bool replaces)
{
    const uint8_t hash[SHA256_LEN] = {key};
    const struct idempotency r = {
        .answer = &key, .answer_len = 1, .completed_ms = completed_ms, .replaces = replaces};

    EXPECT(RC_OK, idempotency_write(TX, WS, hash, &r, INT64_MAX, ERR));
}

/* By their dates, in whichever order the rows came: a clock is set back, an answer replaced. */
static void
test_idempotency_ages(void **state)
{
    static const struct {
        uint8_t key;
        bool kept;
    } left[] = {{1, true}, {2, false}, {3, true}, {4, false}, {5, true}};
    struct scratch *s = *state;
    struct idempotency back;
    int64_t n, oldest;

    keep_of(s, 1, 100, false);
    keep_of(s, 2, 300, false);
    keep_of(s, 3, 9000, false);
    keep_of(s, 4, 200, false);
    keep_of(s, 5, 400, false);
    keep_of(s, 1, 500, true);
    EXPECT(RC_OK, idempotency_backlog(TX, 400, &n, &oldest, ERR));
    assert_true(n == 2 && oldest == 200);
    EXPECT(RC_OK, idempotency_expire(TX, 400, 10, &n, ERR));
    assert_int_equal(n, 2);
    s->tx.now_ms = 600;
    EXPECT(RC_OK, idempotency_redate(TX, 8000, ERR));
    for (size_t i = 0; i < ARRAY_LEN(left); i++) {
        const uint8_t hash[SHA256_LEN] = {left[i].key};

        EXPECT(left[i].kept ? RC_OK : RC_NOT_FOUND, idempotency_read(TX, WS, hash, 0, &back, ERR));
        if (left[i].key == 3)
            assert_int_equal(back.completed_ms, 600);
        if (left[i].kept)
            assert_int_equal(*(const uint8_t *)back.answer, left[i].key);
    }
}

/* ---- objects and purges ---- */

static enum rc
count_object(void *arg, const struct object *o, struct err *err)
{
    (void)o;
    (void)err;
    *(int *)arg += 1;
    return RC_OK;
}

static void
test_object(void **state)
{
    struct scratch *s = *state;
    struct object o = {.storage_path = "a",
                       .blob_id = id_new(),
                       .size_bytes = 3,
                       .sha256 = {7},
                       .created_ms = 50},
                  same = o, back;
    struct stale_object *stale;
    size_t n;
    bool has;
    int visited = 0;

    EXPECT(RC_OK, object_insert(TX, WS, &o, ERR));
    same.blob_id = id_new();
    REFUSED(s, RC_CONFLICT, object_insert(TX, WS, &same, ERR));
    EXPECT(RC_OK, object_insert(TX, OTHER, &same, ERR));
    EXPECT(RC_OK, object_read(TX, WS, "a", &back, ERR));
    assert_true(id_equal(&back.blob_id, &o.blob_id) && back.size_bytes == 3);
    assert_memory_equal(back.sha256, o.sha256, SHA256_LEN);
    EXPECT(RC_OK, object_has_blob(TX, WS, &same.blob_id, &has, ERR));
    assert_false(has);
    EXPECT(RC_OK, object_has_blob(TX, WS, &o.blob_id, &has, ERR));
    assert_true(has);
    EXPECT(RC_OK, object_each(TX, WS, count_object, &visited, ERR));
    assert_int_equal(visited, 1);
    EXPECT(RC_OK, object_stale(TX, 50, 10, &stale, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_OK, object_stale(TX, 51, 10, &stale, &n, ERR));
    assert_int_equal(n, 2);
    EXPECT(RC_OK, object_stale(TX, 51, 1, &stale, &n, ERR));
    assert_int_equal(n, 1);
    EXPECT(RC_OK, object_delete(TX, WS, "a", ERR));
    EXPECT(RC_NOT_FOUND, object_read(TX, WS, "a", &back, ERR));
    EXPECT(RC_OK, object_read(TX, OTHER, "a", &back, ERR));
}

static void
test_used_urls(void **state)
{
    struct scratch *s = *state;
    struct id id = id_new();
    int64_t n;

    EXPECT(RC_OK, object_use_url(TX, WS, &id, s->tx.now_ms, ERR));
    EXPECT(RC_BAD_SIGNATURE, object_use_url(TX, WS, &id, s->tx.now_ms, ERR));
    EXPECT(RC_OK, object_use_url(TX, OTHER, &id, s->tx.now_ms + 5, ERR));
    EXPECT(RC_OK, object_forget_urls(TX, s->tx.now_ms, 10, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_OK, object_forget_urls(TX, s->tx.now_ms + 1, 10, &n, ERR));
    assert_int_equal(n, 1);
}

static void
test_purge(void **state)
{
    struct scratch *s = *state;
    struct purge p = {.workspace = WS,
                      .blob_id = id_new(),
                      .has_document = true,
                      .document_id = id_new(),
                      .size_bytes = 4,
                      .due_ms = 100},
                 back, *due;
    int64_t waiting, overdue, oldest;
    bool changed, has;
    size_t n;

    EXPECT(RC_OK, purge_put(TX, &p, ERR));
    EXPECT(RC_NOT_FOUND, purge_of_document(TX, WS, &p.document_id, &back, ERR));
    p.due_ms = 200;
    p.hard = true;
    EXPECT(RC_OK, purge_put(TX, &p, ERR));
    EXPECT(RC_OK, purge_of_document(TX, WS, &p.document_id, &back, ERR));
    assert_true(back.hard && back.due_ms == 100 && back.size_bytes == 4);
    EXPECT(RC_NOT_FOUND, purge_of_document(TX, OTHER, &p.document_id, &back, ERR));
    EXPECT(RC_OK, purge_due(TX, 99, INT64_MAX, 10, &due, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_OK, purge_due(TX, 100, INT64_MAX, 10, &due, &n, ERR));
    assert_true(n == 1 && id_equal(&due[0].blob_id, &p.blob_id) && due[0].workspace == WS);
    EXPECT(RC_OK, purge_due(TX, 50, 100, 10, &due, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_OK, purge_due(TX, 50, 99, 10, &due, &n, ERR)); /* later than can be: due */
    assert_int_equal(n, 1);
    EXPECT(RC_OK, purge_backlog(TX, 50, 99, &waiting, &overdue, &oldest, ERR));
    assert_true(waiting == 1 && overdue == 1 && oldest == 100);
    EXPECT(RC_OK, purge_backlog(TX, 99, INT64_MAX, &waiting, &overdue, &oldest, ERR));
    assert_true(waiting == 1 && overdue == 0 && oldest == 99);
    EXPECT(RC_OK, purge_backlog(TX, 500, INT64_MAX, &waiting, &overdue, &oldest, ERR));
    assert_true(waiting == 1 && overdue == 1 && oldest == 100);
    EXPECT(RC_OK, purge_done(TX, OTHER, &p.blob_id, &changed, ERR));
    assert_false(changed);
    EXPECT(RC_OK, purge_done(TX, WS, &p.blob_id, &changed, ERR));
    assert_true(changed);
    EXPECT(RC_OK, purge_done(TX, WS, &p.blob_id, &changed, ERR));
    assert_false(changed);
    EXPECT(RC_OK, purge_has_blob(TX, WS, &p.blob_id, &has, ERR));
    assert_false(has);
}

/* What was promised to the deleter's key is kept when the bytes are gone, whoever erases them. */
static void
test_purge_promise(void **state)
{
    struct scratch *s = *state;
    struct purge p = {.workspace = WS,
                      .blob_id = id_new(),
                      .has_document = true,
                      .document_id = id_new(),
                      .hard = true};
    struct idempotency first = {.fingerprint = {1}, .answer = "first", .answer_len = 5},
                       second = {.fingerprint = {2}, .answer = "second", .answer_len = 6}, back;
    uint8_t hash[SHA256_LEN] = {3};
    bool changed;

    first.completed_ms = second.completed_ms = s->tx.now_ms;
    EXPECT(RC_OK, purge_put(TX, &p, ERR));
    EXPECT(RC_OK, purge_promise(TX, WS, &p.blob_id, hash, &first, ERR));
    EXPECT(RC_OK, purge_promise(TX, WS, &p.blob_id, hash, &second, ERR));
    EXPECT(RC_NOT_FOUND, idempotency_read(TX, WS, hash, 0, &back, ERR));
    EXPECT(RC_OK, purge_done(TX, WS, &p.blob_id, &changed, ERR));
    EXPECT(RC_OK, idempotency_read(TX, WS, hash, 0, &back, ERR));
    assert_int_equal(back.answer_len, 5);
    assert_memory_equal(back.answer, "first", 5);
}

/* More than one statement takes, among them one of nobody and one that promises an answer. */
static void
test_purge_many(void **state)
{
    enum { N = 70, GONE = 20, PROMISED = 50 };
    struct scratch *s = *state;
    struct purge all[N];
    const struct purge *list[N];
    struct idempotency answer = {.answer = "a", .answer_len = 1, .completed_ms = s->tx.now_ms},
                       back;
    uint8_t hash[SHA256_LEN] = {4};
    bool changed[N], has;

    for (int i = 0; i < N; i++) {
        all[i] = (struct purge){.workspace = WS, .blob_id = id_new(), .due_ms = i};
        list[i] = &all[i];
        if (i != GONE)
            EXPECT(RC_OK, purge_put(TX, &all[i], ERR));
    }
    EXPECT(RC_OK, purge_promise(TX, WS, &all[PROMISED].blob_id, hash, &answer, ERR));
    EXPECT(RC_OK, purge_done_all(TX, OTHER, list, N, changed, ERR));
    for (int i = 0; i < N; i++)
        assert_false(changed[i]);
    EXPECT(RC_OK, purge_done_all(TX, WS, list, N - 1, changed, ERR));
    for (int i = 0; i < N - 1; i++)
        assert_int_equal(changed[i], i != GONE);
    EXPECT(RC_OK, purge_has_blob(TX, WS, &all[N - 2].blob_id, &has, ERR));
    assert_false(has);
    EXPECT(RC_OK, purge_has_blob(TX, WS, &all[N - 1].blob_id, &has, ERR));
    assert_true(has);
    EXPECT(RC_OK, idempotency_read(TX, WS, hash, 0, &back, ERR));
}

#include "store_audit.h"
#include "store_documents.h"

#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name, set_up, tear_down, NULL                                                       \
    }

static struct CMUnitTest cases[] = {
    CASE(test_workspace),       CASE(test_api_key),
    CASE(test_api_key_list),    CASE(test_audit),
    CASE(test_audit_trim),      CASE(test_audit_refuses),
    CASE(test_audit_attacks),   CASE(test_audit_flips),
    CASE(test_audit_heads),     CASE(test_audit_claims),
    CASE(test_audit_clock),     CASE(test_audit_stays_broken),
    CASE(test_budget),          CASE(test_usage),
    CASE(test_idempotency),     CASE(test_idempotency_ages),
    CASE(test_object),          CASE(test_used_urls),
    CASE(test_purge),           CASE(test_purge_many),
    CASE(test_purge_promise),   CASE(test_document),
    CASE(test_document_update), CASE(test_document_list),
    CASE(test_document_pages),  CASE(test_link),
    CASE(test_link_documents),  CASE(test_reference),
    CASE(test_entity),          CASE(test_docs),
    CASE(test_census),
};

int
main(void)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        if (drivers[i].open == postgres_open && postgres_missing())
            continue;
        for (size_t j = 0; j < ARRAY_LEN(cases); j++)
            cases[j].initial_state = &drivers[i];
        failed += cmocka_run_group_tests_name(drivers[i].name, cases, NULL, NULL);
    }
    return failed;
}
