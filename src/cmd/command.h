// SPDX-License-Identifier: Apache-2.0
/*
 * command: what the operator can do beside serving.
 *
 *  I1  A command is one function that runs the same in a process of its own, which holds the
 *      directory's lock, and in the server, which was asked through DIR/admin.sock.
 *  I2  What it answers is JSON; words are progress and errors.
 *
 * backup and export are exceptions to I1: a server may write nowhere but in its directory, so it
 * gives a copy of the database there, and the process that asked does the rest (lent.h).
 *
 * Threads: several may run at once in a server, each on a thread of its own.
 */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H
#include <jansson.h>

#include "cmd/home.h"
#include "http/service.h"

struct command_env {
    TALLOC_CTX *pool;
    struct home *home;       /* NULL for commands that need none, and beside a server */
    const json_t *lent;      /* what the server gave to one that goes on beside it; else NULL */
    struct service *service; /* NULL outside a server */
    void (*progress)(void *arg, const char *text); /* shows how far it is; may be NULL */
    void *progress_arg;
    int exit; /* the exit code of a command that worked but found something wrong */
};

/*
 * INVALID: the command was wrong (exit 2), with a detail fit to be shown, as with every error.
 * *ret: the caller owns it.
 */
typedef enum rc command_fn(struct command_env *env, const struct conf *conf, json_t **ret,
                           struct err *err);

command_fn command_workspace_create, command_key_create, command_key_list, command_key_revoke,
    command_entity_put, command_docs_entity_add, command_check, command_audit_verify,
    command_audit_head, command_migrate, command_backup, command_restore, command_export,
    command_import, command_routes, command_openapi, command_version;

/* Runs a command in this process or in the server of the directory; prints; the exit code. */
int command_run(const struct conf *conf);

/* Runs the command with `env`: how a server answers a client. Not serve or help. */
MUST_CHECK enum rc command_call(struct command_env *env, const struct conf *conf, json_t **ret,
                                struct err *err);

/* The exit code for an outcome. */
int command_exit(enum rc rc);

/* Answers requests until told to stop; the exit code. */
int serve_run(const struct conf *conf);

/* Shows progress, when somebody looks. */
void command_progress(struct command_env *env, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The caller that the operator's changes are recorded under: the owner of a workspace. */
MUST_CHECK enum rc command_owner(struct tx *tx, const char *workspace_id, struct caller *ret,
                                 struct err *err);

/* JSON of values that may be absent; each gives a new reference. */
json_t *command_id(const struct id *id, enum id_kind kind);

#endif
