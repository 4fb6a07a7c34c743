// SPDX-License-Identifier: Apache-2.0
/*
 * sandbox: what is refused, and that what a server does still works. Each case runs in a child
 * that enters the sandbox, which nobody leaves again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/sandbox.h"
#include "sandbox_world.h"

/* ---- what is refused ---- */

static int
run_program(const struct world *w)
{
    char name[] = "true", *argv[] = {name, NULL};

    (void)w;
    return outcome(execve("/bin/true", argv, argv + 1));
}

static int
run_program_of_memory(const struct world *w)
{
    char name[] = "true", *argv[] = {name, NULL};
    int fd = memfd_create("true", 0);

    (void)w;
    return fd < 0 ? 0 : outcome(fexecve(fd, argv, argv + 1));
}

static int
make_process(const struct world *w)
{
    pid_t pid = fork();

    (void)w;
    if (pid == 0)
        _exit(0);
    return outcome(pid);
}

static int
trace_parent(const struct world *w)
{
    return outcome(ptrace(PTRACE_SEIZE, w->parent, NULL, NULL));
}

static int
read_memory_of_parent(const struct world *w)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)w, 1};

    return outcome(process_vm_readv(w->parent, &here, 1, &there, 1, 0));
}

static int
write_memory_of_parent(const struct world *w)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)w, 1};

    return outcome(process_vm_writev(w->parent, &here, 1, &there, 1, 0));
}

static int
open_raw_socket(const struct world *w)
{
    (void)w;
    return outcome(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int
open_packet_socket(const struct world *w)
{
    (void)w;
    return outcome(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static int
open_netlink_socket(const struct world *w)
{
    (void)w;
    return outcome(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int
mount_something(const struct world *w)
{
    return outcome(mount("none", w->data, "tmpfs", 0, NULL));
}

static int
open_mount_tree(const struct world *w)
{
    return outcome(syscall(SYS_open_tree, AT_FDCWD, w->data, 1));
}

static int
leave_name_space(const struct world *w)
{
    (void)w;
    return outcome(unshare(CLONE_NEWUSER));
}

static int
enter_name_space(const struct world *w)
{
    (void)w;
    return outcome(setns(0, CLONE_NEWNET));
}

static int
change_root(const struct world *w)
{
    return outcome(chroot(w->data));
}

static int
load_bpf(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_bpf, 0, NULL, 0));
}

static int
use_io_uring(const struct world *w)
{
    char params[256] = {0};

    (void)w;
    return outcome(syscall(SYS_io_uring_setup, 4, params));
}

static int
use_keys(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_keyctl, 0, -3, 1));
}

static int
use_performance_events(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}

static int
use_userfaultfd(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int
open_by_handle(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY));
}

static int
change_personality(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_personality, 0x0040000));
}

static int
load_kernel(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static int
load_module(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_finit_module, -1, "", 0));
}

static int
set_the_clock(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_clock_settime, 99, NULL));
}

static int
type_into_terminal(const struct world *w)
{
    (void)w;
    return outcome(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
}

enum condition { ALWAYS, NOT_INSTRUMENTED, WITH_LANDLOCK, WITH_LANDLOCK_4 };

static int
open_outside(const struct world *w)
{
    return outcome(open(w->outside, O_RDONLY));
}

static int
write_outside(const struct world *w)
{
    return outcome(open(w->outside, O_WRONLY));
}

static int
truncate_outside(const struct world *w)
{
    return outcome(truncate(w->outside, 0));
}

static int
create_outside(const struct world *w)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/new", w->dir);
    return outcome(open(path, O_WRONLY | O_CREAT, 0600));
}

static int
unlink_outside(const struct world *w)
{
    return outcome(unlink(w->outside));
}

static int
climb_outside(const struct world *w)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/../outside", w->data);
    return outcome(open(path, O_WRONLY));
}

static int
list_outside(const struct world *w)
{
    return outcome(open(w->dir, O_RDONLY | O_DIRECTORY));
}

static int
read_passwords(const struct world *w)
{
    (void)w;
    return outcome(open("/etc/passwd", O_RDONLY));
}

