/* session_client: CLIENT and its subcommands. */
#include <stdio.h>

#include "base/mem.h"
#include "base/num.h"
#include "engine/block.h"
#include "engine/internal.h"

/* Redis' letters, in its order. */
static void client_flags(const struct client *c, char out[16])
{
    size_t n = 0;
    if (c->monitor)
        out[n++] = 'O';
    if (subscriber_count(&c->hears) > 0)
        out[n++] = 'P';
    if (c->multi)
        out[n++] = 'x';
    if (c->paused || block_has(c))
        out[n++] = 'b';
    if (c->closing)
        out[n++] = 'c';
    if (c->info.unix_socket)
        out[n++] = 'U';
    if (c->no_evict)
        out[n++] = 'e';
    if (n == 0)
        out[n++] = 'N';
    out[n] = '\0';
}

static void append_client(struct buf *out, const struct client *c)
{
    int64_t now = loop_now_us(c->engine->loop);
    char flags[16];
    client_flags(c, flags);
    buf_printf(out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s db=%d ",
               (unsigned long long)c->id, c->info.peer, c->info.local, c->info.fd, c->name,
               (long long)(now - c->created_us) / 1000000, (long long)(now - c->active_us) / 1000000,
               flags, c->db);
    buf_printf(out, "sub=%zu psub=%zu ssub=%zu ", c->hears.n[CHANNEL_PLAIN],
               c->hears.n[CHANNEL_PATTERN], c->hears.n[CHANNEL_SHARD]);
    buf_printf(out, "multi=%d watch=%d qbuf=%zu qbuf-free=0 argv-mem=%zu ",
               c->multi ? c->nqueued : -1, c->nwatches, c->query_memory, c->pending_memory);
    buf_printf(out, "multi-mem=%zu rbs=%zu rbp=0 obl=%zu oll=0 omem=%zu tot-mem=%zu events=%s ",
               c->queued_memory, c->out.cap, c->out.len, c->out.len,
               sizeof(*c) + c->hears.memory + c->out.cap + c->query_memory + c->pending_memory + c->queued_memory,
               c->out.len > 0 ? "rw" : "r");
    struct bytes user = acl_user_name(c->user);
    buf_printf(out, "cmd=%s user=%.*s redir=-1 resp=%d lib-name=%s lib-ver=%s\n", c->last_command,
               (int)user.len, user.data, c->proto, c->lib_name, c->lib_version);
}

void client_describe(struct buf *out, const struct client *c)
{
    append_client(out, c);
    out->len--; /* its newline */
}

static struct client *find_client(const struct engine *e, int64_t id)
{
    LIST_EACH(it, (struct list *)&e->clients)
    {
        struct client *c = LIST_ITEM(it, struct client, node);
        if ((int64_t)c->id == id)
            return c;
    }
    return NULL;
}

/* Of other types there are none. */
struct client_types {
    bool normal;
    bool pubsub;
};

static bool is_of_type(const struct client *c, struct client_types types)
{
    return subscriber_count(&c->hears) > 0 ? types.pubsub : types.normal;
}

static bool client_type_or_reply(struct bytes name, struct reply *r, struct client_types *out)
{
    static const char *const types[] = {"normal", "master", "slave", "replica", "pubsub"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (bytes_ieq(name, types[i])) {
            *out = (struct client_types){bytes_ieq(name, "normal"), bytes_ieq(name, "pubsub")};
            return true;
        }
    }
    reply_errorf(r, "ERR Unknown client type '%.*s'", (int)name.len, name.data);
    return false;
}

static void run_list(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    int argc = tc->request->argc;
    struct buf out;
    struct client_types types = {true, true};
    buf_init(&out);
    if (argc == 4 && bytes_ieq(argv[2], "type")) {
        if (!client_type_or_reply(argv[3], r, &types))
            return;
    } else if (argc > 3 && bytes_ieq(argv[2], "id")) {
        types = (struct client_types){false, false};
        for (int i = 3; i < argc; i++) {
            int64_t id;
            if (!num_int64(argv[i], &id)) {
                reply_error(r, "ERR Invalid client ID");
                buf_release(&out);
                return;
            }
            const struct client *other = find_client(c->engine, id);
            if (other != NULL)
                append_client(&out, other);
        }
    } else if (argc != 2) {
        reply_error(r, "ERR syntax error");
        return;
    }
    LIST_EACH(it, &c->engine->clients)
    {
        if (is_of_type(LIST_ITEM(it, struct client, node), types))
            append_client(&out, LIST_ITEM(it, struct client, node));
    }
    reply_verbatim(r, "txt", buf_bytes(&out));
    buf_release(&out);
}

struct kill_filter {
    const struct bytes *addr;
    const struct bytes *laddr;
    int64_t id; /* 0 = any */
    struct client_types types;
    const struct acl_user *user; /* NULL = any */
    bool skipme;
};

