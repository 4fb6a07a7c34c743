// SPDX-License-Identifier: Apache-2.0
#include "http/multipart_head.h"

#include <strings.h>

#include "base/text.h"
#include "core/media_type.h"
#include "core/param.h"

static bool
no(const char **ret_why, const char *why)
{
    *ret_why = why;
    return false;
}

/* bchars of RFC 2046 §5.1.1; a space may not come last. */
static bool
boundary_valid(const char *s, size_t len)
{
    if (len == 0 || len > MULTIPART_BOUNDARY_MAX || s[len - 1] == ' ')
        return false;
    for (size_t i = 0; i < len; i++) {
        bool alnum = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z') ||
                     (s[i] >= 'A' && s[i] <= 'Z');

        if (!alnum && !(s[i] && strchr("'()+_,-./:=? ", s[i])))
            return false;
    }
    return true;
}

bool
multipart_boundary(const char *content_type, char out[MULTIPART_BOUNDARY_MAX + 1],
                   const char **ret_why)
{
    const char *rest;
    enum param_step step;
    struct param p;
    bool seen = false;

    if (!media_type_is(content_type, "multipart/form-data"))
        return no(ret_why, "the content type is not multipart/form-data");
    rest = content_type + strspn(content_type, " \t") + strlen("multipart/form-data");
    while ((step = param_next(&rest, &p)) == PARAM_ONE) {
        if (!param_named(&p, "boundary"))
            continue;
        if (seen)
            return no(ret_why, "the content type has two boundaries");
        if (!boundary_valid(p.value, p.value_len))
            return no(ret_why, "the boundary is too long or has characters it may not have");
        seen = true;
        memcpy(out, p.value, p.value_len);
        out[p.value_len] = '\0';
    }
    if (step == PARAM_BROKEN)
        return no(ret_why, "the content type cannot be read");
    return seen || no(ret_why, "the content type has no boundary");
}

/*
 * Browsers and curl write a quote as %22 but leave other percent signs alone (WHATWG HTML,
 * multipart/form-data encoding). Their %0D and %0A stay as they are: a name has no line ends.
 */
static void
decode_quotes(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (strncmp(s, "%22", 3) == 0) {
            *to++ = '"';
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* An ext-value of RFC 8187 §3.2.1: UTF-8'language'percent-encoded. */
static bool
decode_extended(TALLOC_CTX *pool, const char *s, char **ret)
{
    static const char charset[] = "utf-8'";
    const char *text;

    if (strncasecmp(s, charset, strlen(charset)) != 0)
        return false;
    text = strchr(s + strlen(charset), '\'');
    return text && text_unescape(pool, text + 1, strlen(text + 1), false, ret);
}

/* One of the two names a Content-Disposition gives, in its plain and its extended spelling. */
struct spelling {
    const char *plain_name;
    const char *extended_name;
    char *plain;
    char *extended;
};

static bool
spelling_take(TALLOC_CTX *pool, struct spelling *sp, const struct param *p, const char **ret_why)
{
    bool extended = param_named(p, sp->extended_name);
    char **slot = extended ? &sp->extended : &sp->plain;
    size_t chars;
    char *text;

    if (!extended && !param_named(p, sp->plain_name))
        return true;
    if (*slot)
        return no(ret_why, "a name is given twice");
    if (!p->quoted && !param_is_token(p))
        return no(ret_why, "a name without quotes is no token");
    text = param_value(pool, p);
    if (p->quoted && !extended)
        decode_quotes(text);
    if (extended && !decode_extended(pool, text, &text))
        return no(ret_why, "an extended name cannot be decoded");
    if (!text_check(text, strlen(text), TEXT_BIDI, &chars))
        return no(ret_why, "a name is no UTF-8 or has control characters");
    *slot = text;
    return true;
}

static bool
read_disposition(TALLOC_CTX *pool, const char *value, struct multipart_part *part,
                 const char **ret_why)
{
    static const char type[] = "form-data";
    struct spelling name = {.plain_name = "name", .extended_name = "name*"};
    struct spelling file = {.plain_name = "filename", .extended_name = "filename*"};
    enum param_step step;
    struct param p;

    if (part->name)
        return no(ret_why, "a part has two content dispositions");
    if (strncasecmp(value, type, strlen(type)) != 0)
        return no(ret_why, "a part's content disposition is not form-data");
    value += strlen(type);
    while ((step = param_next(&value, &p)) == PARAM_ONE) {
        if (!spelling_take(pool, &name, &p, ret_why) || !spelling_take(pool, &file, &p, ret_why))
            return false;
    }
    if (step == PARAM_BROKEN)
        return no(ret_why, "a part's content disposition cannot be read");
    part->name = name.extended ? name.extended : name.plain;
    part->filename = file.extended ? file.extended : file.plain;
    return part->name || no(ret_why, "a part has no name");
}

/* Encodings under which the bytes are what they seem. */
static bool
is_identity(const char *encoding)
{
    return strcasecmp(encoding, "binary") == 0 || strcasecmp(encoding, "8bit") == 0 ||
           strcasecmp(encoding, "7bit") == 0;
}

static bool
read_line(TALLOC_CTX *pool, char *line, struct multipart_part *part, const char **ret_why)
{
    char *value = line;
    size_t len;

    while (text_is_tchar((unsigned char)*value))
        value++;
    if (value == line || *value != ':')
        return no(ret_why, "a part has a broken header line");
    *value++ = '\0';
    value += strspn(value, " \t");
    len = strlen(value);
    while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        value[--len] = '\0';

    if (strcasecmp(line, "Content-Disposition") == 0)
        return read_disposition(pool, value, part, ret_why);
    if (strcasecmp(line, "Content-Transfer-Encoding") == 0)
        return is_identity(value) || no(ret_why, "a part has a transfer encoding");
    if (strcasecmp(line, "Content-Type") != 0)
        return true;
    if (part->content_type)
        return no(ret_why, "a part has two content types");
    part->content_type = value;
    return true;
}

bool
multipart_head(TALLOC_CTX *pool, char *head, struct multipart_part *ret, const char **ret_why)
{
    struct multipart_part part = {0};
    size_t lines = 0;

    for (;;) {
        char *end = strstr(head, "\r\n");

        BUG_ON(!end);
        if (end == head)
            break;
        *end = '\0';
        if (++lines > MULTIPART_HEADERS_MAX)
            return no(ret_why, "a part has too many header lines");
        if (!read_line(pool, head, &part, ret_why))
            return false;
        head = end + 2;
    }
    if (!part.name)
        return no(ret_why, "a part has no content disposition");
    if (part.content_type && !*part.content_type)
        part.content_type = NULL;
    *ret = part;
    return true;
}
