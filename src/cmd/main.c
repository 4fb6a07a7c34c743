// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/js.h"
#include "base/log.h"
#include "cmd/command.h"
#include "cmd/engines.h"
#include "http/forwarded.h"
#include "http/server.h"
#include "limits/limits.h"

/* `dossier help [COMMAND]` and `dossier COMMAND --help`. */
static int
help(TALLOC_CTX *pool, const struct conf *conf)
{
    enum conf_command which = conf->command;

    if (!conf->help && conf->n_args == 0) {
        (void)fputs(conf_usage(pool), stdout);
        return 0;
    }
    if (!conf->help && !conf_command_find(conf->args, conf->n_args, &which)) {
        (void)fprintf(stderr, "dossier: no command '%s%s%s'; `dossier help` lists them\n",
                      conf->args[0], conf->n_args > 1 ? " " : "",
                      conf->n_args > 1 ? conf->args[1] : "");
        return 2;
    }
    (void)fputs(conf_command_usage(pool, which), stdout);
    return 0;
}

/* As many descriptors as the system lets us have: each connection is one. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer we still run */
    }
}

/*
 * Large buffers (parts on their way to a bucket, windows from it) go back to the system when they
 * are freed. The C library by itself stops doing that after the first of them: it then keeps them
 * in its arenas, between what still lives, and the process stays as large as it ever was and more.
 */
static void
give_large_buffers_back(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, KIB(256));
}

static bool
bad_proxies(const char *text)
{
    SCOPED_POOL(pool);
    struct proxies *p;
    struct err err;

    if (!text || proxies_parse(pool, text, &p, &err) == RC_OK)
        return false;
    (void)fprintf(stderr, "dossier: %s\n", err.detail);
    return true;
}

/* Values that only the parts behind them can judge; 0 when they are good. */
static int
bad_value(const struct conf *conf)
{
    static const enum conf_option addresses[] = {CONF_LISTEN, CONF_ADMIN_LISTEN};
    const char *limits_url = conf_text(conf, CONF_LIMITS);
    SCOPED(limits) limits = NULL;
    struct err err;

    if (engines_check(conf, &err)) {
        (void)fprintf(stderr, "dossier: %s\n", err.detail);
        return 2;
    }
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        const char *text = conf_text(conf, addresses[i]);

        if (text && !server_listen_valid(text)) {
            (void)fprintf(stderr, "dossier: '%s' is no HOST:PORT or unix:/PATH to listen on\n",
                          text);
            return 2;
        }
    }
    if (bad_proxies(conf_text(conf, CONF_TRUSTED_PROXY)))
        return 2;
    if (limits_url && limits_open(limits_url, &limits, &err)) {
        (void)fprintf(stderr, "dossier: %s\n", err.detail);
        return 2;
    }
    if (!conf_text(conf, CONF_TLS_CERT) != !conf_text(conf, CONF_TLS_KEY)) {
        (void)fprintf(stderr, "dossier: --tls-cert and --tls-key: give both, or none\n");
        return 2;
    }
    return 0;
}

int
main(int argc, char **argv)
{
    SCOPED_POOL(pool);
    struct conf conf;
    struct err err;

    js_start();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077);
    raise_descriptor_limit();
    give_large_buffers_back();
    if (argc == 1) {
        (void)fputs(conf_usage(pool), stderr);
        return 2;
    }
    if (conf_parse(pool, (size_t)argc - 1, (const char *const *)argv + 1, environ, &conf, &err)) {
        (void)fprintf(stderr, "dossier: %s\n", err.detail);
        return 2;
    }
    if (conf.help || conf.command == CONF_COMMAND_HELP)
        return help(pool, &conf);
    if (bad_value(&conf))
        return 2;
    log_set_level((enum log_level)conf_number(&conf, CONF_LOG_LEVEL, LOG_INFO_LEVEL));
    return conf.command == CONF_COMMAND_SERVE ? serve_run(&conf) : command_run(&conf);
}
