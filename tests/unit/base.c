// SPDX-License-Identifier: Apache-2.0
/* base: memory, broken assumptions, errors and their table, random bytes, metrics, the log. */
#include "support.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/rand.h"

static void
test_memory(void **state)
{
    TALLOC_CTX *pool = base_pool_new(NULL), *child = base_pool_new(pool);
    char *zero = mem_zalloc(child, 100);
    uint32_t *numbers = MEM_ARRAY(child, uint32_t, 10);

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    assert_int_equal(numbers[9], 0);
    assert_string_equal(mem_strdup(child, ""), "");
    assert_string_equal(mem_strdup(child, "abc"), "abc");
    assert_string_equal(mem_strndup(child, "abcdef", 3), "abc");
    assert_string_equal(mem_strndup(child, "abcdef", 0), "");
    assert_string_equal(mem_printf(child, "%d-%s", 7, "x"), "7-x");
    for (int width = 250; width < 260; width++)
        assert_int_equal(strlen(mem_printf(child, "%*d", width, 7)), width);
    assert_memory_equal(mem_dup(child, "a\0b", 3), "a\0b", 3);
    assert_non_null(mem_dup(child, "", 0));
    base_pool_free(&child);
    assert_null(child);
    base_pool_free(&child);
    base_pool_free(&pool);
    pool = base_pool_sized(4096);
    assert_string_equal(mem_strdup(pool, "in the pool"), "in the pool");
    base_pool_free(&pool);
}

/* Runs `fn` in a child, quietly; true when it ended by SIGABRT. */
static bool
aborts(void (*fn)(void))
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void
bug(void)
{
    BUG_ON(1 + 1 == 2);
}

static void
no_bug(void)
{
    BUG_ON(1 + 1 == 3);
}

static void
test_bug_on(void **state)
{
    (void)state;
    assert_true(aborts(bug));
    assert_false(aborts(no_bug));
}

/* Every row must be fit to be sent: a status, codes in their own form, and a message. */
static void
test_rc_table(void **state)
{
    (void)state;
    assert_string_equal(rc_info(RC_OK)->name, "OK");
    for (enum rc rc = RC_OK + 1; rc < RC_MAX_; rc++) {
        const struct rc_info *info = rc_info(rc);

        assert_in_range(info->http, 400, 511);
        assert_true(strlen(info->code) > 0 && strlen(info->message) > 0);
        for (const char *p = info->code; *p; p++)
            assert_true(islower((unsigned char)*p) || *p == '_');
        for (const char *p = info->docs_code; *p; p++)
            assert_true(isupper((unsigned char)*p) || *p == '_');
        if (info->http >= 500 && info->http != 501 && info->http != 505)
            assert_true(info->retryable == (info->http == 503));
    }
}

static const struct {
    enum rc rc;
    int http;
    const char *code;
    const char *docs_code;
} promised[] = {
    {RC_INVALID, 400, "validation_error", "BAD_REQUEST"},
    {RC_BAD_KEY, 401, "invalid_key", "UNAUTHORIZED"},
    {RC_FORBIDDEN, 403, "insufficient_permissions", "FORBIDDEN"},
    {RC_BAD_SIGNATURE, 403, "invalid_signature", "FORBIDDEN"},
    {RC_NOT_FOUND, 404, "not_found", "NOT_FOUND"},
    {RC_METHOD, 405, "method_not_allowed", "METHOD_NOT_ALLOWED"},
    {RC_STORAGE_CONFLICT, 409, "storage_conflict", "CONFLICT"},
    {RC_LENGTH_REQUIRED, 411, "length_required", "BAD_REQUEST"},
    {RC_QUOTA, 413, "quota_exceeded", "PAYLOAD_TOO_LARGE"},
    {RC_URI_TOO_LONG, 414, "uri_too_long", "BAD_REQUEST"},
    {RC_MEDIA_TYPE, 415, "unsupported_media_type", "UNSUPPORTED_MEDIA_TYPE"},
    {RC_RANGE, 416, "range_not_satisfiable", "BAD_REQUEST"},
    {RC_MISMATCH, 422, "idempotency_mismatch", "UNPROCESSABLE_ENTITY"},
    {RC_RATE_LIMITED, 429, "rate_limited", "RATE_LIMITED"},
    {RC_HEADERS_LARGE, 431, "headers_too_large", "BAD_REQUEST"},
    {RC_INTERNAL, 500, "internal_error", "INTERNAL_SERVER_ERROR"},
    {RC_BUSY, 503, "unavailable", "UNAVAILABLE"},
    {RC_STORAGE_FULL, 507, "storage_full", "UNAVAILABLE"},
};

