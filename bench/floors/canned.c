// SPDX-License-Identifier: Apache-2.0
/*
 * F1: libmicrohttpd as src/http/server.c starts it (a pool of epoll threads, connections that can
 * be suspended, 64 KiB each), answering every request with the same response, made once.
 *
 * usage: canned LOOPS HEAD BODY    HEAD: a file of "Name: value" lines; prints {"port": N}
 */
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTION_MEMORY ((size_t)64 * 1024)
#define CONNECTIONS 12000U

static struct MHD_Response *response;

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
           const char *version, const char *data, size_t *data_len, void **state)
{
    static int seen;

    (void)cls;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    if (!*state) { /* the header block; what is queued here closes the connection after a body */
        *state = &seen;
        return MHD_YES;
    }
    if (*data_len > 0) {
        *data_len = 0;
        return MHD_YES;
    }
    return MHD_queue_response(c, MHD_HTTP_OK, response);
}

/* The content of a file, and a NUL behind it. */
static char *
read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;

    *ret_len = 0;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        *ret_len = (size_t)ftell(file);
        rewind(file);
        text = calloc(1, *ret_len + 1);
    }
    if (!text || fread(text, 1, *ret_len, file) != *ret_len) {
        perror(path);
        exit(1);
    }
    (void)fclose(file);
    return text;
}

static void
add_headers(char *text)
{
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strstr(line, ": ");

        if (!colon)
            continue;
        *colon = '\0';
        if (MHD_add_response_header(response, line, colon + 2) != MHD_YES) {
            (void)fprintf(stderr, "canned: the library refuses header %s\n", line);
            exit(1);
        }
    }
}

int
main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const union MHD_DaemonInfo *info;
    struct MHD_Daemon *daemon;
    size_t head_len, body_len;
    unsigned loops;
    sigset_t ends;
    char *body;
    int which;

    if (argc != 4) {
        (void)fprintf(stderr, "usage: canned LOOPS HEAD BODY\n");
        return 2;
    }
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    loops = (unsigned)strtoul(argv[1], NULL, 10);
    body = read_file(argv[3], &body_len);
    response = MHD_create_response_from_buffer(body_len, body, MHD_RESPMEM_PERSISTENT);
    add_headers(read_file(argv[2], &head_len));
    daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, NULL,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_THREAD_POOL_SIZE,
        loops > 1 ? loops : 0, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_END);
    info = daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) {
        (void)fprintf(stderr, "canned: the library did not start\n");
        return 1;
    }
    (void)printf("{\"port\": %u}\n", info->port);
    (void)fflush(stdout);
    (void)sigwait(&ends, &which);
    MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    return 0;
}
