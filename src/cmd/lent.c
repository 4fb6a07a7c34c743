// SPDX-License-Identifier: Apache-2.0
#include "cmd/lent.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "base/id.h"
#include "base/js.h"
#include "cmd/admin.h"
#include "cmd/copy.h"
#include "cmd/engines.h"

#define LENT "snapshot"         /* in the answer of a server */
#define LENT_PREFIX "snapshot-" /* of the file's name */

enum rc
lent_remove(TALLOC_CTX *pool, const char *file, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        const char *path = mem_printf(pool, "%s%s", file, suffixes[i]);

        if (unlink(path) != 0 && errno != ENOENT)
            return err_errno(err, RC_IO, path);
    }
    return RC_OK;
}

enum rc
lent_make(struct command_env *env, json_t **ret, struct err *err)
{
    struct id id = id_new();
    char text[ID_TEXT_LEN];
    const char *name, *path;
    struct err ignored;
    enum rc rc;

    BUG_ON(!env->home); /* a server has one */
    if (!(db_caps(env->home->app.db) & DB_EMBEDDED)) {
        *ret = json_object(); /* whoever asked can read the same rows itself */
        return RC_OK;
    }
    id_format(&id, ID_DOCUMENT, ID_UUID, text);
    name = mem_printf(env->pool, LENT_PREFIX "%s.db", text);
    path = home_path(env->pool, env->home->dir, name);
    rc = db_backup(env->home->app.db, path, err);
    if (rc) {
        (void)!lent_remove(env->pool, path, &ignored);
        return rc;
    }
    *ret = json_object();
    js_set(*ret, LENT, js_text(name));
    return RC_OK;
}

/* Notes the name in a server's answer, which must be one that it may have. */
static enum rc
note(struct lent *l, const json_t *answer, struct err *err)
{
    const char *name = json_string_value(json_object_get(answer, LENT));

    if (!name && json_object_size(answer) == 0)
        return err_set(err, RC_INVALID,
                       "the server of %s keeps its rows elsewhere; give the same --database",
                       conf_text(l->conf, CONF_DATA));
    if (!name || strncmp(name, LENT_PREFIX, strlen(LENT_PREFIX)) != 0 || strchr(name, '/'))
        return err_set(err, RC_IO, "the server is of another version; use its own program");
    l->path = home_path(l->env->pool, conf_text(l->conf, CONF_DATA), name);
    return RC_OK;
}

enum rc
lent_begin(struct lent *l, struct command_env *env, const struct conf *conf, struct err *err)
{
    enum rc rc;

    *l = (struct lent){.env = env, .conf = conf};
    if (engines_embedded(conf))
        return note(l, env->lent, err);
    rc = note(l, env->lent, err);
    return rc == RC_INVALID
               ? RC_OK
               : err_set(err, RC_INVALID, "the server of %s has another --database; give its own",
                         conf_text(conf, CONF_DATA));
}

static enum rc
ask_again(struct lent *l, struct err *err)
{
    json_auto_t *answer = NULL;
    int code = 0;
    enum rc rc = admin_ask(l->conf, l->env, &code, &answer, err);

    if (rc == RC_NOT_FOUND)
        return err_set(err, RC_UNAVAILABLE, "the server has stopped; begin again");
    if (!rc && code)
        rc = err->code = RC_IO; /* the detail is the server's */
    return rc ? rc : note(l, answer, err);
}

enum rc
lent_fetch(struct lent *l, const char *to, struct err *err)
{
    enum rc rc = l->path ? RC_OK : ask_again(l, err);

    if (!rc)
        rc = copy_file(l->path, to, false, err);
    lent_end(l);
    return rc;
}

void
lent_end(struct lent *l)
{
    if (l->path)
        (void)unlink(l->path);
    l->path = NULL;
}

void
lent_sweep(const char *dir)
{
    SCOPED_POOL(pool);
    DIR *list = opendir(dir);
    struct dirent *e;

    while (list && (e = readdir(list))) {
        if (strncmp(e->d_name, LENT_PREFIX, strlen(LENT_PREFIX)) == 0)
            (void)unlink(home_path(pool, dir, e->d_name));
    }
    if (list)
        (void)closedir(list);
}
