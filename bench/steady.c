// SPDX-License-Identifier: Apache-2.0
/*
 * steady: requests at a constant rate, each timed from the moment it was due.
 *
 * A generator that waits for an answer before it sends the next request asks less of a server that
 * falls behind, and forgets the time in which it would have asked. Here request n is due at n/rate,
 * whatever became of those before it: when no connection is free it waits, and that is part of its
 * time. What is not answered in the end counts with the time it has waited. With --rate 0 each
 * connection sends as soon as it has its answer, and times begin with the sending.
 *
 * usage: steady HOST:PORT --callers FILE [--rate N] [--seconds N] [--connections N] [--mix KINDS]
 *               [--size BYTES] [--once]
 *
 * FILE has lines of "KEY [DOCUMENT]": whom requests come from and what they ask for, at random.
 * KINDS is "get=45,list=30,create=15,delete=10" and the like (also hard: a delete of the bytes at
 * once, and upload: of --size bytes). Documents that were created join those of the file, deletes
 * take them away; --once ends when none is left. Prints JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 16384 /* what is kept of an answer; the rest is only counted */
#define HEAD_MAX 2048    /* of a request: all but the bytes of an upload */
#define GRACE_S 10       /* how long answers are waited for after the last request was due */
#define DOCUMENT_MAX 40
#define LONGEST_WAIT_NS 10000000L
#define BOUNDARY "steady-9f2c"

enum kind { GET, LIST, CREATE, DELETE, HARD, UPLOAD, KINDS };

static const char *const kind_names[KINDS] = {"get", "list", "create", "delete", "hard", "upload"};

struct document {
    const char *key;
    char id[DOCUMENT_MAX];
};

/* Times in microseconds, all of them: percentiles are exact. */
struct times {
    uint32_t *us;
    size_t n, room;
};

struct connection {
    int fd;
    bool busy;
    enum kind kind;
    double due;
    const char *key; /* of the request under way */
    char *out;
    size_t out_len, sent;
    char in[ANSWER_MAX + 1];
    size_t received;
    size_t expected; /* of head and body; 0 until the head is there */
};

static struct {
    struct sockaddr_in server;
    double rate, seconds;
    int connections;
    int weights[KINDS], weight;
    size_t size;
    bool once;
} config = {.seconds = 5, .connections = 64, .size = 4096};

static char **keys;
static size_t n_keys;
static struct document *documents;
static size_t n_documents, room_documents;
static struct times times[KINDS];
static long statuses[600], broken, *every_second;
static int poll_fd, n_busy;
static uint64_t serial;
static double begun;

static double
now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
    (void)fprintf(stderr, "steady: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *
need(void *p)
{
    if (!p)
        die("memory");
    return p;
}

/* The same sequence in each run; xorshift64 (Marsaglia, 2003). */
static size_t
below(size_t n)
{
    static uint64_t state = 88172645463325252U;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % n);
}

static void
add_document(const char *key, const char *id)
{
    if (n_documents == room_documents) {
        room_documents = room_documents ? 2 * room_documents : 1024;
        documents = need(realloc(documents, room_documents * sizeof(*documents)));
    }
    documents[n_documents].key = key;
    (void)snprintf(documents[n_documents++].id, DOCUMENT_MAX, "%s", id);
}

static void
note_time(enum kind kind, double seconds)
{
    struct times *t = &times[kind];

    if (t->n == t->room) {
        t->room = t->room ? 2 * t->room : 4096;
        t->us = need(realloc(t->us, t->room * sizeof(*t->us)));
    }
    t->us[t->n++] = (uint32_t)(seconds * 1e6);
}

static void
open_connection(struct connection *c)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&config.server, sizeof(config.server)))
        die("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event))
        die("epoll");
}

static enum kind
pick_kind(void)
{
    int at = (int)below((size_t)config.weight);
    enum kind kind = GET;

    while (at >= config.weights[kind])
        at -= config.weights[kind++];
    return n_documents == 0 && (kind == GET || kind == DELETE || kind == HARD) ? LIST : kind;
}

