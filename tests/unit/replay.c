// SPDX-License-Identifier: Apache-2.0
/* replay: which keys are taken, and that one key has one effect and one answer. */
#include "support.h"

#include <stdatomic.h>
#include <unistd.h>

#include "http/replay.h"
#include "store/usage.h"

#define WORKS 64

static const struct route write_route = {
    .op = "test.write", .run = RUN_WRITE, .dialect = &dialect_records};
static const struct route read_route = {
    .op = "test.read", .run = RUN_READ, .dialect = &dialect_records};
static const struct route docs_route = {
    .op = "test.docs", .run = RUN_WRITE, .dialect = &dialect_docs};

/* One request with a key, and what came of it. */
struct ask {
    struct house *house;
    TALLOC_CTX *pool;
    struct http_header header;
    struct wire wire;
    struct request rq;
    struct replay replay;
    struct reply reply;
    struct work work;
    atomic_int *finished;
    enum rc rc;
};

static void
ask_init(struct ask *a, struct house *h, const struct route *route, const char *key)
{
    const char *name = route->dialect->idempotency_header;

    *a = (struct ask){.house = h, .pool = base_pool_new(NULL)};
    a->header = (struct http_header){name, key, strlen(name), key ? strlen(key) : 0};
    a->wire = (struct wire){.headers = &a->header, .n_headers = key != NULL};
    a->rq = (struct request){
        .pool = a->pool, .app = &h->app, .route = route, .caller = h->caller, .wire = &a->wire};
    reply_init(&a->reply, a->pool);
}

static void
ask_end(struct ask *a)
{
    reply_clear(&a->reply);
    base_pool_free(&a->pool);
}

/* The effect counts one document; the answer tells which it was. */
static enum rc
ask_fn(struct tx *tx, void *arg, struct err *err)
{
    struct ask *a = arg;
    int64_t ws = a->rq.caller.workspace.number;
    struct usage u;
    enum rc rc;

    reply_clear(&a->reply);
    rc = replay_find(&a->replay, &a->rq, tx, &a->reply, err);
    if (rc || a->replay.replayed)
        return rc;
    rc = usage_add(tx, ws, 1, 0, err);
    if (!rc)
        rc = usage_read(tx, ws, &u, err);
    if (rc)
        return rc;
    reply_json(&a->reply, 201, json_pack("{s:I}", "id", (json_int_t)u.documents));
    return replay_keep(&a->replay, &a->rq, tx, &a->reply, err);
}

static void
ask_done(void *arg, enum rc rc, const struct err *err)
{
    struct ask *a = arg;

    (void)err;
    a->rc = rc;
    atomic_fetch_add(a->finished, 1);
}

static void
ask_submit(struct ask *a, uint8_t body, atomic_int *finished)
{
    uint8_t hash[SHA256_LEN] = {body};
    struct err err;

    EXPECT(RC_OK, replay_start(&a->replay, &a->rq, &err));
    assert_true(a->replay.on);
    replay_fingerprint(&a->replay, &a->rq, hash);
    a->finished = finished;
    a->work = (struct work){.fn = ask_fn,
                            .done = ask_done,
                            .arg = a,
                            .lane = a->rq.caller.workspace.number,
                            .pool = a->pool};
    EXPECT(RC_OK, engine_submit(a->house->app.engine, &a->work, &err));
}

static enum rc
ask_once(struct house *h, const struct route *route, const char *key, uint8_t body, struct ask *a)
{
    atomic_int finished = 0;

    ask_init(a, h, route, key);
    ask_submit(a, body, &finished);
    while (atomic_load(&finished) == 0)
        (void)usleep(500);
    return a->rc;
}

static struct house *
open_house(void)
{
    struct house *h = house_new((struct engine_config){0});

    h->app.settings.idempotency_ms = 3600000;
    return h;
}

static void
test_one_effect(void **state)
{
    SCOPED(house) h = open_house();
    SCOPED_POOL(pool);
    struct ask *asks = MEM_ARRAY(pool, struct ask, WORKS);
    atomic_int finished = 0;
    int replayed = 0;

    (void)state;
    for (int i = 0; i < WORKS; i++) {
        ask_init(&asks[i], h, &write_route, "one-key");
        ask_submit(&asks[i], 1, &finished);
    }
    while (atomic_load(&finished) < WORKS)
        (void)usleep(500);
    for (int i = 0; i < WORKS; i++) {
        assert_int_equal(asks[i].rc, RC_OK);
        assert_int_equal(asks[i].reply.status, 201);
        assert_string_equal(asks[i].reply.text, "{\"id\":1}");
        replayed += asks[i].replay.replayed;
        ask_end(&asks[i]);
    }
    assert_int_equal(replayed, WORKS - 1);
}