static int
make_link_in_data(const struct world *w)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/link", w->data);
    return outcome(symlink("/etc", path));
}

static int
connect_out(const struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(w->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd < 0 ? 0 : outcome(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static const struct refusal {
    const char *name;
    act_fn *act;
    enum condition when;
} refusals[] = {
    {"execve", run_program, ALWAYS},
    {"fexecve of a memfd", run_program_of_memory, ALWAYS},
    {"fork", make_process, NOT_INSTRUMENTED},
    {"ptrace", trace_parent, NOT_INSTRUMENTED},
    {"process_vm_readv", read_memory_of_parent, ALWAYS},
    {"process_vm_writev", write_memory_of_parent, ALWAYS},
    {"raw socket", open_raw_socket, ALWAYS},
    {"packet socket", open_packet_socket, ALWAYS},
    {"netlink socket", open_netlink_socket, ALWAYS},
    {"mount", mount_something, ALWAYS},
    {"open_tree", open_mount_tree, ALWAYS},
    {"unshare", leave_name_space, ALWAYS},
    {"setns", enter_name_space, ALWAYS},
    {"chroot", change_root, ALWAYS},
    {"bpf", load_bpf, ALWAYS},
    {"io_uring_setup", use_io_uring, ALWAYS},
    {"keyctl", use_keys, ALWAYS},
    {"perf_event_open", use_performance_events, ALWAYS},
    {"userfaultfd", use_userfaultfd, ALWAYS},
    {"open_by_handle_at", open_by_handle, ALWAYS},
    {"personality", change_personality, ALWAYS},
    {"kexec_load", load_kernel, ALWAYS},
    {"finit_module", load_module, ALWAYS},
    {"clock_settime", set_the_clock, ALWAYS},
    {"TIOCSTI", type_into_terminal, ALWAYS},
    {"reading outside", open_outside, NOT_INSTRUMENTED},
    {"writing outside", write_outside, WITH_LANDLOCK},
    {"truncating outside", truncate_outside, WITH_LANDLOCK_4},
    {"creating outside", create_outside, WITH_LANDLOCK},
    {"unlinking outside", unlink_outside, WITH_LANDLOCK},
    {"climbing outside", climb_outside, WITH_LANDLOCK},
    {"listing outside", list_outside, NOT_INSTRUMENTED},
    {"reading /etc/passwd", read_passwords, NOT_INSTRUMENTED},
    {"a symbolic link in the directory", make_link_in_data, WITH_LANDLOCK},
    {"a connection", connect_out, WITH_LANDLOCK_4},
};

static bool
applies(const struct refusal *r)
{
    bool files = r->act == open_outside || r->act == list_outside || r->act == read_passwords;

    if (r->when == NOT_INSTRUMENTED && SANDBOX_INSTRUMENTED)
        return false;
    if (r->when == WITH_LANDLOCK || files)
        return landlock_version() >= 2;
    return r->when != WITH_LANDLOCK_4 || landlock_version() >= 4;
}

static void
forbidden_acts_are_refused(void **state)
{
    const struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        int got = applies(&refusals[i]) ? in_sandbox(w, refusals[i].act) : EPERM;

        if (got != EPERM && got != EACCES)
            fail_msg("%s: %s", refusals[i].name, got == 255 ? "no sandbox" : strerror(got));
    }
}

/* So that a refusal above is the sandbox's and not the machine's. */
static void
some_of_them_work_without(void **state)
{
    const struct world *w = *state;

    assert_int_equal(make_process(w), 0);
    assert_int_equal(open_outside(w), 0);
    assert_int_equal(write_outside(w), 0);
    assert_int_equal(climb_outside(w), 0);
    assert_int_equal(list_outside(w), 0);
    assert_int_equal(read_passwords(w), 0);
    assert_int_equal(open_netlink_socket(w), 0);
    assert_int_equal(connect_out(w), 0);
    assert_int_equal(truncate_outside(w), 0);
}

/* ---- what works ---- */

/* As a blob gets its name: an unnamed file in one directory is linked into another. */
static int
write_data(const struct world *w)
{
    char path[128], name[128], back[4] = "";
    int dir, fd, from;
    bool ok;

    if (chdir(w->data) != 0 || mkdir("a", 0700) != 0 || mkdir("b", 0700) != 0)
        return errno;
    fd = open("a", O_TMPFILE | O_WRONLY, 0600);
    if (fd < 0) /* the file system has no unnamed files */
        fd = open("a/x", O_CREAT | O_WRONLY, 0600);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)snprintf(name, sizeof(name), "%s/b/c", w->data);
    ok = fd >= 0 && write(fd, "abc", 3) == 3 && fsync(fd) == 0 &&
         linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
    from = ok ? open("b/c", O_RDONLY) : -1;
    ok = from >= 0 && read(from, back, 3) == 3 && strcmp(back, "abc") == 0;
    dir = open(w->data, O_RDONLY | O_DIRECTORY);
    ok = ok && dir >= 0 && fsync(dir) == 0 && rename("b/c", "a/c") == 0 &&
         truncate("a/c", 1) == 0 && unlink("a/c") == 0;
    (void)unlink("a/x");
    ok = rmdir("a") == 0 && rmdir("b") == 0 && ok;
    return ok ? 0 : errno ? errno : 1;
}

static void *
serve_one(void *arg)
{
    int *listener = arg;
    int fd = accept(*listener, NULL, NULL);
    bool ok = fd >= 0 && write(fd, "hello", 5) == 5;

    if (fd >= 0)
        (void)close(fd);
    return ok ? arg : NULL;
}

static int
serve_in_thread(const struct world *w)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), given = w->listener;
    pthread_t thread;
    void *served = NULL;

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4) != 0)
        return errno;
    if (pthread_create(&thread, NULL, serve_one, &given) != 0)
        return 1;
    (void)pthread_join(thread, &served);
    return served ? 0 : 2;
}