/* Head and body into c->out; the document of a delete is nobody's from now on. */
static void
write_request(struct connection *c)
{
    struct document d = {.key = keys[below(n_keys)]};
    char body[HEAD_MAX / 2] = "";
    const char *method = "GET", *type = "application/json", *tail = "";
    char path[128] = "/v1/documents?per_page=25";
    size_t filler = 0, length;

    if (c->kind == GET || c->kind == DELETE || c->kind == HARD) {
        size_t at = below(n_documents);

        d = documents[at];
        method = c->kind == GET ? "GET" : "DELETE";
        if (c->kind != GET)
            documents[at] = documents[--n_documents];
        (void)snprintf(path, sizeof(path), "/v1/documents/%s%s", d.id,
                       c->kind == GET    ? "?download=false"
                       : c->kind == HARD ? "?hard=true"
                                         : "");
    } else if (c->kind == CREATE) {
        method = "POST";
        (void)snprintf(path, sizeof(path), "/v1/documents");
        (void)snprintf(body, sizeof(body),
                       "{\"name\":\"Acme-NDA-2026.pdf\",\"mime_type\":\"application/pdf\","
                       "\"storage_path\":\"steady/%d-%.0f-%llu.pdf\",\"size_bytes\":183204,"
                       "\"folder\":\"/clients/acme/ndas\",\"tags\":[\"nda\",\"confidentiality\"]}",
                       (int)getpid(), begun, (unsigned long long)serial++);
    } else if (c->kind == UPLOAD) {
        method = "POST";
        type = "multipart/form-data; boundary=" BOUNDARY;
        (void)snprintf(path, sizeof(path), "/api/v1/upload");
        (void)snprintf(body, sizeof(body),
                       "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"files\"; "
                       "filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n");
        tail = "\r\n--" BOUNDARY "--\r\n";
        filler = config.size;
    }
    length = strlen(body) + filler + strlen(tail);
    c->key = d.key;
    c->out_len = (size_t)snprintf(c->out, HEAD_MAX,
                                  "%s %s HTTP/1.1\r\nHost: steady\r\nAuthorization: Bearer %s\r\n",
                                  method, path, d.key);
    c->out_len += (size_t)(length ? snprintf(c->out + c->out_len, HEAD_MAX - c->out_len,
                                             "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                                             type, length, body)
                                  : snprintf(c->out + c->out_len, HEAD_MAX - c->out_len, "\r\n"));
    memset(c->out + c->out_len, 'a' + (int)below(26), filler);
    c->out_len += filler;
    memcpy(c->out + c->out_len, tail, strlen(tail));
    c->out_len += strlen(tail);
}

static void
flush_request(struct connection *c)
{
    while (c->sent < c->out_len) {
        ssize_t n =
            send(c->fd, c->out + c->sent, c->out_len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n <= 0)
            return; /* epoll tells when there is room again, or that the connection is broken */
        c->sent += (size_t)n;
    }
}

static void
begin_request(struct connection *c, double due)
{
    c->kind = pick_kind();
    c->busy = true;
    c->due = due;
    c->sent = c->received = c->expected = 0;
    n_busy++;
    write_request(c);
    flush_request(c);
}

static void
end_request(struct connection *c, int status)
{
    double at = now();
    char *id = c->kind == CREATE && status == 201 ? strstr(c->in, "\"id\":\"doc_") : NULL;

    c->busy = false;
    n_busy--;
    note_time(c->kind, at - c->due);
    every_second[(int)(at - begun)]++;
    if (status)
        statuses[status]++;
    else
        broken++;
    if (id) {
        id += 6;
        id[strcspn(id, "\"")] = '\0';
        add_document(c->key, id);
    }
}

/* The head gives the length; what is answered has one, or no body at all (204). */
static void
read_head(struct connection *c)
{
    char *end, *length;

    c->in[c->received < ANSWER_MAX ? c->received : ANSWER_MAX] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return;
    length = strcasestr(c->in, "\r\nContent-Length:");
    c->expected = (size_t)(end - c->in) + 4;
    if (length && length < end)
        c->expected += strtoul(length + 17, NULL, 10);
}

static void
read_answer(struct connection *c)
{
    static char rest[1 << 16];

    for (;;) {
        size_t room = c->received < ANSWER_MAX ? ANSWER_MAX - c->received : 0;
        ssize_t n = recv(c->fd, room ? c->in + c->received : rest, room ? room : sizeof(rest),
                         MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            if (c->busy)
                end_request(c, 0);
            (void)close(c->fd);
            open_connection(c);
            return;
        }
        c->received += (size_t)n;
        if (!c->expected)
            read_head(c);
        if (c->busy && c->expected && c->received >= c->expected)
            end_request(c, (int)(strtoul(c->in + strlen("HTTP/1.1 "), NULL, 10) % 600));
    }
}

static bool
used_up(void)
{
    return config.once && n_documents == 0;
}

/*
 * Sends what is due on connections that are free. Returns nanoseconds until more will be: to a
 * fraction of a millisecond, since waiting here is part of what is measured.
 */
static long
send_due(struct connection *all, uint64_t *sent)
{
    static int next;
    double at = now();

    for (int i = 0; i < config.connections && !used_up(); i++) {
        struct connection *c = &all[next];
        double due = config.rate > 0 ? begun + (double)*sent / config.rate : at;

        if (due >= begun + config.seconds)
            break;
        if (due > at)
            return (long)((due - at) * 1e9) % LONGEST_WAIT_NS;
        next = (next + 1) % config.connections;
        if (c->busy)
            continue;
        begin_request(c, due);
        ++*sent;
    }
    return LONGEST_WAIT_NS;
}

/* At a rate, all that was due: who wakes late has not sent the last yet when time is over. */
static bool
more_to_send(uint64_t sent)
{
    if (used_up())
        return false;
    return config.rate > 0 ? (double)sent / config.rate < config.seconds
                           : now() < begun + config.seconds;
}

static void
run(struct connection *all)
{
    struct epoll_event events[256];
    uint64_t sent = 0;
    double until;

    begun = now();
    until = begun + config.seconds;
    while (now() < until + GRACE_S && (more_to_send(sent) || n_busy > 0)) {
        struct timespec wait = {.tv_nsec = send_due(all, &sent)};
        int n = epoll_pwait2(poll_fd, events, 256, &wait, NULL);

        for (int i = 0; i < n; i++) {
            flush_request(events[i].data.ptr);
            read_answer(events[i].data.ptr);
        }
    }
    for (int i = 0; i < config.connections; i++) { /* never answered */
        if (all[i].busy)
            end_request(&all[i], 0);
    }
    for (; config.rate > 0 && !used_up() && (double)sent < config.rate * config.seconds; sent++) {
        note_time(pick_kind(), now() - begun - (double)sent / config.rate); /* never even sent */
        broken++;
    }
}

static int
by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static json_t *
percentiles(struct times *t, double seconds)
{
    static const struct {
        const char *name;
        double share;
    } wanted[] = {
        {"p50_ms", .5}, {"p90_ms", .9}, {"p99_ms", .99}, {"p999_ms", .999}, {"max_ms", 1}};
    json_t *out = json_object();

    qsort(t->us, t->n, sizeof(*t->us), by_size);
    (void)json_object_set_new(out, "requests", json_integer((json_int_t)t->n));
    (void)json_object_set_new(out, "rate", json_real((double)t->n / seconds));
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        size_t at = (size_t)((double)t->n * wanted[i].share);

        (void)json_object_set_new(out, wanted[i].name,
                                  json_real(t->us[at < t->n ? at : t->n - 1] / 1e3));
    }
    return out;
}

