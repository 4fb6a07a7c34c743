// SPDX-License-Identifier: Apache-2.0
/* registry: the commands that make and list workspaces, keys, entities and Docs entities. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/text.h"
#include "cmd/command.h"
#include "core/keys.h"
#include "core/linking.h"
#include "store/docs.h"

#define NAME_MAX_CHARS 255
#define PAGE 200 /* keys read at once */
#define ALL_PERMISSIONS ((uint32_t)((1u << PERMISSION_COUNT) - 1))

/* What a work of these commands needs. */
struct task {
    struct command_env *env;
    const struct conf *conf;
    json_t *out; /* made by the work; dropped when it has to run again */
};

static void
give(struct task *t, json_t *out)
{
    json_decref(t->out);
    t->out = out;
}

static enum rc
change(struct command_env *env, const struct conf *conf,
       enum rc (*fn)(struct tx *tx, void *arg, struct err *err), json_t **ret, struct err *err)
{
    struct task t = {.env = env, .conf = conf};
    enum rc rc = engine_write(env->home->app.engine, 0, env->pool, fn, &t, err);

    if (rc)
        json_decref(t.out);
    else
        *ret = t.out;
    return rc;
}

static enum rc
required(const struct conf *conf, enum conf_option which, const char *option, struct err *err)
{
    if (conf_text(conf, which))
        return RC_OK;
    return err_set(err, RC_INVALID, "%s is missing; `dossier help %s` says how", option,
                   conf_command_words(conf->command));
}

static enum rc
check_name(const char *what, const char *text, struct err *err)
{
    size_t chars;

    if (text && (!text_check(text, strlen(text), 0, &chars) || chars > NAME_MAX_CHARS || !*text))
        return err_set(err, RC_INVALID, "%s: 1 to %d characters of text, no control characters",
                       what, NAME_MAX_CHARS);
    return RC_OK;
}

/* "ws_" and 26 characters that no other workspace has. */
static char *
new_workspace_id(TALLOC_CTX *pool)
{
    char text[ID_TEXT_LEN];
    struct id id = id_new();

    id_format(&id, ID_USER, ID_RECORDS, text);
    return mem_printf(pool, "ws_%s", strchr(text, '_') + 1);
}

static json_t *
workspace_json(const struct workspace *w)
{
    json_t *out = json_object();

    js_set(out, "id", js_text(w->public_id));
    js_set(out, "name", js_text(w->name));
    js_set(out, "owner", command_id(&w->owner_id, ID_USER));
    js_set(out, "bytes", js_text(w->verify_bytes ? "verify" : "trust"));
    js_set(out, "entities", js_text(w->open_entities ? "open" : "registered"));
    js_set(out, "quota_bytes", js_number(w->quota_bytes));
    js_set(out, "quota_documents", js_number(w->quota_documents));
    js_set(out, "audit_days", json_integer(w->audit_days));
    js_set(out, "created_at", js_time(w->created_ms));
    return out;
}

static enum rc
workspace_fn(struct tx *tx, void *arg, struct err *err)
{
    struct task *t = arg;
    const struct conf *c = t->conf;
    const char *id = conf_text(c, CONF_ID);
    struct caller caller = {
        .workspace = {
            .public_id = id ? mem_strdup(tx->pool, id) : new_workspace_id(tx->pool),
            .name = mem_strdup(tx->pool, c->args[0]),
            .verify_bytes = conf_number(c, CONF_BYTES, 0) == 1,
            .open_entities = conf_number(c, CONF_ENTITIES, 0) == 1,
            .quota_bytes = conf_number(c, CONF_QUOTA_BYTES, -1),
            .quota_documents = conf_number(c, CONF_QUOTA_DOCUMENTS, -1),
            .audit_days = conf_number(c, CONF_AUDIT_DAYS, 0),
        }};
    enum rc rc = workspace_insert(tx, &caller.workspace, err);

    if (rc == RC_CONFLICT)
        return err_set(err, rc, "there is a workspace %s already; choose another --id",
                       caller.workspace.public_id);
    if (rc)
        return rc;
    caller.user_id = caller.workspace.owner_id;
    give(t, workspace_json(&caller.workspace));
    return caller_audit(tx, &caller, "create", "workspaces", caller.workspace.public_id, NULL, NULL,
                        err);
}

enum rc
command_workspace_create(struct command_env *env, const struct conf *conf, json_t **ret,
                         struct err *err)
{
    const char *id = conf_text(conf, CONF_ID);
    enum rc rc = check_name("NAME", conf->args[0], err);

    if (!rc && id && (!linking_id_valid(id) || strlen(id) > 64))
        rc = err_set(err, RC_INVALID, "--id takes 1 to 64 of A-Z a-z 0-9 . _ : -");
    return rc ? rc : change(env, conf, workspace_fn, ret, err);
}

static json_t *
permissions_json(uint32_t permissions)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < PERMISSION_COUNT; i++) {
        if (permissions & 1u << i)
            BUG_ON(json_array_append_new(list, js_text(permission_name(i))) != 0);
    }
    return list;
}

