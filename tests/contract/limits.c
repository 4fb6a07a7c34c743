// SPDX-License-Identifier: Apache-2.0
/*
 * limits: what shared limits promise, on Redis and on what the unit tests have in its place.
 * Redis is the server of DOSSIER_TEST_REDIS; without it those cases are skipped.
 */
#include "../unit/support.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../unit/limits_mem.h"
#include "base/text.h"

#define THREADS 8
#define HOUR_MS 3600000
#define DAY_MS 86400000
#define NAME 0xfedcba9876543210
#define OTHER_NAME 7

struct bench {
    const char *url; /* NULL: in memory */
    struct limits *limits;
    struct limits_draw draw; /* of a subject of its own */
    atomic_int granted;
    struct err err;
};

static struct limits_state
draw(struct bench *b)
{
    struct limits_state state;

    EXPECT(RC_OK, limits_draw(b->limits, &b->draw, &state, &b->err));
    return state;
}

static int64_t
server_ms(struct bench *b)
{
    struct limits_draw nothing = {.subject = id_new()};
    struct limits_state state;

    EXPECT(RC_OK, limits_draw(b->limits, &nothing, &state, &b->err));
    return state.now_ms;
}

static int64_t
add(struct bench *b, struct limits_count count)
{
    int64_t born_ms = 0;

    count.subject = b->draw.subject;
    count.name = count.name ? count.name : b->draw.name;
    count.make = true;
    count.day = count.day ? count.day : server_ms(b) / DAY_MS;
    EXPECT(RC_OK, limits_add(b->limits, &count, &born_ms, &b->err));
    return born_ms;
}

/* No case may run while one UTC day ends and another begins. */
static void
be_within_a_day(struct bench *b)
{
    int64_t left_ms = DAY_MS - server_ms(b) % DAY_MS;

    if (b->url && left_ms < 20000)
        (void)sleep((unsigned)left_ms / 1000 + 1);
}

static int
set_up(void **state)
{
    struct bench *b = MEM_NEW(NULL, struct bench);

    b->url = *state;
    b->draw = (struct limits_draw){.subject = id_new(), .name = NAME};
    if (b->url)
        EXPECT(RC_OK, limits_open(b->url, &b->limits, &b->err));
    else
        b->limits = &limits_mem_new(clock_wall_ms())->limits;
    EXPECT(RC_OK, limits_connect(b->limits, &b->err));
    EXPECT(RC_OK, limits_check(b->limits, &b->err));
    be_within_a_day(b);
    *state = b;
    return 0;
}

static int
tear_down(void **state)
{
    struct bench *b = *state;

    limits_free(&b->limits);
    (void)talloc_free(b);
    return 0;
}

static void
test_absent_until_made(void **state)
{
    struct bench *b = *state;
    struct limits_state s = draw(b);
    const struct limits_count unmade = {.subject = b->draw.subject,
                                        .name = NAME,
                                        .day = s.now_ms / DAY_MS,
                                        .total = 3,
                                        .alone = 3,
                                        .unsaved = 3};
    int64_t born_ms = -1;

    assert_int_equal(s.outcome, LIMITS_ABSENT);
    EXPECT(RC_OK, limits_add(b->limits, &unmade, &born_ms, &b->err));
    assert_int_equal(born_ms, 0);
    s = draw(b);
    assert_int_equal(s.outcome, LIMITS_ABSENT);
    assert_in_range(s.now_ms, clock_wall_ms() - HOUR_MS, clock_wall_ms() + HOUR_MS);
    assert_true(s.day_used == 0 && s.born_ms == 0);
    born_ms = add(b, (struct limits_count){.seed = 5});
    assert_in_range(born_ms, s.now_ms, s.now_ms + HOUR_MS);
    s = draw(b);
    assert_true(s.outcome == LIMITS_GRANTED && s.day_used == 6 && s.born_ms == born_ms);
    assert_int_equal(add(b, (struct limits_count){.seed = 100, .total = 1}), born_ms);
    assert_int_equal(draw(b).day_used, 7); /* what is there needs no seed */
    b->draw.subject = id_new();
    assert_int_equal(draw(b).outcome, LIMITS_ABSENT);
}

static const struct {
    int64_t per_minute, per_day;
    int draws; /* all granted */
    enum limits_outcome then;
} budgets[] = {
    {0, 3, 3, LIMITS_DAY_USED},   {3, 100, 3, LIMITS_MINUTE_USED}, {3, 3, 3, LIMITS_DAY_USED},
    {100, 10, 4, LIMITS_GRANTED}, {2, 0, 2, LIMITS_MINUTE_USED},   {0, 0, 20, LIMITS_GRANTED},
};

