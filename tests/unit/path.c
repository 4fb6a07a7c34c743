// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/path.h"

/* Names that both kinds refuse: `/` + it as a folder, it alone as a storage path. */
static const char *const bad[] = {
    "",
    "/",
    "//",
    "a//b",
    "a//",
    ".",
    "..",
    "./a",
    "a/.",
    "../a",
    "a/..",
    "a/../b",
    "a\\b",
    "a\nb",
    "a\tb",
    "\x7f",
    "\xc2\x85",
    "\xe2\x80\xae",
    "\xe2\x81\xa6",
    "\xff",
    "\xc0\x80",
    "\xed\xa0\x80",
    "a/\xe2\x80\xaa/b",
};

static const char *const good[] = {
    "a",    "a/b.pdf", "...", ".a", "a..b/..c/d..", " a ", "a b/%2e%2e/c", "\xc3\xa9/\xe2\x82\xac",
    "C:/a", "~",
};

static void
test_both(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        SCOPED_POOL(pool);
        const char *why = NULL;
        char *folder = NULL;

        if (path_storage_valid(bad[i], &why) || !why)
            fail_msg("storage path '%s'", bad[i]);
        why = NULL;
        if (path_folder_normalise(pool, mem_printf(pool, "/%s", bad[i]), &folder, &why) || !why)
            fail_msg("folder '/%s'", bad[i]);
        assert_null(folder);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        SCOPED_POOL(pool);
        const char *why = NULL;
        char *want = mem_printf(pool, "/%s", good[i]);
        char *folder = NULL;

        assert_true(path_storage_valid(good[i], &why));
        assert_true(path_folder_normalise(pool, want, &folder, &why));
        assert_string_equal(folder, want);
        folder = NULL;
        assert_true(path_folder_normalise(pool, mem_printf(pool, "%s/", want), &folder, &why));
        assert_string_equal(folder, want);
        assert_null(why);
    }
}

static char *
repeated(TALLOC_CTX *pool, const char *text, size_t times)
{
    size_t len = strlen(text);
    char *out = mem_zalloc(pool, len * times + 1);

    for (size_t i = 0; i < times; i++)
        memcpy(out + i * len, text, len);
    return out;
}

static void
test_storage(void **state UNUSED)
{
    SCOPED_POOL(pool);
    const char *why;

    assert_false(path_storage_valid("/a", &why));
    assert_string_equal(why, "must not start with a slash");
    assert_false(path_storage_valid("a/", &why));
    assert_string_equal(why, "must not end with a slash");
    assert_true(path_storage_valid(repeated(pool, "x", 1024), &why));
    assert_false(path_storage_valid(repeated(pool, "x", 1025), &why));
    assert_true(path_storage_valid(repeated(pool, "\xc3\xa9", 512), &why));
    assert_false(path_storage_valid(repeated(pool, "\xc3\xa9", 513), &why));
}

static bool
is_folder(const char *s)
{
    SCOPED_POOL(pool);
    const char *why = NULL;
    char *folder = NULL;
    bool ok = path_folder_normalise(pool, s, &folder, &why);

    assert_int_equal(ok, folder != NULL);
    assert_int_equal(ok, why == NULL);
    return ok;
}

static void
test_folder(void **state UNUSED)
{
    SCOPED_POOL(pool);
    char *segment = repeated(pool, "\xc3\xa9", 255);
    char *four = mem_printf(pool, "/%s/%s/%s/%s", segment, segment, segment, segment);

    assert_false(is_folder(""));
    assert_false(is_folder("a"));
    assert_false(is_folder("a/b"));
    assert_true(is_folder(repeated(pool, "/a", 32)));
    assert_false(is_folder(repeated(pool, "/a", 33)));
    assert_true(is_folder(mem_printf(pool, "/%s", segment)));
    assert_false(is_folder(mem_printf(pool, "/%sx", segment)));
    /* Four times 255 and the slashes are the 1,024 characters; the one dropped does not count. */
    assert_true(is_folder(four));
    assert_true(is_folder(mem_printf(pool, "%s/", four)));
    assert_false(is_folder(mem_printf(pool, "%s/a", four)));
    assert_false(is_folder(repeated(pool, "/abcdefghi", 103)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both),
        cmocka_unit_test(test_storage),
        cmocka_unit_test(test_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
