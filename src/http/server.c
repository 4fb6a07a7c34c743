// SPDX-License-Identifier: Apache-2.0
/*
 * The only file that knows libmicrohttpd.
 *
 * Its parser is lax (see SECURITY.md); the guard makes up for that. Its unescaping is switched
 * off: paths are decoded by the router, from the raw target.
 */
#include "http/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/exchange.h"
#include "http/forwarded.h"
#include "http/server_deadline.h"
#include "http/server_linger.h"
#include "http/server_listen.h"
#include "http/server_rest.h"
#include "http/server_tls.h"

#define COPY_BLOCK (64 * 1024)
#define SMALL_FILE (32 * 1024)
#define PAUSE_US 5000

struct server {
    struct service *service;
    struct MHD_Daemon *daemon;
    struct deadlines *deadlines;
    struct lingering *lingering;
    struct listener listener;
    struct tls *tls;         /* NULL: plain HTTP */
    struct proxies *proxies; /* NULL: nobody's word on the client is taken */
    char url[sizeof("https://") + sizeof(((struct listener *)NULL)->address)];
    _Atomic int64_t busy;   /* requests under way */
    _Atomic int64_t parked; /* of them: suspended while the engine works */
    _Atomic bool closing;   /* the time to drain is over: no request may begin */
};

/* One connection: what the library keeps for us beside it. */
struct client {
    struct peer *peer;
    struct rest rest;
};

enum { PARKED = 1, WOKEN = 2 };

/* One request, as the library drives it. */
struct call {
    struct server *server;
    struct MHD_Connection *connection;
    struct peer *peer;
    struct exchange *exchange; /* from when the header block is there */
    struct wire wire;
    struct http_header *headers;
    bool waiting; /* parked; the next turn sends the answer, or goes on when `next` was to ask */
    bool paused;  /* in the middle of the answer, for bytes of its blob */
    _Atomic int full; /* of the body no more has room: PARKED, WOKEN, or both in any order */
    enum exchange_next next;
};

static struct client *
client_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    BUG_ON(!info || !info->socket_context);
    return info->socket_context;
}

static int
socket_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info ? info->connect_fd : -1;
}

/*
 * The library leaves a TLS socket corked. Its farewell would wait a fifth of a second for more,
 * where a lingering duplicate keeps the socket open.
 */
static void
uncork(struct MHD_Connection *c)
{
    int off = 0;

    (void)setsockopt(socket_of(c), IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
}

static gnutls_session_t
session_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info ? info->tls_session : NULL;
}

/* From now on it may be idle, as one without TLS from the beginning. */
static void
on_handshake(void *arg)
{
    peer_phase(arg, PHASE_IDLE);
}

static void
begin_connection(struct server *s, struct MHD_Connection *c, void **socket_context)
{
    struct client *client = MEM_NEW(NULL, struct client);
    int fd = socket_of(c);

    BUG_ON(fd < 0);
    client->peer = peer_open(s->deadlines, fd, s->listener.path != NULL);
    rest_init(&client->rest, s->tls ? -1 : fd);
    if (s->tls)
        tls_adopt(s->tls, session_of(c), on_handshake, client->peer);
    *socket_context = client;
}

static void
on_connection(void *cls, struct MHD_Connection *c, void **socket_context,
              enum MHD_ConnectionNotificationCode code)
{
    struct client *client = *socket_context;
    struct server *s = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        begin_connection(s, c, socket_context);
        return;
    }
    if (s->tls) {
        uncork(c);
        tls_leave(session_of(c));
    }
    rest_close(&client->rest);
    peer_close(s->deadlines, client->peer);
    (void)talloc_free(client);
    *socket_context = NULL;
}

/* It may be woken before it is parked, and then stays as it was. */
static void
note_full(struct call *call, int what)
{
    int before;

    if (what == PARKED)
        peer_hold(call->peer, true);
    before = atomic_fetch_or(&call->full, what);
    if (before == (PARKED | WOKEN) - what)
        peer_hold(call->peer, false);
}

