// SPDX-License-Identifier: Apache-2.0
#include "core/media_type.h"

#include <errno.h>
#include <magic.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "core/param.h"

#define HALF_MAX 127
#define DETECT_MAX ((size_t)KIB(64))
#define OOXML "application/vnd.openxmlformats-officedocument."
#define ODF "application/vnd.oasis.opendocument."

struct known_type {
    const char *type;
    const char *extension;
};

/* The allow list of media_type_served(). */
static const struct known_type known_types[] = {
    {"application/pdf", "pdf"},
    {"image/png", "png"},
    {"image/jpeg", "jpg"},
    {"image/gif", "gif"},
    {"image/webp", "webp"},
    {"image/tiff", "tiff"},
    {"image/bmp", "bmp"},
    {"text/plain", "txt"},
    {"text/csv", "csv"},
    {"application/msword", "doc"},
    {OOXML "wordprocessingml.document", "docx"},
    {"application/vnd.ms-excel", "xls"},
    {OOXML "spreadsheetml.sheet", "xlsx"},
    {"application/vnd.ms-powerpoint", "ppt"},
    {OOXML "presentationml.presentation", "pptx"},
    {ODF "text", "odt"},
    {ODF "spreadsheet", "ods"},
    {ODF "presentation", "odp"},
};

static bool
is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of the restricted-name (RFC 6838 §4.2) at `s`, 0 when there is none. */
static size_t
name_len(const char *s)
{
    size_t n = 0;

    if (!is_alnum(*s))
        return 0;
    while (s[n] && (is_alnum(s[n]) || strchr("!#$&-^_.+", s[n])))
        n++;
    return n <= HALF_MAX ? n : 0;
}

/* Length of the "type/subtype" at `s`, 0 when there is none. */
static size_t
essence_len(const char *s)
{
    size_t type = name_len(s);
    size_t subtype;

    if (!type || s[type] != '/')
        return 0;
    subtype = name_len(s + type + 1);
    return subtype ? type + 1 + subtype : 0;
}

static bool
append_lower(struct buf *b, const char *s, size_t len)
{
    size_t from = b->len;

    if (!buf_append(b, s, len))
        return false;
    text_lower(b->bytes + from);
    return true;
}

static bool
is_ascii(const struct param *p)
{
    for (size_t i = 0; i < p->value_len; i++) {
        if ((unsigned char)p->value[i] >= 0x80)
            return false;
    }
    return true;
}

static bool
append_param(struct buf *b, const struct param *p)
{
    const char *quote = p->quoted ? "\"" : "";

    if (!is_ascii(p) || (!p->quoted && !param_is_token(p)))
        return false;
    return buf_append(b, "; ", 2) && append_lower(b, p->name, p->name_len) &&
           buf_append(b, "=", 1) && buf_append(b, quote, strlen(quote)) &&
           append_lower(b, p->value, p->value_len) && buf_append(b, quote, strlen(quote));
}

bool
media_type_normalise(TALLOC_CTX *pool, const char *text, char **ret)
{
    size_t len = strlen(text);
    size_t essence = essence_len(text);
    const char *rest = text + essence;
    enum param_step step;
    struct param p;
    struct buf b;

    if (!essence || text[len - 1] == ' ' || text[len - 1] == '\t')
        return false;
    buf_init(&b, pool, MEDIA_TYPE_MAX);
    if (!append_lower(&b, text, essence))
        return false;
    while ((step = param_next(&rest, &p)) == PARAM_ONE) {
        if (!append_param(&b, &p))
            return false;
    }
    if (step == PARAM_BROKEN)
        return false;
    *ret = b.bytes;
    return true;
}

bool
media_type_is(const char *value, const char *type)
{
    size_t len;

    if (!value)
        return false;
    value += strspn(value, " \t");
    len = essence_len(value);
    if (!len || len != strlen(type) || strncasecmp(value, type, len) != 0)
        return false;
    value += len;
    value += strspn(value, " \t");
    return !*value || *value == ';';
}