static bool kill_matches(const struct kill_filter *f, const struct client *c)
{
    return is_of_type(c, f->types) && (f->user == NULL || f->user == c->user) && (f->id == 0 || (int64_t)c->id == f->id) &&
           (f->addr == NULL || bytes_eq(*f->addr, bytes_cstr(c->info.peer))) &&
           (f->laddr == NULL || bytes_eq(*f->laddr, bytes_cstr(c->info.local)));
}

static bool parse_kill_option(const struct client *c, struct bytes name, const struct bytes *value, struct kill_filter *f,
                              struct reply *r)
{
    if (bytes_ieq(name, "id")) {
        if (num_int64(*value, &f->id) && f->id >= 1)
            return true;
        reply_error(r, "ERR client-id should be greater than 0");
        return false;
    }
    if (bytes_ieq(name, "type"))
        return client_type_or_reply(*value, r, &f->types);
    if (bytes_ieq(name, "addr")) {
        f->addr = value;
        return true;
    }
    if (bytes_ieq(name, "laddr")) {
        f->laddr = value;
        return true;
    }
    if (bytes_ieq(name, "user")) {
        f->user = acl_find_user(c->engine->acl, *value);
        if (f->user == NULL)
            reply_errorf(r, "ERR No such user '%.*s'", (int)value->len, value->data);
        return f->user != NULL;
    }
    if (bytes_ieq(name, "skipme") && (bytes_ieq(*value, "yes") || bytes_ieq(*value, "no"))) {
        f->skipme = bytes_ieq(*value, "yes");
        return true;
    }
    reply_error(r, "ERR syntax error");
    return false;
}

static int64_t kill_matching(struct client *c, const struct kill_filter *f)
{
    int64_t n = 0;
    LIST_EACH(it, &c->engine->clients)
    {
        struct client *other = LIST_ITEM(it, struct client, node);
        if (!kill_matches(f, other) || (f->skipme && other == c))
            continue;
        n++;
        if (other == c)
            c->closing = c->killed_itself = true;
        else
            client_kill(other);
    }
    return n;
}

static void run_kill(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    int argc = tc->request->argc;
    struct kill_filter f = {NULL, NULL, 0, {true, true}, NULL, true};
    if (argc == 3) {
        f.addr = &argv[2];
        f.skipme = false;
        if (kill_matching(c, &f) > 0)
            reply_ok(r);
        else
            reply_error(r, "ERR No such client");
        return;
    }
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 >= argc) {
            reply_error(r, "ERR syntax error");
            return;
        }
        if (!parse_kill_option(c, argv[i], &argv[i + 1], &f, r))
            return;
    }
    reply_int(r, kill_matching(c, &f));
}

static bool printable(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '!' || s.data[i] > '~')
            return false;
    }
    return true;
}

static void run_setname(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct bytes name = tc->request->argv[2];
    if (!printable(name)) {
        reply_error(r, "ERR Client names cannot contain spaces, newlines or special characters.");
        return;
    }
    client_set_text(&c->name, name);
    reply_ok(r);
}

/* Redis 7.2's, which current drivers send and 7.0 would refuse. */
static void run_setinfo(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct bytes what = tc->request->argv[2];
    struct bytes value = tc->request->argv[3];
    char **field = bytes_ieq(what, "lib-name") ? &c->lib_name
                   : bytes_ieq(what, "lib-ver") ? &c->lib_version : NULL;
    if (field == NULL) {
        reply_errorf(r, "ERR Unrecognized option '%.*s'", (int)what.len, what.data);
    } else if (!printable(value) || value.len > 128) {
        reply_errorf(r, "ERR %s cannot contain spaces, newlines or special characters.",
                     field == &c->lib_name ? "lib-name" : "lib-ver");
    } else {
        client_set_text(field, value);
        reply_ok(r);
    }
}

static void run_reply(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct bytes how = tc->request->argv[2];
    if (bytes_ieq(how, "on")) {
        c->reply_off = false;
        reply_ok(r);
    } else if (bytes_ieq(how, "off")) {
        c->reply_off = true;
    } else if (bytes_ieq(how, "skip")) {
        c->reply_skip_next = !c->reply_off;
    } else {
        reply_error(r, "ERR syntax error");
    }
}

static void run_no_evict(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct bytes how = tc->request->argv[2];
    if (!bytes_ieq(how, "on") && !bytes_ieq(how, "off")) {
        reply_error(r, "ERR syntax error");
        return;
    }
    c->no_evict = bytes_ieq(how, "on");
    reply_ok(r);
}

/* ---- pausing and blocking ---- */

static void reply_wrong_arguments(const struct txn_command *tc, struct reply *r)
{
    struct bytes sub = tc->request->argv[1];
    reply_errorf(r, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
                 (int)sub.len, sub.data);
}

