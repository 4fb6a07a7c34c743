// SPDX-License-Identifier: Apache-2.0
/* What the tests of the sandbox have in common: places in and outside, and a child to enter it. */
#ifndef TESTS_SANDBOX_WORLD_H
#define TESTS_SANDBOX_WORLD_H
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/sandbox.h"

#define SECONDS 20

struct world {
    char dir[64];     /* not to be reached */
    char data[80];    /* DIR/data, to be written */
    char outside[80]; /* DIR/outside, a file */
    pid_t parent;     /* of the child, outside the sandbox */
    uint16_t port;    /* of a listener in the parent */
    uint16_t needed;  /* to which connections are allowed; 0: none */
    int listener;
};

/* An act in the child: 0 when it worked, else errno. */
typedef int act_fn(const struct world *w);

static inline int
outcome(long result)
{
    return result < 0 ? errno : 0;
}

static inline int
make_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd;

    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/dossier_test.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->data, sizeof(w->data), "%s/data", w->dir);
    (void)snprintf(w->outside, sizeof(w->outside), "%s/outside", w->dir);
    assert_int_equal(mkdir(w->data, 0700), 0);
    fd = open(w->outside, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    w->parent = getpid();
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(w->listener, 4), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&at, &len), 0);
    w->port = ntohs(at.sin_port);
    *state = w;
    return 0;
}

static inline int
end_world(void **state)
{
    struct world *w = *state;

    (void)close(w->listener);
    (void)unlink(w->outside);
    (void)rmdir(w->data);
    (void)rmdir(w->dir);
    free(w);
    return 0;
}

static inline long
landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* What the act gave in such a sandbox; 255 when that could not be entered. */
static inline int
in_sandbox_of(const struct world *w, const struct sandbox_paths *paths, act_fn *act)
{
    struct err err;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(SECONDS);
        if (sandbox_enter(paths, &err)) {
            print_error("%s\n", err.detail);
            _exit(255);
        }
        _exit(act(w));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("the child ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static inline int
in_sandbox(const struct world *w, act_fn *act)
{
    const struct sandbox_paths paths = {.data = w->data, .port = w->needed};

    return in_sandbox_of(w, &paths, act);
}

#endif
