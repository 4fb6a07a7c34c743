// SPDX-License-Identifier: Apache-2.0
/* fields: what must hold of a struct that a table of fields was read into without a fault. */
#ifndef FUZZ_FIELDS_H
#define FUZZ_FIELDS_H
#include "base/js.h"
#include "base/text.h"
#include "fuzz.h"
#include "http/field.h"

static inline void
fields_check_text(const struct field *fd, const char *s)
{
    bool chosen = !fd->choices;
    size_t chars;

    BUG_ON(!s || !text_check(s, strlen(s), fd->flags & FIELD_LINES ? TEXT_CONTROLS : 0, &chars));
    BUG_ON(fd->max && ((int64_t)chars < fd->min || (int64_t)chars > fd->max));
    for (size_t i = 0; !chosen && fd->choices[i]; i++)
        chosen = streq(fd->choices[i], s);
    BUG_ON(!chosen);
}

static inline void fields_check(const struct field *fields, const char *in);

static inline void
fields_check_value(const struct field *fd, const struct value *v)
{
    switch (fd->type) {
    case FIELD_TEXT:
        fields_check_text(fd, v->text);
        return;
    case FIELD_TEXTS:
        BUG_ON(v->n > fd->max_items || (v->n == 0 && fd->flags & FIELD_REQUIRED));
        for (size_t i = 0; i < v->n; i++)
            fields_check_text(fd, v->texts[i]);
        return;
    case FIELD_INT:
        BUG_ON(v->number < fd->min || v->number > fd->max);
        return;
    case FIELD_BOOL:
        BUG_ON(v->number != 0 && v->number != 1);
        return;
    case FIELD_TIME:
        BUG_ON(v->number % 1000 != 0);
        return;
    case FIELD_OBJECTS:
        BUG_ON(v->n == 0 || v->n > fd->max_items);
        for (size_t i = 0; i < v->n; i++)
            fields_check(fd->members, (const char *)v->items + i * fd->item_size);
        return;
    default:
        BUG_ON(true);
    }
}

/* Every value is absent where it may be, null where it may be, or within its limits. */
static inline void
fields_check(const struct field *fields, const char *in)
{
    for (const struct field *fd = fields; fd->type; fd++) {
        const struct value *v = (const struct value *)(in + fd->offset);

        if (fd->type == FIELD_OBJECT) {
            fields_check(fd->members, in);
            continue;
        }
        BUG_ON(v->null && (!v->given || fd->flags & (FIELD_REQUIRED | FIELD_KEEP)));
        if (v->given && !v->null)
            fields_check_value(fd, v);
        else
            BUG_ON(v->text || v->n || v->number || v->items ||
                   (!v->given && fd->flags & FIELD_REQUIRED));
    }
}

/* Checks the struct when there is no fault, else that the faults can be answered; drops them. */
static inline void
fields_check_read(const struct field *fields, const void *in, struct faults *f)
{
    size_t len;

    if (f->fields) {
        BUG_ON(json_object_size(f->fields) == 0);
        (void)js_write(f->pool, f->fields, &len);
        BUG_ON(len == 0);
    } else {
        BUG_ON(f->missing);
        fields_check(fields, in);
    }
    faults_free(f);
}

#endif