static void
wake(void *arg)
{
    struct call *call = arg;
    struct server *s = call->server;

    note_full(call, WOKEN);
    MHD_resume_connection(call->connection);
    atomic_fetch_sub(&s->parked, 1); /* not through `call`: it may be gone by now */
}

/*
 * The query is parsed by us. The library would too, into the memory of the connection, and where
 * that does not suffice it answers nothing at all. The text is in its own buffer, and cut there.
 */
static void
drop_arguments(const char *target)
{
    char *query = strchr((char *)(uintptr_t)target, '?');

    if (query && query[1])
        query[1] = '\0';
}

/*
 * Called with the raw target, before the headers: the first sight of a request. Little is kept of
 * it until they are there, for thousands may be slow to send them.
 */
static void *
on_target(void *cls, const char *target, struct MHD_Connection *c)
{
    struct server *s = cls;
    struct call *call = MEM_NEW(NULL, struct call);
    struct client *client = client_of(c);

    call->server = s;
    call->connection = c;
    call->peer = client->peer;
    rest_end(&client->rest, target);
    call->wire.target = mem_strdup(call, target);
    drop_arguments(target);
    atomic_fetch_add(&s->busy, 1);
    return call;
}

static void
on_completed(void *cls, struct MHD_Connection *c, void **con_cls,
             enum MHD_RequestTerminationCode code)
{
    struct call *call = *con_cls;
    struct server *s = cls;
    struct client *client = client_of(c);

    if (!call)
        return;
    *con_cls = NULL;
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        rest_begin(&client->rest);
    peer_phase(call->peer, PHASE_IDLE);
    if (call->exchange)
        exchange_free(&call->exchange);
    (void)talloc_free(call);
    atomic_fetch_sub(&s->busy, 1);
}

static size_t
keep_escapes(void *cls, struct MHD_Connection *c, char *s)
{
    (void)cls;
    (void)c;
    return strlen(s);
}

static enum MHD_Result
take_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
            const char *value, size_t value_len)
{
    struct call *call = cls;

    (void)kind;
    call->headers[call->wire.n_headers++] = (struct http_header){
        .name = name, .value = value ? value : "", .name_len = name_len, .value_len = value_len};
    return MHD_YES;
}

static const char *
client_address(TALLOC_CTX *pool, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    return forwarded_address(pool, info ? info->client_addr : NULL);
}

static void
read_wire(struct call *call, const char *method, const char *version)
{
    TALLOC_CTX *pool = exchange_pool(call->exchange);
    int n = MHD_get_connection_values_n(call->connection, MHD_HEADER_KIND, NULL, NULL);

    call->headers = MEM_ARRAY(pool, struct http_header, n > 0 ? n : 1);
    call->wire.method = method;
    call->wire.version = version;
    call->wire.https = call->server->tls != NULL;
    call->wire.address = client_address(pool, call->connection);
    call->wire.headers = call->headers;
    (void)MHD_get_connection_values_n(call->connection, MHD_HEADER_KIND, take_header, call);
    forwarded_apply(call->server->proxies, pool, &call->wire);
}

static int64_t
reply_length(const struct reply *rp)
{
    return rp->blob ? rp->length : (int64_t)rp->text_len;
}

/*
 * False: the connection is parked in the middle of its answer, until more of the blob is there.
 * While the server closes, who reads has to wait instead. The library bears being resumed before it
 * is suspended.
 */
static bool
has_more(struct call *call, int64_t offset)
{
    struct reply *rp = exchange_reply(call->exchange);

    atomic_fetch_add(&call->server->parked, 1);
    if (!atomic_load(&call->server->closing) && !blob_read_ready(rp->blob, offset, wake, call)) {
        peer_phase(call->peer, PHASE_WORK); /* it is not the client who is slow */
        call->paused = true;
        MHD_suspend_connection(call->connection);
        return false;
    }
    atomic_fetch_sub(&call->server->parked, 1);
    if (call->paused)
        peer_phase(call->peer, PHASE_REPLY);
    call->paused = false;
    return true;
}

/*
 * Feeds bytes of a blob that has no descriptor, and all where the kernel does not count them; cls
 * is the call.
 */
