// SPDX-License-Identifier: Apache-2.0
/* table: options.def and commands.def as C sees them; for the files of conf only. */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H
#include "conf/conf.h"

enum conf_type { TYPE_TEXT, TYPE_INT, TYPE_BYTES, TYPE_TIME, TYPE_FLAG, TYPE_CHOICE, TYPE_RATE };

struct conf_option_row {
    const char *name;
    enum conf_type type;
    const char *standard; /* "" when there is none */
    int64_t min, max;     /* both 0: any text */
    unsigned commands;    /* 1 << enum conf_command, or-ed */
    const char *metavar;
    const char *help;
};

struct conf_command_row {
    const char *words;
    size_t min, max; /* arguments */
    const char *arguments;
    const char *help;
};

extern const struct conf_option_row conf_options[CONF_MAX_];
extern const struct conf_command_row conf_commands[CONF_COMMAND_MAX_];

/* "DOSSIER_PUBLIC_URL" of "public-url", in `pool`. */
char *conf_variable(TALLOC_CTX *pool, const char *name);

/*
 * Checks `text` by the row and fills *ret. `label` is how the operator wrote the option: "--loops"
 * or its variable. INVALID.
 */
MUST_CHECK enum rc conf_value_parse(const struct conf_option_row *row, const char *label,
                                    const char *text, struct conf_value *ret, struct err *err);

#endif
