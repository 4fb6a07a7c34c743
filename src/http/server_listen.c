// SPDX-License-Identifier: Apache-2.0
#include "http/server_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

#define BACKLOG 1024
#define UNIX_MODE 0660
#define UNIX_PREFIX "unix:"

const char *
listen_unix_path(const char *text)
{
    size_t n = strlen(UNIX_PREFIX);

    return strncmp(text, UNIX_PREFIX, n) == 0 ? text + n : NULL;
}

bool
listen_valid(const char *text)
{
    const char *colon = strrchr(text, ':'), *path = listen_unix_path(text);
    int64_t port;

    if (path)
        return path[0] == '/' && strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
    return colon && text_uint(colon + 1, UINT16_MAX, &port);
}

static enum rc
refused(const char *text, struct err *err)
{
    char reason[128];
    const char *advice =
        errno == EADDRINUSE ? "; stop the other program or choose another --listen" : "";

    return err_set(err, RC_UNAVAILABLE, "cannot listen on %s: %s%s", text,
                   strerror_r(errno, reason, sizeof(reason)), advice);
}

/* Splits "host:port"; an empty host means every address. */
static void
split(TALLOC_CTX *pool, const char *text, char **host, char **port)
{
    const char *colon = strrchr(text, ':');

    *host = mem_strndup(pool, text, (size_t)(colon - text));
    if ((*host)[0] == '[' && colon[-1] == ']')
        *host = mem_strndup(pool, text + 1, (size_t)(colon - text) - 2);
    *port = mem_strdup(pool, colon + 1);
}

static void
write_address(struct listener *l)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char host[INET6_ADDRSTRLEN] = "", port[8] = "";

    memset(&ss, 0, sizeof(ss));
    if (getsockname(l->fd, (struct sockaddr *)&ss, &len) == 0)
        (void)getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(l->address, sizeof(l->address), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
                   port);
}

static enum rc
open_tcp(const char *text, struct listener *l, struct err *err)
{
    SCOPED_POOL(pool);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    char *host, *port;
    int one = 1;
    bool ok;

    split(pool, text, &host, &port);
    if (getaddrinfo(*host ? host : NULL, port, &hints, &list) != 0)
        return err_set(err, RC_INVALID, "--listen: no such address '%s'", text);
    l->fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd >= 0) {
        (void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    ok = l->fd >= 0 && bind(l->fd, list->ai_addr, list->ai_addrlen) == 0 &&
         listen(l->fd, BACKLOG) == 0;
    freeaddrinfo(list);
    if (!ok)
        return refused(text, err);
    write_address(l);
    return RC_OK;
}

/* True for the socket of a server that has ended without removing it. */
static bool
is_stale(const struct sockaddr_un *name)
{
    struct stat info;
    int fd;
    bool stale;

    if (lstat(name->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    stale = fd >= 0 && connect(fd, (const struct sockaddr *)name, sizeof(*name)) != 0 &&
            errno == ECONNREFUSED;
    if (fd >= 0)
        (void)close(fd);
    return stale;
}

static bool
bind_unix(int fd, const struct sockaddr_un *name)
{
    const struct sockaddr *sa = (const struct sockaddr *)name;

    if (bind(fd, sa, sizeof(*name)) == 0)
        return true;
    if (errno != EADDRINUSE)
        return false;
    if (!is_stale(name)) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(name->sun_path) == 0 && bind(fd, sa, sizeof(*name)) == 0;
}

static enum rc
open_unix(const char *text, struct listener *l, struct err *err)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct stat info;

    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", listen_unix_path(text));
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || !bind_unix(l->fd, &name))
        return refused(text, err);
    l->path = mem_strdup(NULL, name.sun_path);
    if (lstat(l->path, &info) == 0) {
        l->dev = info.st_dev;
        l->ino = info.st_ino;
    }
    /* whoever may connect is settled before anybody can */
    if (chmod(l->path, UNIX_MODE) != 0 || listen(l->fd, BACKLOG) != 0)
        return refused(text, err);
    (void)snprintf(l->address, sizeof(l->address), "%s", text);
    return RC_OK;
}

enum rc
listen_open(const char *text, struct listener *ret, struct err *err)
{
    struct listener l = {.fd = -1};
    enum rc rc;

    if (!listen_valid(text))
        return err_set(err, RC_INVALID, "--listen takes HOST:PORT or unix:/PATH, not '%s'", text);
    rc = listen_unix_path(text) ? open_unix(text, &l, err) : open_tcp(text, &l, err);
    if (rc) {
        listen_close(&l);
        return rc;
    }
    *ret = l;
    return RC_OK;
}

void
listen_close(struct listener *l)
{
    struct stat info;

    /* first the name: while this listens, no other server takes it for stale and makes its own */
    if (l->path && lstat(l->path, &info) == 0 && info.st_dev == l->dev && info.st_ino == l->ino)
        (void)unlink(l->path);
    TALLOC_FREE(l->path);
    if (l->fd >= 0) {
        (void)shutdown(l->fd, SHUT_RDWR); /* the backlog is refused, not left waiting */
        (void)close(l->fd);
    }
    l->fd = -1;
}
