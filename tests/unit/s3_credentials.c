// SPDX-License-Identifier: Apache-2.0
/* blob/s3/credentials: each place that keys can come from, and how they are renewed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "blob/s3/credentials.h"

#define ROLE "/latest/meta-data/iam/security-credentials/"
#define THREADS 8

/* --- an endpoint on the loopback interface --- */

struct endpoint {
    int fd;
    int port;
    pthread_t thread;
    char url[64];
    pthread_mutex_t lock;
    int64_t lives_ms; /* how long the keys that it gives are good */
    int given;        /* keys */
    int asked;        /* requests */
    bool broken;
    char seen[2048]; /* the last request */
};

static void
keys_body(struct endpoint *e, char *body, size_t room)
{
    char until[CLOCK_TEXT_LEN];

    clock_format(clock_wall_ms() + e->lives_ms, until);
    (void)snprintf(body, room,
                   "{\"Code\":\"Success\",\"AccessKeyId\":\"access-%d\","
                   "\"SecretAccessKey\":\"secret\",\"Token\":\"session\",\"Expiration\":\"%s\"}",
                   ++e->given, until);
}

/* What the metadata service and a container's endpoint answer to `e->seen`. */
static void
answer(struct endpoint *e, int *status, char *body, size_t room)
{
    bool has_token = strstr(e->seen, "X-aws-ec2-metadata-token: t0k3n\r\n") != NULL;
    const char *text = "";

    *status = 200;
    if (e->broken)
        *status = 500;
    else if (strncmp(e->seen, "PUT /latest/api/token ", 22) == 0)
        text = "t0k3n\n";
    else if (strncmp(e->seen, "GET " ROLE " ", strlen("GET " ROLE " ")) == 0)
        *status = has_token ? 200 : 401, text = "my-role\n";
    else if (strncmp(e->seen, "GET " ROLE "my-role ", strlen("GET " ROLE "my-role ")) == 0)
        *status = has_token ? 200 : 401, text = NULL;
    else if (strncmp(e->seen, "GET /container ", 15) == 0)
        *status = strstr(e->seen, "Authorization: pass\r\n") ? 200 : 403, text = NULL;
    else
        *status = 404;
    if (!text && *status == 200)
        keys_body(e, body, room);
    else
        (void)snprintf(body, room, "%s", text ? text : "");
}

static void
serve_one(struct endpoint *e, int client)
{
    char body[512], head[128];
    size_t len = 0;
    ssize_t n = 1;
    int status;

    e->seen[0] = '\0';
    while (n > 0 && !strstr(e->seen, "\r\n\r\n") && len < sizeof(e->seen) - 1) {
        n = read(client, e->seen + len, sizeof(e->seen) - 1 - len);
        len += n > 0 ? (size_t)n : 0;
        e->seen[len] = '\0';
    }
    e->asked++;
    answer(e, &status, body, sizeof(body));
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 %d Answer\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
                   strlen(body));
    n = write(client, head, strlen(head));
    n = write(client, body, strlen(body));
}

static void *
serve(void *arg)
{
    struct endpoint *e = arg;
    int client;

    while ((client = accept(e->fd, NULL, NULL)) >= 0) {
        pthread_mutex_lock(&e->lock);
        serve_one(e, client);
        pthread_mutex_unlock(&e->lock);
        (void)close(client);
    }
    return NULL;
}

static void
endpoint_start(struct endpoint *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);

    *e = (struct endpoint){.lock = PTHREAD_MUTEX_INITIALIZER, .lives_ms = 3600000};
    e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(e->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(e->fd, 64), 0);
    assert_int_equal(getsockname(e->fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(e->url, sizeof(e->url), "http://127.0.0.1:%d", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&e->thread, NULL, serve, e), 0);
}

static void
endpoint_stop(struct endpoint *e)
{
    (void)shutdown(e->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(e->thread, NULL), 0);
    (void)close(e->fd);
}

static void
set_broken(struct endpoint *e, bool broken, int64_t lives_ms)
{
    pthread_mutex_lock(&e->lock);
    e->broken = broken;
    e->lives_ms = lives_ms;
    pthread_mutex_unlock(&e->lock);
}

/* --- the cases --- */

static struct http *http;

static int
clear_environment(void **state)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                        "HOME"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unsetenv(names[i]);
    return 0;
}

static const char *
access_now(struct credentials *c, TALLOC_CTX *pool)
{
    struct sigv4_keys keys;
    struct err err;

    if (credentials_get(c, pool, &keys, &err))
        return "none";
    return keys.access;
}

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void
test_environment(void **state)
{
    SCOPED_POOL(pool);
    SCOPED(credentials) c = NULL;
    SCOPED(credentials) none = NULL;
    struct sigv4_keys keys;
    struct err err;

    (void)state;
    (void)setenv("AWS_ACCESS_KEY_ID", "a", 1);
    assert_int_equal(credentials_new("env", "default", http, &none, &err), RC_INVALID);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    (void)setenv("AWS_SESSION_TOKEN", "t\r\nx: y", 1);
    assert_int_equal(credentials_new("env", "default", http, &none, &err), RC_INVALID);
    (void)setenv("AWS_SESSION_TOKEN", "t", 1);
    assert_int_equal(credentials_new(NULL, "default", http, &c, &err), RC_OK);
    (void)setenv("AWS_ACCESS_KEY_ID", "later", 1);
    assert_int_equal(credentials_get(c, pool, &keys, &err), RC_OK);
    assert_string_equal(keys.access, "a");
    assert_string_equal(keys.secret, "s");
    assert_string_equal(keys.token, "t");
}

