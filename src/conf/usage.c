// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "conf/table.h"

#define USAGE_MAX (64 * 1024)
#define HELP_COLUMN 34
#define WIDTH 100

/* `text` from column HELP_COLUMN on, where the line stands at `column`, broken between words. */
static void
put_help(struct buf *b, size_t column, const char *text)
{
    size_t word;

    if (column + 2 > HELP_COLUMN) {
        buf_puts(b, "\n");
        column = 0;
    }
    buf_printf(b, "%*s", (int)(HELP_COLUMN - column), "");
    for (column = HELP_COLUMN; *text; column += word + 1) {
        word = strcspn(text, " ");
        if (column > HELP_COLUMN && column + word > WIDTH) {
            buf_printf(b, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        buf_printf(b, "%s%.*s", column > HELP_COLUMN ? " " : "", (int)word, text);
        text += word + (text[word] == ' ');
    }
    buf_puts(b, "\n");
}

static void
put_option(struct buf *b, const struct conf_option_row *row)
{
    SCOPED_POOL(pool);
    char *left = mem_printf(pool, "  --%s %s", row->name, row->metavar), *help;

    help = mem_printf(pool, "%s%s%s%s (%s)", row->help, *row->standard ? " [" : "", row->standard,
                      *row->standard ? "]" : "", conf_variable(pool, row->name));
    buf_puts(b, left);
    put_help(b, strlen(left), help);
}

char *
conf_usage(TALLOC_CTX *pool)
{
    struct buf b;

    buf_init(&b, pool, USAGE_MAX);
    buf_puts(&b, "Dossier keeps documents: one program, one directory, an HTTP API.\n\n"
                 "usage: dossier COMMAND [ARGUMENTS] [OPTIONS]\n\n");
    for (size_t i = 0; i < CONF_COMMAND_MAX_; i++) {
        const struct conf_command_row *row = &conf_commands[i];
        char *left = mem_printf(pool, "  %s %s", row->words, row->arguments);

        buf_puts(&b, left);
        put_help(&b, strlen(left), row->help);
    }
    buf_puts(&b, "\n`dossier help COMMAND` lists its options. Every option is also an environment\n"
                 "variable: --public-url is DOSSIER_PUBLIC_URL. Answers are JSON on standard "
                 "output, words\ngo to standard error. Exit: 0 done, 1 failed, 2 wrong usage, 70 "
                 "stopped by a broken disk.\n");
    return b.bytes;
}

char *
conf_command_usage(TALLOC_CTX *pool, enum conf_command command)
{
    const struct conf_command_row *row = &conf_commands[command];
    struct buf b;

    buf_init(&b, pool, USAGE_MAX);
    buf_printf(&b, "usage: dossier %s%s%s [OPTIONS]\n\n%s\n\n", row->words,
               *row->arguments ? " " : "", row->arguments, row->help);
    for (size_t i = 0; i < CONF_MAX_; i++) {
        if (conf_options[i].commands & 1u << command)
            put_option(&b, &conf_options[i]);
    }
    buf_puts(&b, "  --help");
    put_help(&b, strlen("  --help"), "this text");
    return b.bytes;
}
