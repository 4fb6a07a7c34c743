// SPDX-License-Identifier: Apache-2.0
#include "http/field.h"

#include "base/clock.h"
#include "base/js.h"
#include "base/text.h"

/* Where in the body we are: "entities[3]." before the names of its members. */
struct place {
    struct faults *faults;
    const char *prefix;
};

static void read_object(const struct field *fields, const json_t *body, char *into,
                        const struct place *at);

void
faults_add(struct faults *f, const char *name, const char *reason)
{
    if (!f->fields)
        f->fields = json_object();
    if (!json_object_get(f->fields, name)) /* the first reason is the one to act on */
        (void)json_object_set_new_nocheck(f->fields, name, js_text(reason));
}

void
faults_free(struct faults *f)
{
    json_decref(f->fields);
    f->fields = NULL;
}

static void
fault(const struct place *at, const struct field *fd, const char *reason)
{
    faults_add(at->faults, mem_printf(at->faults->pool, "%s%s", at->prefix, fd->name), reason);
}

static const char *
length_reason(TALLOC_CTX *pool, const struct field *fd)
{
    if (fd->min > 0)
        return mem_printf(pool, "must be %lld to %lld characters long", (long long)fd->min,
                          (long long)fd->max);
    return mem_printf(pool, "must be at most %lld characters long", (long long)fd->max);
}

static const char *
choices_reason(TALLOC_CTX *pool, const char *const *choices)
{
    char *text = mem_strdup(pool, "must be one of ");

    for (size_t i = 0; choices[i]; i++)
        text = mem_printf(pool, "%s%s%s", text, i ? ", " : "", choices[i]);
    return text;
}

/* NULL when the text is good (*ret is how it is kept), else the reason. */
static const char *
check_text(TALLOC_CTX *pool, const struct field *fd, const char *s, size_t len, const char **ret)
{
    size_t chars;

    if (!text_check(s, len, fd->flags & FIELD_LINES ? TEXT_CONTROLS : 0, &chars))
        return "must be valid UTF-8 without control or direction-changing characters";
    if (fd->max && ((int64_t)chars < fd->min || (int64_t)chars > fd->max))
        return length_reason(pool, fd);
    *ret = mem_strndup(pool, s, len);
    for (size_t i = 0; fd->choices; i++) {
        if (!fd->choices[i])
            return choices_reason(pool, fd->choices);
        if (streq(fd->choices[i], s))
            break;
    }
    return fd->rule ? fd->rule(pool, *ret, ret) : NULL;
}

static const char *
check_int(TALLOC_CTX *pool, const struct field *fd, int64_t *v)
{
    bool below = *v<fd->min, above = *v> fd->max;

    if (!below && !above)
        return NULL;
    if (fd->flags & FIELD_CLAMP) {
        *v = below ? fd->min : fd->max;
        return NULL;
    }
    return mem_printf(pool, "must be %lld to %lld", (long long)fd->min, (long long)fd->max);
}

static bool
seen_before(const char *const *texts, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (streq(texts[i], text))
            return true;
    }
    return false;
}

static const char *
read_texts(TALLOC_CTX *pool, const struct field *fd, const json_t *j, struct value *v)
{
    size_t n = json_array_size(j);

    if (!json_is_array(j))
        return "must be an array of strings";
    if (n > fd->max_items || (n == 0 && fd->flags & FIELD_REQUIRED))
        return mem_printf(pool, "must hold %d to %zu strings", fd->flags & FIELD_REQUIRED ? 1 : 0,
                          fd->max_items);
    v->texts = MEM_ARRAY(pool, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(j, i);
        const char *text, *why;

        if (!json_is_string(item))
            return "must be an array of strings";
        why = check_text(pool, fd, json_string_value(item), json_string_length(item), &text);
        if (why)
            return why;
        if (!seen_before(v->texts, v->n, text)) /* order kept, repeats dropped */
            v->texts[v->n++] = text;
    }
    return NULL;
}

static const char *
read_objects(const struct place *at, const struct field *fd, const json_t *j, struct value *v)
{
    TALLOC_CTX *pool = at->faults->pool;
    size_t n = json_array_size(j);

    if (!json_is_array(j) || n == 0 || n > fd->max_items)
        return mem_printf(pool, "must be an array of 1 to %zu objects", fd->max_items);
    v->items = mem_zalloc(pool, n * fd->item_size);
    v->n = n;
    for (size_t i = 0; i < n; i++) {
        struct place below = {at->faults, mem_printf(pool, "%s%s[%zu].", at->prefix, fd->name, i)};
        const json_t *item = json_array_get(j, i);

        if (!json_is_object(item))
            return "must be an array of objects";
        read_object(fd->members, item, (char *)v->items + i * fd->item_size, &below);
    }
    return NULL;
}

