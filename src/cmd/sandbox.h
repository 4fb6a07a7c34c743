// SPDX-License-Identifier: Apache-2.0
/*
 * sandbox: what the server can no longer do once it runs, whoever steers it.
 *
 *  I1  What is given up cannot be taken back: not by this process, not by one it starts.
 *  I2  Files are written below the data directory only, and read there, beside those that are read
 *      again while it runs, and from the few places of the system that the C library and OpenSSL
 *      read (Landlock).
 *  I3  No program is run, no process made or looked into, no connection opened (unless the
 *      database or the bytes are elsewhere; to the port of --limits in any case), and none of the
 *      kernel's rarer and riskier services is reached (seccomp).
 *  I4  The memory, which holds keys, is never written to a core file or shown to a debugger.
 *
 * What the kernel does not know is left out, and the log says so. Under AddressSanitizer and
 * ThreadSanitizer I3 lacks ptrace and processes, I4 is off, all files may be read: they need it.
 *
 * Threads: only those begun after sandbox_enter() are bound by it, so it comes before all others.
 */
#ifndef CMD_SANDBOX_H
#define CMD_SANDBOX_H
#include "base/base.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_INSTRUMENTED 1
#endif
#endif
#ifndef SANDBOX_INSTRUMENTED
#define SANDBOX_INSTRUMENTED 0
#endif

#define SANDBOX_FILES_MAX 10

struct sandbox_paths {
    const char *data; /* the directory to be written below; it exists */
    bool connects;    /* connections may be opened: rows or bytes are on other machines */
    uint16_t port;    /* the one, of any machine, to which they may otherwise; 0: none */
    /*
     * Files that are read again later, such as a certificate; NULL: none. Whatever stands in or
     * below their directories may be read then, for a new file may come under another name and a
     * link lead to it.
     */
    const char *read_beside[SANDBOX_FILES_MAX];
    const char *bound[2]; /* Unix sockets that are made, and removed at the end; NULL: none */
};

/*
 * Enters for good. UNAVAILABLE: the kernel has what is needed and yet refuses it; how much of the
 * sandbox holds then is not known, so the caller gives up. The detail is fit to be shown.
 */
MUST_CHECK enum rc sandbox_enter(const struct sandbox_paths *paths, struct err *err);

/* The part that seccomp does. NOT_FOUND: this kernel or this processor has none. UNAVAILABLE: it
 * is refused, and errno says why. */
MUST_CHECK enum rc sandbox_filter(struct err *err);

#endif
