// SPDX-License-Identifier: Apache-2.0
/*
 * conf: what the operator asked for: one command, its arguments and its options.
 *
 *  I1  commands.def and options.def are the only places that name a command or an option.
 *  I2  A value comes from the command line, else from the environment, else from the table; where
 *      it came from makes no difference to how it is checked.
 *
 * Threads: a conf is not changed once parsed, so it may be shared.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H
#include "base/base.h"

enum conf_command {
#define COMMAND(id, words, min, max, arguments, help) CONF_COMMAND_##id,
#include "conf/commands.def"
#undef COMMAND
    CONF_COMMAND_MAX_
};

enum conf_option {
#define OPTION(id, name, type, standard, min, max, commands, metavar, help) CONF_##id,
#include "conf/options.def"
#undef OPTION
    CONF_MAX_
};

#define CONF_ARGS_MAX 2

struct conf_value {
    const char *text; /* as given; NULL: not given, and there is no default */
    bool given;       /* by the command line or the environment */
    /* INT, BYTES: as is. TIME: milliseconds. CHOICE: from 0. FLAG: 0 or 1. RATE: a minute. */
    int64_t number;
    int64_t second; /* RATE: a day */
};

struct conf {
    enum conf_command command;
    bool help; /* --help was given: explain the command instead of running it */
    const char *args[CONF_ARGS_MAX];
    size_t n_args;
    struct conf_value values[CONF_MAX_];
};

/*
 * Reads a command line; argv[0] is the first word after the program's name. `environment` (as in
 * main(), NULL: none) fills in what it leaves out. Texts are in `pool`. INVALID, with a detail fit
 * to be shown: names what is wrong and what to do.
 */
MUST_CHECK enum rc conf_parse(TALLOC_CTX *pool, size_t argc, const char *const *argv,
                              char *const *environment, struct conf *ret, struct err *err);

/*
 * A command line that conf_parse() reads into the same, without the environment; ended by NULL, in
 * `pool`. For handing a command to another process.
 */
const char **conf_argv(TALLOC_CTX *pool, const struct conf *c, size_t *ret_n);

/* NULL when it was not given and has no default. Borrowed. */
const char *conf_text(const struct conf *c, enum conf_option which);
/* See struct conf_value; `absent` when it was not given and has no default. */
int64_t conf_number(const struct conf *c, enum conf_option which, int64_t absent);
bool conf_flag(const struct conf *c, enum conf_option which);

/* "key create" */
const char *conf_command_words(enum conf_command command);

/* The help on all commands. */
char *conf_usage(TALLOC_CTX *pool);
/* The help on one of them. */
char *conf_command_usage(TALLOC_CTX *pool, enum conf_command command);
/* The command with these words; false when there is none. */
bool conf_command_find(const char *const *words, size_t n, enum conf_command *ret);

#endif
