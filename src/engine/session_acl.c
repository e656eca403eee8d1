/* session_acl: ACL and its subcommands. */
#include "acl/configured.h"
#include "acl/log.h"
#include "acl/password.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "command/category.h"
#include "command/rename.h"
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

enum { LOG_SHOWN = 10 };

static const char error_no_file[] = "ERR This Redis instance is not configured to use an ACL file. "
                                    "You may want to specify users via "
                                    "the ACL SETUSER command and then issue a CONFIG REWRITE "
                                    "(assuming you have a Redis configuration "
                                    "file set) in order to store users in the Redis configuration.";

/* Subcommands that take an argument or none. */
static bool too_many(const struct request *q, struct reply *r)
{
    if (q->argc <= 3)
        return false;
    reply_errorf(r, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                 (int)q->argv[1].len, q->argv[1].data);
    return true;
}

/* ---- categories ---- */

static void reply_category(struct reply *r, uint32_t category)
{
    size_t nsubs, count = 0;
    const struct command *subs = command_subs(&nsubs);
    for (int pass = 0; pass < 2; pass++) { /* the first one counts */
        if (pass == 1)
            reply_array(r, count);
        for (size_t i = 0; i < COMMAND_COUNT + nsubs; i++) {
            const struct command *c =
                i < COMMAND_COUNT ? command_by_id((enum command_id)i) : &subs[i - COMMAND_COUNT];
            if (!command_is_on(c) || (command_categories(c) & category) == 0)
                continue;
            count++;
            if (pass == 1)
                reply_bulk_cstr(r, c->name);
        }
    }
}

static void run_cat(const struct request *q, struct reply *r)
{
    if (too_many(q, r))
        return;
    if (q->argc == 2) {
        reply_array(r, CATEGORY_COUNT);
        for (size_t i = 0; i < CATEGORY_COUNT; i++)
            reply_bulk_cstr(r, category_name(i) + 1);
        return;
    }
    uint32_t category = category_find(q->argv[2]);
    if (category == 0)
        reply_errorf(r, "ERR Unknown category '%.*s'", (int)q->argv[2].len, q->argv[2].data);
    else
        reply_category(r, category);
}

/* ---- users ---- */

static void run_setuser(struct client *c, const struct request *q, struct reply *r)
{
    if (!acl_name_ok(q->argv[2])) {
        reply_error(r, "ERR Usernames can't contain spaces or null characters");
        return;
    }
    struct buf error;
    buf_init(&error);
    pubsub_before_rules(c->engine);
    if (acl_set_user(c->engine->acl, q->argv[2], q->argc - 3, q->argv + 3, &error))
        reply_ok(r);
    else
        reply_error(r, buf_cstr(&error));
    pubsub_after_rules(c->engine, c);
    buf_release(&error);
}