static json_t *
key_json(const struct api_key *k)
{
    json_t *out = json_object();

    js_set(out, "id", command_id(&k->id, ID_KEY));
    js_set(out, "name", js_text(k->name));
    js_set(out, "prefix", js_text(k->prefix));
    js_set(out, "permissions", permissions_json(k->permissions));
    js_set(out, "tier", js_text(tier_name((enum tier)k->tier)));
    js_set(out, "created_at", js_time(id_time_ms(&k->id)));
    js_set(out, "expires_at", js_time(k->expires_ms));
    return out;
}

static enum rc
unknown_permission(TALLOC_CTX *pool, const char *word, struct err *err)
{
    const char *list = permission_name(0);

    for (unsigned i = 1; i < PERMISSION_COUNT; i++)
        list = mem_printf(pool, "%s %s", list, permission_name(i));
    return err_set(err, RC_INVALID, "--permissions: no '%.24s'; some of %s, with commas", word,
                   list);
}

/* "a,b,c" as bits. */
static enum rc
parse_permissions(TALLOC_CTX *pool, const char *text, uint32_t *ret, struct err *err)
{
    char *rest = mem_strdup(pool, text);

    *ret = 0;
    for (char *word = strsep(&rest, ","); word; word = strsep(&rest, ",")) {
        uint32_t bit = permission_parse(word);

        if (!bit)
            return unknown_permission(pool, word, err);
        *ret |= bit;
    }
    return RC_OK;
}

static enum rc
read_key_options(TALLOC_CTX *pool, const struct conf *conf, struct api_key *k, struct err *err)
{
    const char *expires = conf_text(conf, CONF_EXPIRES_AT);
    enum rc rc;

    memset(k, 0, sizeof(*k));
    k->name = conf_text(conf, CONF_NAME) ? conf_text(conf, CONF_NAME) : "operator";
    k->tier = (int)conf_number(conf, CONF_TIER, TIER_STANDARD);
    k->expires_ms = -1;
    rc = parse_permissions(pool, conf_text(conf, CONF_PERMISSIONS), &k->permissions, err);
    if (!rc)
        rc = check_name("--name", k->name, err);
    if (!rc && expires && !clock_parse(expires, &k->expires_ms))
        rc = err_set(err, RC_INVALID,
                     "--expires-at takes a time, for instance "
                     "2027-01-31T00:00:00Z");
    if (!rc && expires && k->expires_ms <= clock_wall_ms())
        rc = err_set(err, RC_INVALID, "--expires-at lies in the past");
    return rc;
}

static enum rc
key_create_fn(struct tx *tx, void *arg, struct err *err)
{
    struct task *t = arg;
    struct key_text text;
    struct caller caller;
    struct api_key k;
    json_t *out;
    enum rc rc;

    rc = read_key_options(tx->pool, t->conf, &k, err);
    if (!rc)
        rc = command_owner(tx, conf_text(t->conf, CONF_WORKSPACE), &caller, err);
    if (!rc)
        rc = keys_create(tx, &caller, &t->env->home->app.secret, ALL_PERMISSIONS, &k, &text, err);
    if (rc)
        return rc;
    out = key_json(&k);
    js_set(out, "workspace", js_text(caller.workspace.public_id));
    js_set(out, "key", js_text(text.text));
    explicit_bzero(&text, sizeof(text));
    give(t, out);
    return RC_OK;
}

enum rc
command_key_create(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    enum rc rc = required(conf, CONF_WORKSPACE, "--workspace", err);

    if (!rc)
        rc = required(conf, CONF_PERMISSIONS, "--permissions", err);
    return rc ? rc : change(env, conf, key_create_fn, ret, err);
}

static enum rc
list_page(struct tx *tx, int64_t workspace, json_t *list, int64_t *ret_total, struct err *err)
{
    struct api_key *keys = NULL;
    int64_t offset = (int64_t)json_array_size(list);
    size_t n = 0;
    enum rc rc;

    rc = api_key_list(tx, workspace, true, NULL, PAGE, offset, &keys, &n, ret_total, err);
    for (size_t i = 0; i < n && !rc; i++) {
        json_t *out = key_json(&keys[i]);

        js_set(out, "last_used_at", js_time(keys[i].last_used_ms));
        js_set(out, "revoked_at", js_time(keys[i].revoked_ms));
        BUG_ON(json_array_append_new(list, out) != 0);
    }
    return rc;
}

static enum rc
key_list_fn(struct tx *tx, void *arg, struct err *err)
{
    struct task *t = arg;
    json_t *list = json_array();
    struct caller caller;
    int64_t total = 1;
    enum rc rc;

    give(t, json_pack("{s:o}", "keys", list));
    rc = command_owner(tx, conf_text(t->conf, CONF_WORKSPACE), &caller, err);
    while (!rc && (int64_t)json_array_size(list) < total)
        rc = list_page(tx, caller.workspace.number, list, &total, err);
    return rc;
}