static void
print_result(double seconds)
{
    json_t *out = json_object(), *kinds = json_object(), *found = json_object();
    json_t *per_second = json_array();
    size_t total = 0;
    char name[8];

    for (int i = 0; i < KINDS; i++) {
        total += times[i].n;
        if (times[i].n)
            (void)json_object_set_new(kinds, kind_names[i], percentiles(&times[i], seconds));
    }
    for (int i = 0; i < 600; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        if (statuses[i])
            (void)json_object_set_new(found, name, json_integer(statuses[i]));
    }
    for (int i = 0; i < (int)seconds; i++)
        (void)json_array_append_new(per_second, json_integer(every_second[i]));
    (void)json_object_set_new(out, "wanted", json_real(config.rate));
    (void)json_object_set_new(out, "had", json_real((double)total / seconds));
    (void)json_object_set_new(out, "seconds", json_real(seconds));
    (void)json_object_set_new(out, "broken", json_integer(broken));
    (void)json_object_set_new(out, "statuses", found);
    (void)json_object_set_new(out, "kinds", kinds);
    (void)json_object_set_new(out, "per_second", per_second);
    (void)json_dumpf(out, stdout, JSON_REAL_PRECISION(6) | JSON_COMPACT);
    (void)putchar('\n');
    json_decref(out);
}