static int
use_the_rest(const struct world *w)
{
    struct addrinfo *list = NULL;
    int event = eventfd(0, EFD_CLOEXEC), random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)w;
    if (event < 0 || random < 0 || page == MAP_FAILED)
        return errno;
    if (getaddrinfo("localhost", "0", NULL, &list) != 0)
        return 3;
    freeaddrinfo(list);
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int
show_state(const struct world *w)
{
    struct rlimit core;

    (void)w;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 1;
    if (!SANDBOX_INSTRUMENTED && (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0 ||
                                  prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0))
        return 2;
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2 ? 0 : 3;
}

static void
files_of_the_directory_work(void **state)
{
    assert_int_equal(in_sandbox(*state, write_data), 0);
}

/* The child takes over the listener of this process, which connects to it from outside. */
static void
serving_in_threads_works(void **state)
{
    const struct world *w = *state;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(w->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[8] = "";

    /* the queue of the listener holds it until it is accepted */
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(in_sandbox(w, serve_in_thread), 0);
    assert_int_equal(read(fd, text, sizeof(text) - 1), 5);
    assert_string_equal(text, "hello");
    (void)close(fd);
}

static void
connections_to_the_needed_port_work(void **state)
{
    struct world w = *(const struct world *)*state;

    w.needed = w.port;
    assert_int_equal(in_sandbox(&w, connect_out), 0);
    w.needed = w.port == 1 ? 2 : 1;
    if (landlock_version() >= 4)
        assert_int_equal(in_sandbox(&w, connect_out), EACCES);
}

static void
the_rest_works(void **state)
{
    assert_int_equal(in_sandbox(*state, use_the_rest), 0);
    assert_int_equal(in_sandbox(*state, show_state), 0);
}

static void
no_directory_no_sandbox(void **state)
{
    struct world w = *(struct world *)*state;

    if (landlock_version() < 2)
        skip();
    (void)snprintf(w.data, sizeof(w.data), "%s/absent", w.dir);
    assert_int_equal(in_sandbox(&w, show_state), 255);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, make_world, end_world)
    const struct CMUnitTest tests[] = {
        CASE(some_of_them_work_without),
        CASE(forbidden_acts_are_refused),
        CASE(files_of_the_directory_work),
        CASE(serving_in_threads_works),
        CASE(connections_to_the_needed_port_work),
        CASE(the_rest_works),
        CASE(no_directory_no_sandbox),
    };

    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
