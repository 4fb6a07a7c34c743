// SPDX-License-Identifier: Apache-2.0
#include "cmd/command.h"

#include <stdarg.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/js.h"
#include "cmd/admin.h"
#include "http/openapi.h"
#include "http/server.h"

#define LOCK_WAIT_MS 5000   /* for one command, or a server that is just starting or ending */
#define LOCK_QUEUE_MS 60000 /* for all commands that have their turn before */
#define LOCK_TURN_MS 100

enum needs { NEEDS_NOTHING, NEEDS_HOME, MAKES_HOME /* when there is none */ };

static const struct {
    command_fn *fn;
    enum needs needs;
    bool goes_on; /* here, with what a server has lent */
} table[CONF_COMMAND_MAX_] = {
    [CONF_COMMAND_WORKSPACE_CREATE] = {command_workspace_create, MAKES_HOME},
    [CONF_COMMAND_KEY_CREATE] = {command_key_create, NEEDS_HOME},
    [CONF_COMMAND_KEY_LIST] = {command_key_list, NEEDS_HOME},
    [CONF_COMMAND_KEY_REVOKE] = {command_key_revoke, NEEDS_HOME},
    [CONF_COMMAND_ENTITY_PUT] = {command_entity_put, NEEDS_HOME},
    [CONF_COMMAND_DOCS_ENTITY_ADD] = {command_docs_entity_add, NEEDS_HOME},
    [CONF_COMMAND_CHECK] = {command_check, NEEDS_HOME},
    [CONF_COMMAND_AUDIT_VERIFY] = {command_audit_verify, NEEDS_HOME},
    [CONF_COMMAND_AUDIT_HEAD] = {command_audit_head, NEEDS_HOME},
    [CONF_COMMAND_MIGRATE] = {command_migrate, MAKES_HOME},
    [CONF_COMMAND_BACKUP] = {command_backup, NEEDS_HOME, true},
    [CONF_COMMAND_RESTORE] = {command_restore, NEEDS_NOTHING},
    [CONF_COMMAND_EXPORT] = {command_export, NEEDS_HOME, true},
    [CONF_COMMAND_IMPORT] = {command_import, NEEDS_NOTHING},
    [CONF_COMMAND_ROUTES] = {command_routes, NEEDS_NOTHING},
    [CONF_COMMAND_OPENAPI] = {command_openapi, NEEDS_NOTHING},
    [CONF_COMMAND_VERSION] = {command_version, NEEDS_NOTHING},
};

int
command_exit(enum rc rc)
{
    return rc == RC_OK ? 0 : rc == RC_INVALID ? 2 : 1;
}

json_t *
command_id(const struct id *id, enum id_kind kind)
{
    char text[ID_TEXT_LEN];

    id_format(id, kind, ID_RECORDS, text);
    return js_text(text);
}

void
command_progress(struct command_env *env, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    if (!env->progress)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    env->progress(env->progress_arg, text);
}

enum rc
command_owner(struct tx *tx, const char *workspace_id, struct caller *ret, struct err *err)
{
    enum rc rc;

    memset(ret, 0, sizeof(*ret));
    rc = workspace_by_public_id(tx, workspace_id, &ret->workspace, err);
    if (rc == RC_NOT_FOUND)
        return err_set(err, rc, "no workspace %s; `dossier workspace create` makes one",
                       workspace_id);
    if (!rc)
        ret->user_id = ret->workspace.owner_id;
    return rc;
}

enum rc
command_migrate(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    (void)conf;
    (void)err;
    *ret = json_pack("{s:i, s:i}", "from",
                     env->service ? env->home->schema_to : env->home->schema_from, "to",
                     env->home->schema_to);
    return RC_OK;
}

enum rc
command_routes(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    (void)env;
    (void)conf;
    (void)err;
    *ret = openapi_routes();
    return RC_OK;
}

enum rc
command_openapi(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    (void)env;
    (void)conf;
    (void)err;
    *ret = openapi_document();
    return RC_OK;
}

enum rc
command_version(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    (void)env;
    (void)conf;
    (void)err;
    *ret = json_pack("{s:s,s:s}", "version", DOSSIER_VERSION, "libmicrohttpd", server_library());
    return RC_OK;
}

enum rc
command_call(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    if (!table[conf->command].fn || (env->service && table[conf->command].needs == NEEDS_NOTHING))
        return err_set(err, RC_INVALID, "`dossier %s` does not run in a server",
                       conf_command_words(conf->command));
    return table[conf->command].fn(env, conf, ret, err);
}

/*
 * Asks the server of the directory, or opens the directory here. Both may fail for a moment while
 * a server starts or ends, or other commands are at it: then both are tried again.
 */
static enum rc
reach(struct command_env *env, const struct conf *conf, int *ret_exit, json_t **ret,
      struct err *err)
{
    const char *dir = conf_text(conf, CONF_DATA);
    int64_t until = clock_mono_ms() + LOCK_WAIT_MS, last = clock_mono_ms() + LOCK_QUEUE_MS;
    long ahead = 0, holder;
    enum rc rc;

    for (;;) {
        rc = admin_ask(conf, env, ret_exit, ret, err);
        if (rc != RC_NOT_FOUND)
            return rc;
        rc = table[conf->command].needs == MAKES_HOME ? RC_OK : home_exists(conf, err);
        if (rc)
            return rc;
        rc = home_open(conf, LOCK_TURN_MS, &env->home, err);
        holder = rc == RC_BUSY ? home_holder(dir) : 0;
        if (holder != ahead)
            until = clock_mono_ms() + LOCK_WAIT_MS; /* the queue moves */
        ahead = holder;
        if (rc != RC_BUSY || clock_mono_ms() > until || clock_mono_ms() > last)
            return rc;
    }
}

/* One line on standard output; false when it could not be written. */
static bool
print(const json_t *out)
{
    SCOPED_POOL(pool);
    size_t len;
    const char *text = js_write(pool, out, &len);

    return fwrite(text, 1, len, stdout) == len && fputc('\n', stdout) != EOF && fflush(stdout) == 0;
}

static void
show_progress(void *arg, const char *text)
{
    (void)arg;
    (void)fprintf(stderr, "dossier: %s\n", text);
}

static int
finish(int code, const json_t *out, const struct err *err)
{
    if (!out && code)
        (void)fprintf(stderr, "dossier: %s\n", err->detail);
    if (out && !print(out)) {
        (void)fprintf(stderr, "dossier: cannot write to standard output: %m\n");
        return 1;
    }
    return code;
}

int
command_run(const struct conf *conf)
{
    SCOPED_POOL(pool);
    struct command_env env = {.pool = pool,
                              .progress = isatty(STDERR_FILENO) ? show_progress : NULL};
    json_auto_t *lent = NULL, *out = NULL;
    struct err err;
    int code = 0;
    bool broken;
    enum rc rc;

    if (table[conf->command].needs != NEEDS_NOTHING) {
        rc = reach(&env, conf, &code, &lent, &err);
        if (rc || (!env.home && (code || !table[conf->command].goes_on)))
            return finish(rc ? 1 : code, lent, &err);
    }
    env.lent = lent;
    rc = command_call(&env, conf, &out, &err);
    code = rc ? command_exit(rc) : env.exit;
    broken = env.home && atomic_load(&env.home->broken);
    code = finish(broken ? HOME_EXIT_BROKEN : code, out, &err);
    if (!broken)
        home_close(&env.home);
    return code;
}
