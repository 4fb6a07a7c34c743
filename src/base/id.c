// SPDX-License-Identifier: Apache-2.0
#include "base/id.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
static const char base36[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char hex[] = "0123456789abcdef";

static const char *const prefixes[] = {
    [ID_DOCUMENT] = "doc_", [ID_LINK] = "dlnk_",   [ID_USER] = "usr_",
    [ID_KEY] = "key_",      [ID_LOG] = "log_",     [ID_FOLDER] = "fld_",
    [ID_DOCS] = "docs_",    [ID_REQUEST] = "req_", [ID_UPLOAD] = "upl_",
};

/* The last id handed out: milliseconds and the 12 bits after the version. */
static struct {
    pthread_mutex_t lock;
    int64_t ms;
    unsigned seq;
} last = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
next_stamp(int64_t *ms, unsigned *seq)
{
    int64_t now = clock_wall_ms();

    pthread_mutex_lock(&last.lock);
    if (now > last.ms) {
        last.ms = now;
        last.seq = 0;
    } else if (++last.seq > 0xfff) {
        last.ms++; /* more than 4,096 in a millisecond, or a clock set back: run ahead of it */
        last.seq = 0;
    }
    *ms = last.ms;
    *seq = last.seq;
    pthread_mutex_unlock(&last.lock);
}

static void
put_time(struct id *id, int64_t ms)
{
    for (int i = 0; i < 6; i++)
        id->b[i] = (uint8_t)(ms >> (40 - 8 * i));
}

struct id
id_new(void)
{
    struct id id;
    unsigned seq;
    int64_t ms;

    next_stamp(&ms, &seq);
    put_time(&id, ms);
    id.b[6] = (uint8_t)(0x70 | seq >> 8);
    id.b[7] = (uint8_t)seq;
    rand_bytes(id.b + 8, 8);
    id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f));
    return id;
}

void
id_resume(const struct id *newest)
{
    int64_t ms = id_time_ms(newest);

    pthread_mutex_lock(&last.lock);
    if (ms >= last.ms) {
        last.ms = ms + 1; /* the bits below a millisecond need not be looked at then */
        last.seq = 0;
    }
    pthread_mutex_unlock(&last.lock);
}

struct id
id_floor(int64_t ms)
{
    struct id id = {{0}};

    put_time(&id, ms < 0 ? 0 : ms > 0xffffffffffff ? 0xffffffffffff : ms);
    return id;
}

int64_t
id_time_ms(const struct id *id)
{
    int64_t ms = 0;

    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id->b[i];
    return ms;
}

bool
id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

typedef unsigned __int128 u128;

static u128
to_number(const struct id *id)
{
    u128 n = 0;

    for (int i = 0; i < 16; i++)
        n = n << 8 | id->b[i];
    return n;
}

static void
from_number(u128 n, struct id *id)
{
    for (int i = 15; i >= 0; i--, n >>= 8)
        id->b[i] = (uint8_t)n;
}

/* Writes `n` as 26 digits of `alphabet`, most significant first. */
static void
put_digits(u128 n, const char *alphabet, unsigned base, char *out)
{
    for (int i = 25; i >= 0; i--) {
        out[i] = alphabet[(unsigned)(n % base)];
        n /= base;
    }
    out[26] = '\0';
}

/* Crockford digits are five bits each: no division, for it stands on the hot path. */
static void
put_crockford(u128 n, char *out)
{
    for (int i = 25; i >= 0; i--, n >>= 5)
        out[i] = crockford[(unsigned)n & 31];
    out[26] = '\0';
}

static void
put_uuid(const struct id *id, char *out)
{
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = hex[id->b[i] >> 4];
        *out++ = hex[id->b[i] & 15];
    }
    *out = '\0';
}

void
id_format(const struct id *id, enum id_kind kind, enum id_spelling how, char out[ID_TEXT_LEN])
{
    size_t n;

    switch (how) {
    case ID_UUID:
        put_uuid(id, out);
        return;
    case ID_BASE36:
        put_digits(to_number(id), base36, 36, out);
        return;
    case ID_RECORDS:
        n = strlen(prefixes[kind]);
        memcpy(out, prefixes[kind], n);
        put_crockford(to_number(id), out + n);
        return;
    }
    BUG_ON(true);
}

static bool
get_digits(const char *text, const char *alphabet, unsigned base, struct id *ret)
{
    u128 n = 0;

    for (int i = 0; i < 26; i++) {
        const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;
        u128 next;

        if (!at || __builtin_mul_overflow(n, (u128)base, &next) ||
            __builtin_add_overflow(next, (u128)(at - alphabet), &n))
            return false;
    }
    from_number(n, ret);
    return true;
}

static bool
get_uuid(const char *p, struct id *ret)
{
    for (int i = 0; i < 16; i++, p += 2) {
        int hi, lo;

        if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
            return false;
        hi = text_hex(p[0]);
        lo = hi < 0 ? -1 : text_hex(p[1]);
        if (lo < 0)
            return false;
        ret->b[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

bool
id_parse(const char *text, enum id_kind kind, struct id *ret)
{
    size_t len = strlen(text), prefix = strlen(prefixes[kind]);

    if (len == 36)
        return get_uuid(text, ret);
    if (len == 26)
        return get_digits(text, base36, 36, ret);
    if (len == prefix + 26 && memcmp(text, prefixes[kind], prefix) == 0)
        return get_digits(text + prefix, crockford, 32, ret);
    return false;
}
