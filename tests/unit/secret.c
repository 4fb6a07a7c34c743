// SPDX-License-Identifier: Apache-2.0
/* secret: made once, never twice, never half; what cannot be read is refused, not replaced. */
#include "support.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/secret.h"

#define DIGITS (2 * SHA256_LEN)

struct place {
    char dir[64];
    char path[96];
};

static int
set_up(void **state)
{
    struct place *p = MEM_NEW(NULL, struct place);

    support_make_dir(p->dir);
    (void)snprintf(p->path, sizeof(p->path), "%s/secret.key", p->dir);
    *state = p;
    return 0;
}

static int
tear_down(void **state)
{
    struct place *p = *state;

    support_remove_dir(p->dir);
    (void)talloc_free(p);
    return 0;
}

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void
test_made_once(void **state)
{
    struct place *p = *state;
    struct secret first, again, other;
    struct stat info;
    struct err err;

    EXPECT(RC_OK, secret_load(p->path, true, &first, &err));
    assert_int_equal(stat(p->path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    EXPECT(RC_OK, secret_load(p->path, true, &again, &err));
    assert_memory_equal(&first, &again, sizeof(first));
    EXPECT(RC_OK, secret_load(p->path, false, &again, &err));
    assert_memory_equal(&first, &again, sizeof(first));
    assert_int_equal(unlink(p->path), 0);
    EXPECT(RC_OK, secret_load(p->path, true, &other, &err));
    assert_memory_not_equal(first.key_pepper, other.key_pepper, SHA256_LEN);
}

/* Who learns one key learns none of the others. */
static void
test_keys_differ(void **state)
{
    struct place *p = *state;
    struct secret s;
    struct err err;
    const uint8_t *keys[] = {s.key_pepper, s.upload_url, s.download_url, s.idempotency, s.cursor};

    EXPECT(RC_OK, secret_load(p->path, true, &s, &err));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], SHA256_LEN);
    }
}

static void
test_missing(void **state)
{
    struct place *p = *state;
    struct secret s;
    struct err err;

    EXPECT(RC_INVALID, secret_load(p->path, false, &s, &err));
    assert_non_null(strstr(err.detail, "restore it"));
    assert_int_equal(access(p->path, F_OK), -1);
}

/* Each is refused and stays as it is: a new secret would void every key there is. */
static void
test_damaged(void **state)
{
    static const char *const texts[] = {
        "", "00", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg\n"};
    struct place *p = *state;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct secret s;
        struct stat info;
        struct err err;

        write_file(p->path, texts[i]);
        EXPECT(RC_INVALID, secret_load(p->path, true, &s, &err));
        assert_non_null(strstr(err.detail, "damaged"));
        assert_int_equal(stat(p->path, &info), 0);
        assert_int_equal(info.st_size, strlen(texts[i]));
    }
}

/* What a crash left of an earlier attempt is in nobody's way, and is not used. */
static void
test_left_half_made(void **state)
{
    struct place *p = *state;
    char fresh[128];
    struct secret s;
    struct stat info;
    struct err err;

    (void)snprintf(fresh, sizeof(fresh), "%s.new", p->path);
    write_file(fresh, "012");
    EXPECT(RC_OK, secret_load(p->path, true, &s, &err));
    assert_int_equal(access(fresh, F_OK), -1);
    assert_int_equal(stat(p->path, &info), 0);
    assert_int_equal(info.st_size, DIGITS + 1);
}

static void
test_not_our_file(void **state)
{
    struct place *p = *state;
    char target[128];
    struct secret s;
    struct err err;

    (void)snprintf(target, sizeof(target), "%s/elsewhere", p->dir);
    EXPECT(RC_OK, secret_load(target, true, &s, &err));
    assert_int_equal(symlink(target, p->path), 0);
    EXPECT(RC_IO, secret_load(p->path, true, &s, &err));
    (void)snprintf(target, sizeof(target), "%s/no/such/directory", p->dir);
    EXPECT(RC_IO, secret_load(target, true, &s, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_left_half_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_our_file, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