static ssize_t
feed(void *cls, uint64_t at, char *into, size_t room)
{
    struct call *call = cls;
    struct reply *rp = exchange_reply(call->exchange);
    uint64_t length = (uint64_t)reply_length(rp);
    struct err err;
    size_t n = 0;

    if (at >= length)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (room > length - at)
        room = (size_t)(length - at);
    if (rp->blob && !has_more(call, rp->first + (int64_t)at))
        return 0;
    if (!rp->blob)
        memcpy(into, rp->text + at, n = room);
    else if (blob_read(rp->blob, rp->first + (int64_t)at, into, room, &n, &err) || n == 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    peer_count(call->peer, 0, (int64_t)n);
    return (ssize_t)n;
}

/* One packet and one waking of the client instead of two: the head alone, then the file. */
static struct MHD_Response *
in_one_piece(const struct reply *rp)
{
    size_t len = (size_t)rp->length, have = 0;
    char *bytes = talloc_size(rp->pool, len + 1);
    struct err err;

    BUG_ON(!bytes);
    if (blob_read(rp->blob, rp->first, bytes, len, &have, &err) || have < len)
        return NULL;
    return MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *
make_response(struct call *call)
{
    struct reply *rp = exchange_reply(call->exchange);
    const struct app *app = call->server->service->app;
    int fd;

    if (call->server->listener.path && reply_length(rp) > 0)
        return MHD_create_response_from_callback((uint64_t)reply_length(rp), COPY_BLOCK, feed, call,
                                                 NULL);
    if (!rp->blob)
        return MHD_create_response_from_buffer(rp->text_len, (void *)(uintptr_t)rp->text,
                                               MHD_RESPMEM_PERSISTENT);
    if (!(blob_store_caps(app->blobs) & BLOB_REMOTE) && rp->length <= SMALL_FILE)
        return in_one_piece(rp);
    fd = blob_reader_fd(rp->blob);
    fd = fd >= 0 ? dup(fd) : -1; /* the response closes its own */
    if (fd >= 0)
        return MHD_create_response_from_fd_at_offset64((uint64_t)rp->length, fd,
                                                       (uint64_t)rp->first);
    return MHD_create_response_from_callback((uint64_t)rp->length, COPY_BLOCK, feed, call, NULL);
}

/* The client of a refused request may still be sending; the library reads no more of it. */
static void
keep_for_client(struct call *call)
{
    int fd = socket_of(call->connection);

    if (fd >= 0)
        lingering_add(call->server->lingering, fd);
}

static bool
add_headers(struct MHD_Response *response, const struct reply *rp, bool close_after)
{
    for (size_t i = 0; i < rp->n_headers; i++) {
        if (MHD_add_response_header(response, rp->headers[i].name, rp->headers[i].value) != MHD_YES)
            return false;
    }
    return !close_after || MHD_add_response_header(response, "Connection", "close") == MHD_YES;
}

static enum MHD_Result
send_reply(struct call *call, bool close_after)
{
    struct reply *rp = exchange_reply(call->exchange);
    struct MHD_Response *response = make_response(call);
    enum MHD_Result sent = MHD_NO;

    if (!response)
        return MHD_NO;
    if (close_after)
        keep_for_client(call);
    if (service_ready(call->server->service) == READY_DRAINING)
        close_after = true;
    peer_phase(call->peer, PHASE_REPLY);
    /* rather no answer than one that lacks, for instance, what keeps a browser from running it */
    if (add_headers(response, rp, close_after))
        sent = MHD_queue_response(call->connection, (unsigned)rp->status, response);
    MHD_destroy_response(response);
    return sent;
}

/*
 * Parks the connection and hands the work over. Counted before it looks whether the server is
 * closing: then either this sees that, or server_free() sees the count.
 */
static enum MHD_Result
park(struct call *call)
{
    atomic_fetch_add(&call->server->parked, 1);
    if (atomic_load(&call->server->closing)) {
        atomic_fetch_sub(&call->server->parked, 1);
        return MHD_NO; /* nothing has been done of it */
    }
    call->waiting = call->next == EXCHANGE_WAIT;
    peer_phase(call->peer, PHASE_WORK);
    MHD_suspend_connection(call->connection);
    exchange_go(call->exchange);
    return MHD_YES;
}

static enum MHD_Result
proceed(struct call *call)
{
    switch (call->next) {
    case EXCHANGE_READ:
        return MHD_YES;
    case EXCHANGE_REPLY:
        return send_reply(call, false);
    case EXCHANGE_CLOSE:
        return send_reply(call, true);
    case EXCHANGE_ASK:
    case EXCHANGE_WAIT:
        return park(call);
    case EXCHANGE_FULL:
    case EXCHANGE_DROP:
        break;
    }
    return MHD_NO;
}

static bool
is_suspended(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_SUSPENDED);

    return info && info->suspended == MHD_YES;
}

/*
 * A piece of the body. Where there is no room for another the connection is parked until there is,
 * counted first, as in park(). All of this piece has been taken by then: resumed before it was
 * suspended, the library would take a full buffer for our mistake. Of a chunked body it comes with
 * the next chunk at once, suspended or not; that one is left to it.
 */
static enum MHD_Result
take_body(struct call *call, const char *data, size_t *data_len)
{
    if (is_suspended(call->connection))
        return MHD_YES;
    peer_count(call->peer, (int64_t)*data_len, 0);
    atomic_store(&call->full, 0);
    atomic_fetch_add(&call->server->parked, 1);
    if (atomic_load(&call->server->closing))
        call->next = EXCHANGE_DROP; /* nothing has been done of it */
    else
        call->next = exchange_body(call->exchange, data, *data_len);
    *data_len = 0;
    if (call->next == EXCHANGE_FULL) {
        note_full(call, PARKED);
        MHD_suspend_connection(call->connection);
        return MHD_YES;
    }
    atomic_fetch_sub(&call->server->parked, 1);
    return call->next == EXCHANGE_DROP ? MHD_NO : MHD_YES;
}

/*
 * The library's one handler: called when the headers are there, for each piece of the body, and
 * at its end; and again after a parked connection was woken.
 */
static enum MHD_Result
on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
           const char *version, const char *data, size_t *data_len, void **con_cls)
{
    struct call *call = *con_cls;

    (void)cls;
    (void)c;
    (void)url;
    if (call->waiting)
        return send_reply(call, exchange_closes(call->exchange));
    if (!call->exchange) {
        if (atomic_load(&call->server->closing))
            return MHD_NO;
        call->exchange = exchange_new(call->server->service, wake);
        exchange_own(call->exchange, call);
        peer_phase(call->peer, PHASE_BODY);
        read_wire(call, method, version);
        call->next = exchange_head(call->exchange, &call->wire);
        return proceed(call);
    }
    if (call->next == EXCHANGE_ASK) {
        peer_phase(call->peer, PHASE_BODY);
        call->next = exchange_asked(call->exchange);
        return proceed(call);
    }
    if (data && *data_len == 0)
        return MHD_YES; /* after a 100 when no body is due: what is there is the next request's */
    if (data)
        return take_body(call, data, data_len);
    atomic_store(&call->full, 0);
    peer_phase(call->peer, PHASE_WORK); /* nothing more has to come: do not wait for it */
    call->next = exchange_end(call->exchange);
    return proceed(call);
}

