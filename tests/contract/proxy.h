// SPDX-License-Identifier: Apache-2.0
/*
 * proxy: stands between a client and a server over TCP, in a thread of its own, and does to the
 * connections what a network or a dying host does: see enum proxy_way.
 */
#ifndef CONTRACT_PROXY_H
#define CONTRACT_PROXY_H
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/support.h"

#define PROXY_PAIRS 16
#define READY_LEN 6 /* of the message ReadyForQuery, which ends each answer */

enum proxy_way {
    PROXY_PASS,
    PROXY_FROZEN,     /* takes connections and bytes, passes nothing on, answers nothing */
    PROXY_CLOSED,     /* closes every connection at once, new ones too */
    PROXY_CUT_BEFORE, /* passes, but closes a connection in place of passing COMMIT on */
    PROXY_CUT_AFTER,  /* the same once the server has answered to COMMIT */
    PROXY_CUT_SHORT,  /* the same, but for the end of the answer: what says that all was done */
    PROXY_FREEZE_AT,  /* passes, but becomes FROZEN once COMMIT was passed on */
    PROXY_SWAP,       /* passes, but asks the server for `theirs` in place of `ours` */
};

struct proxy {
    const char *host, *port; /* of the server */
    uint16_t own_port;
    const char *ours, *theirs; /* statements of one length; set before `way` is */
    atomic_int way;
    atomic_int accepted; /* connections so far */
    atomic_uint rounds;
    atomic_bool stop;
    int listener;
    struct proxy_pair {
        int client, server;
        bool committing;
    } pairs[PROXY_PAIRS];
    size_t n;
    pthread_t thread;
};

static inline void
proxy_close(struct proxy *p, size_t i)
{
    (void)close(p->pairs[i].client);
    (void)close(p->pairs[i].server);
    p->pairs[i] = p->pairs[--p->n];
}

static inline void
proxy_accept(struct proxy *p)
{
    struct addrinfo *to = NULL, hints = {.ai_socktype = SOCK_STREAM};
    int client = accept(p->listener, NULL, NULL), server, on = 1;

    atomic_fetch_add(&p->accepted, 1);
    if (atomic_load(&p->way) == PROXY_CLOSED) {
        (void)close(client);
        return;
    }
    assert_true(p->n < PROXY_PAIRS);
    assert_int_equal(getaddrinfo(p->host, p->port, &hints, &to), 0);
    server = socket(to->ai_family, SOCK_STREAM, 0);
    assert_int_equal(connect(server, to->ai_addr, to->ai_addrlen), 0);
    freeaddrinfo(to);
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    p->pairs[p->n++] = (struct proxy_pair){.client = client, .server = server};
}

/* Passes on what one side has sent; false: the connection is to be closed. */
static inline bool
proxy_pass(struct proxy *p, struct proxy_pair *pair, bool from_client)
{
    int from = from_client ? pair->client : pair->server;
    int to = from_client ? pair->server : pair->client;
    static const char commit[] = "COMMIT"; /* with its NUL: not that of READ COMMITTED */
    char bytes[8192], *at;
    ssize_t n = recv(from, bytes, sizeof(bytes), 0);
    int way = atomic_load(&p->way);

    if (n <= 0)
        return false;
    if (!from_client && pair->committing && way == PROXY_CUT_AFTER)
        return false;
    if (!from_client && pair->committing && n >= READY_LEN && bytes[n - READY_LEN] == 'Z') {
        (void)send(to, bytes, (size_t)n - READY_LEN, MSG_NOSIGNAL);
        return false;
    }
    at = memmem(bytes, (size_t)n, commit, sizeof(commit));
    if (from_client && at) {
        if (way == PROXY_CUT_BEFORE)
            return false;
        pair->committing = way == PROXY_CUT_AFTER || way == PROXY_CUT_SHORT;
        if (way == PROXY_FREEZE_AT)
            atomic_store(&p->way, PROXY_FROZEN);
    }
    if (from_client && way == PROXY_SWAP) {
        at = memmem(bytes, (size_t)n, p->ours, strlen(p->ours) + 1);
        if (at)
            memcpy(at, p->theirs, strlen(p->ours));
    }
    for (ssize_t done = 0; done < n;) {
        ssize_t sent = send(to, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        done += sent;
    }
    return true;
}

static inline void *
proxy_main(void *arg)
{
    struct proxy *p = arg;

    while (!atomic_load(&p->stop)) {
        struct pollfd fds[1 + 2 * PROXY_PAIRS] = {{.fd = p->listener, .events = POLLIN}};
        bool frozen = atomic_load(&p->way) == PROXY_FROZEN;
        size_t n = p->n;

        atomic_fetch_add(&p->rounds, 1);
        for (size_t i = 0; i < n; i++) {
            fds[1 + 2 * i] = (struct pollfd){.fd = frozen ? -1 : p->pairs[i].client};
            fds[2 + 2 * i] = (struct pollfd){.fd = frozen ? -1 : p->pairs[i].server};
            fds[1 + 2 * i].events = fds[2 + 2 * i].events = POLLIN;
        }
        (void)poll(fds, 1 + 2 * n, 10);
        for (size_t i = n; i-- > 0;) {
            bool open = atomic_load(&p->way) != PROXY_CLOSED;

            if (open && fds[1 + 2 * i].revents)
                open = proxy_pass(p, &p->pairs[i], true);
            if (open && fds[2 + 2 * i].revents)
                open = proxy_pass(p, &p->pairs[i], false);
            if (!open)
                proxy_close(p, i);
        }
        if (fds[0].revents)
            proxy_accept(p);
    }
    return NULL;
}

/* Returns when it holds for all that comes from now on. */
static inline void
proxy_set(struct proxy *p, enum proxy_way way)
{
    unsigned rounds;

    atomic_store(&p->way, way);
    rounds = atomic_load(&p->rounds);
    while (atomic_load(&p->rounds) - rounds < 2)
        (void)usleep(1000);
}

static inline void
proxy_start(struct proxy *p, const char *host, const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    *p = (struct proxy){.host = host, .port = port};
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(p->listener, 64), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &len), 0);
    p->own_port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, proxy_main, p), 0);
}

static inline void
proxy_stop(struct proxy *p)
{
    atomic_store(&p->stop, true);
    (void)pthread_join(p->thread, NULL);
    while (p->n > 0)
        proxy_close(p, p->n - 1);
    (void)close(p->listener);
}

#endif