static void
test_budgets(void **state)
{
    struct bench *b = *state;

    for (size_t i = 0; i < ARRAY_LEN(budgets); i++) {
        struct limits_state s;

        b->draw = (struct limits_draw){.subject = id_new(),
                                       .per_minute = budgets[i].per_minute,
                                       .per_day = budgets[i].per_day};
        (void)add(b, (struct limits_count){.seed = 0});
        for (int n = 1; n <= budgets[i].draws; n++) {
            b->draw.name = n % 2 ? NAME : OTHER_NAME; /* whoever draws, it is one budget */
            s = draw(b);
            assert_int_equal(s.outcome, LIMITS_GRANTED);
            assert_int_equal(s.day_used, n);
            assert_int_equal(s.minute_used, budgets[i].per_minute ? n : 0);
        }
        s = draw(b);
        assert_int_equal(s.outcome, budgets[i].then);
        if (budgets[i].then != LIMITS_GRANTED)
            assert_int_equal(s.day_used, budgets[i].draws); /* a refusal costs nothing */
        if (budgets[i].per_minute)
            assert_in_range(s.now_ms - s.minute_start_ms, 0, 59999);
    }
}

#define LONG_AGO 1
#define TO_COME INT64_C(9000000000000)

/* Told by a name one after the other of a counter made with 100, and what is used then. */
static const struct {
    uint64_t name;
    int64_t total, alone, alone_since_ms, unsaved;
    int64_t used;
} told[] = {
    {NAME, 0, 0, 0, 0, 100},        /* makes it */
    {NAME, 3, 3, TO_COME, 0, 103},  /* known: what it has more */
    {NAME, 3, 3, TO_COME, 3, 103},  /* told again */
    {NAME, 5, 5, LONG_AGO, 1, 105}, /* and more */
    {NAME, 4, 4, TO_COME, 4, 105},  /* overtaken by the one before */
    {NAME, 5, 5, TO_COME, 1, 105},
    {OTHER_NAME, 9, 7, TO_COME, 2, 112}, /* new to an older counter */
    {OTHER_NAME, 9, 7, TO_COME, 2, 112},
    {OTHER_NAME, 10, 8, LONG_AGO, 3, 113},
    {11, 9, 7, LONG_AGO, 2, 115}, /* new to a younger one: the rest was in the seed */
    {11, 9, 7, LONG_AGO, 2, 115},
    {12, 0, 0, LONG_AGO, 4, 119}, /* of which nothing is under this name */
    {12, 1, 1, TO_COME, 4, 120},
};

static void
test_told(void **state)
{
    struct bench *b = *state;
    int64_t day = server_ms(b) / DAY_MS;

    b->draw.per_day = 1; /* looks without drawing */
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        (void)add(b, (struct limits_count){.name = told[i].name,
                                           .day = day,
                                           .seed = 100,
                                           .total = told[i].total,
                                           .alone = told[i].alone,
                                           .alone_since_ms = told[i].alone_since_ms,
                                           .unsaved = told[i].unsaved});
        assert_int_equal(draw(b).day_used, told[i].used);
    }
}

/* A counter is made with what its maker has not saved; its draws are known to it afterwards. */
static void
test_made_by_who_has_counted(void **state)
{
    struct bench *b = *state;

    (void)add(b, (struct limits_count){
                     .seed = 100, .total = 9, .alone = 9, .alone_since_ms = TO_COME, .unsaved = 2});
    assert_int_equal(draw(b).day_used, 103);
    (void)add(b, (struct limits_count){.total = 10, .unsaved = 3}); /* of the draw, too */
    assert_int_equal(draw(b).day_used, 104);
    /* granted without an answer: told with the next, and not counted twice */
    (void)add(b, (struct limits_count){.total = 12, .alone = 1, .alone_since_ms = TO_COME});
    assert_int_equal(draw(b).day_used, 106);
}

static void
test_another_day(void **state)
{
    struct bench *b = *state;
    int64_t day = server_ms(b) / DAY_MS;

    (void)add(b, (struct limits_count){.day = day - 1, .seed = 50});
    (void)add(b, (struct limits_count){.day = day + 1, .seed = 60});
    assert_int_equal(draw(b).outcome, LIMITS_ABSENT);
}

