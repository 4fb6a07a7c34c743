// SPDX-License-Identifier: Apache-2.0
/* clock: RFC 3339 in and out, the day's end, the two clocks, and setting one of them. */
#include "support.h"

#include "set_clock.h"

#define DAY 86400000

static const struct {
    int64_t ms;
    const char *text;
} written[] = {
    {0, "1970-01-01T00:00:00Z"},
    {999, "1970-01-01T00:00:00Z"},
    {1000, "1970-01-01T00:00:01Z"},
    {1776422700000, "2026-04-17T10:45:00Z"},
    {951782400000, "2000-02-29T00:00:00Z"},
    {4102444799999, "2099-12-31T23:59:59Z"},
    {-62167219200000, "0000-01-01T00:00:00Z"},
    {253402300799000, "9999-12-31T23:59:59Z"},
    {253402300800000, "9999-12-31T23:59:59Z"}, /* year 10000 is held at the end */
    {INT64_MAX, "9999-12-31T23:59:59Z"},
    {-1, "1969-12-31T23:59:59Z"},
    {-1000, "1969-12-31T23:59:59Z"},
};

static void
test_format(void **state)
{
    char text[CLOCK_TEXT_LEN];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(written); i++) {
        clock_format(written[i].ms, text);
        assert_string_equal(text, written[i].text);
    }
}

static const struct {
    const char *text;
    int64_t ms;
} readable[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01", 0},
    {"2026-04-17T10:45:00Z", 1776422700000},
    {"2026-04-17t10:45:00z", 1776422700000},
    {"2026-04-17 10:45:00Z", 1776422700000},
    {"2026-04-17T10:45:00.987654321Z", 1776422700000},
    {"2026-04-17T12:45:00+02:00", 1776422700000},
    {"2026-04-17T12:45:00 02:00", 1776422700000}, /* '+' of a query that was not escaped */
    {"2026-04-17T05:15:00-05:30", 1776422700000},
    {"2026-04-16T11:00:00-23:45", 1776422700000},
    {"2026-04-17T10:45:00-00:00", 1776422700000},
    {"2000-02-29", 951782400000},
    {"1969-12-31T23:59:59Z", -1000},
    {"2016-12-31T23:59:60Z", 1483228800000}, /* a leap second is the next one */
    {"9999-12-31T23:59:59Z", 253402300799000},
    {"0001-01-01", -62135596800000},
};

static const char *const unreadable[] = {
    "",
    " ",
    "now",
    "2026-02-31T23:59:60Z",
    "2026",
    "2026-04",
    "2026-4-17",
    "26-04-17",
    "20260417",
    "2026/04/17",
    "2026-00-17",
    "2026-13-17",
    "2026-04-00",
    "2026-04-31",
    "2026-04-32",
    "2026-02-29",
    "1900-02-29",
    "2026-04-17T",
    "2026-04-17T10",
    "2026-04-17T10:45",
    "2026-04-17T10:45:00",
    "2026-04-17T10:45:00.Z",
    "2026-04-17T10:45:00.",
    "2026-04-17T24:00:00Z",
    "2026-04-17T10:60:00Z",
    "2026-04-17T10:45:61Z",
    "2026-04-17T10:45:00+0200",
    "2026-04-17T10:45:00+24:00",
    "2026-04-17T10:45:00+02:60",
    "2026-04-17T10:45:00ZZ",
    "2026-04-17T10:45:00Z ",
    " 2026-04-17",
    "2026-04-17x",
    "-026-04-17",
    "+2026-04-17",
    "2026-04-17T-1:45:00Z",
    "12026-04-17",
    "2026-04-17\n",
};

static void
test_parse(void **state)
{
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(readable); i++) {
        ms = -7;
        if (!clock_parse(readable[i].text, &ms) || ms != readable[i].ms)
            fail_msg("'%s' gave %lld", readable[i].text, (long long)ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
        ms = -7;
        if (clock_parse(unreadable[i], &ms) || ms != -7)
            fail_msg("'%s' gave %lld", unreadable[i], (long long)ms);
    }
}