static void
read_callers(const char *path)
{
    char key[256], id[DOCUMENT_MAX], *line = NULL;
    FILE *f = fopen(path, "re");
    size_t room = 0;

    if (!f)
        die(path);
    while (getline(&line, &room, f) > 0) {
        int words = sscanf(line, "%255s %39s", key, id);

        if (words > 0 && (n_keys == 0 || strcmp(keys[n_keys - 1], key) != 0)) {
            keys = need(realloc(keys, (n_keys + 1) * sizeof(*keys)));
            keys[n_keys++] = need(strdup(key));
        }
        if (words == 2)
            add_document(keys[n_keys - 1], id);
    }
    free(line);
    (void)fclose(f);
}

static void
read_mix(char *text)
{
    for (char *end, *word = strtok_r(text, ",", &end); word; word = strtok_r(NULL, ",", &end)) {
        char *equals = strchr(word, '=');
        int weight = equals ? (int)strtol(equals + 1, NULL, 10) : 1;
        bool known = false;

        if (equals)
            *equals = '\0';
        for (int i = 0; i < KINDS; i++) {
            if (strcmp(word, kind_names[i]) == 0) {
                known = true;
                config.weights[i] = weight;
                config.weight += weight;
            }
        }
        if (!known) {
            errno = EINVAL;
            die(word);
        }
    }
}

static void
read_address(char *text)
{
    char *colon = strrchr(text, ':');

    config.server.sin_family = AF_INET;
    if (colon)
        *colon = '\0';
    if (!colon || inet_pton(AF_INET, text, &config.server.sin_addr) != 1) {
        errno = EINVAL;
        die(text);
    }
    config.server.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"callers", required_argument, NULL, 'f'},
                                            {"rate", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"mix", required_argument, NULL, 'm'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"size", required_argument, NULL, 'b'},
                                            {"once", no_argument, NULL, '1'},
                                            {NULL, 0, NULL, 0}};
    struct connection *all;
    double ended;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'f')
            read_callers(optarg);
        else if (c == 'r')
            config.rate = strtod(optarg, NULL);
        else if (c == 's')
            config.seconds = strtod(optarg, NULL);
        else if (c == 'm')
            read_mix(optarg);
        else if (c == 'c')
            config.connections = (int)strtol(optarg, NULL, 10);
        else if (c == 'b')
            config.size = strtoul(optarg, NULL, 10);
        else if (c == '1')
            config.once = true;
        else
            return 2;
    }
    if (optind != argc - 1 || n_keys == 0) {
        (void)fputs("usage: steady HOST:PORT --callers FILE [...]: see bench/steady.c\n", stderr);
        return 2;
    }
    read_address(argv[optind]);
    if (config.weight == 0)
        config.weight = config.weights[GET] = 1;
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    all = need(calloc((size_t)config.connections, sizeof(*all)));
    every_second = need(calloc((size_t)config.seconds + GRACE_S + 2, sizeof(*every_second)));
    for (int i = 0; i < config.connections; i++) {
        all[i].out = need(malloc(HEAD_MAX + config.size + 64));
        open_connection(&all[i]);
    }
    run(all);
    ended = now() - begun;
    print_result(ended < config.seconds || config.rate <= 0 ? ended : config.seconds);
    return 0;
}
