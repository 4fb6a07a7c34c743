// SPDX-License-Identifier: Apache-2.0
/* verify: the commands that look whether all is as it should be. */
#include "base/js.h"
#include "cmd/command.h"
#include "jobs/check.h"
#include "store/audit.h"

enum rc
command_check(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    enum rc rc = check_run(&env->home->app, conf_flag(conf, CONF_REPAIR), ret, err);

    if (!rc && !json_is_true(json_object_get(*ret, "ok")))
        env->exit = 1;
    return rc;
}

struct verification {
    const char *only; /* the public id of the one workspace asked for; NULL: all */
    json_t *list;
    bool intact;
};

static enum rc
verify_one(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    struct verification *v = arg;
    struct audit_report report = {.lines = 0};
    json_t *out;
    enum rc rc;

    if (v->only && !streq(v->only, w->public_id))
        return RC_OK;
    rc = audit_verify(tx, w->number, &report, err);
    if (rc)
        return rc;
    out = json_object();
    js_set(out, "workspace", js_text(w->public_id));
    js_set(out, "lines", json_integer(report.lines));
    js_set(out, "intact", json_boolean(report.intact));
    js_set(out, "broken_at", report.intact ? json_null() : command_id(&report.broken_at, ID_LOG));
    BUG_ON(json_array_append_new(v->list, out) != 0);
    v->intact = v->intact && report.intact;
    return RC_OK;
}

static enum rc
verify_fn(struct tx *tx, void *arg, struct err *err)
{
    struct verification *v = arg;
    struct caller caller;
    enum rc rc = v->only ? command_owner(tx, v->only, &caller, err) : RC_OK;

    return rc ? rc : workspace_each(tx, verify_one, v, err);
}

enum rc
command_audit_verify(struct command_env *env, const struct conf *conf, json_t **ret,
                     struct err *err)
{
    struct verification v = {
        .only = conf_text(conf, CONF_WORKSPACE), .list = json_array(), .intact = true};
    json_t *out = json_object();
    enum rc rc = engine_read(env->home->app.engine, env->pool, verify_fn, &v, err);

    js_set(out, "ok", json_boolean(v.intact));
    js_set(out, "workspaces", v.list);
    if (rc) {
        json_decref(out);
        return rc;
    }
    env->exit = v.intact ? 0 : 1;
    *ret = out;
    return RC_OK;
}
