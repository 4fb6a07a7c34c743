// SPDX-License-Identifier: Apache-2.0
/* audit: the commands about the trust in the audit trail. */
#include "base/js.h"
#include "base/text.h"
#include "cmd/command.h"
#include "store/audit_verify.h"

/* What goes through all workspaces, or the one that was asked for. */
struct task {
    struct command_env *env;
    const char *only; /* public id; NULL: all */
    struct audit_claim claim;
    uint8_t key[ED25519_PUBLIC_LEN]; /* the public half of what signs */
    json_t *list;
    bool intact;
};

static json_t *
hex_text(const uint8_t *bytes, size_t len)
{
    char text[2 * ED25519_LEN + 1];

    BUG_ON(len > ED25519_LEN);
    crypto_hex(bytes, len, text);
    return js_text(text);
}

static void
add(struct task *t, json_t *out)
{
    BUG_ON(json_array_append_new(t->list, out) != 0);
}

static enum rc
each_workspace(struct tx *tx, struct task *t,
               enum rc (*fn)(struct tx *tx, const struct workspace *w, void *arg, struct err *err),
               struct err *err)
{
    struct caller caller;
    enum rc rc;

    if (!t->only)
        return workspace_each(tx, fn, t, err);
    rc = command_owner(tx, t->only, &caller, err);
    return rc ? rc : fn(tx, &caller.workspace, t, err);
}

static void
prepare(struct task *t, struct command_env *env, const struct conf *conf)
{
    *t = (struct task){.env = env, .only = conf_text(conf, CONF_WORKSPACE), .intact = true};
    t->list = json_array();
    crypto_ed25519_public(env->home->app.secret.audit_sign, t->key);
}

/* ---- verify ---- */

static json_t *
report_json(const struct workspace *w, const struct audit_report *r)
{
    bool intact = r->fault == AUDIT_INTACT;
    json_t *out = json_object();

    js_set(out, "workspace", js_text(w->public_id));
    js_set(out, "lines", json_integer(r->lines));
    js_set(out, "heads", json_integer(r->heads));
    js_set(out, "intact", json_boolean(intact));
    js_set(out, "fault", js_text(audit_fault_name(r->fault)));
    js_set(out, "broken_at",
           intact || r->lines == 0 ? json_null() : command_id(&r->broken_at, ID_LOG));
    return out;
}

static enum rc
verify_one(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    struct task *t = arg;
    struct audit_report report;
    enum rc rc = audit_verify(tx, w, t->key, &t->claim, &report, err);

    if (rc)
        return rc;
    add(t, report_json(w, &report));
    t->intact = t->intact && report.fault == AUDIT_INTACT;
    return RC_OK;
}

static enum rc
verify_fn(struct tx *tx, void *arg, struct err *err)
{
    return each_workspace(tx, arg, verify_one, err);
}

/* Reads "LINES:HASH" or "CHAIN/LINES:HASH". */
static enum rc
read_claim(const struct conf *conf, TALLOC_CTX *pool, struct audit_claim *ret, struct err *err)
{
    const char *text = conf_text(conf, CONF_HEAD), *colon, *slash;
    bool good = true;

    if (!text)
        return RC_OK;
    if (!conf_text(conf, CONF_WORKSPACE))
        return err_set(err, RC_INVALID, "--head speaks of one workspace: give --workspace too");
    slash = strchr(text, '/');
    if (slash) {
        good = text_uint(mem_strndup(pool, text, (size_t)(slash - text)), INT64_MAX, &ret->chain);
        text = slash + 1;
    }
    colon = strchr(text, ':');
    if (!good || !colon ||
        !text_uint(mem_strndup(pool, text, (size_t)(colon - text)), INT64_MAX, &ret->lines) ||
        ret->lines == 0 || !crypto_unhex(colon + 1, ret->hash, SHA256_LEN))
        return err_set(
            err, RC_INVALID,
            "--head: a number of lines, a colon and 64 hexadecimal digits, after a chain's "
            "number and a slash when it is not 0, as `dossier audit head` shows them");
    return RC_OK;
}

enum rc
command_audit_verify(struct command_env *env, const struct conf *conf, json_t **ret,
                     struct err *err)
{
    struct task t;
    enum rc rc;

    prepare(&t, env, conf);
    rc = read_claim(conf, env->pool, &t.claim, err);
    if (!rc)
        rc = engine_read(env->home->app.engine, env->pool, verify_fn, &t, err);
    if (rc) {
        json_decref(t.list);
        return rc;
    }
    env->exit = t.intact ? 0 : 1;
    *ret = json_object();
    js_set(*ret, "ok", json_boolean(t.intact));
    js_set(*ret, "workspaces", t.list);
    return RC_OK;
}

/* ---- head ---- */

static json_t *
head_json(const struct workspace *w, const struct audit_head *head)
{
    json_t *out = json_object();

    js_set(out, "workspace", js_text(w->public_id));
    js_set(out, "chain", json_integer(head->chain));
    js_set(out, "lines", json_integer(head->lines));
    js_set(out, "hash", hex_text(head->hash, SHA256_LEN));
    js_set(out, "signed_at", js_time(head->signed_ms));
    js_set(out, "signature", hex_text(head->signature, ED25519_LEN));
    return out;
}

/* Of a chain without lines there is nothing to say, but of the first. */
static enum rc
head_one(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    struct task *t = arg;
    const uint8_t *seed = t->env->home->app.secret.audit_sign;
    struct audit_chain first;
    struct audit_head head;
    bool fresh;
    enum rc rc = audit_chain_read(tx, w->number, 0, &first, err);

    for (int64_t i = 0; i < first.chains && !rc; i++) {
        rc = audit_head_sign(tx, w, i, seed, &head, &fresh, err);
        if (!rc && (i == 0 || head.lines > 0))
            add(t, head_json(w, &head));
    }
    return rc;
}

static enum rc
head_fn(struct tx *tx, void *arg, struct err *err)
{
    struct task *t = arg;

    (void)json_array_clear(t->list); /* it may run again */
    return each_workspace(tx, t, head_one, err);
}

enum rc
command_audit_head(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    struct task t;
    enum rc rc;

    prepare(&t, env, conf);
    rc = engine_write(env->home->app.engine, 0, env->pool, head_fn, &t, err);
    if (rc) {
        json_decref(t.list);
        return rc;
    }
    *ret = json_object();
    js_set(*ret, "public_key", hex_text(t.key, ED25519_PUBLIC_LEN));
    js_set(*ret, "heads", t.list);
    return RC_OK;
}
