// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"
#include "conf/table.h"

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit byte_units[] = {
    {"", 1},         {"K", KIB(1)}, {"KiB", KIB(1)}, {"M", MIB(1)},
    {"MiB", MIB(1)}, {"G", GIB(1)}, {"GiB", GIB(1)}, {NULL, 0},
};
static const struct unit time_units[] = {
    {"", 1000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

/* A whole number and one of the units. */
static bool
with_unit(const char *text, const struct unit *units, int64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    char number[24];
    int64_t n;

    if (digits == 0 || digits >= sizeof(number))
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!text_uint(number, INT64_MAX, &n))
        return false;
    for (; units->suffix; units++) {
        if (streq(text + digits, units->suffix))
            return !__builtin_mul_overflow(n, units->factor, ret);
    }
    return false;
}

static bool
rate(const char *text, int64_t max, struct conf_value *ret)
{
    const char *slash = strchr(text, '/');
    char minute[24];

    if (!slash || (size_t)(slash - text) >= sizeof(minute))
        return false;
    (void)snprintf(minute, sizeof(minute), "%.*s", (int)(slash - text), text);
    return text_uint(minute, max, &ret->number) && text_uint(slash + 1, max, &ret->second);
}

/* `choices` are separated by bars. */
static bool
choice(const char *text, const char *choices, int64_t *ret)
{
    size_t len = strlen(text), word;

    for (*ret = 0; *choices; ++*ret) {
        word = strcspn(choices, "|");
        if (word == len && memcmp(choices, text, len) == 0)
            return true;
        choices += word + (choices[word] == '|');
    }
    return false;
}

/* "55m" of 3300 seconds, where the row counts them; the number itself elsewhere. */
static void
bound(const struct conf_option_row *row, int64_t n, char out[32])
{
    static const struct {
        int64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;

    (void)snprintf(out, 32, "%lld", (long long)n);
    if (row->type != TYPE_TIME)
        return;
    while (units[i].letter != 's' && (n == 0 || n % units[i].seconds != 0))
        i++;
    (void)snprintf(out, 32, "%lld%c", (long long)(n / units[i].seconds), units[i].letter);
}

static enum rc
out_of_range(const struct conf_option_row *row, const char *label, const char *text,
             struct err *err)
{
    char least[32], most[32];

    bound(row, row->min, least);
    bound(row, row->max, most);
    if (row->max == INT64_MAX)
        return err_set(err, RC_INVALID, "%s: %s is too small; at least %s", label, text, least);
    return err_set(err, RC_INVALID, "%s: %s is out of range; give %s to %s", label, text, least,
                   most);
}

static enum rc
number(const struct conf_option_row *row, const char *label, const char *text,
       struct conf_value *ret, struct err *err)
{
    const struct unit *units = no_units;
    const char *example = "a whole number";
    int64_t scale = 1;

    if (row->type == TYPE_BYTES) {
        units = byte_units;
        example = "a number of bytes, for instance 1048576, 64KiB, 100MiB or 5GiB";
    } else if (row->type == TYPE_TIME) {
        units = time_units;
        scale = 1000;
        example = "a time, for instance 30s, 15m, 24h or 7d";
    }
    if (!with_unit(text, units, &ret->number))
        return err_set(err, RC_INVALID, "%s takes %s, not '%s'", label, example, text);
    /* the bounds are multiples of the scale, or INT64_MAX where there is no scale */
    if (ret->number < row->min * scale || ret->number > row->max * scale)
        return out_of_range(row, label, text, err);
    return RC_OK;
}

enum rc
conf_value_parse(const struct conf_option_row *row, const char *label, const char *text,
                 struct conf_value *ret, struct err *err)
{
    bool on;

    ret->text = text;
    switch (row->type) {
    case TYPE_TEXT:
        if (!*text)
            return err_set(err, RC_INVALID, "%s is empty; give %s", label, row->metavar);
        return RC_OK;
    case TYPE_INT:
    case TYPE_BYTES:
    case TYPE_TIME:
        return number(row, label, text, ret, err);
    case TYPE_FLAG:
        if (!text_bool(text, &on))
            return err_set(err, RC_INVALID, "%s is true or false, not '%s'", label, text);
        ret->number = on;
        return RC_OK;
    case TYPE_CHOICE:
        if (!choice(text, row->metavar, &ret->number))
            return err_set(err, RC_INVALID, "%s is one of %s, not '%s'", label, row->metavar, text);
        return RC_OK;
    case TYPE_RATE:
        if (!rate(text, row->max, ret))
            return err_set(err, RC_INVALID,
                           "%s takes requests a minute and a day, for instance 600/100000, "
                           "not '%s'",
                           label, text);
        return RC_OK;
    }
    return err_set(err, RC_INTERNAL, "%s has no type", label);
}
