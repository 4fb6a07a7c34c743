// SPDX-License-Identifier: Apache-2.0
#include "conf/conf.h"

#include "conf/table.h"

#define WORDS_MAX 8

/* ON_KEY_CREATE and so on: the bit of a command. */
enum on {
#define COMMAND(id, words, min, max, arguments, help) ON_##id = 1 << CONF_COMMAND_##id,
#include "conf/commands.def"
#undef COMMAND
    ON_ALL = (1 << CONF_COMMAND_MAX_) - 1,
    ON_DATA = ON_ALL & ~(ON_ROUTES | ON_OPENAPI | ON_VERSION | ON_HELP),
};

const struct conf_command_row conf_commands[CONF_COMMAND_MAX_] = {
#define COMMAND(id, words, min, max, arguments, help)                                              \
    [CONF_COMMAND_##id] = {words, min, max, arguments, help},
#include "conf/commands.def"
#undef COMMAND
};

const struct conf_option_row conf_options[CONF_MAX_] = {
#define OPTION(id, name, type, standard, min, max, commands, metavar, help)                        \
    [CONF_##id] = {name, TYPE_##type, standard, min, max, commands, metavar, help},
#include "conf/options.def"
#undef OPTION
};

/* The command line, sorted but not yet understood. */
struct line {
    const char *words[WORDS_MAX];
    size_t n_words;
    const char *values[CONF_MAX_]; /* NULL: not given */
    bool help;
    bool version;
};

char *
conf_variable(TALLOC_CTX *pool, const char *name)
{
    char *variable = mem_printf(pool, "DOSSIER_%s", name);

    for (char *p = variable; *p; p++) {
        if (*p == '-')
            *p = '_';
        else if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    }
    return variable;
}

/* The option `name` of `len` bytes; CONF_MAX_ when there is none. */
static enum conf_option
find_option(const char *name, size_t len)
{
    enum conf_option i = 0;

    while (i < CONF_MAX_ &&
           (strlen(conf_options[i].name) != len || memcmp(conf_options[i].name, name, len) != 0))
        i++;
    return i;
}

/* Takes "--name=value", "--name value" or "--flag" at argv[*at]; moves *at past what it used. */
static enum rc
take_option(size_t argc, const char *const *argv, size_t *at, struct line *l, struct err *err)
{
    const char *arg = argv[(*at)++], *name = arg + 2, *value;
    size_t len = strcspn(name, "=");
    enum conf_option which = find_option(name, len);

    if (which == CONF_MAX_)
        return err_set(err, RC_INVALID,
                       "unknown option '%s'; `dossier help COMMAND` lists those there are", arg);
    if (l->values[which])
        return err_set(err, RC_INVALID, "--%s is given twice; give it once",
                       conf_options[which].name);
    value = name[len] ? name + len + 1 : NULL;
    if (!value && conf_options[which].type == TYPE_FLAG)
        value = "true";
    /* two dashes begin the next option; a value that does is written --name=value */
    if (!value && *at < argc && strncmp(argv[*at], "--", 2) != 0)
        value = argv[(*at)++];
    if (!value)
        return err_set(err, RC_INVALID, "--%s needs a value: --%s %s", conf_options[which].name,
                       conf_options[which].name, conf_options[which].metavar);
    l->values[which] = value;
    return RC_OK;
}

static enum rc
sort_line(size_t argc, const char *const *argv, struct line *l, struct err *err)
{
    bool only_words = false;
    size_t at = 0;
    enum rc rc;

    while (at < argc) {
        const char *arg = argv[at];

        if (!only_words && (streq(arg, "--help") || streq(arg, "-h"))) {
            l->help = true;
            at++;
        } else if (!only_words && streq(arg, "--version")) {
            l->version = true;
            at++;
        } else if (!only_words && streq(arg, "--")) {
            only_words = true;
            at++;
        } else if (!only_words && strncmp(arg, "--", 2) == 0) {
            rc = take_option(argc, argv, &at, l, err);
            if (rc)
                return rc;
        } else if (!only_words && arg[0] == '-' && arg[1]) {
            return err_set(err, RC_INVALID, "unknown option '%s'; options begin with --", arg);
        } else if (l->n_words == WORDS_MAX) {
            return err_set(err, RC_INVALID, "too many arguments; `dossier help` says how");
        } else {
            l->words[l->n_words++] = arg;
            at++;
        }
    }
    return RC_OK;
}

/* How many of `words` spell the command; 0 when they do not. */
static size_t
spells(enum conf_command command, const char *const *words, size_t n)
{
    const char *p = conf_commands[command].words;
    size_t used = 0;

    while (*p) {
        size_t len = strcspn(p, " ");

        if (used == n || strlen(words[used]) != len || memcmp(words[used], p, len) != 0)
            return 0;
        p += len + (p[len] == ' ');
        used++;
    }
    return used;
}

bool
conf_command_find(const char *const *words, size_t n, enum conf_command *ret)
{
    for (enum conf_command i = 0; i < CONF_COMMAND_MAX_; i++) {
        if (n > 0 && spells(i, words, n) == n) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static enum rc
find_command(const struct line *l, struct conf *c, struct err *err)
{
    const struct conf_command_row *row;
    size_t used = 0;

    for (c->command = 0; c->command < CONF_COMMAND_MAX_; c->command++) {
        used = spells(c->command, l->words, l->n_words);
        if (used > 0)
            break;
    }
    if (used == 0 && l->n_words == 0)
        return err_set(err, RC_INVALID, "no command; `dossier help` lists them");
    if (used == 0)
        return err_set(err, RC_INVALID, "unknown command '%s%s%s'; `dossier help` lists them",
                       l->words[0], l->n_words > 1 ? " " : "", l->n_words > 1 ? l->words[1] : "");
    row = &conf_commands[c->command];
    c->n_args = l->n_words - used;
    if (!c->help && (c->n_args < row->min || c->n_args > row->max))
        return err_set(err, RC_INVALID, "%s arguments; usage: dossier %s%s%s",
                       c->n_args < row->min ? "missing" : "too many", row->words,
                       *row->arguments ? " " : "", row->arguments);
    for (size_t i = 0; i < c->n_args && i < CONF_ARGS_MAX; i++)
        c->args[i] = l->words[used + i];
    return RC_OK;
}

static const char *
from_environment(TALLOC_CTX *pool, char *const *environment, const char *name)
{
    const char *variable = conf_variable(pool, name);
    size_t len = strlen(variable);

    for (; environment && *environment; environment++) {
        if (strncmp(*environment, variable, len) == 0 && (*environment)[len] == '=')
            return mem_strdup(pool, *environment + len + 1);
    }
    return NULL;
}

/* An empty variable counts as unset, as a shell's `VAR= command` means it. */
static enum rc
fill_value(TALLOC_CTX *pool, const char *given, char *const *environment,
           const struct conf_option_row *row, struct conf_value *ret, struct err *err)
{
    const char *label = mem_printf(pool, "--%s", row->name);

    if (!given) {
        given = from_environment(pool, environment, row->name);
        given = given && *given ? given : NULL;
        label = given ? conf_variable(pool, row->name) : label;
    }
    ret->given = given != NULL;
    if (!given)
        given = *row->standard ? row->standard : NULL;
    return given ? conf_value_parse(row, label, mem_strdup(pool, given), ret, err) : RC_OK;
}

static enum rc
fill_values(TALLOC_CTX *pool, const struct line *l, char *const *environment, struct conf *c,
            struct err *err)
{
    const char *words = conf_commands[c->command].words;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < CONF_MAX_ && !rc; i++) {
        const struct conf_option_row *row = &conf_options[i];
        bool ours = row->commands & 1u << c->command;

        if (l->values[i] && !ours)
            return err_set(err, RC_INVALID,
                           "--%s is no option of `dossier %s`; `dossier help %s` lists them",
                           row->name, words, words);
        rc = fill_value(pool, l->values[i], ours ? environment : NULL, row, &c->values[i], err);
    }
    return rc;
}

enum rc
conf_parse(TALLOC_CTX *pool, size_t argc, const char *const *argv, char *const *environment,
           struct conf *ret, struct err *err)
{
    struct line l = {.n_words = 0};
    enum rc rc;

    memset(ret, 0, sizeof(*ret));
    rc = sort_line(argc, argv, &l, err);
    if (rc)
        return rc;
    if (l.n_words == 0 && (l.help || l.version))
        l.words[l.n_words++] =
            conf_commands[l.help ? CONF_COMMAND_HELP : CONF_COMMAND_VERSION].words;
    else
        ret->help = l.help;
    rc = find_command(&l, ret, err);
    return rc || ret->help ? rc : fill_values(pool, &l, environment, ret, err);
}

const char **
conf_argv(TALLOC_CTX *pool, const struct conf *c, size_t *ret_n)
{
    const char **argv = MEM_ARRAY(pool, const char *, WORDS_MAX + CONF_MAX_);
    char *words = mem_strdup(pool, conf_commands[c->command].words), *rest = words;
    size_t n = 0;

    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
        argv[n++] = word;
    for (size_t i = 0; i < CONF_MAX_; i++) {
        if (c->values[i].given)
            argv[n++] = mem_printf(pool, "--%s=%s", conf_options[i].name, c->values[i].text);
    }
    argv[n++] = "--"; /* an argument may begin with a dash */
    for (size_t i = 0; i < c->n_args; i++)
        argv[n++] = c->args[i];
    *ret_n = n;
    return argv;
}

const char *
conf_text(const struct conf *c, enum conf_option which)
{
    return c->values[which].text;
}

int64_t
conf_number(const struct conf *c, enum conf_option which, int64_t absent)
{
    return c->values[which].text ? c->values[which].number : absent;
}

bool
conf_flag(const struct conf *c, enum conf_option which)
{
    return c->values[which].text && c->values[which].number != 0;
}

const char *
conf_command_words(enum conf_command command)
{
    return conf_commands[command].words;
}
