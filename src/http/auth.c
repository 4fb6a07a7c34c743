// SPDX-License-Identifier: Apache-2.0
#include "http/auth.h"

#include <pthread.h>
#include <strings.h>

#include "base/clock.h"
#include "core/key_text.h"
#include "store/api_key.h"
#include "store/docs.h"

#define SLOTS 4096
#define REMEMBER_MS 1000

/* A key and its workspace, as read from the database. */
struct known_key {
    char handle[KEY_HANDLE_LEN];
    int64_t loaded_ms; /* monotonic */
    unsigned generation;
    struct api_key key;
    struct workspace workspace;
};

struct auth {
    struct app *app;
    pthread_mutex_t lock;
    unsigned generation;
    struct known_key *slots[SLOTS];
};

struct auth *
auth_new(struct app *app)
{
    struct auth *a = MEM_NEW(NULL, struct auth);

    a->app = app;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void
auth_free(struct auth **a)
{
    if (!*a)
        return;
    for (int i = 0; i < SLOTS; i++) {
        if ((*a)->slots[i])
            (void)talloc_free((*a)->slots[i]);
    }
    pthread_mutex_destroy(&(*a)->lock);
    (void)talloc_free(*a);
    *a = NULL;
}

void
auth_forget(struct auth *a)
{
    pthread_mutex_lock(&a->lock);
    a->generation++;
    pthread_mutex_unlock(&a->lock);
}

static struct known_key **
slot_of(struct auth *a, const char *handle)
{
    return &a->slots[crypto_crc32(handle, KEY_HANDLE_LEN - 1) % SLOTS];
}

/* Copies what is remembered of a key; texts go to `pool`. */
static bool
recall(struct auth *a, TALLOC_CTX *pool, const char *handle, struct known_key *ret)
{
    struct known_key *k;
    bool ok;

    pthread_mutex_lock(&a->lock);
    k = *slot_of(a, handle);
    ok = k && k->generation == a->generation && streq(k->handle, handle) &&
         clock_mono_ms() - k->loaded_ms < REMEMBER_MS;
    if (ok) {
        *ret = *k;
        ret->workspace.public_id = mem_strdup(pool, k->workspace.public_id);
    }
    pthread_mutex_unlock(&a->lock);
    return ok;
}

static void
remember(struct auth *a, const struct known_key *k)
{
    struct known_key **slot = slot_of(a, k->handle), *copy = mem_dup(NULL, k, sizeof(*k)), *old;

    copy->workspace.public_id = mem_strdup(copy, k->workspace.public_id);
    pthread_mutex_lock(&a->lock);
    old = *slot;
    *slot = copy;
    pthread_mutex_unlock(&a->lock);
    if (old)
        (void)talloc_free(old);
}

static enum rc
load_fn(struct tx *tx, void *arg, struct err *err)
{
    struct known_key *k = arg, decoy;
    enum rc rc = api_key_by_handle(tx, k->handle, &k->key, err);

    if (rc == RC_NOT_FOUND) {
        /* a key of nobody has to take as long as one whose secret is wrong */
        rc = api_key_any(tx, &decoy.key, err);
        if (!rc)
            rc = workspace_by_number(tx, decoy.key.workspace, &decoy.workspace, err);
        return rc ? rc : RC_NOT_FOUND;
    }
    return rc ? rc : workspace_by_number(tx, k->key.workspace, &k->workspace, err);
}

static enum rc
load(struct auth *a, TALLOC_CTX *pool, const char *handle, struct known_key *ret, struct err *err)
{
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->handle, handle, KEY_HANDLE_LEN);
    ret->loaded_ms = clock_mono_ms();
    pthread_mutex_lock(&a->lock);
    ret->generation = a->generation; /* before reading: a change in between makes it stale */
    pthread_mutex_unlock(&a->lock);
    return engine_read(a->app->engine, pool, load_fn, ret, err);
}

/* The key in the headers: Bearer, X-API-Key, or both when they agree. NULL: none. */
static enum rc
header_key(const struct request *rq, const char **ret, struct err *err)
{
    const char *authorization = request_header(rq, "Authorization");
    const char *api_key = request_header(rq, "X-API-Key");

    *ret = api_key;
    if (!authorization)
        return RC_OK;
    if (strncasecmp(authorization, "Bearer ", 7) != 0)
        return err_set(err, RC_BAD_KEY, "not a bearer key");
    authorization += 7;
    authorization += strspn(authorization, " ");
    if (api_key && !streq(api_key, authorization))
        return err_set(err, RC_BAD_KEY, "two different keys");
    *ret = authorization;
    return RC_OK;
}