/* Every day of two leap cycles, there and back. */
static void
test_round_trip(void **state)
{
    char text[CLOCK_TEXT_LEN];
    int64_t back;

    (void)state;
    for (int64_t day = 0; day < 366 * 8; day++) {
        clock_format(951782400000 + day * DAY + 12345000, text);
        assert_true(clock_parse(text, &back));
        assert_int_equal(back, 951782400000 + day * DAY + 12345000);
    }
}

static const struct {
    int64_t ms, next;
} days[] = {
    {0, DAY}, {1, DAY}, {DAY - 1, DAY}, {DAY, 2 * (int64_t)DAY}, {1776422700000, 1776470400000}};

static void
test_next_day(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(days); i++)
        assert_int_equal(clock_next_day_ms(days[i].ms), days[i].next);
}

static void
test_clocks(void **state)
{
    int64_t wall = clock_wall_ms(), mono = clock_mono_ms();

    (void)state;
    assert_true(wall > 1700000000000);
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ms();

        assert_true(now >= mono);
        mono = now;
    }
}

/* The clocks are read one after the other, on a busy machine: milliseconds say nothing. */
static void
moved(int64_t window_ms, int64_t lead_s, int64_t lag_s)
{
    assert_int_equal((clock_lead_ms(window_ms) + 500) / 1000, lead_s);
    assert_int_equal((clock_lag_ms(window_ms) + 500) / 1000, lag_s);
}

static void
test_steps(void **state)
{
    (void)state;
    clock_set_ms = 0;
    (void)clock_wall_ms();
    clock_passed_ms += 2 * (int64_t)DAY;
    moved(DAY, 0, 0);
    clock_passed_ms += 10 * (int64_t)DAY; /* time that passes is no step */
    moved(DAY, 0, 0);
    clock_set_ms = 3600000;
    moved(DAY, 3600, 0);
    clock_passed_ms += 7200000;
    moved(3600000, 0, 0); /* longer ago than that */
    moved(DAY, 3600, 0);
    clock_set_ms = 0; /* back again: what is from before seems as old as it is */
    moved(3600000, 0, 3600);
    moved(DAY, 0, 3600);
    clock_passed_ms += 7200000;
    moved(3600000, 0, 0);
    clock_set_ms = -2 * DAY;
    moved(3600000, 0, 2 * DAY / 1000);
    moved(DAY, 0, 2 * DAY / 1000 + 3600);
    clock_passed_ms += 2 * (int64_t)DAY;
    moved(DAY, 0, 0);
}

/* More of them than are remembered one by one: what is told may be too much, never too little. */
static void
test_many_steps(void **state)
{
    (void)state;
    (void)clock_wall_ms();
    clock_passed_ms += 2 * (int64_t)DAY;
    clock_set_ms = -5000000;
    (void)clock_wall_ms();
    for (int i = 1; i <= 100; i++) {
        clock_set_ms = i * 10000;
        clock_passed_ms += 1000;
        (void)clock_wall_ms();
    }
    moved(DAY, 6000, 0);
    moved(4500, 50, 0); /* the newest are remembered as they were */
    clock_set_ms = -5000000;
    moved(DAY, 0, 6000);
    clock_passed_ms += 2 * (int64_t)DAY;
    moved(DAY, 0, 0);
}

static void
test_resume(void **state)
{
    (void)state;
    clock_resume(clock_wall_ms() + 50000); /* nothing is from the future: it is no measure */
    moved(DAY, 0, 0);
    clock_resume(clock_wall_ms() - 50000);
    moved(DAY, 50, 0);
    clock_passed_ms += 2 * (int64_t)DAY;
    moved(DAY, 0, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),     cmocka_unit_test(test_parse),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_next_day),
        cmocka_unit_test(test_clocks),     cmocka_unit_test(test_many_steps),
        cmocka_unit_test(test_steps),      cmocka_unit_test(test_resume),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