static void
test_keys_apart(void **state)
{
    SCOPED(house) h = open_house();
    struct ask a, b, c, d;

    (void)state;
    EXPECT(RC_OK, ask_once(h, &write_route, "k", 1, &a));
    EXPECT(RC_MISMATCH, ask_once(h, &write_route, "k", 2, &b));
    EXPECT(RC_OK, ask_once(h, &write_route, "\"k\"", 1, &c)); /* quoted: the same key */
    assert_true(c.replay.replayed);
    EXPECT(RC_OK, ask_once(h, &write_route, "K", 1, &d));
    assert_false(d.replay.replayed);
    ask_end(&a);
    ask_end(&b);
    ask_end(&c);
    ask_end(&d);
}

/* In the docs dialect a used key is a conflict that names the first object; its keys are apart. */
static void
test_docs_conflict(void **state)
{
    SCOPED(house) h = open_house();
    struct ask a, b, c;

    (void)state;
    EXPECT(RC_OK, ask_once(h, &docs_route, "k", 1, &a));
    EXPECT(RC_DUPLICATE, ask_once(h, &docs_route, "k", 1, &b));
    assert_int_equal(json_integer_value(json_object_get(b.reply.details, "id")), 1);
    EXPECT(RC_OK, ask_once(h, &write_route, "k", 1, &c));
    assert_false(c.replay.replayed);
    ask_end(&a);
    ask_end(&b);
    ask_end(&c);
}

static const struct {
    const struct route *route;
    const char *key; /* NULL: none was sent */
    enum rc rc;
    bool on;
} keys[] = {
    {&write_route, NULL, RC_OK, false},
    {&docs_route, NULL, RC_MISSING, false},
    {&read_route, "k", RC_OK, false},
    {&write_route, "k", RC_OK, true},
    {&write_route, "", RC_INVALID, false},
    {&write_route, "\"\"", RC_INVALID, false},
    {&write_route, "a b", RC_INVALID, false},
    {&write_route, "\xc3\xa9", RC_INVALID, false},
    {&write_route, "\"a b\"", RC_INVALID, false},
    {&write_route, "\"", RC_OK, true},
};

static void
test_keys(void **state)
{
    SCOPED(house) h = open_house();
    char longest[257];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct ask a;
        struct err err;

        ask_init(&a, h, keys[i].route, keys[i].key);
        EXPECT(keys[i].rc, replay_start(&a.replay, &a.rq, &err));
        assert_int_equal(a.replay.on, keys[i].on);
        ask_end(&a);
    }
    memset(longest, 'k', 256);
    for (size_t len = 255; len <= 256; len++) {
        struct ask a;
        struct err err;

        longest[len] = '\0';
        ask_init(&a, h, &write_route, longest);
        EXPECT(len == 255 ? RC_OK : RC_INVALID, replay_start(&a.replay, &a.rq, &err));
        ask_end(&a);
        longest[len] = 'k';
    }
}

/* Two requests with these queries; *same tells whether a key of one would replay for the other. */
static void
check_queries(const char *one, const char *two, bool same)
{
    SCOPED(house) h = open_house();
    const uint8_t body[SHA256_LEN] = {0};
    const char *texts[] = {one, two};
    uint8_t prints[2][SHA256_LEN];

    for (int i = 0; i < 2; i++) {
        struct ask a;
        struct err err;

        ask_init(&a, h, &write_route, "k");
        EXPECT(RC_OK, request_read_query(&a.rq, texts[i], &err));
        EXPECT(RC_OK, replay_start(&a.replay, &a.rq, &err));
        replay_fingerprint(&a.replay, &a.rq, body);
        memcpy(prints[i], a.replay.fingerprint, SHA256_LEN);
        ask_end(&a);
    }
    if ((memcmp(prints[0], prints[1], SHA256_LEN) == 0) != same)
        fail_msg("'%s' and '%s' are %s", one, two, same ? "the same request" : "two requests");
}

static void
test_queries(void **state)
{
    (void)state;
    check_queries("hard=true&a=1&b=2", "b=2&hard=true&a=1", true);
    check_queries("a=%31", "a=1", true);
    check_queries("a=1", "a=2", false);
    check_queries("a=1", "", false);
    check_queries("a=1&a=1", "a=1", false);
    check_queries("a%3D1=2", "a=1%3D2", false); /* "a=1" = "2" and "a" = "1=2" */
    check_queries("a=1&b=2", "a=1%26b=2", false);
}

/* Made with Python's hashlib. Answers that older programs kept are found by these. */
static const struct {
    const struct route *route;
    const char *arg, *query;
    const char *fingerprint, *key_hash;
} prints[] = {
    {&write_route, "doc_1", "hard=true&a=2",
     "1e1338b818809e168e9bcaa67064ee7104a0095799dc4d207d95dc16f9ab7141",
     "36cff5e579be79f3154ab1f4394bac9577b4f762d61d485e3f6e1f743d385bb7"},
    {&docs_route, NULL, "", "d49d0643bc39b657f693abe6b3aa265e313eaf6b3206d11d0743ebc0a7c81039",
     "3adb0d116e9bd7a29cbe61418585a5fc5f4809c47c24cdcac7ad8efd960e6148"},
};