static void run_deluser(struct client *c, const struct request *q, struct reply *r)
{
    struct acl *a = c->engine->acl;
    int64_t removed = 0;
    for (int i = 2; i < q->argc; i++) {
        if (acl_find_user(a, q->argv[i]) == acl_default_user(a)) {
            reply_error(r, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    for (int i = 2; i < q->argc; i++) {
        struct acl_user *u = acl_find_user(a, q->argv[i]);
        if (u != NULL) {
            access_remove_user(c->engine, u, c);
            removed++;
        }
    }
    reply_int(r, removed);
}

static void run_getuser(struct client *c, const struct request *q, struct reply *r)
{
    const struct acl_user *u = acl_find_user(c->engine->acl, q->argv[2]);
    if (u == NULL)
        reply_null(r);
    else
        acl_reply_user(r, u);
}

static void run_list(struct client *c, bool names_only, struct reply *r)
{
    const struct acl *a = c->engine->acl;
    struct buf line;
    buf_init(&line);
    reply_array(r, acl_user_count(a));
    for (size_t i = 0; i < acl_user_count(a); i++) {
        const struct acl_user *u = acl_user_at(a, i);
        line.len = 0;
        buf_append_cstr(&line, names_only ? "" : "user ");
        buf_append_bytes(&line, acl_user_name(u));
        if (!names_only) {
            buf_append_u8(&line, ' ');
            acl_describe_user(u, &line);
        }
        reply_bulk(r, buf_bytes(&line));
    }
    buf_release(&line);
}

/* ---- DRYRUN ---- */

static const struct command *find_call(int argc, const struct bytes *argv)
{
    const struct command *c = command_find(argv[0]);
    if (c == NULL || (c->flags & CF_CONTAINER) == 0 || argc < 2)
        return c;
    return command_find_sub(c, argv[1]);
}

static void reply_verdict(struct reply *r, const struct acl_user *u, const struct command *cmd,
                          int argc, const struct bytes *argv)
{
    int arg;
    struct buf text;
    buf_init(&text);
    switch (acl_check(u, cmd, argc, argv, &arg)) {
    case ACL_ALLOWED:
        reply_ok(r);
        break;
    case ACL_DENIED_COMMAND:
        buf_append_cstr(&text, "This user has no permissions to run the '");
        buf_append_bytes(&text, acl_call_name(u, cmd, argc, argv));
        buf_append_cstr(&text, "' command");
        break;
    case ACL_DENIED_KEY:
        buf_append_cstr(&text, "This user has no permissions to access the '");
        buf_append_bytes(&text, argv[arg]);
        buf_append_cstr(&text, "' key");
        break;
    case ACL_DENIED_CHANNEL:
        buf_append_cstr(&text, "This user has no permissions to access the '");
        buf_append_bytes(&text, argv[arg]);
        buf_append_cstr(&text, "' channel");
        break;
    }
    if (text.len > 0)
        reply_bulk(r, buf_bytes(&text));
    buf_release(&text);
}

static void run_dryrun(struct client *c, const struct request *q, struct reply *r)
{
    const struct acl_user *u = acl_find_user(c->engine->acl, q->argv[2]);
    if (u == NULL) {
        reply_errorf(r, "ERR User '%.*s' not found", (int)q->argv[2].len, q->argv[2].data);
        return;
    }
    int argc = q->argc - 3;
    const struct bytes *argv = q->argv + 3;
    const struct command *cmd = find_call(argc, argv);
    if (cmd == NULL)
        reply_errorf(r, "ERR Command '%.*s' not found", (int)argv[0].len, argv[0].data);
    else if (!command_arity_ok(cmd, argc))
        command_reply_sub_arity(r, cmd->name);
    else
        reply_verdict(r, u, cmd, argc, argv);
}

/* ---- file ---- */

static void run_load(struct client *c, struct reply *r)
{
    struct engine *e = c->engine;
    if (e->config->aclfile[0] == '\0') {
        reply_error(r, error_no_file);
        return;
    }
    struct buf error;
    buf_init(&error);
    struct acl *fresh = acl_from_config(e->config, &error);
    if (fresh == NULL) {
        reply_errorf(r, "ERR %s", buf_cstr(&error));
    } else {
        access_replace(e, fresh, c);
        reply_ok(r);
    }
    buf_release(&error);
}

static void run_save(struct client *c, struct reply *r)
{
    const struct config *config = c->engine->config;
    char quoted[LOG_QUOTE_SIZE];
    if (config->aclfile[0] == '\0') {
        reply_error(r, error_no_file);
    } else if (acl_write_file(c->engine->acl, config->aclfile)) {
        log_event(LOG_NOTICE, "users-saved", "count=%zu", acl_user_count(c->engine->acl));
        reply_ok(r);
    } else {
        log_event(LOG_WARNING, "users-not-saved", "why=%s", log_quote(strerror(errno), quoted));
        reply_error(r,
                    "ERR There was an error trying to save the ACLs. Please check the server logs "
                    "for more information");
    }
}

/* ---- others ---- */

static void run_log(struct client *c, const struct request *q, struct reply *r)
{
    struct engine *e = c->engine;
    int64_t count = LOG_SHOWN;
    if (too_many(q, r))
        return;
    if (q->argc == 3 && bytes_ieq(q->argv[2], "reset")) {
        acl_log_reset(e->acl_log);
        reply_ok(r);
        return;
    }
    if (q->argc == 3 && !num_int64(q->argv[2], &count)) {
        reply_error(r, "ERR value is not an integer or out of range");
        return;
    }
    acl_log_reply(e->acl_log, count < 0 ? 0 : (size_t)count, loop_now_us(e->loop) / 1000, r);
}

static void run_genpass(const struct request *q, struct reply *r)
{
    int64_t bits = ACL_GENPASS_BITS;
    if (too_many(q, r))
        return;
    if (q->argc == 3 && !num_int64(q->argv[2], &bits)) {
        reply_error(r, "ERR value is not an integer or out of range");
        return;
    }
    if (bits <= 0 || bits > ACL_GENPASS_MAX_BITS) {
        reply_error(r,
                    "ERR ACL GENPASS argument must be the number of bits for the output password, "
                    "a positive number up to 4096");
        return;
    }
    struct buf password;
    buf_init(&password);
    acl_make_password((int)bits, &password);
    reply_bulk(r, buf_bytes(&password));
    buf_release(&password);
}

void session_acl(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct request *q = tc->request;
    switch (tc->cmd->sub) {
    case SUB_ACL_CAT:
        run_cat(q, r);
        break;
    case SUB_ACL_DELUSER:
        run_deluser(c, q, r);
        break;
    case SUB_ACL_DRYRUN:
        run_dryrun(c, q, r);
        break;
    case SUB_ACL_GENPASS:
        run_genpass(q, r);
        break;
    case SUB_ACL_GETUSER:
        run_getuser(c, q, r);
        break;
    case SUB_ACL_LIST:
    case SUB_ACL_USERS:
        run_list(c, tc->cmd->sub == SUB_ACL_USERS, r);
        break;
    case SUB_ACL_LOAD:
        run_load(c, r);
        break;
    case SUB_ACL_LOG:
        run_log(c, q, r);
        break;
    case SUB_ACL_SAVE:
        run_save(c, r);
        break;
    case SUB_ACL_SETUSER:
        run_setuser(c, q, r);
        break;
    case SUB_ACL_WHOAMI:
        reply_bulk(r, acl_user_name(c->user));
        break;
    default:
        command_reply_help(r, command_by_id(CMD_ACL));
        break;
    }
}