/* What is remembered serves only those who know the secret: to others it would tell of the key. */
static enum rc
find(struct auth *a, TALLOC_CTX *pool, const char *handle, const uint8_t mac[SHA256_LEN],
     bool may_wait, struct known_key *ret, struct err *err)
{
    enum rc rc;

    if (recall(a, pool, handle, ret) && crypto_equal(mac, ret->key.secret_mac, SHA256_LEN))
        return RC_OK;
    if (!may_wait)
        return err_set(err, RC_BUSY, "the key has to be looked up");
    rc = load(a, pool, handle, ret, err);
    if (rc)
        return rc == RC_NOT_FOUND ? err_set(err, RC_BAD_KEY, "unknown key") : rc;
    if (!crypto_equal(mac, ret->key.secret_mac, SHA256_LEN))
        return err_set(err, RC_BAD_KEY, "wrong secret");
    remember(a, ret);
    return RC_OK;
}

static enum rc
prove(struct auth *a, struct request *rq, const char *text, bool may_wait, struct known_key *ret,
      struct err *err)
{
    uint8_t mac[SHA256_LEN];
    struct key_text key;
    enum rc rc;

    if (!key_text_parse(text, &key))
        return err_set(err, RC_BAD_KEY, "malformed key");
    key_text_mac(a->app->secret.key_pepper, &key, mac);
    rc = find(a, rq->pool, key.handle, mac, may_wait, ret, err);
    explicit_bzero(&key, sizeof(key));
    if (rc)
        return rc;
    if (ret->key.revoked_ms >= 0 || (ret->key.expires_ms >= 0 && ret->key.expires_ms <= rq->now_ms))
        return err_set(err, RC_BAD_KEY, "revoked or expired key");
    return RC_OK;
}

static enum rc
identify_key(struct auth *a, struct request *rq, const char *text, bool may_wait, struct err *err)
{
    struct caller *c = &rq->caller;
    struct known_key k = {0};
    enum rc rc = prove(a, rq, text, may_wait, &k, err);

    if (rc)
        return rc;
    c->workspace = k.workspace;
    c->has_key = true;
    c->key_id = c->subject = k.key.id;
    c->user_id = k.key.user_id;
    c->permissions = k.key.permissions;
    c->tier = (enum tier)k.key.tier;
    return RC_OK;
}

struct entity_load {
    const char *header;
    struct docs_entity entity;
    struct workspace workspace;
};

static enum rc
entity_fn(struct tx *tx, void *arg, struct err *err)
{
    struct entity_load *l = arg;
    enum rc rc = docs_entity_read(tx, l->header, &l->entity, err);

    return rc ? rc : workspace_by_number(tx, l->entity.workspace, &l->workspace, err);
}

/* The docs dialect: the header names the entity; a key proves it, unless the operator trusts it. */
static enum rc
identify_entity(struct auth *a, struct request *rq, const char *key, bool may_wait, struct err *err)
{
    struct entity_load l = {.header = request_header(rq, "Docs-Entity-ID")};
    struct caller *c = &rq->caller;
    enum rc rc;

    if (!l.header || !*l.header)
        return err_set(err, RC_BAD_KEY, "no Docs-Entity-ID");
    if (!may_wait)
        return err_set(err, RC_BUSY, "the Docs entity has to be looked up");
    rc = engine_read(a->app->engine, rq->pool, entity_fn, &l, err);
    if (rc == RC_NOT_FOUND)
        return err_set(err, RC_BAD_KEY, "unknown Docs entity");
    if (rc)
        return rc;
    if (key) {
        rc = identify_key(a, rq, key, true, err);
        if (!rc && c->workspace.number != l.entity.workspace)
            rc = err_set(err, RC_BAD_KEY, "a Docs entity of another workspace");
        return rc;
    }
    if (!l.entity.trust_header)
        return err_set(err, RC_BAD_KEY, "this Docs entity needs an API key");
    c->workspace = l.workspace;
    c->user_id = l.workspace.owner_id;
    c->subject = l.entity.id;
    c->permissions = PERM_READ_DOCS | PERM_WRITE_DOCS;
    c->tier = TIER_STANDARD;
    return RC_OK;
}

enum rc
auth_identify(struct auth *a, struct request *rq, bool may_wait, struct err *err)
{
    const char *key = NULL;
    enum rc rc = header_key(rq, &key, err);

    if (rc)
        return rc;
    if (rq->route->dialect->by_entity)
        return identify_entity(a, rq, key, may_wait, err);
    if (!key)
        return err_set(err, RC_BAD_KEY, "no key");
    return identify_key(a, rq, key, may_wait, err);
}