static const char *
read_one(const struct place *at, const struct field *fd, const json_t *j, struct value *v)
{
    TALLOC_CTX *pool = at->faults->pool;

    switch (fd->type) {
    case FIELD_TEXT:
        return json_is_string(j)
                   ? check_text(pool, fd, json_string_value(j), json_string_length(j), &v->text)
                   : "must be a string";
    case FIELD_INT:
        if (!json_is_integer(j))
            return "must be an integer";
        v->number = json_integer_value(j);
        return check_int(pool, fd, &v->number);
    case FIELD_BOOL:
        v->number = json_is_true(j);
        return json_is_boolean(j) ? NULL : "must be true or false";
    case FIELD_TIME:
        return json_is_string(j) && clock_parse(json_string_value(j), &v->number)
                   ? NULL
                   : "must be an RFC 3339 time";
    case FIELD_TEXTS:
        return read_texts(pool, fd, j, v);
    case FIELD_OBJECTS:
        return read_objects(at, fd, j, v);
    case FIELD_OBJECT:
    case FIELD_ANY:
    case FIELD_END:
        break;
    }
    return NULL;
}

static void
read_member(const struct field *fd, const json_t *j, char *into, const struct place *at)
{
    struct value *v = (struct value *)(into + fd->offset);
    const char *why;

    if (fd->type == FIELD_OBJECT && json_is_object(j)) {
        struct place below = {at->faults,
                              mem_printf(at->faults->pool, "%s%s.", at->prefix, fd->name)};

        read_object(fd->members, j, into, &below);
        return;
    }
    if (!j || json_is_null(j)) {
        if (fd->flags & FIELD_REQUIRED) {
            at->faults->missing = true;
            fault(at, fd, "is required");
        } else if (j && fd->flags & FIELD_KEEP) {
            fault(at, fd, "cannot be null");
        } else if (j && fd->type != FIELD_OBJECT) {
            v->given = v->null = true;
        }
        return;
    }
    if (fd->type == FIELD_OBJECT) {
        fault(at, fd, "must be an object");
        return;
    }
    why = read_one(at, fd, j, v);
    v->given = true;
    if (why)
        fault(at, fd, why);
}

static void
read_object(const struct field *fields, const json_t *body, char *into, const struct place *at)
{
    for (const struct field *fd = fields; fd && fd->type; fd++)
        read_member(fd, json_object_get(body, fd->name), into, at);
}

void
field_read_body(const struct field *fields, const json_t *body, void *into, struct faults *f)
{
    struct place at = {f, ""};

    read_object(fields, body, into, &at);
}

static const char *
read_param(TALLOC_CTX *pool, const struct field *fd, const char *text, struct value *v)
{
    const char *sign = text + (*text == '-' || *text == '+');
    bool yes = false;

    switch (fd->type) {
    case FIELD_TEXT:
        return check_text(pool, fd, text, strlen(text), &v->text);
    case FIELD_TEXTS:
        if (v->n >= fd->max_items)
            return mem_printf(pool, "may be given %zu times", fd->max_items);
        return check_text(pool, fd, text, strlen(text), &v->texts[v->n++]);
    case FIELD_INT:
        if (!text_uint(sign, INT64_MAX / 4, &v->number)) {
            /* a number too large to read is still only out of range */
            if (!*sign || strspn(sign, "0123456789") != strlen(sign))
                return "must be an integer";
            v->number = INT64_MAX / 4;
        }
        v->number = *text == '-' ? -v->number : v->number;
        return check_int(pool, fd, &v->number);
    case FIELD_BOOL:
        if (!text_bool(text, &yes))
            return "must be true, false, 1 or 0";
        v->number = yes;
        return NULL;
    case FIELD_TIME:
        return clock_parse(text, &v->number) ? NULL : "must be an RFC 3339 time or date";
    default:
        break;
    }
    BUG_ON(true);
}

void
field_read_query(const struct field *fields, const struct query_param *params, size_t n, void *into,
                 struct faults *f)
{
    struct place at = {f, ""};

    for (const struct field *fd = fields; fd && fd->type; fd++) {
        struct value *v = (struct value *)((char *)into + fd->offset);
        const char *why = NULL;

        if (fd->type == FIELD_TEXTS)
            v->texts = MEM_ARRAY(f->pool, const char *, fd->max_items + 1);
        for (size_t i = 0; i < n && !why; i++) {
            if (!streq(params[i].name, fd->name))
                continue;
            if (v->given && fd->type != FIELD_TEXTS)
                why = "may be given once";
            else
                why = read_param(f->pool, fd, params[i].value, v);
            v->given = true;
        }
        if (why) {
            fault(&at, fd, why);
        } else if (!v->given && fd->flags & FIELD_REQUIRED) {
            f->missing = true;
            fault(&at, fd, "is required");
        }
    }
}
