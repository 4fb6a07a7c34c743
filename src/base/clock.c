// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define DAY_MS ((int64_t)86400 * 1000)
#define YEAR_0 (-62167219200) /* seconds of the first and the last moment we can write */
#define YEAR_9999 253402300799
#define STEP_MS 1000 /* smaller differences come from reading one clock after the other */
#define PAST_MAX 16

/* Wall minus monotonic time, as it was until some moment. */
struct offset {
    int64_t low; /* the same but where two were made one for want of room */
    int64_t high;
    int64_t until_mono_ms;
};

static struct {
    pthread_mutex_t lock;
    bool known;
    _Atomic int64_t now_ms;       /* the offset in force */
    struct offset past[PAST_MAX]; /* oldest first */
    size_t n;
} offsets = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t
read_ms(clockid_t which)
{
    struct timespec ts;

    BUG_ON(clock_gettime(which, &ts) != 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* With the lock held. */
static void
add_past(int64_t offset, int64_t until_mono_ms)
{
    struct offset *past = offsets.past;

    if (offsets.n == PAST_MAX) {
        past[1].low = past[0].low < past[1].low ? past[0].low : past[1].low;
        past[1].high = past[0].high > past[1].high ? past[0].high : past[1].high;
        offsets.n--;
        memmove(past, past + 1, offsets.n * sizeof(*past));
    }
    past[offsets.n++] = (struct offset){offset, offset, until_mono_ms};
}

static void
note_offset(int64_t offset_ms, int64_t mono_ms)
{
    pthread_mutex_lock(&offsets.lock);
    if (offsets.known)
        add_past(atomic_load(&offsets.now_ms), mono_ms);
    offsets.known = true;
    atomic_store(&offsets.now_ms, offset_ms);
    pthread_mutex_unlock(&offsets.lock);
}

int64_t
clock_wall_ms(void)
{
    int64_t wall = read_ms(CLOCK_REALTIME), mono = read_ms(CLOCK_MONOTONIC);
    int64_t moved = wall - mono - atomic_load_explicit(&offsets.now_ms, memory_order_relaxed);

    if (moved > STEP_MS || moved < -STEP_MS)
        note_offset(wall - mono, mono);
    return wall;
}

int64_t
clock_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

/* The greatest difference, in the direction of `sign`, to an offset of the last `window_ms`. */
static int64_t
greatest_move(int64_t window_ms, int sign)
{
    int64_t since_mono_ms = clock_mono_ms() - window_ms, greatest = 0;

    (void)clock_wall_ms(); /* a step since the last look counts, too */
    pthread_mutex_lock(&offsets.lock);
    for (size_t i = 0; i < offsets.n; i++) {
        const struct offset *past = &offsets.past[i];
        int64_t move = sign * (offsets.now_ms - (sign > 0 ? past->low : past->high));

        if (past->until_mono_ms >= since_mono_ms && move > greatest)
            greatest = move;
    }
    pthread_mutex_unlock(&offsets.lock);
    return greatest;
}

int64_t
clock_lead_ms(int64_t window_ms)
{
    return greatest_move(window_ms, 1);
}

int64_t
clock_lag_ms(int64_t window_ms)
{
    return greatest_move(window_ms, -1);
}

void
clock_resume(int64_t newest_ms)
{
    int64_t wall = clock_wall_ms(), mono = clock_mono_ms();

    pthread_mutex_lock(&offsets.lock);
    if (newest_ms < wall)
        add_past(newest_ms - mono, mono);
    pthread_mutex_unlock(&offsets.lock);
}

int64_t
clock_next_day_ms(int64_t ms)
{
    return (ms / DAY_MS + 1) * DAY_MS;
}

/* Not snprintf(): every answer has some of these. */
static void
put_digits(char *at, size_t width, int number)
{
    for (char *p = at + width; p > at; number /= 10)
        *--p = (char)('0' + number % 10);
}

void
clock_format(int64_t ms, char out[CLOCK_TEXT_LEN])
{
    time_t s = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm tm;

    if (s < YEAR_0 || s > YEAR_9999 || !gmtime_r(&s, &tm)) {
        (void)snprintf(out, CLOCK_TEXT_LEN, "9999-12-31T23:59:59Z");
        return;
    }
    memcpy(out, "0000-00-00T00:00:00Z", CLOCK_TEXT_LEN);
    put_digits(out, 4, tm.tm_year + 1900);
    put_digits(out + 5, 2, tm.tm_mon + 1);
    put_digits(out + 8, 2, tm.tm_mday);
    put_digits(out + 11, 2, tm.tm_hour);
    put_digits(out + 14, 2, tm.tm_min);
    put_digits(out + 17, 2, tm.tm_sec);
}

/* Reads exactly `n` digits at *p into *v and moves on. */
static bool
digits(const char **p, int n, int *v)
{
    int r = 0;

    for (int i = 0; i < n; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        r = r * 10 + (**p - '0');
    }
    *v = r;
    return true;
}

static bool
skip(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

/* "Z" or "+hh:mm"; seconds east of UTC. A '+' arrives as a space when a query was not escaped. */
static bool
read_offset(const char **p, int *east)
{
    char sign = **p;
    int h, m;

    *east = 0;
    if (sign == 'Z' || sign == 'z') {
        (*p)++;
        return true;
    }
    if (sign != '+' && sign != '-' && sign != ' ')
        return false;
    (*p)++;
    if (!digits(p, 2, &h) || !skip(p, ':') || !digits(p, 2, &m) || h > 23 || m > 59)
        return false;
    *east = (h * 3600 + m * 60) * (sign == '-' ? -1 : 1);
    return true;
}

static bool
read_time(const char **p, struct tm *tm, int *east)
{
    if (**p != 'T' && **p != 't' && **p != ' ')
        return false;
    (*p)++;
    if (!digits(p, 2, &tm->tm_hour) || !skip(p, ':') || !digits(p, 2, &tm->tm_min) ||
        !skip(p, ':') || !digits(p, 2, &tm->tm_sec))
        return false;
    if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
        return false;
    if (**p == '.') {
        (*p)++;
        if (**p < '0' || **p > '9')
            return false;
        while (**p >= '0' && **p <= '9')
            (*p)++;
    }
    return read_offset(p, east);
}

bool
clock_parse(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0}, day;
    const char *p = text;
    int east = 0;
    time_t s;

    if (!digits(&p, 4, &tm.tm_year) || !skip(&p, '-') || !digits(&p, 2, &tm.tm_mon) ||
        !skip(&p, '-') || !digits(&p, 2, &tm.tm_mday))
        return false;
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31)
        return false;
    if (*p && !read_time(&p, &tm, &east))
        return false;
    if (*p)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    day = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday};
    (void)timegm(&day);
    if (day.tm_mday != tm.tm_mday)
        return false; /* 31 February */
    s = timegm(&tm) - east;
    if (s < YEAR_0 || s > YEAR_9999)
        return false;
    *ret_ms = (int64_t)s * 1000;
    return true;
}
