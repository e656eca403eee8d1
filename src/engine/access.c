/* access: users and clients: who a client is, whether it may make a call, and what becomes of it
 * when its user changes. A client whose user may do everything costs one branch (client.c); all
 * others come here. The rules themselves are src/acl's.
 *
 * A client always points to a user of engine->acl. Whoever takes a user away moves its clients
 * first. */
#include <stdio.h>

#include "acl/configured.h"
#include "acl/log.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/internal.h"

/* ---- life ---- */

void access_init(struct engine *e)
{
    e->acl = acl_new(e->config->acl_pubsub_default == ACL_PUBSUB_ALL);
    acl_set_default_password(e->acl, bytes_cstr(e->config->requirepass));
    e->acl_log = acl_log_new();
    e->requirepass = mem_strdup(e->config->requirepass);
}

void access_release(struct engine *e)
{
    acl_free(e->acl);
    acl_free(e->acl_read);
    acl_log_free(e->acl_log);
    buf_release(&e->refusal);
    mem_free(e->requirepass);
}

/* As every client begins. */
void access_begin(struct client *c)
{
    struct engine *e = c->engine;
    c->user = acl_default_user(e->acl);
    c->authenticated = !acl_needs_password(e->acl);
}

/* ---- the log ---- */

static void note(const struct client *c, enum acl_reason reason, enum acl_context context,
                 struct bytes object, struct bytes user)
{
    struct engine *e = c->engine;
    struct buf info;
    buf_init(&info);
    client_describe(&info, c);
    struct acl_refusal f = {reason, context, object, user, buf_bytes(&info)};
    acl_log_note(e->acl_log, &f, loop_now_us(e->loop) / 1000, (size_t)e->config->acllog_max_len);
    buf_release(&info);
}

/* ---- checks ---- */

static enum acl_verdict check(const struct client *c, const struct command *cmd,
                              const struct request *r, enum acl_context context)
{
    int arg;
    enum acl_verdict verdict = acl_check(c->user, cmd, r->argc, r->argv, &arg);
    struct bytes user = acl_user_name(c->user);
    switch (verdict) {
    case ACL_ALLOWED:
        break;
    case ACL_DENIED_COMMAND:
        note(c, ACL_REASON_COMMAND, context, acl_call_name(c->user, cmd, r->argc, r->argv), user);
        break;
    case ACL_DENIED_KEY:
        note(c, ACL_REASON_KEY, context, r->argv[arg], user);
        break;
    case ACL_DENIED_CHANNEL:
        note(c, ACL_REASON_CHANNEL, context, r->argv[arg], user);
        break;
    }
    return verdict;
}

enum acl_verdict access_check_in_script(const struct client *c, const struct command *cmd,
                                        const struct request *r)
{
    return check(c, cmd, r, ACL_IN_SCRIPT);
}

bool access_allows(const struct client *c, const struct command *cmd, const struct request *r)
{
    int arg;
    return acl_check(c->user, cmd, r->argc, r->argv, &arg) == ACL_ALLOWED;
}

void access_judge_patterns(const struct client *c, struct txn_command *tc)
{
    if (tc->cmd->id != CMD_SORT && tc->cmd->id != CMD_SORT_RO)
        return;
    const struct request *r = tc->request;
    tc->reads_all_keys =
        c->user->unrestricted || acl_reads_all_keys(c->user, tc->cmd, r->argc, r->argv);
}

const char *access_refusal(struct client *c, const struct command *cmd, const struct request *r)
{
    struct buf *text = &c->engine->refusal;
    text->len = 0;
    switch (check(c, cmd, r, c->multi ? ACL_IN_MULTI : ACL_TOPLEVEL)) {
    case ACL_ALLOWED:
        return NULL;
    case ACL_DENIED_COMMAND:
        buf_append_cstr(text, "NOPERM this user has no permissions to run the '");
        buf_append_bytes(text, acl_call_name(c->user, cmd, r->argc, r->argv));
        buf_append_cstr(text, "' command");
        break;
    case ACL_DENIED_KEY:
        buf_append_cstr(text,
                        "NOPERM this user has no permissions to access one of the keys used as "
                        "arguments");
        break;
    case ACL_DENIED_CHANNEL:
        buf_append_cstr(text,
                        "NOPERM this user has no permissions to access one of the channels used "
                        "as arguments");
        break;
    }
    return buf_cstr(text);
}

static void judge(struct client *c, struct txn_command *tc)
{
    tc->judged = true;
    tc->verdict = c->user->unrestricted ? ACL_ALLOWED : check(c, tc->cmd, tc->request, ACL_IN_MULTI);
    access_judge_patterns(c, tc);
}

/* A block is judged once, although it may run more than once: when EXEC comes, before its client's next
 * request can make it somebody else. What stands behind a change of user or rules within the block is
 * judged behind that. */
void access_judge_block(struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++) {
        enum command_id id = t->commands[i].cmd->id;
        judge(t->client, &t->commands[i]);
        if (id == CMD_AUTH || id == CMD_HELLO || id == CMD_ACL)
            return;
    }
}

bool access_allows_queued(struct txn *t, struct txn_command *tc, struct reply *r)
{
    static const char *const why[] = {
        [ACL_DENIED_COMMAND] = "no permission to execute the command or subcommand",
        [ACL_DENIED_KEY] = "no permission to touch the specified keys",
        [ACL_DENIED_CHANNEL] =
            "no permission to access one of the channels used as arguments to the command"};
    if (!tc->judged)
        judge(t->client, tc);
    if (tc->verdict == ACL_ALLOWED)
        return true;
    reply_errorf(r,
                 "NOPERM ACLs rules changed between the moment the transaction was accumulated and "
                 "the EXEC call. This command is no longer allowed for the following reason: %s",
                 why[tc->verdict]);
    return false;
}

