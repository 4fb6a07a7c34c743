// SPDX-License-Identifier: Apache-2.0
/* sandbox: what is left open beside the data directory, and no more than that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/un.h>

#include "sandbox_world.h"

static int
open_mode(const struct world *w, const char *name, int flags)
{
    char path[96];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    fd = open(path, flags | O_CLOEXEC, 0600);
    return outcome(fd);
}

static int
read_outside(const struct world *w)
{
    return open_mode(w, "outside", O_RDONLY);
}

static int
read_key(const struct world *w)
{
    return open_mode(w, "tls/key", O_RDONLY);
}

/* What the link leads to, and what stands beside it there. */
static int
read_next_target(const struct world *w)
{
    int first = open_mode(w, "archive/key1", O_RDONLY);

    return first ? first : open_mode(w, "archive/key2", O_RDONLY);
}

static int
write_key(const struct world *w)
{
    return open_mode(w, "archive/key1", O_WRONLY);
}

static int
list_keys(const struct world *w)
{
    return open_mode(w, "archive", O_RDONLY | O_DIRECTORY);
}

static int
make_socket(const struct world *w)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/run/api", w->dir);
    return outcome(bind(fd, (struct sockaddr *)&at, sizeof(at)));
}

static int
make_and_remove_socket(const struct world *w)
{
    char path[96];
    int made = make_socket(w);

    (void)snprintf(path, sizeof(path), "%s/run/api", w->dir);
    return made ? made : outcome(unlink(path));
}

static int
make_file_beside_socket(const struct world *w)
{
    return open_mode(w, "run/file", O_WRONLY | O_CREAT);
}

static void
make(const struct world *w, const char *what)
{
    char path[96];
    size_t n = strlen(what);

    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, what);
    if (what[n - 1] == '/')
        assert_int_equal(mkdir(path, 0700), 0);
    else
        assert_int_equal(open_mode(w, what, O_WRONLY | O_CREAT), 0);
}

/* tls/key -> ../archive/key1, as certbot has it. */
static void
make_keys(const struct world *w, char key[96], char bound[96])
{
    make(w, "tls/");
    make(w, "archive/");
    make(w, "archive/key1");
    make(w, "archive/key2");
    make(w, "run/");
    (void)snprintf(key, 96, "%s/tls/key", w->dir);
    (void)snprintf(bound, 96, "%s/run/api", w->dir);
    assert_int_equal(symlink("../archive/key1", key), 0);
}

static void
remove_keys(const struct world *w)
{
    static const char *const names[] = {"tls/key",  "archive/key1", "archive/key2", "run/api",
                                        "run/file", "tls",          "archive",      "run"};
    char path[96];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        (void)remove(path);
    }
}

static void
only_what_is_named_is_open(void **state)
{
    const struct world *w = *state;
    char key[96], bound[96];
    const struct sandbox_paths paths = {.data = w->data, .read_beside = {key}, .bound = {bound}};

    if (landlock_version() < 2)
        skip();
    make_keys(w, key, bound);
    assert_int_equal(in_sandbox_of(w, &paths, read_key), 0);
    assert_int_equal(in_sandbox_of(w, &paths, read_next_target), 0);
    assert_int_equal(in_sandbox_of(w, &paths, make_and_remove_socket), 0);
    assert_int_equal(in_sandbox_of(w, &paths, write_key), EACCES);
    assert_int_equal(in_sandbox_of(w, &paths, make_file_beside_socket), EACCES);
    assert_int_equal(in_sandbox(w, make_socket), EACCES);
    if (!SANDBOX_INSTRUMENTED) {
        assert_int_equal(in_sandbox_of(w, &paths, list_keys), EACCES);
        assert_int_equal(in_sandbox_of(w, &paths, read_outside), EACCES);
        assert_int_equal(in_sandbox(w, read_key), EACCES);
    }
    remove_keys(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_is_named_is_open, make_world, end_world),
    };

    return cmocka_run_group_tests_name("sandbox_paths", tests, NULL, NULL);
}