static void run_pause(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    int argc = tc->request->argc;
    int64_t ms;
    bool all = true;
    if (argc > 4) {
        reply_wrong_arguments(tc, r);
        return;
    }
    if (argc == 4) {
        all = bytes_ieq(argv[3], "all");
        if (!all && !bytes_ieq(argv[3], "write")) {
            reply_error(r, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    if (!num_int64(argv[2], &ms)) {
        reply_error(r, "ERR timeout is not an integer or out of range");
    } else if (ms < 0) {
        reply_error(r, "ERR timeout is negative");
    } else if (ms > INT64_MAX / 2000) {
        reply_error(r, "ERR timeout is out of range");
    } else {
        pause_clients(c, ms * 1000, all);
        reply_ok(r);
    }
}

static void run_unblock(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    int argc = tc->request->argc;
    bool with_error = argc == 4 && bytes_ieq(argv[3], "error");
    int64_t id;
    if (argc > 4) {
        reply_wrong_arguments(tc, r);
    } else if (argc == 4 && !with_error && !bytes_ieq(argv[3], "timeout")) {
        reply_error(r, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    } else if (!num_int64(argv[2], &id)) {
        reply_error(r, "ERR value is not an integer or out of range");
    } else {
        struct client *other = find_client(c->engine, id);
        reply_int(r, other != NULL && client_unblock(other, with_error));
    }
}

/* ---- tracking: there is none, and to turn it off is to leave it so ---- */

static void run_tracking(const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    for (int i = 3; i < tc->request->argc; i++) {
        bool one = bytes_ieq(argv[i], "bcast") || bytes_ieq(argv[i], "optin") ||
                   bytes_ieq(argv[i], "optout") || bytes_ieq(argv[i], "noloop");
        bool two = (bytes_ieq(argv[i], "prefix") || bytes_ieq(argv[i], "redirect")) &&
                   i + 1 < tc->request->argc;
        if (!one && !two) {
            reply_error(r, "ERR syntax error");
            return;
        }
        i += two;
    }
    if (bytes_ieq(argv[2], "off"))
        reply_ok(r);
    else if (bytes_ieq(argv[2], "on"))
        reply_error(r, "ERR client tracking is not supported");
    else
        reply_error(r, "ERR syntax error");
}

static void reply_tracking_info(struct reply *r)
{
    reply_map(r, 3);
    reply_bulk_cstr(r, "flags");
    reply_set(r, 1);
    reply_bulk_cstr(r, "off");
    reply_bulk_cstr(r, "redirect");
    reply_int(r, -1);
    reply_bulk_cstr(r, "prefixes");
    reply_array(r, 0);
}

static void run_info(struct client *c, struct reply *r)
{
    struct buf out;
    buf_init(&out);
    append_client(&out, c);
    reply_verbatim(r, "txt", buf_bytes(&out));
    buf_release(&out);
}

void session_client(struct client *c, const struct txn_command *tc, struct reply *r)
{
    switch (tc->cmd->sub) {
    case SUB_CLIENT_ID:
        reply_int(r, (int64_t)c->id);
        break;
    case SUB_CLIENT_GETNAME:
        if (c->name[0] != '\0')
            reply_bulk_cstr(r, c->name);
        else
            reply_null(r);
        break;
    case SUB_CLIENT_SETNAME:
        run_setname(c, tc, r);
        break;
    case SUB_CLIENT_SETINFO:
        run_setinfo(c, tc, r);
        break;
    case SUB_CLIENT_LIST:
        run_list(c, tc, r);
        break;
    case SUB_CLIENT_INFO:
        run_info(c, r);
        break;
    case SUB_CLIENT_KILL:
        run_kill(c, tc, r);
        break;
    case SUB_CLIENT_REPLY:
        run_reply(c, tc, r);
        break;
    case SUB_CLIENT_NO_EVICT:
        run_no_evict(c, tc, r);
        break;
    case SUB_CLIENT_GETREDIR:
        reply_int(r, -1);
        break;
    case SUB_CLIENT_PAUSE:
        run_pause(c, tc, r);
        break;
    case SUB_CLIENT_UNPAUSE:
        pause_end(c->engine);
        reply_ok(r);
        break;
    case SUB_CLIENT_UNBLOCK:
        run_unblock(c, tc, r);
        break;
    case SUB_CLIENT_TRACKING:
        run_tracking(tc, r);
        break;
    case SUB_CLIENT_TRACKINGINFO:
        reply_tracking_info(r);
        break;
    case SUB_CLIENT_CACHING:
        reply_error(r, "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                       "with OPTIN or OPTOUT mode enabled");
        break;
    case SUB_CLIENT_HELP:
        command_reply_help(r, command_by_id(CMD_CLIENT));
        break;
    default:
        reply_errorf(r, "ERR %s is not supported", tc->cmd->name);
        break;
    }
}