static void
test_promised_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(promised); i++) {
        const struct rc_info *info = rc_info(promised[i].rc);

        assert_int_equal(info->http, promised[i].http);
        assert_string_equal(info->code, promised[i].code);
        assert_string_equal(info->docs_code, promised[i].docs_code);
    }
}

static void
test_errors(void **state)
{
    char longer[600];
    struct err err;

    (void)state;
    assert_int_equal(err_set(&err, RC_BUSY, "%s %d", "try", 3), RC_BUSY);
    assert_int_equal(err.code, RC_BUSY);
    assert_string_equal(err.detail, "try 3");
    assert_string_equal(err.field, "");
    assert_int_equal(err_field(&err, RC_INVALID, "name", "is wrong"), RC_INVALID);
    assert_string_equal(err.field, "name");
    assert_string_equal(err.hint, "is wrong");
    assert_string_equal(err.detail, "name: is wrong");
    errno = ENOENT;
    assert_int_equal(err_errno(&err, RC_IO, "open"), RC_IO);
    assert_string_equal(err.detail, "open: No such file or directory");
    assert_string_equal(err.hint, "");
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    (void)err_field(&err, RC_INVALID, longer, longer);
    assert_int_equal(strlen(err.field), sizeof(err.field) - 1);
    assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
    assert_int_equal(strlen(err.detail), sizeof(err.detail) - 1);
}

/* Bytes differ from call to call and use their whole range, for sizes around the stock's. */
static void
test_rand(void **state)
{
    static const size_t sizes[] = {1, 16, 127, 128, 129, 512, 513, 4000};
    uint8_t a[4000], b[4000], seen[256] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        memset(a, 0, sizeof(a));
        memset(b, 0, sizeof(b));
        rand_bytes(a, sizes[i]);
        rand_bytes(b, sizes[i]);
        if (sizes[i] >= 16)
            assert_memory_not_equal(a, b, sizes[i]);
        if (sizes[i] < sizeof(a))
            assert_int_equal(a[sizes[i]], 0);
    }
    for (int i = 0; i < 10000; i++) {
        rand_bytes(a, 1);
        seen[a[0]] = 1;
    }
    for (int i = 0; i < 256; i++)
        assert_int_equal(seen[i], 1);
}

/* Each family has one HELP and one TYPE line, before its values. */
static void
test_metrics(void **state)
{
    SCOPED_POOL(pool);
    struct metrics *m = MEM_NEW(pool, struct metrics);
    struct buf out;
    const char *first;

    (void)state;
    metric_add(m, METRIC_REQUESTS_4XX, 2);
    metric_add(m, METRIC_REQUESTS_4XX, 3);
    metric_set(m, METRIC_WORKS_WAITING, 9);
    metric_set(m, METRIC_WORKS_WAITING, -1);
    buf_init(&out, pool, (size_t)KIB(64));
    metric_print(m, &out);
    assert_non_null(strstr(out.bytes, "\ndossier_requests_total{status=\"4xx\"} 5\n"));
    assert_non_null(strstr(out.bytes, "\ndossier_works_waiting -1\n"));
    first = strstr(out.bytes, "# TYPE dossier_requests_total counter\n");
    assert_non_null(first);
    assert_null(strstr(first + 1, "# TYPE dossier_requests_total "));
    assert_int_equal(out.bytes[out.len - 1], '\n');
}

/* What log_line() writes, read back through a pipe. */
static void
logged(enum log_level level, const char *text, char *out, size_t room)
{
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(ends), 0);
    (void)dup2(ends[1], STDERR_FILENO);
    (void)close(ends[1]);
    log_line(level, "%s", text);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    n = read(ends[0], out, room - 1);
    (void)close(ends[0]);
    assert_true(n >= 0);
    out[n] = '\0';
}

static void
test_log(void **state)
{
    char longer[3000], out[4000];

    (void)state;
    log_set_level(LOG_WARN_LEVEL);
    logged(LOG_INFO_LEVEL, "not this", out, sizeof(out));
    assert_string_equal(out, "");
    logged(LOG_ERROR_LEVEL, "two\nlines\x1b[31m", out, sizeof(out));
    assert_non_null(strstr(out, "error two?lines?[31m\n"));
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    memset(longer, 'y', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    logged(LOG_WARN_LEVEL, longer, out, sizeof(out));
    assert_in_range(strlen(out), 900, 1024);
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    log_set_level(LOG_INFO_LEVEL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_bug_on),
        cmocka_unit_test(test_rc_table), cmocka_unit_test(test_promised_codes),
        cmocka_unit_test(test_errors),   cmocka_unit_test(test_rand),
        cmocka_unit_test(test_metrics),  cmocka_unit_test(test_log),
    };

    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