static void
test_minute(void **state)
{
    struct bench *b = *state;
    struct limits_state s;

    b->draw.per_minute = 10;
    (void)add(b, (struct limits_count){.minute = 4, .minute_age_ms = 20000});
    s = draw(b);
    assert_true(s.outcome == LIMITS_GRANTED && s.minute_used == 5);
    assert_in_range(s.now_ms - s.minute_start_ms, 20000, 50000);
    (void)add(b, (struct limits_count){.minute = 6}); /* one more than is known */
    (void)add(b, (struct limits_count){.minute = 6});
    (void)add(b, (struct limits_count){.name = OTHER_NAME, .minute = 2, .minute_age_ms = 1});
    (void)add(b, (struct limits_count){.name = 5, .minute = 1, .minute_age_ms = 60000}); /* over */
    s = draw(b);
    assert_int_equal(s.minute_used, 9);
    assert_int_equal(draw(b).outcome, LIMITS_GRANTED);
    assert_int_equal(draw(b).outcome, LIMITS_MINUTE_USED);
}

static void *
draw_many(void *arg)
{
    struct bench *b = arg;

    for (int i = 0; i < 100; i++) {
        if (draw(b).outcome == LIMITS_GRANTED)
            atomic_fetch_add(&b->granted, 1);
    }
    return NULL;
}

static void
draw_by_threads(struct bench *b)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, draw_many, b), 0);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
}

static void
test_threads(void **state)
{
    struct bench *b = *state;

    b->draw.per_day = 500;
    (void)add(b, (struct limits_count){.seed = 10});
    draw_by_threads(b);
    assert_int_equal(atomic_load(&b->granted), 490);
}

static void
test_threads_in_a_minute(void **state)
{
    struct bench *b = *state;
    struct limits_state first;

    b->draw.per_minute = 301;
    (void)add(b, (struct limits_count){.seed = 10});
    first = draw(b);
    draw_by_threads(b);
    if (draw(b).minute_start_ms == first.minute_start_ms) /* else a very slow machine */
        assert_int_equal(atomic_load(&b->granted), 300);
}

/* ---- Redis alone ---- */

/* Where the server is, and another way to it: as this user, in this database. */
static char *
url(struct bench *b, const char *who, int database)
{
    return mem_printf(b, "redis://%s%s/%d", who, b->url + strlen("redis://"), database);
}

