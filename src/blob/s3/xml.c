// SPDX-License-Identifier: Apache-2.0
#include "blob/s3/xml.h"

#include <expat.h>

#include "base/clock.h"
#include "base/text.h"

#define DEPTH_MAX 8
#define NAME_MAX_LEN 40
#define TEXT_MAX 4096    /* keys have 1,024 bytes; tokens of a list may be longer */
#define ENTRIES_MAX 1000 /* of one page */

struct walk;

/* Gets the end of each element: its text is in walk->text. False: the answer is not usable. */
typedef bool element_fn(struct walk *walk, void *arg);

struct walk {
    XML_Parser parser;
    element_fn *on_end;
    void *arg;
    const char *root; /* that it has to be; NULL: any */
    unsigned depth;   /* 1 at the end of the root */
    char names[DEPTH_MAX][NAME_MAX_LEN];
    char text[TEXT_MAX + 1];
    size_t len;
    bool bad;
};

static void
stop(struct walk *walk)
{
    walk->bad = true;
    (void)XML_StopParser(walk->parser, XML_FALSE);
}

static void
on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *walk = arg;

    (void)attributes;
    if (walk->depth == DEPTH_MAX || strlen(name) >= NAME_MAX_LEN ||
        (walk->depth == 0 && walk->root && !streq(name, walk->root))) {
        stop(walk);
        return;
    }
    memcpy(walk->names[walk->depth++], name, strlen(name) + 1);
    walk->len = 0;
}

static void
on_text(void *arg, const XML_Char *text, int len)
{
    struct walk *walk = arg;

    if ((size_t)len > TEXT_MAX - walk->len) {
        stop(walk);
        return;
    }
    memcpy(walk->text + walk->len, text, (size_t)len);
    walk->len += (size_t)len;
}

static void
on_end(void *arg, const XML_Char *name)
{
    struct walk *walk = arg;

    (void)name;
    if (walk->bad)
        return; /* expat ends an element without content even when its start has stopped it */
    walk->text[walk->len] = '\0';
    if (!walk->on_end(walk, walk->arg))
        stop(walk);
    walk->depth--;
    walk->len = 0;
}

static void
on_doctype(void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public, int own)
{
    (void)name;
    (void)system;
    (void)public;
    (void)own;
    stop(arg);
}

static bool
parse(const char *text, size_t len, const char *root, element_fn *fn, void *arg)
{
    struct walk walk = {.on_end = fn, .arg = arg, .root = root};
    bool whole;

    if (len > INT32_MAX)
        return false;
    walk.parser = XML_ParserCreate("UTF-8");
    BUG_ON(!walk.parser);
    XML_SetUserData(walk.parser, &walk);
    XML_SetElementHandler(walk.parser, on_start, on_end);
    XML_SetCharacterDataHandler(walk.parser, on_text);
    XML_SetStartDoctypeDeclHandler(walk.parser, on_doctype);
    whole = XML_Parse(walk.parser, text, (int)len, XML_TRUE) == XML_STATUS_OK && !walk.bad;
    XML_ParserFree(walk.parser);
    return whole;
}

/* Whether the element that ends is `name`, `depth` below the root's parent. */
static bool
is_at(const struct walk *walk, unsigned depth, const char *name)
{
    return walk->depth == depth && streq(walk->names[depth - 1], name);
}

/* As much of the text as there is room for. */
static void
copy_text(const struct walk *walk, char *into, size_t room)
{
    size_t n = walk->len < room ? walk->len : room - 1;

    memcpy(into, walk->text, n);
    into[n] = '\0';
}

static bool
take_error(struct walk *walk, void *arg)
{
    struct s3_error *e = arg;

    if (is_at(walk, 2, "Code"))
        copy_text(walk, e->code, sizeof(e->code));
    else if (is_at(walk, 2, "Message"))
        copy_text(walk, e->message, sizeof(e->message));
    return true;
}

