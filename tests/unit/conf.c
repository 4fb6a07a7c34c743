// SPDX-License-Identifier: Apache-2.0
/* conf: command lines, environment, defaults, help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/table.h"

static TALLOC_CTX *pool;

static int
open_pool(void **state)
{
    (void)state;
    pool = base_pool_new(NULL);
    return 0;
}

static int
close_pool(void **state)
{
    (void)state;
    base_pool_free(&pool);
    return 0;
}

/* `line` is split at blanks. */
static enum rc
parse_in(const char *line, char *const *environment, struct conf *c, struct err *err)
{
    char *rest = mem_strdup(pool, line);
    const char *argv[16];
    size_t n = 0;

    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
        argv[n++] = word;
    return conf_parse(pool, n, argv, environment, c, err);
}

static void
accept(const char *line, struct conf *c)
{
    struct err err = {0};

    if (parse_in(line, NULL, c, &err))
        fail_msg("%s: %s", line, err.detail);
}

/* The message must hold both texts. */
static void
refuse(const char *line, const char *a, const char *b)
{
    struct conf c;
    struct err err = {0};

    assert_int_equal(parse_in(line, NULL, &c, &err), RC_INVALID);
    if (!strstr(err.detail, a) || !strstr(err.detail, b))
        fail_msg("%s: %s", line, err.detail);
    assert_null(strchr(err.detail, '\n'));
}

static void
defaults_hold(void **state)
{
    struct conf c;

    (void)state;
    accept("serve", &c);
    assert_int_equal(c.command, CONF_COMMAND_SERVE);
    assert_string_equal(conf_text(&c, CONF_DATA), "./dossier-data");
    assert_string_equal(conf_text(&c, CONF_LISTEN), "127.0.0.1:8080");
    assert_null(conf_text(&c, CONF_PUBLIC_URL));
    assert_int_equal(conf_number(&c, CONF_PURGE_AFTER, -1), 15 * 60 * 1000);
    assert_int_equal(conf_number(&c, CONF_MAX_UPLOAD_FILE, -1), GIB(5));
    assert_int_equal(conf_number(&c, CONF_LOOPS, -1), -1);
    assert_int_equal(c.values[CONF_RATE_STANDARD].number, 600);
    assert_int_equal(c.values[CONF_RATE_STANDARD].second, 100000);
    assert_false(conf_flag(&c, CONF_LOG_REQUESTS));
    assert_false(c.values[CONF_LISTEN].given);
}

static void
every_default_passes_its_own_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONF_MAX_; i++) {
        const struct conf_option_row *row = &conf_options[i];
        struct conf_value v = {0};
        struct err err;

        assert_int_not_equal(row->commands, 0);
        if (*row->standard)
            assert_int_equal(conf_value_parse(row, row->name, row->standard, &v, &err), RC_OK);
    }
}

static void
other_commands_have_the_settings_too(void **state)
{
    struct conf c;

    (void)state;
    accept("check", &c);
    assert_int_equal(conf_number(&c, CONF_PURGE_AFTER, -1), 15 * 60 * 1000);
}

static void
forms_of_options(void **state)
{
    struct conf c;

    (void)state;
    accept("serve --listen=:9 --log-requests --loops 3 --data /x", &c);
    assert_string_equal(conf_text(&c, CONF_LISTEN), ":9");
    assert_true(conf_flag(&c, CONF_LOG_REQUESTS));
    assert_int_equal(conf_number(&c, CONF_LOOPS, -1), 3);
    assert_string_equal(conf_text(&c, CONF_DATA), "/x");
    accept("--data /x key create --permissions a,b --workspace ws_1 --tier high", &c);
    assert_int_equal(c.command, CONF_COMMAND_KEY_CREATE);
    assert_int_equal(conf_number(&c, CONF_TIER, -1), 1);
    accept("serve --log-requests=false", &c);
    assert_false(conf_flag(&c, CONF_LOG_REQUESTS));
    accept("workspace create -- --odd", &c);
    assert_string_equal(c.args[0], "--odd");
}

static void
units(void **state)
{
    static const struct {
        const char *line;
        enum conf_option which;
        int64_t number;
    } cases[] = {
        {"serve --max-upload-file 1", CONF_MAX_UPLOAD_FILE, 1},
        {"serve --max-upload-file 64KiB", CONF_MAX_UPLOAD_FILE, 65536},
        {"serve --max-upload-file 2M", CONF_MAX_UPLOAD_FILE, MIB(2)},
        {"serve --max-upload-file 3GiB", CONF_MAX_UPLOAD_FILE, GIB(3)},
        {"serve --url-life 90", CONF_URL_LIFE, 90000},
        {"serve --url-life 60m", CONF_URL_LIFE, 3600000},
        {"serve --purge-after 0s", CONF_PURGE_AFTER, 0},
        {"serve --purge-after 55m", CONF_PURGE_AFTER, 3300000},
        {"serve --orphan-age 7d", CONF_ORPHAN_AGE, 7 * (int64_t)86400000},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct conf c;

        accept(cases[i].line, &c);
        assert_int_equal(conf_number(&c, cases[i].which, -1), cases[i].number);
    }
}