bool
media_type_is_json(const char *value)
{
    static const char tree[] = "application/";
    static const char suffix[] = "+json";
    size_t len;

    if (!value)
        return false;
    if (media_type_is(value, "application/json"))
        return true;
    value += strspn(value, " \t");
    len = essence_len(value);
    if (len < strlen(tree) + 1 + strlen(suffix))
        return false;
    if (strncasecmp(value, tree, strlen(tree)) != 0 ||
        strncasecmp(value + len - strlen(suffix), suffix, strlen(suffix)) != 0)
        return false;
    value += len;
    value += strspn(value, " \t");
    return !*value || *value == ';';
}

static const struct known_type *
known_type_find(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(known_types); i++) {
        if (media_type_is(type, known_types[i].type))
            return &known_types[i];
    }
    return NULL;
}

/* True when `type` names no charset, or UTF-8 (of which US-ASCII is a part). */
static bool
is_utf8(const char *type)
{
    const char *rest = strchr(type, ';');
    struct param p;

    while (rest && param_next(&rest, &p) == PARAM_ONE) {
        if (!param_named(&p, "charset"))
            continue;
        return (p.value_len == 5 && strncasecmp(p.value, "utf-8", 5) == 0) ||
               (p.value_len == 8 && strncasecmp(p.value, "us-ascii", 8) == 0);
    }
    return true;
}

const char *
media_type_served(const char *stored)
{
    const struct known_type *known = known_type_find(stored);

    if (!known)
        return MEDIA_TYPE_UNKNOWN;
    if (streq(known->type, "text/plain") && is_utf8(stored))
        return "text/plain; charset=utf-8";
    return known->type;
}

const char *
media_type_extension(const char *type)
{
    const struct known_type *known = known_type_find(type);

    return known ? known->extension : "bin";
}

/* What tells the types, in libmagic's language: the whole of its own database takes 0.2 to 1 ms. */
static const char rules[] =
#include "media_types.inc"
    ;

/* Libmagic's handles are not for two threads at once, and a look takes some 10 us. */
struct media_detector {
    pthread_mutex_t lock;
    magic_t magic;
};

/* Libmagic reads rules from a file only; this one has no name and is gone when it is closed. */
static enum rc
load_rules(magic_t magic, struct err *err)
{
    char path[sizeof("/proc/self/fd/-2147483648")];
    int fd = memfd_create("media_types.magic", MFD_CLOEXEC);
    enum rc rc = RC_OK;

    if (fd < 0)
        return err_errno(err, RC_IO, "no memory file for the rules of media types");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (write(fd, rules, sizeof(rules) - 1) != (ssize_t)(sizeof(rules) - 1))
        rc = err_errno(err, RC_IO, "rules of media types");
    else if (magic_load(magic, path) != 0)
        rc = err_set(err, RC_IO, "libmagic does not load the rules of media types from %s: %s",
                     path, magic_error(magic));
    close(fd);
    return rc;
}

enum rc
media_detector_new(struct media_detector **ret, struct err *err)
{
    SCOPED(media_detector) d = MEM_NEW(NULL, struct media_detector);
    enum rc rc;

    BUG_ON(pthread_mutex_init(&d->lock, NULL));
    d->magic = magic_open(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_ELF);
    if (!d->magic)
        return err_errno(err, RC_IO, "libmagic does not open");
    rc = load_rules(d->magic, err);
    if (rc)
        return rc;
    *ret = d;
    d = NULL;
    return RC_OK;
}

void
media_detector_free(struct media_detector **d)
{
    if (!*d)
        return;
    if ((*d)->magic)
        magic_close((*d)->magic);
    pthread_mutex_destroy(&(*d)->lock);
    talloc_free(*d);
    *d = NULL;
}

char *
media_type_detect(struct media_detector *d, TALLOC_CTX *pool, const void *first_bytes, size_t len)
{
    char *found = NULL;
    const char *guess;
    bool ok = false;

    if (len > DETECT_MAX)
        len = DETECT_MAX;
    if (len > 0) {
        pthread_mutex_lock(&d->lock);
        guess = magic_buffer(d->magic, first_bytes, len);
        BUG_ON(!guess && magic_errno(d->magic) == ENOMEM);
        ok = guess && media_type_normalise(pool, guess, &found);
        pthread_mutex_unlock(&d->lock);
    }
    return ok ? found : mem_strdup(pool, MEDIA_TYPE_UNKNOWN);
}
