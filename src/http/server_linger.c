// SPDX-License-Identifier: Apache-2.0
#include "http/server_linger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define MOST 256
#define LONGEST_MS 30000
#define QUIET_MS 5000
#define TICK_MS 1000
#define READ_SIZE 65536
#define READS_IN_A_ROW 16 /* then the others have their turn */

struct lingering {
    pthread_t thread;
    int in, out; /* a pipe of descriptors; its end ends the thread */
    /* the thread's own: fds[i + 1] is at[i], fds[0] the pipe */
    size_t count;
    struct pollfd fds[1 + MOST];
    struct {
        int64_t first_ms, last_ms;
    } at[MOST];
    char bytes[READ_SIZE];
};

/* False at the end of what the client sends. */
static bool
discard(struct lingering *l, int fd)
{
    for (int i = 0; i < READS_IN_A_ROW; i++) {
        ssize_t n = recv(fd, l->bytes, sizeof(l->bytes), MSG_DONTWAIT);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
    }
    return true;
}

static void
attend(struct lingering *l, int64_t now_ms)
{
    for (size_t i = l->count; i-- > 0;) {
        struct pollfd *pfd = &l->fds[i + 1];
        bool stays = true;

        if (pfd->revents) {
            stays = discard(l, pfd->fd);
            l->at[i].last_ms = now_ms;
        }
        if (stays && now_ms - l->at[i].first_ms < LONGEST_MS &&
            now_ms - l->at[i].last_ms < QUIET_MS)
            continue;
        (void)close(pfd->fd);
        l->count--;
        *pfd = l->fds[l->count + 1];
        l->at[i] = l->at[l->count];
    }
}

/* Takes new ones from the pipe; false at its end. */
static bool
take(struct lingering *l, int64_t now_ms)
{
    int fd;
    ssize_t n;

    while ((n = read(l->in, &fd, sizeof(fd))) == sizeof(fd)) {
        if (l->count == MOST) {
            (void)close(fd);
            continue;
        }
        l->fds[l->count + 1] = (struct pollfd){.fd = fd, .events = POLLIN};
        l->at[l->count].first_ms = l->at[l->count].last_ms = now_ms;
        l->count++;
    }
    return n != 0;
}

static void *
lingering_main(void *arg)
{
    struct lingering *l = arg;
    int64_t now_ms;

    do {
        (void)poll(l->fds, 1 + l->count, l->count ? TICK_MS : -1);
        now_ms = clock_mono_ms();
        attend(l, now_ms);
    } while (take(l, now_ms));
    for (size_t i = 0; i < l->count; i++)
        (void)close(l->fds[i + 1].fd);
    return NULL;
}

enum rc
lingering_new(struct lingering **ret, struct err *err)
{
    struct lingering *l = MEM_NEW(NULL, struct lingering);
    sigset_t all, old;
    int ends[2], failed;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        (void)talloc_free(l);
        return err_set(err, RC_INTERNAL, "cannot make a pipe");
    }
    l->in = ends[0];
    l->out = ends[1];
    l->fds[0] = (struct pollfd){.fd = l->in, .events = POLLIN};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failed = pthread_create(&l->thread, NULL, lingering_main, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        (void)close(l->in);
        (void)close(l->out);
        (void)talloc_free(l);
        return err_set(err, RC_INTERNAL, "cannot start the thread for refused connections");
    }
    *ret = l;
    return RC_OK;
}

void
lingering_free(struct lingering **ret)
{
    struct lingering *l = *ret;

    if (!l)
        return;
    (void)close(l->out);
    pthread_join(l->thread, NULL);
    (void)close(l->in);
    (void)talloc_free(l);
    *ret = NULL;
}

void
lingering_add(struct lingering *l, int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (own >= 0 && write(l->out, &own, sizeof(own)) != sizeof(own))
        (void)close(own);
}
