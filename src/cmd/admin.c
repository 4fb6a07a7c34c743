// SPDX-License-Identifier: Apache-2.0
#include "cmd/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/log.h"
#include "cmd/engines.h"

#define LINE_MAX_BYTES (16 * 1024 * 1024) /* a list of every key of a large workspace */
#define CLIENTS 4
#define CLIENTS_WAITING 64
#define CLIENT_SECONDS 10 /* to send its command in */
#define SOCKET_NAME "admin.sock"

struct admin {
    struct home *home;
    struct service *service;
    struct workers *workers;
    pthread_t thread;
    int listen_fd;
    int stop_fd;
    _Atomic bool stopping;
};

/* A connection, and the command it asked for. */
struct client {
    struct job job;
    struct admin *admin;
    int fd;
};

/*
 * A socket's path is limited to 107 bytes, a directory's is not: it is reached through a
 * descriptor of the directory.
 */
static enum rc
socket_address(const char *dir, int *ret_dir_fd, struct sockaddr_un *ret, struct err *err)
{
    *ret_dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_dir_fd < 0)
        return err_set(err, RC_NOT_FOUND, "no directory %s", dir);
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    (void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
                   *ret_dir_fd);
    return RC_OK;
}

static bool
send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static bool
send_json(int fd, const json_t *value)
{
    SCOPED_POOL(pool);
    size_t len;
    char *text = js_write(pool, value, &len);

    return send_all(fd, mem_printf(pool, "%s\n", text), len + 1);
}

/*
 * Reads one line; what follows it stays in `b` for the next call. False at the end of the stream.
 * `b` holds the line before as well, up to *at.
 */
static bool
read_line(int fd, struct buf *b, size_t *at, json_t **ret)
{
    struct err err;
    char block[4096], *end;
    ssize_t n;

    while (b->len == *at || !(end = memchr(b->bytes + *at, '\n', b->len - *at))) {
        n = recv(fd, block, sizeof(block), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !buf_append(b, block, (size_t)n))
            return false;
    }
    if (js_read(b->bytes + *at, (size_t)(end - b->bytes) - *at, ret, &err))
        return false;
    *at = (size_t)(end - b->bytes) + 1;
    return true;
}

static void
tell_progress(void *arg, const char *text)
{
    const struct client *c = arg;
    json_auto_t *line = json_object();

    js_set(line, "progress", js_text(text));
    (void)send_json(c->fd, line); /* a client that has left does not stop what it began */
}

static const char **
argv_of(TALLOC_CTX *pool, const json_t *request, size_t *ret_n)
{
    const json_t *list = json_object_get(request, "argv");
    size_t n = json_array_size(list);
    const char **argv = MEM_ARRAY(pool, const char *, n + 1);

    for (size_t i = 0; i < n; i++) {
        argv[i] = json_string_value(json_array_get(list, i));
        if (!argv[i])
            argv[i] = "";
    }
    *ret_n = n;
    return argv;
}

static json_t *
answer(struct client *c, const json_t *request)
{
    SCOPED_POOL(pool);
    struct command_env env = {.pool = pool,
                              .home = c->admin->home,
                              .service = c->admin->service,
                              .progress = tell_progress,
                              .progress_arg = c};
    json_t *line = json_object(), *out = NULL;
    struct conf conf;
    struct err err;
    size_t n;
    const char **argv = argv_of(pool, request, &n);
    enum rc rc = conf_parse(pool, n, argv, NULL, &conf, &err);

    if (!rc)
        rc = engines_agree(&conf, env.home->database, env.home->blobs, env.home->dir, &err);
    if (!rc)
        rc = command_call(&env, &conf, &out, &err);
    js_set(line, "exit", json_integer(rc ? command_exit(rc) : env.exit));
    if (rc)
        js_set(line, "message", js_text(err.detail));
    else
        js_set(line, "out", out);
    return line;
}

static void
serve_client(void *arg)
{
    struct client *c = arg;
    SCOPED_POOL(pool);
    json_auto_t *request = NULL, *line = NULL;
    struct buf b;
    size_t at = 0;

    buf_init(&b, pool, LINE_MAX_BYTES);
    if (read_line(c->fd, &b, &at, &request)) {
        line = answer(c, request);
        (void)send_json(c->fd, line);
    }
    (void)close(c->fd);
    (void)talloc_free(c);
}

static void
take_client(struct admin *a, int fd)
{
    struct timeval patience = {.tv_sec = CLIENT_SECONDS};
    struct client *c = MEM_NEW(NULL, struct client);
    struct err err;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    c->job = (struct job){.fn = serve_client, .arg = c};
    c->admin = a;
    c->fd = fd;
    if (workers_submit(a->workers, &c->job, &err)) {
        log_warn("admin socket: %s", err.detail);
        (void)close(fd);
        (void)talloc_free(c);
    }
}

static void *
accept_main(void *arg)
{
    struct admin *a = arg;
    struct pollfd on[2] = {{.fd = a->listen_fd, .events = POLLIN},
                           {.fd = a->stop_fd, .events = POLLIN}};
    int fd;

    while (!atomic_load(&a->stopping)) {
        if (poll(on, 2, -1) < 0 && errno != EINTR)
            break;
        fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            continue;
        /* accept4 above never waits because the listener does not block; the client may */
        (void)fcntl(fd, F_SETFL, 0);
        take_client(a, fd);
    }
    return NULL;
}

