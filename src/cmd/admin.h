// SPDX-License-Identifier: Apache-2.0
/*
 * admin: DIR/admin.sock, by which commands reach the server that holds the directory.
 *
 * One line of JSON each way. {"argv":["key","list",…]} is answered by {"progress":"text"} any
 * number of times, then {"exit":0,"out":…} or {"exit":1,"message":"text"}. The socket has mode
 * 0600: whoever may open it may read the database as well.
 *
 * Threads: started and freed by the main thread; each client is served on a thread of a small pool.
 */
#ifndef CMD_ADMIN_H
#define CMD_ADMIN_H
#include "cmd/command.h"

struct admin;

/* Both are borrowed until admin_free(). Errors: IO, UNAVAILABLE. */
MUST_CHECK enum rc admin_start(struct home *home, struct service *service, struct admin **ret,
                               struct err *err);
/* Takes no more commands and waits for those under way. */
void admin_free(struct admin **admin);

/*
 * Has the server of the directory run a command. NOT_FOUND: there is no server. IO: the line broke
 * before the answer, so that nobody knows whether it ran. Else RC_OK: *ret_exit, and either *ret
 * (the caller owns it) or the message in err->detail.
 */
MUST_CHECK enum rc admin_ask(const struct conf *conf, struct command_env *env, int *ret_exit,
                             json_t **ret, struct err *err);

#endif
