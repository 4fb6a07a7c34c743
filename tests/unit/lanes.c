// SPDX-License-Identifier: Apache-2.0
/* lanes: order within a lane, turns between lanes, the bound, and lanes that empty and refill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/lanes.h"

#define MANY 2000

/* One case: the lane of each work put, and the order in which the works come out. */
struct order {
    const char *name;
    const char *put;  /* a letter a work: its lane */
    const char *take; /* the letters in the order expected */
};

static const struct order orders[] = {
    {"nothing waits", "", ""},
    {"one lane is a queue", "aaaa", "aaaa"},
    {"two lanes take turns", "aaabbb", "ababab"},
    {"a flood costs another lane one turn", "aaaaaaaab", "abaaaaaaa"},
    {"turns follow arrival", "cab", "cab"},
    {"a lane that empties leaves the ring", "abbcccdddd", "abcdbcdcdd"},
};

static int64_t
lane_number(char letter)
{
    return (int64_t)letter * 1000003;
}

static void
put_letters(struct lanes *l, const char *letters, struct work *works)
{
    for (size_t i = 0; letters[i]; i++) {
        works[i].lane = lane_number(letters[i]);
        assert_true(lanes_put(l, &works[i]));
    }
}

static void
check_order(const struct order *o, size_t step)
{
    SCOPED(lanes) l = lanes_new(100);
    struct work works[32] = {{0}}, *batch[32];
    size_t want = strlen(o->take), got = 0, n;

    put_letters(l, o->put, works);
    assert_int_equal(lanes_waiting(l), want);
    while ((n = lanes_take(l, batch + got, step)) > 0)
        got += n;
    assert_int_equal(got, want);
    assert_int_equal(lanes_waiting(l), 0);
    for (size_t i = 0; i < got; i++) {
        if (batch[i]->lane != lane_number(o->take[i]))
            fail_msg("%s: work %zu is of another lane", o->name, i);
        for (size_t j = 0; j < i; j++) {
            if (batch[j]->lane == batch[i]->lane)
                assert_true(batch[j] < batch[i]);
        }
    }
}

/* However the batches are cut, the order is the same. */
static void
test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        for (size_t step = 1; step <= 5; step++)
            check_order(&orders[i], step);
    }
}

static void
test_full_lane(void **state)
{
    SCOPED(lanes) l = lanes_new(3);
    struct work works[8] = {{0}}, *batch[8];

    (void)state;
    put_letters(l, "aaa", works);
    works[3].lane = lane_number('a');
    assert_false(lanes_put(l, &works[3]));
    assert_int_equal(lanes_waiting(l), 3);
    works[4].lane = lane_number('b');
    assert_true(lanes_put(l, &works[4]));
    assert_int_equal(lanes_take(l, batch, 1), 1);
    assert_ptr_equal(batch[0], &works[0]);
    assert_true(lanes_put(l, &works[3]));
    assert_int_equal(lanes_take(l, batch, 8), 4);
    assert_ptr_equal(batch[0], &works[4]);
    assert_ptr_equal(batch[3], &works[3]);
}

/* More lanes than buckets, again and again: emptied lanes are used anew. */
static void
test_many_lanes(void **state)
{
    SCOPED(lanes) l = lanes_new(2);
    SCOPED_POOL(pool);
    struct work *works = MEM_ARRAY(pool, struct work, MANY);
    struct work **batch = MEM_ARRAY(pool, struct work *, MANY);

    (void)state;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++) {
            works[i].lane = (i % (MANY / 2)) * (round + 1) - 500;
            assert_true(lanes_put(l, &works[i]));
        }
        assert_int_equal(lanes_take(l, batch, MANY), MANY);
        for (int i = 0; i < MANY; i++)
            assert_ptr_equal(batch[i], &works[i]);
    }
}

static void
test_free_twice(void **state)
{
    struct lanes *l = lanes_new(1);

    (void)state;
    lanes_free(&l);
    assert_null(l);
    lanes_free(&l);
}

/* What could only wait for another work is left; works of other lanes go on. */
static void
test_sole(void **state)
{
    SCOPED(lanes) l = lanes_new(100);
    struct work works[8] = {{0}}, *batch[8];

    (void)state;
    put_letters(l, "aaab", works);
    works[1].turn = works[2].turn = TURN_SOLE;
    works[0].turn = works[3].turn = TURN_SHARED;
    assert_int_equal(lanes_take_one(l, batch, 8, 1), 1);
    assert_ptr_equal(batch[0], &works[0]);
    assert_int_equal(lanes_take_one(l, batch, 8, 1), 1);
    assert_ptr_equal(batch[0], &works[3]);
    assert_int_equal(lanes_take_one(l, batch, 8, 1), 1);
    assert_ptr_equal(batch[0], &works[1]);
    /* lane a is held now */
    put_letters(l, "ca", works + 4);
    assert_int_equal(lanes_take_one(l, batch, 8, 1), 1);
    assert_ptr_equal(batch[0], &works[4]);
    assert_false(lanes_ready(l));
    assert_int_equal(lanes_waiting(l), 2);
    assert_int_equal(lanes_take_one(l, batch, 8, 1), 0);
    lanes_release(l, lane_number('a'));
    assert_true(lanes_ready(l));
    assert_int_equal(lanes_take_one(l, batch, 8, 1), 1);
    assert_ptr_equal(batch[0], &works[2]);
    assert_int_equal(lanes_take(l, batch, 8), 1);
    assert_ptr_equal(batch[0], &works[5]);
    /* it is empty, and still held */
    put_letters(l, "a", works + 6);
    assert_null(works[5].next_);
    assert_false(lanes_ready(l));
    lanes_release(l, lane_number('a'));
    assert_int_equal(lanes_take_one(l, batch, 8, 1), 1);
    assert_ptr_equal(batch[0], &works[6]);
    assert_int_equal(lanes_waiting(l), 0);
    assert_false(lanes_ready(l));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),      cmocka_unit_test(test_full_lane),
        cmocka_unit_test(test_many_lanes), cmocka_unit_test(test_free_twice),
        cmocka_unit_test(test_sole),
    };

    return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
