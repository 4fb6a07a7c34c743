// SPDX-License-Identifier: Apache-2.0
/*
 * serve: the server's life.
 *
 * enter the sandbox > open the directory > erase what is overdue > listen > say so > wait for a
 * signal > serve on while balancers turn elsewhere > answer what is under way > close. A second
 * signal ends it at once, which loses nothing that was acknowledged. SIGHUP reads the certificate
 * again.
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/admin.h"
#include "cmd/lent.h"
#include "cmd/engines.h"
#include "cmd/sandbox.h"
#include "http/route.h"
#include "http/server.h"
#include "jobs/jobs.h"
#include "store/schema.h"

#define LOOPS_MAX 64
#define SANDBOX_ON 0 /* of --sandbox on|off */

struct serving {
    struct home *home;
    struct limits *limits; /* NULL: each node counts alone */
    struct service service;
    struct service operations; /* of --admin-listen */
    struct jobs *jobs;
    struct server *server;
    struct server *operations_server;
    struct admin *admin;
};

static unsigned
cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > LOOPS_MAX ? LOOPS_MAX : (unsigned)n;
}

static void
make_service(struct serving *s, const struct conf *conf)
{
    struct service *service = &s->service;

    service->app = &s->home->app;
    service->auth = auth_new(service->app);
    service->budgets = budgets_new(service->app);
    service->log_requests = conf_flag(conf, CONF_LOG_REQUESTS);
    service->no_operations = conf_text(conf, CONF_ADMIN_LISTEN) != NULL;
    s->operations.app = service->app;
    s->operations.auth = service->auth;
    s->operations.budgets = service->budgets;
    s->operations.log_requests = service->log_requests;
    s->operations.only_operations = true;
    s->operations.speaks_for = service;
    atomic_store(&s->home->ready, &service->ready);
}

static enum rc
listen_all(struct serving *s, const struct conf *conf, struct err *err)
{
    struct server_config config = {
        .listen = conf_text(conf, CONF_LISTEN),
        .loops = (unsigned)conf_number(conf, CONF_LOOPS, cores()),
        .max_connections = (unsigned)conf_number(conf, CONF_MAX_CONNECTIONS, 0),
        .tls_cert = conf_text(conf, CONF_TLS_CERT),
        .tls_key = conf_text(conf, CONF_TLS_KEY),
        .trusted_proxy = conf_text(conf, CONF_TRUSTED_PROXY),
    };
    enum rc rc = server_start(&s->service, &config, &s->server, err);

    if (rc || !s->service.no_operations)
        return rc;
    config.listen = conf_text(conf, CONF_ADMIN_LISTEN);
    config.loops = 1;
    config.tls_cert = config.tls_key = NULL;
    return server_start(&s->operations, &config, &s->operations_server, err);
}

/* Before any thread, and before anything of the directory is read. */
static enum rc
confine(const struct serving *s, const struct conf *conf, struct err *err)
{
    SCOPED_POOL(pool);
    struct sandbox_paths paths = {
        .data = conf_text(conf, CONF_DATA),
        .connects = engines_remote(conf),
        .port = s->limits ? limits_port(s->limits) : 0,
        .read_beside = {conf_text(conf, CONF_TLS_CERT), conf_text(conf, CONF_TLS_KEY)},
        .bound = {server_socket_path(conf_text(conf, CONF_LISTEN)),
                  server_socket_path(conf_text(conf, CONF_ADMIN_LISTEN))},
    };
    enum rc rc = home_make_dir(paths.data, err);

    engines_files(conf, pool, &paths.read_beside[2], SANDBOX_FILES_MAX - 2);
    if (rc || conf_number(conf, CONF_SANDBOX, SANDBOX_ON) != SANDBOX_ON)
        return rc;
    return sandbox_enter(&paths, err);
}

/*
 * A program from before would not find the small blobs that are rows from now on, and would say of
 * erased ones that they are gone. On SQLite the schema keeps it away; elsewhere most have no files.
 */