bool
server_listen_valid(const char *text)
{
    return listen_valid(text);
}

const char *
server_socket_path(const char *text)
{
    return text ? listen_unix_path(text) : NULL;
}

static void
write_url(struct server *s)
{
    const char *scheme = s->listener.path ? "" : s->tls ? "https://" : "http://";

    (void)snprintf(s->url, sizeof(s->url), "%s%s", scheme, s->listener.address);
}

__attribute__((format(printf, 2, 0))) static void
on_library_log(void *cls, const char *fmt, va_list ap)
{
    char text[512];

    (void)cls;
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    log_debug("http: %s", text);
}

const char *
server_library(void)
{
    return MHD_get_version();
}

/*
 * Before 1.0 the library answers what it finds wrong with a broken page of its own, so it is told
 * to be lenient and the guard refuses. From 1.0 on, leniency repairs names and lines before the
 * guard sees them, so it is told to be strict. Asked at run time: the .so may be newer than we are.
 */
static int
strictness(void)
{
    return strncmp(server_library(), "0.", 2) == 0 ? -1 : 1;
}

/* What stands around the library's daemon. */
static void
release(struct server **ret)
{
    listen_close(&(*ret)->listener);
    deadlines_free(&(*ret)->deadlines);
    lingering_free(&(*ret)->lingering);
    tls_free(&(*ret)->tls);
    (void)talloc_free(*ret);
    *ret = NULL;
}