static void
command(const struct bench *b, const char *text)
{
    int64_t port = 0;
    redisContext *c;
    redisReply *reply;

    assert_true(text_uint(strrchr(b->url, ':') + 1, UINT16_MAX, &port));
    c = redisConnect("127.0.0.1", (int)port);
    assert_true(c && !c->err);
    reply = redisCommand(c, text);
    assert_true(reply && reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    redisFree(c);
}

static void
test_forgotten_scripts(void **state)
{
    struct bench *b = *state;

    command(b, "SCRIPT FLUSH");
    (void)add(b, (struct limits_count){.seed = 1});
    command(b, "SCRIPT FLUSH");
    assert_int_equal(draw(b).day_used, 2);
}

/* Connections that the server has ended are noticed before a draw is sent on one. */
static void
test_ended_connections(void **state)
{
    struct bench *b = *state;

    (void)add(b, (struct limits_count){.seed = 1});
    draw_by_threads(b);
    command(b, "CLIENT KILL TYPE normal SKIPME yes");
    assert_int_equal(draw(b).day_used, 1 + THREADS * 100 + 1);
    command(b, "CLIENT KILL TYPE normal SKIPME yes");
    EXPECT(RC_OK, limits_check(b->limits, &b->err));
}

/* Counters that are evicted, or emptied by hand, are absent again. */
static void
test_lost_counters(void **state)
{
    struct bench *b = *state;

    (void)add(b, (struct limits_count){.seed = 1});
    assert_int_equal(draw(b).day_used, 2);
    command(b, "FLUSHALL");
    assert_int_equal(draw(b).outcome, LIMITS_ABSENT);
}

static void
test_expiry(void **state)
{
    struct bench *b = *state;
    redisContext *c;
    redisReply *keys;
    int64_t port = 0;

    b->draw.per_minute = 10;
    command(b, "FLUSHALL");
    (void)add(b, (struct limits_count){.seed = 1});
    (void)draw(b);
    assert_true(text_uint(strrchr(b->url, ':') + 1, UINT16_MAX, &port));
    c = redisConnect("127.0.0.1", (int)port);
    keys = redisCommand(c, "KEYS dossier:*");
    assert_int_equal(keys->elements, 2);
    for (size_t i = 0; i < keys->elements; i++) {
        const char *key = keys->element[i]->str;
        redisReply *left = redisCommand(c, "TTL %s", key);

        assert_in_range(left->integer, 1, key[strlen(key) - 1] == 'm' ? 60 : 2 * 86400);
        freeReplyObject(left);
    }
    freeReplyObject(keys);
    redisFree(c);
}

#define RIGHTS                                                                                     \
    "ACL SETUSER dossier_test reset on >p:a/s@s ~dossier:* +ping +select +eval +evalsha"           \
    " +script|load +time +hget +hset +hmget +hsetnx +hincrby +expireat +pexpire +del"

static void
test_user_and_database(void **state)
{
    struct bench *b = *state;

    command(b, RIGHTS);
    (void)add(b, (struct limits_count){.seed = 1});
    limits_free(&b->limits);
    EXPECT(RC_OK, limits_open(url(b, "dossier_test:p%3Aa%2Fs%40s@", 0), &b->limits, &b->err));
    EXPECT(RC_OK, limits_connect(b->limits, &b->err));
    assert_int_equal(draw(b).day_used, 2);
    (void)add(b, (struct limits_count){.seed = 1, .total = 2});
    assert_int_equal(draw(b).day_used, 4);
    limits_free(&b->limits);
    EXPECT(RC_OK, limits_open(url(b, "dossier_test:p%3Aa%2Fs%40s@", 1), &b->limits, &b->err));
    EXPECT(RC_OK, limits_connect(b->limits, &b->err));
    assert_int_equal(draw(b).outcome, LIMITS_ABSENT);
    command(b, "ACL DELUSER dossier_test");
}

static const struct {
    const char *who;
    int database;
} unwelcome[] = {{"dossier_test:wrong@", 0},
                 {":secret@", 0}, /* a password that is not asked for */
                 {"nobody:secret@", 0},
                 {"dossier_mute:secret@", 0}, /* has no rights */
                 {"", 60000}};

static void
test_refused(void **state)
{
    struct bench *b = *state;

    command(b, RIGHTS);
    command(b, "ACL SETUSER dossier_mute reset on >secret");
    for (size_t i = 0; i < ARRAY_LEN(unwelcome); i++) {
        limits_free(&b->limits);
        EXPECT(RC_OK,
               limits_open(url(b, unwelcome[i].who, unwelcome[i].database), &b->limits, &b->err));
        EXPECT(RC_INVALID, limits_connect(b->limits, &b->err));
        assert_null(strstr(b->err.detail, "secret"));
        assert_null(strstr(b->err.detail, "wrong@"));
    }
    command(b, "ACL DELUSER dossier_test dossier_mute");
}

static void
test_nobody_there(void **state)
{
    struct bench *b = *state;
    struct limits_state s;

    limits_free(&b->limits);
    EXPECT(RC_OK, limits_open("redis://127.0.0.1:1", &b->limits, &b->err));
    EXPECT(RC_UNAVAILABLE, limits_connect(b->limits, &b->err));
    EXPECT(RC_UNAVAILABLE, limits_check(b->limits, &b->err));
    EXPECT(RC_UNAVAILABLE, limits_draw(b->limits, &b->draw, &s, &b->err));
    limits_free(&b->limits);
    EXPECT(RC_OK, limits_open("unix:/nowhere/redis.sock", &b->limits, &b->err));
    EXPECT(RC_UNAVAILABLE, limits_connect(b->limits, &b->err));
    EXPECT(RC_UNAVAILABLE, limits_draw(b->limits, &b->draw, &s, &b->err));
}

#define ON(where, name) cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, (where))
#define ON_ALL(where)                                                                              \
    ON(where, test_absent_until_made), ON(where, test_budgets), ON(where, test_told),              \
        ON(where, test_made_by_who_has_counted), ON(where, test_another_day),                      \
        ON(where, test_minute), ON(where, test_threads), ON(where, test_threads_in_a_minute)

int
main(void)
{
    char *redis = getenv("DOSSIER_TEST_REDIS");
    const struct CMUnitTest in_memory[] = {ON_ALL(NULL)};
    const struct CMUnitTest on_redis[] = {
        ON_ALL(redis),
        ON(redis, test_forgotten_scripts),
        ON(redis, test_ended_connections),
        ON(redis, test_lost_counters),
        ON(redis, test_expiry),
        ON(redis, test_user_and_database),
        ON(redis, test_refused),
        ON(redis, test_nobody_there),
    };
    int failed = cmocka_run_group_tests_name("limits in memory", in_memory, NULL, NULL);

    if (redis)
        return failed + cmocka_run_group_tests_name("limits on Redis", on_redis, NULL, NULL);
    print_message("skipped: limits on Redis, for DOSSIER_TEST_REDIS is not set\n");
    return failed;
}