static void
refusals_name_the_option_and_the_way_out(void **state)
{
    (void)state;
    refuse("", "unknown command", "dossier help");
    refuse("frobnicate", "'frobnicate'", "dossier help");
    refuse("key", "'key'", "dossier help");
    refuse("serve --frob", "'--frob'", "dossier help");
    refuse("serve -x", "'-x'", "--");
    refuse("serve --listen", "--listen", "HOST:PORT");
    refuse("serve --listen --log-requests", "--listen", "HOST:PORT");
    refuse("serve --listen=", "--listen", "HOST:PORT");
    refuse("serve --loops 0", "--loops", "1 to 256");
    refuse("serve --loops two", "--loops", "whole number");
    refuse("serve --loops -1", "--loops", "whole number");
    refuse("serve --loops 99999999999999999999", "--loops", "whole number");
    refuse("serve --max-upload-file 9999999999GiB", "--max-upload-file", "5GiB");
    refuse("serve --max-upload-file 5TB", "--max-upload-file", "5GiB");
    refuse("serve --purge-after 56m", "--purge-after", "0s to 55m");
    refuse("serve --url-life 2h", "--url-life", "1s to 1h");
    refuse("serve --log-level loud", "--log-level", "debug|info|warn|error");
    refuse("serve --log-level inf", "--log-level", "debug|info|warn|error");
    refuse("serve --rate-high 6000", "--rate-high", "600/100000");
    refuse("serve --rate-high 1/-1", "--rate-high", "600/100000");
    refuse("serve --log-requests=maybe", "--log-requests", "true or false");
    refuse("serve --data a --data b", "--data", "once");
    refuse("check --listen :1", "--listen", "dossier help check");
    refuse("workspace create", "missing", "NAME");
    refuse("workspace create a b", "too many", "NAME");
    refuse("a b c d e f g h i", "too many", "dossier help");
}

static void
environment_fills_in(void **state)
{
    char listen[] = "DOSSIER_LISTEN=:7", empty[] = "DOSSIER_DATA=", other[] = "DOSSIER_REPAIR=x";
    char loops[] = "DOSSIER_LOOPS=many", *const good[] = {listen, empty, other, NULL};
    char *const bad[] = {loops, NULL};
    struct conf c;
    struct err err;

    (void)state;
    assert_int_equal(parse_in("serve", good, &c, &err), RC_OK);
    assert_string_equal(conf_text(&c, CONF_LISTEN), ":7");
    assert_true(c.values[CONF_LISTEN].given);
    assert_string_equal(conf_text(&c, CONF_DATA), "./dossier-data");
    assert_int_equal(parse_in("serve --listen :8", good, &c, &err), RC_OK);
    assert_string_equal(conf_text(&c, CONF_LISTEN), ":8");
    assert_int_equal(parse_in("serve", bad, &c, &err), RC_INVALID);
    assert_non_null(strstr(err.detail, "DOSSIER_LOOPS"));
    /* of a command that does not have the option it is not looked at */
    assert_int_equal(parse_in("version", bad, &c, &err), RC_OK);
}

static void
a_line_survives_the_way_to_a_server(void **state)
{
    char tier[] = "DOSSIER_TIER=high", *const environment[] = {tier, NULL};
    const char *line[] = {
        "key", "create", "--name", "two words", "--workspace", "ws_1", "--permissions=read:docs"};
    struct conf before, after;
    struct err err;
    const char **argv;
    size_t n;

    (void)state;
    assert_int_equal(conf_parse(pool, ARRAY_LEN(line), line, environment, &before, &err), RC_OK);
    argv = conf_argv(pool, &before, &n);
    assert_null(argv[n]);
    assert_int_equal(conf_parse(pool, n, argv, NULL, &after, &err), RC_OK);
    assert_int_equal(after.command, before.command);
    assert_string_equal(conf_text(&after, CONF_NAME), "two words");
    assert_int_equal(conf_number(&after, CONF_TIER, -1), 1);
    accept("workspace create -- -x", &before);
    argv = conf_argv(pool, &before, &n);
    assert_int_equal(conf_parse(pool, n, argv, NULL, &after, &err), RC_OK);
    assert_string_equal(after.args[0], "-x");
}

static void
help_names_everything(void **state)
{
    struct conf c;
    char *all = conf_usage(pool);

    (void)state;
    accept("--help", &c);
    assert_int_equal(c.command, CONF_COMMAND_HELP);
    accept("--version", &c);
    assert_int_equal(c.command, CONF_COMMAND_VERSION);
    assert_string_equal(conf_text(&c, CONF_DATABASE), "sqlite");
    accept("key create --help", &c);
    assert_true(c.help);
    assert_int_equal(c.command, CONF_COMMAND_KEY_CREATE);
    accept("workspace create --help", &c); /* its argument is not missed */
    for (enum conf_command i = 0; i < CONF_COMMAND_MAX_; i++) {
        char *one = conf_command_usage(pool, i);

        assert_non_null(strstr(all, conf_commands[i].words));
        assert_non_null(strstr(one, conf_commands[i].help));
        assert_null(strstr(one, " \n"));
        for (size_t o = 0; o < CONF_MAX_; o++) {
            char *option = mem_printf(pool, "  --%s ", conf_options[o].name);
            bool ours = conf_options[o].commands & 1u << i;

            assert_int_equal(strstr(one, option) != NULL, ours);
        }
    }
}

static void
commands_are_found_by_their_words(void **state)
{
    const char *words[] = {"audit", "verify"};
    enum conf_command found;

    (void)state;
    assert_true(conf_command_find(words, 2, &found));
    assert_int_equal(found, CONF_COMMAND_AUDIT_VERIFY);
    assert_false(conf_command_find(words, 1, &found));
    assert_false(conf_command_find(words, 0, &found));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_hold, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(every_default_passes_its_own_check, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(other_commands_have_the_settings_too, open_pool,
                                        close_pool),
        cmocka_unit_test_setup_teardown(forms_of_options, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(units, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(refusals_name_the_option_and_the_way_out, open_pool,
                                        close_pool),
        cmocka_unit_test_setup_teardown(environment_fills_in, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(a_line_survives_the_way_to_a_server, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(help_names_everything, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(commands_are_found_by_their_words, open_pool, close_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