static void
note_certificate(struct server *s)
{
    metric_set(&s->service->app->metrics, METRIC_TLS_EXPIRES, tls_expires_s(s->tls));
}

static enum rc
load_tls(struct server *s, const struct server_config *config, struct err *err)
{
    enum rc rc;

    if (!config->tls_cert)
        return RC_OK;
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES ||
        MHD_is_feature_supported(MHD_FEATURE_HTTPS_CERT_CALLBACK2) != MHD_YES)
        return err_set(err, RC_UNAVAILABLE,
                       "--tls-cert: this libmicrohttpd (%s) was built without TLS",
                       server_library());
    rc = tls_new(config->tls_cert, config->tls_key, &s->tls, err);
    if (!rc)
        note_certificate(s);
    return rc;
}

static bool
start_library(struct server *s, const struct server_config *config)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    unsigned loops = config->loops > 1 ? config->loops : 0; /* a pool of one is no pool */
    struct MHD_OptionItem for_tls[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)tls_retrieve},
        {MHD_OPTION_END, 0, NULL}};

    if (s->tls)
        flags |= MHD_USE_TLS;
    else
        for_tls[0].option = MHD_OPTION_END;
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, s->listener.fd, MHD_OPTION_THREAD_POOL_SIZE, loops,
        MHD_OPTION_CONNECTION_LIMIT, config->max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY, MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_STRICT_FOR_CLIENT, strictness(),
        MHD_OPTION_ARRAY, for_tls, MHD_OPTION_END);
    return s->daemon != NULL;
}

enum rc
server_start(struct service *service, const struct server_config *config, struct server **ret,
             struct err *err)
{
    struct server *s = MEM_NEW(NULL, struct server);
    enum rc rc = RC_OK;

    s->service = service;
    s->listener.fd = -1;
    if (config->trusted_proxy)
        rc = proxies_parse(s, config->trusted_proxy, &s->proxies, err);
    if (!rc)
        rc = load_tls(s, config, err);
    if (!rc)
        rc = deadlines_new(&service->app->metrics, &s->deadlines, err);
    if (!rc)
        rc = lingering_new(&s->lingering, err);
    if (!rc)
        rc = listen_open(config->listen, &s->listener, err);
    if (!rc && !start_library(s, config))
        rc = err_set(err, RC_INTERNAL, "the HTTP library did not start");
    if (rc) {
        release(&s);
        return rc;
    }
    write_url(s);
    *ret = s;
    return RC_OK;
}

enum rc
server_reload(struct server *s, struct err *err)
{
    enum rc rc = s->tls ? tls_reload(s->tls, err) : RC_OK;

    if (!rc && s->tls)
        note_certificate(s);
    return rc;
}

const char *
server_url(const struct server *s)
{
    return s->url;
}

void
server_free(struct server **ret, int64_t drain_ms)
{
    struct server *s = *ret;
    int64_t until = clock_mono_ms() + drain_ms;

    if (!s)
        return;
    (void)MHD_quiesce_daemon(s->daemon);
    listen_close(&s->listener);
    while (atomic_load(&s->busy) > 0 && clock_mono_ms() < until)
        (void)usleep(PAUSE_US);
    /* parked connections must be woken before the library stops; their works always end */
    atomic_store(&s->closing, true);
    while (atomic_load(&s->parked) > 0)
        (void)usleep(PAUSE_US);
    MHD_stop_daemon(s->daemon);
    release(ret);
}