static enum rc
share_syncs(const struct app *app, struct err *err)
{
    SCOPED(db_conn) conn = NULL;
    enum rc rc = RC_OK;

    if (!(db_caps(app->db) & DB_EMBEDDED) && !(blob_store_caps(app->blobs) & BLOB_REMOTE)) {
        rc = db_connect(app->db, DB_WRITER, &conn, err);
        if (!rc)
            rc = schema_refuse_older(conn, SCHEMA_SMALL_BLOBS, err);
    }
    return rc ? rc : blob_store_share_syncs(app->blobs, err);
}

static enum rc
start(struct serving *s, const struct conf *conf, struct err *err)
{
    const char *limits = conf_text(conf, CONF_LIMITS);
    enum rc rc = route_check_table(routes, err);

    if (!rc && limits)
        rc = limits_open(limits, &s->limits, err);
    if (!rc)
        rc = confine(s, conf, err);
    if (!rc)
        rc = home_open(conf, 0, &s->home, err);
    if (rc)
        return rc;
    rc = share_syncs(&s->home->app, err);
    if (rc)
        return rc;
    if (s->home->newest_ms)
        clock_resume(s->home->newest_ms);
    lent_sweep(s->home->dir);
    make_service(s, conf);
    if (s->limits)
        rc = budgets_share(s->service.budgets, s->limits, err);
    if (!rc)
        rc = jobs_start(&s->service, &s->jobs, err);
    if (!rc)
        rc = listen_all(s, conf, err);
    if (!rc)
        rc = admin_start(s->home, &s->service, &s->admin, err);
    return rc;
}

/* In the order that lets each finish what it does with the help of those that go after it. */
static void
stop(struct serving *s, int64_t drain_ms)
{
    server_free(&s->server, drain_ms);
    server_free(&s->operations_server, 0);
    admin_free(&s->admin);
    jobs_free(&s->jobs);
    if (s->home)
        atomic_store(&s->home->ready, NULL);
    budgets_free(&s->service.budgets);
    limits_free(&s->limits);
    auth_free(&s->service.auth);
    home_close(&s->home);
}

static void
end_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

static void *
second_signal(void *arg)
{
    sigset_t set;
    int which;

    (void)arg;
    end_signals(&set);
    if (sigwait(&set, &which) == 0)
        _exit(1);
    return NULL;
}

static void
reload(struct serving *s)
{
    struct err err;

    if (server_reload(s->server, &err))
        log_error("reload: %s; the certificate stays as it was", err.detail);
    else
        log_info("reload: certificate and key are as their files are now, if there are any");
}

/*
 * Until it is to end. SIGHUP reloads when a process sent it; when the kernel did, the terminal that
 * the server was started from is gone.
 */
static void
wait_for_signal(struct serving *s)
{
    siginfo_t info = {.si_signo = 0};
    pthread_t thread;
    sigset_t set;

    end_signals(&set);
    sigaddset(&set, SIGHUP);
    while (sigwaitinfo(&set, &info) < 0 || (info.si_signo == SIGHUP && info.si_code != SI_KERNEL)) {
        if (info.si_signo == SIGHUP)
            reload(s);
        info.si_signo = 0;
    }
    if (pthread_create(&thread, NULL, second_signal, NULL) == 0)
        (void)pthread_detach(thread);
}

int
serve_run(const struct conf *conf)
{
    struct serving s = {.home = NULL};
    int expected = READY_STARTING;
    struct err err;
    sigset_t set;

    /* before any thread: all of them inherit it, so that sigwait() alone gets these */
    end_signals(&set);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (start(&s, conf, &err)) {
        (void)fprintf(stderr, "dossier: %s\n", err.detail);
        stop(&s, 0);
        return 1;
    }
    (void)atomic_compare_exchange_strong(&s.service.ready, &expected, READY_YES);
    (void)printf("dossier: listening on %s\n", server_url(s.server));
    (void)fflush(stdout);
    if (s.operations_server)
        log_info("operations on %s", server_url(s.operations_server));
    wait_for_signal(&s);
    log_info("stopping");
    expected = READY_YES;
    (void)atomic_compare_exchange_strong(&s.service.ready, &expected, READY_DRAINING);
    (void)usleep((useconds_t)(conf_number(conf, CONF_DRAIN_DELAY, 0) * 1000));
    stop(&s, conf_number(conf, CONF_DRAIN, 0));
    return 0;
}
