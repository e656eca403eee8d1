#include "rig.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "resp/reader.h"

enum { MAX_FLAGS = 16, MAX_ARGS = 64, ENOUGH_TURNS = 10000 };

/* ---- the rig ---- */

static struct config_store *load_config(const char *const *flags)
{
    char *argv[MAX_FLAGS + 4] = {mem_strdup("respgres")};
    char *no_environment[] = {NULL};
    int argc = 1;
    struct buf error;
    /* There is no router: while the store is away there is nothing else. */
    argv[argc++] = mem_strdup("--fallback");
    argv[argc++] = mem_strdup("off");
    for (int i = 0; flags != NULL && flags[i] != NULL; i++) {
        CHECK(argc <= MAX_FLAGS + 2);
        argv[argc++] = mem_strdup(flags[i]);
    }
    buf_init(&error);
    struct config_store *config = config_load(argc, argv, no_environment, &error);
    if (config == NULL)
        printf("%s\n", buf_cstr(&error));
    CHECK(config != NULL);
    buf_release(&error);
    for (int i = 0; i < argc; i++)
        mem_free(argv[i]);
    return config;
}

static void on_config_change(void *arg)
{
    const struct rig *r = arg;
    engine_config_changed(r->engine);
}

void rig_init(struct rig *r, size_t read_lanes, size_t commit_lanes, const char *const *flags)
{
    hash_seed();
    log_set_level(LOG_WARNING + 1);
    r->loop = loop_new();
    r->config = load_config(flags);
    r->keyspace = keyspace_new(config_maxmemory(config_values(r->config)));
    r->ms = memory_store_new(read_lanes, commit_lanes);
    r->engine = engine_new(r->loop, r->config, r->keyspace, memory_store_base(r->ms));
    config_on_change(r->config, on_config_change, r);
}

void rig_release(struct rig *r)
{
    struct store *store = memory_store_base(r->ms);
    engine_free(r->engine);
    keyspace_free(r->keyspace);
    store->ops->free(store);
    loop_free(r->loop);
    config_free(r->config);
}

void rig_submit(struct rig *r)
{
    while (engine_turn_end(r->engine))
        continue;
}

void rig_turn(struct rig *r)
{
    int turns = 0;
    /* What the end of a turn wakes up is looked at in the next one. */
    do {
        CHECK(++turns < ENOUGH_TURNS);
        rig_submit(r);
        rig_submit(r);
    } while (memory_store_turn(r->ms));
}

void rig_advance_ms(struct rig *r, int64_t ms)
{
    enum { STEP_MS = 5 };
    while (ms > 0) {
        int64_t step = ms < STEP_MS ? ms : STEP_MS;
        memory_store_advance(r->ms, step * 1000);
        fake_time_advance(r->loop, step * 1000);
        rig_turn(r);
        ms -= step;
    }
}

/* ---- connections ---- */

static void on_output(void *arg)
{
    struct peer *p = arg;
    p->told_output = true;
}

static void on_close(void *arg, bool now)
{
    struct peer *p = arg;
    p->told_close |= !now;
    p->told_close_now |= now;
}

static void on_resume(void *arg)
{
    struct peer *p = arg;
    p->resumed++;
}

static const struct client_io peer_io = {on_output, on_close, on_resume};

void peer_open(struct rig *r, struct peer *p)
{
    struct client_info info = {.fd = 7, .loopback = true};
    snprintf(info.peer, sizeof(info.peer), "127.0.0.1:50001");
    snprintf(info.local, sizeof(info.local), "127.0.0.1:6379");
    *p = (struct peer){.rig = r};
    buf_init(&p->in);
    buf_init(&p->text);
    p->client = client_new(r->engine, &peer_io, p, &info);
}

void peer_close(struct peer *p)
{
    struct client *c = p->client;
    p->client = NULL;
    if (c != NULL)
        client_closed(c);
}

void peer_release(struct peer *p)
{
    peer_close(p);
    buf_release(&p->in);
    buf_release(&p->text);
}

void peer_send_argv(struct peer *p, int argc, const struct bytes *argv)
{
    client_submit(p->client, request_new(argc, argv));
}

static void send_one(struct peer *p, const char *text, size_t len)
{
    struct bytes argv[MAX_ARGS];
    int argc = 0;
    while (len > 0) {
        size_t n = 0;
        while (n < len && text[n] != ' ')
            n++;
        CHECK(argc < MAX_ARGS);
        if (n > 0)
            argv[argc++] = n == 1 && *text == '~' ? BYTES_LIT("") : bytes_of(text, n);
        n += n < len;
        text += n;
        len -= n;
    }
    if (argc > 0)
        peer_send_argv(p, argc, argv);
}

void peer_send(struct peer *p, const char *commands)
{
    while (*commands != '\0') {
        size_t len = strcspn(commands, ";");
        send_one(p, commands, len);
        commands += len + (commands[len] == ';');
    }
}

/* As net does. */
void peer_collect(struct peer *p)
{
    struct buf *out = p->client != NULL ? client_out(p->client) : NULL;
    if (out == NULL || out->len == 0)
        return;
    CHECK(p->told_output);
    p->told_output = false;
    buf_append_bytes(&p->in, buf_bytes(out));
    buf_consume(out, out->len);
    client_wrote(p->client);
}

const char *peer_take(struct peer *p)
{
    peer_collect(p);
    p->text.len = 0;
    for (size_t i = 0; i < p->in.len; i++) {
        bool crlf = p->in.data[i] == '\r' && i + 1 < p->in.len && p->in.data[i + 1] == '\n';
        i += crlf;
        if (!crlf)
            buf_append_u8(&p->text, (uint8_t)p->in.data[i]);
        else if (i + 1 < p->in.len)
            buf_append_u8(&p->text, ' ');
    }
    p->in.len = 0;
    return buf_cstr(&p->text);
}

void peer_say(struct peer *p, const char *commands)
{
    peer_send(p, commands);
    rig_turn(p->rig);
}

const char *peer_ask(struct peer *p, const char *commands)
{
    peer_say(p, commands);
    return peer_take(p);
}
