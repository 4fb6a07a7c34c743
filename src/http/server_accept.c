// SPDX-License-Identifier: Apache-2.0
#include "http/server_accept.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MS 20 /* when there is room for no more: until others are closed */

struct acceptor {
    int fd;
    int stop; /* an eventfd */
    struct MHD_Daemon *daemon;
    unsigned max;
    pthread_t thread;
};

static bool
is_full(struct acceptor *a)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

    return info && info->num_connections >= a->max;
}

/* The library takes the socket, also to close it. */
static bool
let_in(struct acceptor *a)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    int fd;

    if (is_full(a)) {
        errno = ENFILE;
        return false;
    }
    memset(&from, 0, sizeof(from));
    fd = accept4(a->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno == ECONNABORTED || errno == EINTR;
    (void)MHD_add_connection(a->daemon, fd, (struct sockaddr *)&from, len);
    return true;
}

static void *
run(void *arg)
{
    struct acceptor *a = arg;
    struct pollfd both[2] = {{.fd = a->stop, .events = POLLIN}, {.fd = a->fd, .events = POLLIN}};

    for (;;) {
        if (poll(both, ARRAY_LEN(both), -1) < 0)
            continue;
        if (both[0].revents)
            return NULL;
        while (let_in(a))
            ;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            (void)poll(both, 1, PAUSE_MS); /* it would only be told again that somebody waits */
    }
}

static int
start_thread(struct acceptor *a)
{
    sigset_t all, old;
    int failed;

    sigfillset(&all);
    BUG_ON(pthread_sigmask(SIG_SETMASK, &all, &old));
    failed = pthread_create(&a->thread, NULL, run, a);
    BUG_ON(pthread_sigmask(SIG_SETMASK, &old, NULL));
    if (!failed)
        (void)pthread_setname_np(a->thread, "accept");
    return failed;
}

enum rc
acceptor_new(int fd, struct MHD_Daemon *daemon, unsigned max, struct acceptor **ret,
             struct err *err)
{
    struct acceptor *a = MEM_NEW(NULL, struct acceptor);

    *a = (struct acceptor){.fd = fd, .daemon = daemon, .max = max};
    a->stop = eventfd(0, EFD_CLOEXEC);
    if (a->stop < 0 || start_thread(a) != 0) {
        if (a->stop >= 0)
            (void)close(a->stop);
        (void)talloc_free(a);
        return err_set(err, RC_INTERNAL, "cannot start the thread that accepts");
    }
    *ret = a;
    return RC_OK;
}

void
acceptor_free(struct acceptor **ret)
{
    struct acceptor *a = *ret;

    if (!a)
        return;
    BUG_ON(eventfd_write(a->stop, 1));
    (void)pthread_join(a->thread, NULL);
    (void)close(a->stop);
    (void)talloc_free(a);
    *ret = NULL;
}