static void
test_fingerprints(void **state)
{
    SCOPED(house) h = open_house();
    const uint8_t body[SHA256_LEN] = {1};
    char hex[SHA256_HEX_LEN];
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(prints); i++) {
        struct ask a;

        ask_init(&a, h, prints[i].route, "a-key");
        a.rq.args[0] = prints[i].arg;
        EXPECT(RC_OK, request_read_query(&a.rq, prints[i].query, &err));
        EXPECT(RC_OK, replay_start(&a.replay, &a.rq, &err));
        replay_fingerprint(&a.replay, &a.rq, body);
        crypto_hex(a.replay.fingerprint, SHA256_LEN, hex);
        assert_string_equal(hex, prints[i].fingerprint);
        crypto_hex(a.replay.key_hash, SHA256_LEN, hex);
        assert_string_equal(hex, prints[i].key_hash);
        ask_end(&a);
    }
}

/* What is kept of `rp`, opened again. */
static char *
kept_text(struct ask *a, struct reply *rp)
{
    struct tx tx = {.now_ms = 1};
    struct idempotency kept;
    uint8_t key[SHA256_LEN], *plain = NULL;
    size_t len = 0;

    replay_seal(&a->replay, &a->rq, &tx, rp, &kept);
    crypto_derive(a->rq.app->secret.idempotency, "k", 1, key);
    assert_true(crypto_open(a->pool, key, kept.answer, kept.answer_len, &plain, &len));
    assert_int_equal(strlen((char *)plain), len);
    return (char *)plain;
}

/* The form that programs of older versions keep and can read, to the byte. */
static void
test_kept_form(void **state)
{
    SCOPED(house) h = open_house();
    struct ask a;
    struct err err;

    (void)state;
    ask_init(&a, h, &write_route, "k");
    EXPECT(RC_OK, replay_start(&a.replay, &a.rq, &err));
    reply_empty(&a.reply, 204);
    assert_string_equal(kept_text(&a, &a.reply), "{\"status\":204,\"headers\":[]}");
    reply_header(&a.reply, "Location", "/v1/\"x\"");
    reply_header(&a.reply, "ETag", "\\\x01");
    reply_json(&a.reply, 201, json_pack("{s:s}", "na\\me", "\xc3\xa9\n\""));
    assert_string_equal(kept_text(&a, &a.reply),
                        "{\"status\":201,\"headers\":[[\"Location\",\"/v1/\\\"x\\\"\"],"
                        "[\"ETag\",\"\\\\\\u0001\"]],"
                        "\"body\":\"{\\\"na\\\\\\\\me\\\":\\\"\xc3\xa9\\\\n\\\\\\\"\\\"}\"}");
    ask_end(&a);
}

struct damage {
    struct ask *ask;
    struct idempotency row;
};

static enum rc
damage_fn(struct tx *tx, void *arg, struct err *err)
{
    struct damage *d = arg;

    return idempotency_write(tx, d->ask->rq.caller.workspace.number, d->ask->replay.key_hash,
                             &d->row, INT64_MAX, err);
}

/* Neither done again nor answered from what nobody can read. */
static void
test_damaged_answer(void **state)
{
    static const uint8_t garbage[64] = {1};
    SCOPED(house) h = open_house();
    struct ask a, b, c;
    struct damage d = {&a, {.answer = garbage, .completed_ms = clock_wall_ms()}};
    uint8_t hash[SHA256_LEN] = {1};
    struct err err;

    (void)state;
    ask_init(&a, h, &write_route, "k");
    EXPECT(RC_OK, replay_start(&a.replay, &a.rq, &err));
    replay_fingerprint(&a.replay, &a.rq, hash);
    memcpy(d.row.fingerprint, a.replay.fingerprint, SHA256_LEN);
    d.row.answer_len = sizeof(garbage);
    EXPECT(RC_OK, engine_write(h->app.engine, 1, a.pool, damage_fn, &d, &err));
    ask_end(&a);
    EXPECT(RC_INTERNAL, ask_once(h, &write_route, "k", 1, &b));
    EXPECT(RC_OK, ask_once(h, &write_route, "another", 1, &c));
    assert_string_equal(c.reply.text, "{\"id\":1}"); /* nothing was done before it */
    ask_end(&b);
    ask_end(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_effect),    cmocka_unit_test(test_keys_apart),
        cmocka_unit_test(test_docs_conflict), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_fingerprints),  cmocka_unit_test(test_kept_form),
        cmocka_unit_test(test_queries),       cmocka_unit_test(test_damaged_answer),
    };

    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
