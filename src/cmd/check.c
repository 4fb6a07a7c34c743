// SPDX-License-Identifier: Apache-2.0
/* check: the command that looks whether rows and bytes agree. */
#include "cmd/command.h"
#include "jobs/check.h"

enum rc
command_check(struct command_env *env, const struct conf *conf, json_t **ret, struct err *err)
{
    enum rc rc = check_run(&env->home->app, conf_flag(conf, CONF_REPAIR), ret, err);

    if (!rc && !json_is_true(json_object_get(*ret, "ok")))
        env->exit = 1;
    return rc;
}
