// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server_rest.h"

#define KEPT 128 /* of those that rest keep their memory */
#define MANY (KEPT + 8)
#define PATIENCE_US 60000

/* As the library has it: a request begins the memory, a NUL ends its method. */
static const char REQUEST[] = "GET\0/readyz";

static struct connection {
    int ends[2]; /* the client's, ours */
    char *memory;
    struct rest rest;
} all[MANY + 1];

static size_t
page(void)
{
    return (size_t)getpagesize();
}

static void
connect_pair(int ends[2])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *sa = (struct sockaddr *)&name;
    socklen_t len = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, sa, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, sa, &len), 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(ends[0], sa, len), 0);
    ends[1] = accept(listener, NULL, NULL);
    assert_true(ends[1] >= 0);
    (void)close(listener);
}

/* Its client has sent `received` bytes. */
static void
open_one(struct connection *c, size_t received)
{
    char *bytes = calloc(1, received);

    connect_pair(c->ends);
    assert_int_equal(send(c->ends[0], bytes, received, 0), received);
    assert_int_equal(recv(c->ends[1], bytes, received, MSG_WAITALL), received);
    free(bytes);
    c->memory = mmap(NULL, CONNECTION_MEMORY, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    assert_ptr_not_equal(c->memory, MAP_FAILED);
    memcpy(c->memory, REQUEST, sizeof(REQUEST));
    rest_init(&c->rest, c->ends[1]);
}

static void
close_one(struct connection *c)
{
    rest_close(&c->rest);
    (void)close(c->ends[0]);
    (void)close(c->ends[1]);
    (void)munmap(c->memory, CONNECTION_MEMORY);
}

/* All rest but the last, which begins when all have rested long enough. */
static void
open_all(void)
{
    for (size_t i = 0; i <= MANY; i++) {
        open_one(&all[i], sizeof(REQUEST));
        rest_end(&all[i].rest, strchr(all[i].memory, '\0') + 1);
        if (i < MANY)
            rest_begin(&all[i].rest);
    }
    (void)usleep(PATIENCE_US);
}

static void
close_all(void)
{
    for (size_t i = 0; i <= MANY; i++)
        close_one(&all[i]);
}

static size_t
pages_there(const struct connection *c)
{
    unsigned char there[64];
    size_t n = 0;

    assert_int_equal(mincore(c->memory, CONNECTION_MEMORY, there), 0);
    for (size_t i = 0; i < CONNECTION_MEMORY / page(); i++)
        n += there[i] & 1;
    return n;
}

static void
test_pages_of_zeros_are_given_back(void **state)
{
    size_t given = 0;

    (void)state;
    open_all();
    all[1].memory[5 * page()] = 'a';
    rest_begin(&all[MANY].rest);
    assert_int_equal(pages_there(&all[0]), 1);
    assert_memory_equal(all[0].memory, REQUEST, sizeof(REQUEST));
    assert_int_equal(pages_there(&all[1]), 6);
    assert_int_equal(all[1].memory[5 * page()], 'a');
    for (size_t i = 0; i <= MANY; i++)
        given += pages_there(&all[i]) < CONNECTION_MEMORY / page();
    assert_int_equal(given, MANY + 1 - KEPT);
    close_all();
}

/* As after the library has closed them and ended the memory, and not told so yet. */
static void
test_memory_of_the_closed_is_not_looked_at(void **state)
{
    (void)state;
    open_all();
    for (size_t i = 0; i < MANY; i++) {
        (void)(i % 3 == 0 ? close(all[i].ends[0]) : 0);
        (void)(i % 3 == 1 ? shutdown(all[i].ends[0], SHUT_WR) : 0);
        (void)shutdown(all[i].ends[1], SHUT_WR);
        assert_int_equal(mprotect(all[i].memory, CONNECTION_MEMORY, PROT_NONE), 0);
    }
    rest_begin(&all[MANY].rest);
    close_all();
}

/* Where it is cannot be known: a heap's, or not from the first byte on. */
static void
test_memory_that_is_elsewhere_stays(void **state)
{
    struct connection c;

    (void)state;
    for (size_t at = 0; at <= 32; at += 16) {
        open_one(&c, sizeof(REQUEST));
        memset(c.memory, 0, page());
        memcpy(c.memory + at, REQUEST, sizeof(REQUEST));
        rest_end(&c.rest, c.memory + at + sizeof("GET"));
        assert_true((at == 0) == (c.rest.memory != NULL));
        close_one(&c);
        memset(all, 0, sizeof(all));
    }
    open_one(&c, page() + 1);
    rest_end(&c.rest, c.memory + sizeof("GET"));
    assert_null(c.rest.memory);
    close_one(&c);
    open_one(&c, sizeof(REQUEST));
    rest_init(&c.rest, -1);
    rest_end(&c.rest, c.memory + sizeof("GET"));
    assert_null(c.rest.memory);
    close_one(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_of_zeros_are_given_back),
        cmocka_unit_test(test_memory_of_the_closed_is_not_looked_at),
        cmocka_unit_test(test_memory_that_is_elsewhere_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
