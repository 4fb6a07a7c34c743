// SPDX-License-Identifier: Apache-2.0
/* buf: the maximum holds to the byte, and the NUL is always there. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

static const struct {
    size_t max;
    size_t pieces[4]; /* appended one after the other, ended by 0 */
    size_t len;       /* what is in it at the end */
} appended[] = {
    {10, {10}, 10},
    {10, {11}, 0},
    {10, {4, 6}, 10},
    {10, {4, 7, 6}, 10}, /* the second is refused whole */
    {0, {1}, 0},
    {1, {1, 1}, 1},
    {100000, {255, 1, 256}, 512},
    {100000, {1, 99999}, 100000},
    {SIZE_MAX, {5, 5}, 10},
};

static void
test_append(void **state)
{
    char *bytes = test_malloc(100000);

    (void)state;
    memset(bytes, 'x', 100000);
    for (size_t i = 0; i < ARRAY_LEN(appended); i++) {
        SCOPED_POOL(pool);
        struct buf b;
        size_t expected = 0;

        buf_init(&b, pool, appended[i].max);
        assert_null(b.bytes);
        for (size_t j = 0; j < 4 && appended[i].pieces[j]; j++) {
            size_t n = appended[i].pieces[j];
            bool fits = n <= appended[i].max - expected;

            assert_true(buf_append(&b, bytes, n) == fits);
            expected += fits ? n : 0;
            assert_int_equal(b.len, expected);
            if (fits)
                assert_int_equal(b.bytes[b.len], 0);
        }
        assert_int_equal(b.len, appended[i].len);
    }
    test_free(bytes);
}

static void
test_nothing(void **state)
{
    SCOPED_POOL(pool);
    struct buf b;

    (void)state;
    buf_init(&b, pool, 0);
    assert_true(buf_append(&b, NULL, 0));
    assert_string_equal(b.bytes, "");
    assert_false(buf_append(&b, "x", 1));
    assert_false(buf_append(&b, "x", SIZE_MAX));
    assert_int_equal(b.len, 0);
}

static void
test_printf(void **state)
{
    static const int widths[] = {1, 255, 256, 511, 512, 513, 5000};
    char *wide = test_malloc(5001);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        SCOPED_POOL(pool);
        size_t width = (size_t)widths[i];
        struct buf b;

        memset(wide, 'w', width);
        wide[width] = '\0';
        buf_init(&b, pool, 6000);
        buf_puts(&b, "<");
        buf_printf(&b, "%s|%d", wide, -5);
        buf_puts(&b, ">");
        assert_int_equal(b.len, width + 5);
        assert_memory_equal(b.bytes + 1, wide, width);
        assert_string_equal(b.bytes + 1 + width, "|-5>");
    }
    test_free(wide);
}

static void
test_reserve(void **state)
{
    SCOPED_POOL(pool);
    struct buf b;

    (void)state;
    buf_init(&b, pool, 5000);
    for (size_t len = 1; b.len + len <= 5000; len += 100) {
        memset(buf_reserve(&b, len), 'r', len + 1); /* with room for a NUL */
        b.len += len;
        assert_true(b.room > b.len);
    }
    assert_int_equal(b.len, 4510);
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.bytes[i], 'r');
}

/* Exactly full is fine; one more is a bug of ours, and says so. */
static void
test_printf_beyond(void **state)
{
    SCOPED_POOL(pool);
    struct buf b;
    int status = 0;
    pid_t pid;

    (void)state;
    buf_init(&b, pool, 5);
    buf_printf(&b, "%d", 12345);
    assert_string_equal(b.bytes, "12345");
    pid = fork();
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        buf_printf(&b, "6");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_reserve),       cmocka_unit_test(test_printf),
        cmocka_unit_test(test_printf_beyond),
    };

    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
