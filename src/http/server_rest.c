// SPDX-License-Identifier: Apache-2.0
#include "http/server_rest.h"

#include <linux/tcp.h> /* for tcpi_bytes_received */
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/route.h"

#define ESTABLISHED 1   /* TCP_ESTABLISHED of <netinet/tcp.h>, which cannot be beside linux/tcp.h */
#define RESTING_MAX 128 /* of a loop, that keep their memory however long they rest */
#define IMPATIENT_MS 50 /* what is in use more often than this keeps it, too */
#define PATIENT_MS 1000
#define IN_VAIN_MAX 32 /* given back, and needed again within PATIENT_MS: so often */
#define AT_ONCE_MAX 16 /* the others of the loop wait meanwhile */

/* Those of this loop that still have their memory; the first has rested longest. */
static _Thread_local struct {
    struct rest *first, *last;
    size_t count;
    int64_t patience_ms;
    unsigned in_vain;
} resting = {.patience_ms = IMPATIENT_MS};

static size_t
page_size(void)
{
    long size = sysconf(_SC_PAGESIZE);

    return size > 0 ? (size_t)size : CONNECTION_MEMORY;
}

static bool
ask_socket(int fd, struct tcp_info *ret)
{
    socklen_t len = sizeof(*ret);

    memset(ret, 0, sizeof(*ret));
    return fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &len) == 0;
}

static void
learn(struct rest *r, const char *target)
{
    size_t page = page_size();
    size_t before = (uintptr_t)target & (page - 1); /* the bytes of the page before the target */
    const char *first = target - before;
    struct tcp_info info;

    if (!ask_socket(r->fd, &info) || info.tcpi_bytes_received == 0 ||
        info.tcpi_bytes_received > page)
        return;
    /* the library has ended the method with a NUL */
    if (strnlen(first, before) + 1 == before && http_method_parse(first))
        r->memory = (char *)(uintptr_t)first + page; /* the target's page stays */
}

/*
 * True while the library has not ended the memory. The state of the connection alone says so, and
 * also rules out what the client or the watchdog has closed, whatever the library made of it; to
 * send nothing fails after shutdown(), without regard to states.
 */
static bool
is_open(const struct rest *r)
{
    struct tcp_info info;

    return ask_socket(r->fd, &info) && info.tcpi_state == ESTABLISHED &&
           send(r->fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) == 0;
}

static bool
all_zero(const char *page, size_t size)
{
    return page[0] == 0 && memcmp(page, page + 1, size - 1) == 0;
}

static void
give_back(struct rest *r)
{
    size_t page = page_size();
    size_t size = CONNECTION_MEMORY - page, kept = size;

    if (!is_open(r))
        return;
    while (kept >= page && all_zero(r->memory + kept - page, page))
        kept -= page;
    if (kept < size)
        (void)madvise(r->memory + kept, size - kept, MADV_DONTNEED);
    r->given_back = true;
}

/* Many connections in use at once, each less often than is waited for: then wait longer. */
static void
note_need(struct rest *r)
{
    r->given_back = false;
    if (clock_mono_ms() - r->since_ms > PATIENT_MS || ++resting.in_vain < IN_VAIN_MAX)
        return;
    resting.in_vain = 0;
    resting.patience_ms = PATIENT_MS;
}

static void
leave(struct rest *r)
{
    *(r->prev ? &r->prev->next : &resting.first) = r->next;
    *(r->next ? &r->next->prev : &resting.last) = r->prev;
    resting.count--;
    r->resting = false;
}

static void
give_back_oldest(int64_t now_ms)
{
    for (unsigned i = 0; i < AT_ONCE_MAX && resting.count > RESTING_MAX; i++) {
        struct rest *oldest = resting.first;

        if (!oldest || now_ms - oldest->since_ms <= resting.patience_ms)
            return;
        give_back(oldest);
        leave(oldest);
    }
}

void
rest_init(struct rest *r, int fd)
{
    *r = (struct rest){.fd = fd};
}

void
rest_begin(struct rest *r)
{
    if (!r->memory || r->resting)
        return;
    r->resting = true;
    r->since_ms = clock_mono_ms();
    r->next = NULL;
    r->prev = resting.last;
    *(r->prev ? &r->prev->next : &resting.first) = r;
    resting.last = r;
    resting.count++;
    if (resting.count <= RESTING_MAX)
        resting.patience_ms = IMPATIENT_MS;
    give_back_oldest(r->since_ms);
}

void
rest_end(struct rest *r, const char *target)
{
    if (r->resting)
        leave(r);
    else if (r->given_back)
        note_need(r);
    if (!r->asked)
        learn(r, target);
    r->asked = true;
}

void
rest_close(struct rest *r)
{
    if (r->resting)
        leave(r);
}