bool access_authenticate(struct client *c, struct bytes word, struct bytes name,
                         struct bytes password)
{
    struct acl_user *u = acl_authenticate(c->engine->acl, name, password);
    if (u == NULL) {
        note(c, ACL_REASON_AUTH, c->multi || c->in_exec ? ACL_IN_MULTI : ACL_TOPLEVEL, word, name);
        return false;
    }
    c->user = u;
    c->authenticated = true;
    return true;
}

bool client_authenticated(const struct client *c)
{
    return c->authenticated || !acl_needs_password(c->engine->acl);
}

bool engine_is_open(const struct engine *e)
{
    return acl_user_nopass(acl_default_user(e->acl));
}

/* ---- users that go ---- */

/* Its user is no more, or another one: nothing that it has queued may run. `by` is who did it. */
static void expel(struct client *c, struct client *by)
{
    c->user = acl_nobody(c->engine->acl);
    c->authenticated = false;
    if (c == by)
        c->closing = c->killed_itself = true; /* behind the reply */
    else
        client_kill(c);
}

static void each_client(struct engine *e, void (*f)(struct client *c, void *arg), void *arg)
{
    LIST_EACH(it, &e->clients)
    f(LIST_ITEM(it, struct client, node), arg);
    LIST_EACH(at, &e->closing)
    f(LIST_ITEM(at, struct client, node), arg);
}

struct leaving {
    struct acl_user *user;
    struct client *by;
};

static void leave(struct client *c, void *arg)
{
    const struct leaving *l = arg;
    if (c->user == l->user)
        expel(c, l->by);
}

void access_remove_user(struct engine *e, struct acl_user *u, struct client *by)
{
    struct leaving l = {u, by};
    each_client(e, leave, &l);
    acl_remove_user(e->acl, u);
}

static void move(struct client *c, void *arg)
{
    if (c->user->successor != NULL)
        c->user = c->user->successor;
    else
        expel(c, arg);
}

/* Clients whose user is as it was, and the default user's, stay. */
void access_replace(struct engine *e, struct acl *fresh, struct client *by)
{
    struct acl *old = e->acl;
    pubsub_before_rules(e);
    for (size_t i = 0; i < acl_user_count(old); i++) {
        struct acl_user *u = acl_user_at(old, i);
        struct acl_user *next = acl_find_user(fresh, acl_user_name(u));
        bool stays = next != NULL && (u == acl_default_user(old) || acl_same_user(u, next));
        u->successor = stays ? next : NULL;
    }
    acl_nobody(old)->successor = acl_nobody(fresh);
    e->acl = fresh;
    each_client(e, move, by);
    pubsub_after_rules(e, by);
    acl_free(old);
    if (acl_is_configured(e->config))
        log_event(LOG_NOTICE, "users-loaded", "count=%zu", acl_user_count(fresh));
}

/* ---- the configuration ---- */

bool engine_load_users(struct engine *e, struct buf *error)
{
    struct acl *fresh = acl_from_config(e->config, error);
    if (fresh != NULL)
        access_replace(e, fresh, NULL);
    return fresh != NULL;
}

bool engine_read_users(struct engine *e, const struct config *fresh, struct buf *error)
{
    acl_free(e->acl_read);
    e->acl_read = NULL;
    if (fresh == NULL)
        return true;
    if (!acl_is_configured(fresh) && !acl_is_configured(e->config))
        return true; /* those made by ACL SETUSER stay */
    e->acl_read = acl_from_config(fresh, error);
    return e->acl_read != NULL;
}

/* What a reload has read takes effect; CONFIG SET changes single things. */
void access_config_changed(struct engine *e)
{
    const struct config *c = e->config;
    if (e->acl_read != NULL) {
        access_replace(e, e->acl_read, NULL);
        e->acl_read = NULL;
    } else if (strcmp(e->requirepass, c->requirepass) != 0) {
        acl_set_default_password(e->acl, bytes_cstr(c->requirepass));
    }
    mem_free(e->requirepass);
    e->requirepass = mem_strdup(c->requirepass);
    acl_set_channel_default(e->acl, c->acl_pubsub_default == ACL_PUBSUB_ALL);
}

static bool same_users(const struct acl *a, const struct acl *b)
{
    bool same = acl_user_count(a) == acl_user_count(b);
    for (size_t i = 0; same && i < acl_user_count(a); i++) {
        const struct acl_user *u = acl_user_at(a, i);
        const struct acl_user *v = acl_find_user(b, acl_user_name(u));
        same = v != NULL && acl_same_user(u, v);
    }
    return same;
}

/* Before CONFIG REWRITE: if the users are not those that the configuration has, it gets them. Those
 * of an aclfile are ACL SAVE's concern. */
void access_note_users(struct engine *e)
{
    struct buf text;
    if (e->config->aclfile[0] != '\0')
        return;
    buf_init(&text);
    struct acl *configured = acl_from_config(e->config, &text);
    if (configured == NULL || !same_users(e->acl, configured)) {
        text.len = 0;
        for (size_t i = 0; i < acl_user_count(e->acl); i++) {
            acl_describe_line(acl_user_at(e->acl, i), &text);
            buf_append_u8(&text, '\n');
        }
        config_set_users(e->config_store, buf_cstr(&text));
    }
    acl_free(configured);
    buf_release(&text);
}
