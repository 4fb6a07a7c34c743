// SPDX-License-Identifier: Apache-2.0
#include "http/server_rest.h"

#include <linux/tcp.h> /* for tcpi_bytes_received */
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define RESTING_MAX 128 /* of a loop, that keep their memory however long they rest */
#define RESTED_MS 50    /* what is in use more often than this keeps it, too */

/* Those of this loop that still have their memory; the first has rested longest. */
static _Thread_local struct {
    struct rest *first, *last;
    size_t count;
} resting;

static size_t
page_size(void)
{
    long size = sysconf(_SC_PAGESIZE);

    return size > 0 ? (size_t)size : CONNECTION_MEMORY;
}

void
rest_learn(struct rest *r, const char *target, int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    size_t page = page_size();

    if (r->asked)
        return;
    r->asked = true;
    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || info.tcpi_bytes_received == 0 ||
        info.tcpi_bytes_received > page)
        return;
    /* the page of the target stays: it may have begun before the memory does */
    r->memory = (char *)(uintptr_t)target - ((uintptr_t)target & (page - 1)) + page;
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

    while (kept >= page && all_zero(r->memory + kept - page, page))
        kept -= page;
    if (kept < size)
        (void)madvise(r->memory + kept, size - kept, MADV_DONTNEED);
}

static void
leave(struct rest *r)
{
    *(r->prev ? &r->prev->next : &resting.first) = r->next;
    *(r->next ? &r->next->prev : &resting.last) = r->prev;
    resting.count--;
    r->resting = false;
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
    while (resting.count > RESTING_MAX && r->since_ms - resting.first->since_ms > RESTED_MS) {
        give_back(resting.first);
        leave(resting.first);
    }
}

void
rest_end(struct rest *r)
{
    if (r->resting)
        leave(r);
}