enum rc
command_key_list(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    struct task t = {.env = env, .conf = conf};
    enum rc rc = required(conf, CONF_WORKSPACE, "--workspace", err);

    if (!rc)
        rc = engine_read(env->home->app.engine, env->pool, key_list_fn, &t, err);
    if (rc)
        json_decref(t.out);
    else
        *ret = t.out;
    return rc;
}

static enum rc
key_revoke_fn(struct tx *tx, void *arg, struct err *err)
{
    struct task *t = arg;
    struct caller caller = {.has_key = false};
    int64_t workspace;
    struct api_key k;
    struct id id;
    json_t *out;
    enum rc rc;

    if (!id_parse(t->conf->args[0], ID_KEY, &id))
        return err_set(err, RC_INVALID, "'%s' is no id of a key; `dossier key list` shows them",
                       t->conf->args[0]);
    rc = api_key_find(tx, &id, &workspace, err);
    if (rc == RC_NOT_FOUND)
        return err_set(err, rc, "no key %s; `dossier key list` shows them", t->conf->args[0]);
    if (!rc)
        rc = workspace_by_number(tx, workspace, &caller.workspace, err);
    caller.user_id = caller.workspace.owner_id;
    if (!rc)
        rc = keys_revoke(tx, &caller, &id, true, err);
    if (!rc)
        rc = api_key_read(tx, workspace, &id, &k, err);
    if (rc)
        return rc;
    out = key_json(&k);
    js_set(out, "workspace", js_text(caller.workspace.public_id));
    js_set(out, "revoked_at", js_time(k.revoked_ms));
    give(t, out);
    return RC_OK;
}

enum rc
command_key_revoke(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    enum rc rc = change(env, conf, key_revoke_fn, ret, err);

    if (!rc && env->service)
        auth_forget(env->service->auth);
    return rc;
}

static enum rc
entity_fn(struct tx *tx, void *arg, struct err *err)
{
    struct task *t = arg;
    struct entity e = {.id = t->conf->args[1], .name = conf_text(t->conf, CONF_NAME)};
    struct caller caller;
    json_t *out;
    enum rc rc;
    bool fresh;

    if (!entity_type_parse(t->conf->args[0], &e.type))
        return err_set(err, RC_INVALID,
                       "TYPE is one of contact, company, deal, event, matter, task, not '%s'",
                       t->conf->args[0]);
    rc = command_owner(tx, conf_text(t->conf, CONF_WORKSPACE), &caller, err);
    if (!rc)
        rc = linking_put_entity(tx, &caller, &e, e.name != NULL, &fresh, err);
    if (rc)
        return rc;
    out = json_object();
    js_set(out, "workspace", js_text(caller.workspace.public_id));
    js_set(out, "entity_type", js_text(entity_type_name(e.type)));
    js_set(out, "entity_id", js_text(e.id));
    js_set(out, "name", js_text(e.name));
    js_set(out, "created", json_boolean(fresh));
    give(t, out);
    return RC_OK;
}

enum rc
command_entity_put(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    enum rc rc = required(conf, CONF_WORKSPACE, "--workspace", err);

    if (!rc && !linking_id_valid(conf->args[1]))
        rc = err_set(err, RC_INVALID, "ENTITY_ID takes 1 to 128 of A-Z a-z 0-9 . _ : -");
    if (!rc)
        rc = check_name("--name", conf_text(conf, CONF_NAME), err);
    return rc ? rc : change(env, conf, entity_fn, ret, err);
}

static enum rc
docs_entity_fn(struct tx *tx, void *arg, struct err *err)
{
    struct task *t = arg;
    struct docs_entity e = {.entity_id = t->conf->args[0],
                            .id = id_new(),
                            .trust_header = conf_flag(t->conf, CONF_TRUST_HEADER)};
    struct caller caller;
    json_t *out;
    enum rc rc = command_owner(tx, conf_text(t->conf, CONF_WORKSPACE), &caller, err);

    e.workspace = caller.workspace.number;
    if (!rc)
        rc = docs_entity_insert(tx, &e, err);
    if (rc == RC_CONFLICT)
        return err_set(err, rc, "the Docs entity %s is registered already; choose another ID",
                       e.entity_id);
    if (!rc)
        rc = caller_audit(tx, &caller, "create", "docs", e.entity_id, "docs_entity", NULL, err);
    if (rc)
        return rc;
    out = json_object();
    js_set(out, "id", js_text(e.entity_id));
    js_set(out, "workspace", js_text(caller.workspace.public_id));
    js_set(out, "trust_header", json_boolean(e.trust_header));
    give(t, out);
    return RC_OK;
}

enum rc
command_docs_entity_add(struct command_env *env, const struct conf *conf, json_t **ret,
                        struct err *err)
{
    enum rc rc = required(conf, CONF_WORKSPACE, "--workspace", err);

    if (!rc && !linking_id_valid(conf->args[0]))
        rc = err_set(err, RC_INVALID, "ID takes 1 to 128 of A-Z a-z 0-9 . _ : -");
    return rc ? rc : change(env, conf, docs_entity_fn, ret, err);
}