void
s3_xml_error(const char *text, size_t len, struct s3_error *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (!parse(text, len, "Error", take_error, ret))
        memset(ret, 0, sizeof(*ret));
}

struct child {
    TALLOC_CTX *pool;
    const char *name;
    const char *text;
};

static bool
take_child(struct walk *walk, void *arg)
{
    struct child *c = arg;

    if (is_at(walk, 2, c->name))
        c->text = mem_strdup(c->pool, walk->text);
    return true;
}

bool
s3_xml_child(TALLOC_CTX *pool, const char *text, size_t len, const char *root, const char *name,
             const char **ret)
{
    struct child c = {.pool = pool, .name = name, .text = ""};

    if (!parse(text, len, root, take_child, &c))
        return false;
    *ret = c.text;
    return true;
}

struct listing {
    TALLOC_CTX *pool;
    struct s3_list *list;
    const char *item; /* the element of an entry */
    struct s3_entry now;
};

static void
begin_entry(struct listing *l)
{
    l->now = (struct s3_entry){.key = "", .upload_id = "", .size = -1, .time_ms = -1};
}

static bool
take_field(struct listing *l, const char *name, const char *text)
{
    struct s3_entry *e = &l->now;

    if (streq(name, "Key"))
        e->key = mem_strdup(l->pool, text);
    else if (streq(name, "UploadId"))
        e->upload_id = mem_strdup(l->pool, text);
    else if (streq(name, "Size"))
        return text_uint(text, INT64_MAX, &e->size);
    else if (streq(name, "LastModified") || streq(name, "Initiated"))
        return clock_parse(text, &e->time_ms);
    return true;
}

static bool
take_page(struct listing *l, const char *name, const char *text)
{
    struct s3_list *list = l->list;

    if (streq(name, "IsTruncated"))
        return text_bool(text, &list->more);
    if (streq(name, "NextContinuationToken"))
        list->token = mem_strdup(l->pool, text);
    else if (streq(name, "NextKeyMarker"))
        list->next_key = mem_strdup(l->pool, text);
    else if (streq(name, "NextUploadIdMarker"))
        list->next_upload = mem_strdup(l->pool, text);
    return true;
}

static bool
take_list(struct walk *walk, void *arg)
{
    struct listing *l = arg;
    const char *name = walk->names[walk->depth - 1];

    if (walk->depth == 3 && streq(walk->names[1], l->item))
        return take_field(l, name, walk->text);
    if (walk->depth != 2)
        return true;
    if (!streq(name, l->item))
        return take_page(l, name, walk->text);
    if (!*l->now.key || l->now.time_ms < 0 || l->list->n == ENTRIES_MAX)
        return false;
    l->list->entries[l->list->n++] = l->now;
    begin_entry(l);
    return true;
}

static bool
read_list(TALLOC_CTX *pool, const char *text, size_t len, const char *root, const char *item,
          struct s3_list *ret)
{
    struct listing l = {.pool = pool, .list = ret, .item = item};

    *ret = (struct s3_list){.token = "", .next_key = "", .next_upload = ""};
    ret->entries = MEM_ARRAY(pool, struct s3_entry, ENTRIES_MAX);
    begin_entry(&l);
    return parse(text, len, root, take_list, &l);
}

bool
s3_xml_objects(TALLOC_CTX *pool, const char *text, size_t len, struct s3_list *ret)
{
    if (!read_list(pool, text, len, "ListBucketResult", "Contents", ret))
        return false;
    for (size_t i = 0; i < ret->n; i++) {
        if (ret->entries[i].size < 0)
            return false;
    }
    return !ret->more || *ret->token;
}

bool
s3_xml_uploads(TALLOC_CTX *pool, const char *text, size_t len, struct s3_list *ret)
{
    if (!read_list(pool, text, len, "ListMultipartUploadsResult", "Upload", ret))
        return false;
    for (size_t i = 0; i < ret->n; i++) {
        if (!*ret->entries[i].upload_id)
            return false;
    }
    return !ret->more || *ret->next_key;
}
