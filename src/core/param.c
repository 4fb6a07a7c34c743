// SPDX-License-Identifier: Apache-2.0
#include "core/param.h"

#include <strings.h>

#include "base/text.h"

static const char *
skip_space(const char *s)
{
    return s + strspn(s, " \t");
}

static size_t
token_len(const char *s)
{
    size_t n = 0;

    while (text_is_tchar((unsigned char)s[n]))
        n++;
    return n;
}

static bool
is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* `s` stands behind the opening quote. NULL when the closing one is missing. */
static const char *
read_quoted(const char *s, struct param *p)
{
    p->quoted = true;
    p->value = s;
    for (; *s != '"'; s++) {
        if (*s == '\\' && s[1])
            s++;
        if (is_control(*s))
            return NULL;
    }
    p->value_len = (size_t)(s - p->value);
    return s + 1;
}

static const char *
read_bare(const char *s, struct param *p)
{
    p->quoted = false;
    p->value = s;
    for (; *s && *s != ';' && *s != ' ' && *s != '\t'; s++) {
        if (is_control(*s) || *s == '"')
            return NULL;
    }
    p->value_len = (size_t)(s - p->value);
    return p->value_len ? s : NULL;
}

enum param_step
param_next(const char **cursor, struct param *ret)
{
    const char *s = skip_space(*cursor);
    struct param p;

    if (*s && *s != ';')
        return PARAM_BROKEN;
    while (*s == ';')
        s = skip_space(s + 1);
    if (!*s) {
        *cursor = s;
        return PARAM_END;
    }
    p.name = s;
    p.name_len = token_len(s);
    s += p.name_len;
    if (!p.name_len || *s != '=')
        return PARAM_BROKEN;
    s++;
    s = *s == '"' ? read_quoted(s + 1, &p) : read_bare(s, &p);
    if (!s)
        return PARAM_BROKEN;
    *cursor = s;
    *ret = p;
    return PARAM_ONE;
}

bool
param_named(const struct param *p, const char *name)
{
    return strlen(name) == p->name_len && strncasecmp(p->name, name, p->name_len) == 0;
}

bool
param_is_token(const struct param *p)
{
    return p->value_len && token_len(p->value) >= p->value_len;
}

char *
param_value(TALLOC_CTX *pool, const struct param *p)
{
    char *out = mem_zalloc(pool, p->value_len + 1);
    size_t n = 0;

    for (size_t i = 0; i < p->value_len; i++) {
        char c = p->value[i];
        bool pair = p->quoted && c == '\\' && i + 1 < p->value_len;

        if (pair && (p->value[i + 1] == '"' || p->value[i + 1] == '\\'))
            c = p->value[++i];
        out[n++] = c;
    }
    return out;
}
