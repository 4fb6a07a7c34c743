// SPDX-License-Identifier: Apache-2.0
/*
 * sandbox_filter: the seccomp program: a list of what is refused, not of what is allowed, so that
 * a C library which begins to use a new and harmless call does not break the server.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "cmd/sandbox.h"

#if defined(__x86_64__) && defined(__LP64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#else
#define ARCH 0
#endif

#define X32 0x40000000u /* calls of this kind have numbers of their own on x86-64 */
#define CODE_MAX 512
#define ALLOW SECCOMP_RET_ALLOW
#define REFUSE (SECCOMP_RET_ERRNO | EPERM)
/* The low half of an argument; each that is looked at is an int to the kernel. */
#define ARG(n) ((uint32_t)(offsetof(struct seccomp_data, args) + 8 * (n)))

struct program {
    struct sock_filter code[CODE_MAX];
    unsigned short len;
};

static const int refused[] = {
    /* programs and processes */
    SYS_execve,
    SYS_execveat,
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
#if !SANDBOX_INSTRUMENTED
    SYS_ptrace,
#endif
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_pidfd_getfd,
    SYS_kcmp,
    SYS_migrate_pages,
    SYS_move_pages,
    SYS_personality,
    /* name spaces and mounts */
    SYS_unshare,
    SYS_setns,
    SYS_chroot,
    SYS_pivot_root,
    SYS_mount,
    SYS_umount2,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    /* ways around the checks of paths and calls */
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_fanotify_init,
    SYS_userfaultfd,
    /* the kernel itself */
    SYS_bpf,
    SYS_perf_event_open,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_syslog,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_lookup_dcookie
    SYS_lookup_dcookie,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_uselib,
#endif
    /* the machine */
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_acct,
    SYS_quotactl,
    SYS_vhangup,
};

static void
add(struct program *p, const struct sock_filter *code, size_t n)
{
    BUG_ON(p->len + n > CODE_MAX);
    memcpy(p->code + p->len, code, n * sizeof(*code));
    p->len += (unsigned short)n;
}
#define ADD(p, ...)                                                                                \
    do {                                                                                           \
        const struct sock_filter code_[] = {__VA_ARGS__};                                          \
        add((p), code_, ARRAY_LEN(code_));                                                         \
    } while (0)

#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define EQUAL(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(k), (yes), (no))

static void
add_list(struct program *p)
{
    ADD(p, LOAD(offsetof(struct seccomp_data, arch)), EQUAL(ARCH, 1, 0), RETURN(REFUSE),
        LOAD(offsetof(struct seccomp_data, nr)));
#ifdef __x86_64__
    ADD(p, BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1), RETURN(REFUSE));
#endif
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        ADD(p, EQUAL(refused[i], 0, 1), RETURN(REFUSE));
}

/* The flags of clone3() are out of reach; told that it is absent, the C library uses clone(). */
static void
add_threads_only(struct program *p)
{
#if !SANDBOX_INSTRUMENTED
    ADD(p, EQUAL(SYS_clone3, 0, 1), RETURN(SECCOMP_RET_ERRNO | ENOSYS));
    ADD(p, EQUAL(SYS_clone, 0, 4), LOAD(ARG(0)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1), RETURN(ALLOW), RETURN(REFUSE));
#else
    (void)p;
#endif
}

/* Streams and datagrams of the two Internet families and of this machine; nothing raw. */
static void
add_plain_sockets(struct program *p)
{
    ADD(p, EQUAL(SYS_socket, 0, 10), LOAD(ARG(0)), EQUAL(AF_UNIX, 2, 0), EQUAL(AF_INET, 1, 0),
        EQUAL(AF_INET6, 0, 4), LOAD(ARG(1)), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf),
        EQUAL(SOCK_STREAM, 2, 0), EQUAL(SOCK_DGRAM, 1, 0), RETURN(REFUSE), RETURN(ALLOW));
}

/* Started from a terminal it must not type into it. */
static void
add_no_typing(struct program *p)
{
    ADD(p, EQUAL(SYS_ioctl, 0, 5), LOAD(ARG(1)), EQUAL(TIOCSTI, 1, 0), EQUAL(TIOCLINUX, 0, 1),
        RETURN(REFUSE), RETURN(ALLOW));
}

enum rc
sandbox_filter(struct err *err)
{
    struct program p = {.len = 0};
    struct sock_fprog whole = {.filter = p.code};

    if (ARCH == 0)
        return err_set(err, RC_NOT_FOUND, "no list of calls for this processor");
    add_list(&p);
    add_threads_only(&p);
    add_plain_sockets(&p);
    add_no_typing(&p);
    ADD(&p, RETURN(ALLOW));
    whole.len = p.len;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0) == 0)
        return RC_OK;
    if (errno == EINVAL || errno == ENOSYS)
        return err_set(err, RC_NOT_FOUND, "this kernel has no seccomp filters");
    return err_errno(err, RC_UNAVAILABLE, "seccomp");
}