static void
test_file(void **state)
{
    SCOPED_POOL(pool);
    SCOPED(credentials) c = NULL;
    SCOPED(credentials) none = NULL;
    char path[] = "/tmp/unit_credentials.XXXXXX";
    int fd = mkstemp(path);
    struct sigv4_keys keys;
    struct err err;

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    write_file(path, "# aws_access_key_id = no\n[other]\naws_access_key_id=x\n"
                     "aws_secret_access_key=y\r\n\n[ mine ]\n  aws_access_key_id = one \n"
                     "aws_secret_access_key = a=b\naws_session_token=\tt\nregion = z\n");
    assert_int_equal(credentials_new(path, "default", http, &none, &err), RC_INVALID);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    assert_int_equal(credentials_new(NULL, "mine", http, &c, &err), RC_OK);
    assert_int_equal(credentials_get(c, pool, &keys, &err), RC_OK);
    assert_string_equal(keys.access, "one");
    assert_string_equal(keys.secret, "a=b");
    assert_string_equal(keys.token, "t");
    /* new keys in the file are found when the old ones are refused */
    write_file(path, "[mine]\naws_access_key_id=two\naws_secret_access_key=b\n");
    assert_string_equal(access_now(c, pool), "one");
    credentials_refused(c, "another");
    assert_string_equal(access_now(c, pool), "one");
    credentials_refused(c, "one");
    assert_int_equal(credentials_get(c, pool, &keys, &err), RC_OK);
    assert_string_equal(keys.access, "two");
    assert_null(keys.token);
    /* and a broken file leaves those that there are */
    write_file(path, "");
    credentials_refused(c, "two");
    assert_string_equal(access_now(c, pool), "two");
    (void)unlink(path);
}

static void
test_instance(void **state)
{
    SCOPED_POOL(pool);
    SCOPED(credentials) c = NULL;
    struct sigv4_keys keys;
    struct endpoint e;
    struct err err;

    (void)state;
    endpoint_start(&e);
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", mem_printf(pool, "%s/", e.url), 1);
    assert_int_equal(credentials_new(NULL, "default", http, &c, &err), RC_OK);
    set_broken(&e, true, 0);
    assert_int_equal(credentials_get(c, pool, &keys, &err), RC_UNAVAILABLE);
    set_broken(&e, false, 3600000);
    assert_int_equal(credentials_get(c, pool, &keys, &err), RC_OK);
    assert_string_equal(keys.access, "access-1");
    assert_string_equal(keys.secret, "secret");
    assert_string_equal(keys.token, "session");
    assert_string_equal(access_now(c, pool), "access-1");
    endpoint_stop(&e);
    assert_int_equal(e.asked, 4);
}

static void
test_container(void **state)
{
    SCOPED_POOL(pool);
    SCOPED(credentials) c = NULL;
    SCOPED(credentials) none = NULL;
    struct endpoint e;
    struct err err;
    int64_t began = clock_mono_ms();

    (void)state;
    assert_int_equal(credentials_new("container", "default", http, &none, &err), RC_INVALID);
    endpoint_start(&e);
    e.lives_ms = 2000;
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", mem_printf(pool, "%s/container", e.url), 1);
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pass", 1);
    assert_int_equal(credentials_new(NULL, "default", http, &c, &err), RC_OK);
    assert_string_equal(access_now(c, pool), "access-1");
    /* those that have ended are not used, whatever the endpoint does */
    set_broken(&e, true, 3600000);
    while (!streq(access_now(c, pool), "none")) {
        assert_true(clock_mono_ms() - began < 20000);
        (void)usleep(50000);
    }
    set_broken(&e, false, 3600000);
    assert_string_equal(access_now(c, pool), "access-2");
    endpoint_stop(&e);
}

static void *
get_many(void *arg)
{
    for (int i = 0; i < 100; i++) {
        SCOPED_POOL(pool);

        if (!streq(access_now(arg, pool), "access-1"))
            return NULL;
    }
    return arg;
}

static void
test_one_fetches_for_all(void **state)
{
    SCOPED(credentials) c = NULL;
    pthread_t threads[THREADS];
    struct endpoint e;
    struct err err;
    void *ok;

    (void)state;
    endpoint_start(&e);
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", e.url, 1);
    assert_int_equal(credentials_new("instance", "default", http, &c, &err), RC_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_many, c), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &ok), 0);
        assert_non_null(ok);
    }
    endpoint_stop(&e);
    assert_int_equal(e.given, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_environment, clear_environment),
        cmocka_unit_test_setup(test_file, clear_environment),
        cmocka_unit_test_setup(test_instance, clear_environment),
        cmocka_unit_test_setup(test_container, clear_environment),
        cmocka_unit_test_setup(test_one_fetches_for_all, clear_environment),
    };
    struct err err;
    int failed;

    if (http_new(NULL, &http, &err)) {
        print_error("%s\n", err.detail);
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    http_free(&http);
    return failed;
}