/* A socket left by a crash is in the way; the directory's lock says that nobody uses it. */
static enum rc
listen_here(struct admin *a, struct err *err)
{
    struct sockaddr_un where;
    int dir_fd = -1;
    enum rc rc = socket_address(a->home->dir, &dir_fd, &where, err);

    if (rc)
        return rc;
    (void)unlinkat(dir_fd, SOCKET_NAME, 0);
    a->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->listen_fd < 0 || bind(a->listen_fd, (struct sockaddr *)&where, sizeof(where)) != 0 ||
        fchmodat(dir_fd, SOCKET_NAME, 0600, 0) != 0 || listen(a->listen_fd, 16) != 0)
        rc = err_errno(err, RC_IO, "cannot listen on " SOCKET_NAME);
    (void)close(dir_fd);
    return rc;
}

static void
release(struct admin *a)
{
    workers_free(&a->workers);
    if (a->listen_fd >= 0)
        (void)close(a->listen_fd);
    if (a->stop_fd >= 0)
        (void)close(a->stop_fd);
    (void)talloc_free(a);
}

enum rc
admin_start(struct home *home, struct service *service, struct admin **ret, struct err *err)
{
    struct admin *a = MEM_NEW(NULL, struct admin);
    enum rc rc;

    a->home = home;
    a->service = service;
    a->listen_fd = -1;
    a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = a->stop_fd < 0 ? err_errno(err, RC_UNAVAILABLE, "eventfd") : listen_here(a, err);
    if (!rc)
        rc = workers_new("admin", CLIENTS, CLIENTS_WAITING, &a->workers, err);
    if (!rc && pthread_create(&a->thread, NULL, accept_main, a) != 0)
        rc = err_set(err, RC_UNAVAILABLE, "no thread for the admin socket");
    if (rc) {
        release(a);
        return rc;
    }
    *ret = a;
    return RC_OK;
}

void
admin_free(struct admin **ret)
{
    struct admin *a = *ret;
    uint64_t one = 1;

    if (!a)
        return;
    atomic_store(&a->stopping, true);
    BUG_ON(write(a->stop_fd, &one, sizeof(one)) != (ssize_t)sizeof(one));
    pthread_join(a->thread, NULL);
    (void)unlink(home_path(a->home->pool, a->home->dir, SOCKET_NAME));
    release(a);
    *ret = NULL;
}

static enum rc
connect_to(const char *dir, int *ret_fd, struct err *err)
{
    struct sockaddr_un where;
    int dir_fd = -1, fd;
    enum rc rc = socket_address(dir, &dir_fd, &where, err);

    if (rc)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&where, sizeof(where)) != 0) {
        rc = errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR
                 ? err_set(err, RC_NOT_FOUND, "no server")
                 : err_errno(err, RC_UNAVAILABLE, "cannot reach the server by " SOCKET_NAME);
        if (fd >= 0)
            (void)close(fd);
        fd = -1;
    }
    (void)close(dir_fd);
    *ret_fd = fd;
    return rc;
}

static json_t *
question(const struct conf *conf)
{
    SCOPED_POOL(pool);
    json_t *line = json_object(), *list = json_array();
    size_t n;
    const char **argv = conf_argv(pool, conf, &n);

    for (size_t i = 0; i < n; i++)
        BUG_ON(json_array_append_new(list, json_string_nocheck(argv[i])) != 0);
    js_set(line, "argv", list);
    return line;
}

/* Reads lines until the one with the exit code. */
static enum rc
hear(int fd, struct command_env *env, int *ret_exit, json_t **ret, struct err *err)
{
    struct buf b;
    size_t at = 0;

    buf_init(&b, env->pool, LINE_MAX_BYTES);
    for (;;) {
        json_auto_t *line = NULL;
        const char *text;

        if (!read_line(fd, &b, &at, &line))
            return err_set(err, RC_IO,
                           "the server left before it answered; see its log, and look "
                           "whether the command took effect");
        text = json_string_value(json_object_get(line, "progress"));
        if (text) {
            command_progress(env, "%s", text);
            continue;
        }
        *ret_exit = (int)json_integer_value(json_object_get(line, "exit"));
        *ret = json_incref(json_object_get(line, "out"));
        text = json_string_value(json_object_get(line, "message"));
        (void)snprintf(err->detail, sizeof(err->detail), "%s", text ? text : "");
        return RC_OK;
    }
}

enum rc
admin_ask(const struct conf *conf, struct command_env *env, int *ret_exit, json_t **ret,
          struct err *err)
{
    json_auto_t *line = NULL;
    int fd = -1;
    enum rc rc = connect_to(conf_text(conf, CONF_DATA), &fd, err);

    if (rc)
        return rc;
    line = question(conf);
    rc = send_json(fd, line) ? hear(fd, env, ret_exit, ret, err)
                             : err_set(err, RC_IO, "the server closed " SOCKET_NAME);
    (void)close(fd);
    return rc;
}
