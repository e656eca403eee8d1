/* The COMMAND command: what the table says, in the shape Redis 7.0 gives it.
 * Source: https://redis.io/docs/latest/commands/command/ and its subcommands' pages. */

#include "base/glob.h"
#include "command/category.h"
#include "command/command.h"
#include "command/rename.h"
#include "command/command_docs.h"
#include "command/key_place.h"

struct flag_name {
    uint32_t flag;
    const char *name;
};

/* In the order Redis prints them. */
static const struct flag_name flag_names[] = {
    {CF_WRITE, "write"},
    {CF_READONLY, "readonly"},
    {CF_DENYOOM, "denyoom"},
    {CF_ADMIN, "admin"},
    {CF_PUBSUB, "pubsub"},
    {CF_NOSCRIPT, "noscript"},
    {CF_BLOCKING, "blocking"},
    {CF_LOADING, "loading"},
    {CF_STALE, "stale"},
    {CF_SKIP_MONITOR, "skip_monitor"},
    {CF_SKIP_SLOWLOG, "skip_slowlog"},
    {CF_FAST, "fast"},
    {CF_NO_AUTH, "no_auth"},
    {CF_NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {CF_NO_ASYNC_LOADING, "no_async_loading"},
    {CF_NO_MULTI, "no_multi"},
    {CF_MOVABLE_KEYS, "movablekeys"},
    {CF_ALLOW_BUSY, "allow_busy"},
};

enum { FLAG_NAMES = sizeof(flag_names) / sizeof(flag_names[0]) };

static void reply_flag_set(struct reply *r, uint32_t flags, const struct flag_name *names, size_t n)
{
    size_t set = 0;
    for (size_t i = 0; i < n; i++)
        set += (flags & names[i].flag) != 0;
    reply_set(r, set);
    for (size_t i = 0; i < n; i++) {
        if ((flags & names[i].flag) != 0)
            reply_status(r, names[i].name);
    }
}

static bool is_sort(const struct command *c)
{
    return c->id == CMD_SORT || c->id == CMD_SORT_RO;
}

static void reply_categories(struct reply *r, uint32_t categories)
{
    size_t set = 0;
    for (size_t i = 0; i < CATEGORY_COUNT; i++)
        set += (categories >> i) & 1;
    reply_set(r, set);
    for (size_t i = 0; i < CATEGORY_COUNT; i++) {
        if (((categories >> i) & 1) != 0)
            reply_status(r, category_name(i));
    }
}

/* Takes the next of a text's words separated by blanks off its front; false at the end. */
static bool word_next(struct bytes *text, struct bytes *word)
{
    while (text->len > 0 && text->data[0] == ' ')
        *text = bytes_of(text->data + 1, text->len - 1);
    size_t len = 0;
    while (len < text->len && text->data[len] != ' ')
        len++;
    *word = bytes_of(text->data, len);
    *text = bytes_of(text->data + len, text->len - len);
    return len > 0;
}

static size_t word_count(struct bytes text)
{
    size_t n = 0;
    struct bytes word;
    while (word_next(&text, &word))
        n++;
    return n;
}

static void reply_tips(struct reply *r, const struct command *c)
{
    struct bytes tips = bytes_cstr(c->tips);
    reply_set(r, word_count(tips));
    struct bytes word;
    while (word_next(&tips, &word))
        reply_bulk(r, word);
}

static void reply_word_as_status(struct reply *r, struct bytes word)
{
    char text[32];
    CHECK(word.len < sizeof(text));
    memcpy(text, word.data, word.len);
    text[word.len] = '\0';
    reply_status(r, text);
}

static void reply_words_as_statuses(struct reply *r, struct bytes words)
{
    reply_set(r, word_count(words));
    struct bytes word;
    while (word_next(&words, &word))
        reply_word_as_status(r, word);
}

/* Remarks some key specifications carry. */
static const char *key_note(const struct command *c, int spec)
{
    if (c->id == CMD_SET)
        return "RW and ACCESS due to the optional `GET` argument";
    if (c->id == CMD_GETEX)
        return "RW and UPDATE because it changes the TTL";
    if (c->id == CMD_BITFIELD)
        return "This command allows both access and modification of the key";
    if (c->id == CMD_EVAL)
        return "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE";
    if (c->id == CMD_EVAL_RO)
        return "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS";
    if (is_sort(c) && spec == 1)
        return "For the optional BY/GET keyword. It is marked 'unknown' because the key names "
               "derive from the content of the key we sort";
    if (is_sort(c) && spec == 2)
        return "For the optional STORE keyword. It is marked 'unknown' because the keyword can "
               "appear anywhere in the argument array";
    return NULL;
}

static void reply_int_field(struct reply *r, const char *name, int64_t v)
{
    reply_bulk_cstr(r, name);
    reply_int(r, v);
}

/* The last key, relative to the first one, unless it counts from the end. */
static int last_key_of_spec(const struct command *c, int spec)
{
    bool is_last = spec == command_key_specs(c) - 1;
    return !is_last ? 0 : c->last_key < 0 ? c->last_key : c->last_key - c->first_key - spec;
}

/* "begin_search" or "find_keys": a type, and its facts follow. */
static void reply_spec_part(struct reply *r, const char *part, const char *type, size_t facts)
{
    reply_bulk_cstr(r, part);
    reply_map(r, 2);
    reply_bulk_cstr(r, "type");
    reply_bulk_cstr(r, type);
    reply_bulk_cstr(r, "spec");
    reply_map(r, facts);
}

static void reply_places(struct reply *r, const struct command *c, int spec)
{
    int numkeys = command_numkeys_arg(c);
    if (is_sort(c) && spec > 0) {
        reply_spec_part(r, "begin_search", "unknown", 0);
        reply_spec_part(r, "find_keys", "unknown", 0);
        return;
    }
    reply_spec_part(r, "begin_search", "index", 1);
    if (numkeys != 0 && spec == command_key_specs(c) - 1) {
        reply_int_field(r, "index", numkeys);
        reply_spec_part(r, "find_keys", "keynum", 3);
        reply_int_field(r, "keynumidx", 0);
        reply_int_field(r, "firstkey", 1);
        reply_int_field(r, "keystep", 1);
        return;
    }
    reply_int_field(r, "index", c->first_key + spec);
    reply_spec_part(r, "find_keys", "range", 3);
    reply_int_field(r, "lastkey", is_sort(c) ? 0 : last_key_of_spec(c, spec));
    reply_int_field(r, "keystep", c->key_step);
    reply_int_field(r, "limit", 0);
}

static void reply_key_spec(struct reply *r, const struct command *c, int spec)
{
    const char *note = key_note(c, spec);
    reply_map(r, note == NULL ? 3 : 4);
    if (note != NULL) {
        reply_bulk_cstr(r, "notes");
        reply_bulk_cstr(r, note);
    }
    reply_bulk_cstr(r, "flags");
    reply_words_as_statuses(r, command_key_spec_flags(c, spec));
    reply_places(r, c, spec);
}

static void reply_key_specs(struct reply *r, const struct command *c)
{
    int n = command_key_specs(c);
    reply_set(r, (size_t)n);
    for (int i = 0; i < n; i++)
        reply_key_spec(r, c, i);
}

static void reply_info(struct reply *r, const struct command *c);

static void reply_sub_infos(struct reply *r, const struct command *c)
{
    size_t n, own = 0;
    const struct command *subs = command_subs(&n);
    bool container = (c->flags & CF_CONTAINER) != 0;
    for (size_t i = 0; i < n; i++)
        own += container && subs[i].id == c->id;
    if (own == 0) {
        reply_set(r, 0); /* an array only if there is something in it */
        return;
    }
    reply_array(r, own);
    for (size_t i = 0; i < n; i++) {
        if (container && subs[i].id == c->id)
            reply_info(r, &subs[i]);
    }
}

static void reply_info(struct reply *r, const struct command *c)
{
    reply_array(r, 10);
    reply_bulk_cstr(r, c->name);
    reply_int(r, c->arity);
    reply_flag_set(r, c->flags, flag_names, FLAG_NAMES);
    reply_int(r, c->first_key);
    reply_int(r, c->last_key);
    reply_int(r, c->key_step);
    reply_categories(r, command_categories(c));
    reply_tips(r, c);
    reply_key_specs(r, c);
    reply_sub_infos(r, c);
}

static void command_info(int argc, const struct bytes *argv, struct reply *r)
{
    int n = argc > 2 ? argc - 2 : COMMAND_COUNT;
    reply_array(r, (size_t)(argc > 2 ? n : command_count()));
    for (int i = 0; i < n; i++) {
        const struct command *c =
            argc > 2 ? command_find_full(argv[2 + i]) : command_by_id((enum command_id)i);
        if (c != NULL && !command_is_on(c))
            continue;
        if (c == NULL)
            reply_null(r);
        else
            reply_info(r, c);
    }
}

struct list_filter {
    bool by_pattern;
    bool by_category;
    bool by_module; /* there are none */
    struct bytes pattern;
    uint32_t category;
};

static bool filter_parse(int argc, const struct bytes *argv, struct list_filter *f)
{
    *f = (struct list_filter){0};
    if (argc == 2)
        return true;
    if (argc != 5 || !bytes_ieq(argv[2], "filterby"))
        return false;
    if (bytes_ieq(argv[3], "pattern")) {
        f->by_pattern = true;
        f->pattern = argv[4];
    } else if (bytes_ieq(argv[3], "aclcat")) {
        f->by_category = true;
        f->category = category_find(argv[4]);
    } else if (bytes_ieq(argv[3], "module")) {
        f->by_module = true;
    } else {
        return false;
    }
    return true;
}

static bool filter_passes(const struct list_filter *f, const struct command *c)
{
    if (f->by_pattern)
        return glob_match(f->pattern, bytes_of(c->name, c->name_len), true);
    if (f->by_category)
        return (command_categories(c) & f->category) != 0;
    return !f->by_module;
}

static void command_list(int argc, const struct bytes *argv, struct reply *r)
{
    struct list_filter f;
    if (!filter_parse(argc, argv, &f)) {
        reply_error(r, "ERR syntax error");
        return;
    }
    size_t nsubs, count = 0;
    const struct command *subs = command_subs(&nsubs);
    for (int pass = 0; pass < 2; pass++) { /* the first one counts */
        if (pass == 1)
            reply_array(r, count);
        for (size_t i = 0; i < COMMAND_COUNT + nsubs; i++) {
            const struct command *c =
                i < COMMAND_COUNT ? command_by_id((enum command_id)i) : &subs[i - COMMAND_COUNT];
            if (!command_is_on(c) || !filter_passes(&f, c))
                continue;
            count++;
            if (pass == 1)
                reply_bulk_cstr(r, c->name);
        }
    }
}

static bool set_has_get(int argc, const struct bytes *argv)
{
    for (int i = 3; i < argc; i++) {
        if (bytes_ieq(argv[i], "get"))
            return true;
    }
    return false;
}

/* Does it only GET, as far as it is understood? */
static bool bitfield_reads(int argc, const struct bytes *argv)
{
    int i = 2;
    while (i < argc) {
        if (bytes_ieq(argv[i], "get") && i + 2 < argc)
            i += 3;
        else if (bytes_ieq(argv[i], "overflow") && i + 1 < argc)
            i += 2;
        else
            return false;
    }
    return true;
}

/* Of SET and BITFIELD, the arguments tell. */
struct bytes command_call_key_flags(const struct command *c, int argc, const struct bytes *argv,
                                    int i)
{
    int specs = command_key_specs(c);
    switch (c->id) {
    case CMD_SET:
        return bytes_cstr(set_has_get(argc, argv) ? "RW access update" : "OW update");
    case CMD_SORT: /* its second key is the destination */
        return command_key_spec_flags(c, i == 0 ? 0 : specs - 1);
    case CMD_BITFIELD:
        return bytes_cstr(bitfield_reads(argc, argv) ? "RO access" : "RW access update");
    default:
        return command_key_spec_flags(c, i < specs ? i : specs - 1);
    }
}

/* GETKEYS and GETKEYSANDFLAGS; argv is that of the command asked about. */
static void command_getkeys(int argc, const struct bytes *argv, bool with_flags, struct reply *r)
{
    const struct command *c = command_find(argv[0]);
    if (c != NULL && (c->flags & CF_CONTAINER) != 0 && argc > 1)
        c = command_find_sub(c, argv[1]);
    const char *error = c == NULL           ? "ERR Invalid command specified"
                        : command_key_specs(c) == 0 || (c->flags & CF_CHANNELS) != 0
                            ? "ERR The command has no key arguments"
                        : !command_arity_ok(c, argc)
                            ? "ERR Invalid number of arguments specified for command"
                            : NULL;
    if (error != NULL) {
        reply_error(r, error);
        return;
    }
    int n = command_key_count(c, argc, argv);
    if (n == 0 && (c->flags & (CF_MOVABLE_KEYS | CF_NO_MANDATORY_KEYS)) == CF_MOVABLE_KEYS) {
        reply_error(r, "ERR Invalid arguments specified for command");
        return;
    }
    reply_array(r, (size_t)n);
    for (int i = 0; i < n; i++) {
        if (with_flags)
            reply_array(r, 2);
        reply_bulk(r, argv[command_key_at(c, argc, argv, i)]);
        if (with_flags)
            reply_words_as_statuses(r, command_call_key_flags(c, argc, argv, i));
    }
}

void command_command(int argc, const struct bytes *argv, struct reply *r)
{
    const struct command *c = command_lookup_or_reply(argc, argv, r);
    if (c == NULL)
        return;
    CHECK(c->id == CMD_COMMAND);
    switch (c->sub) {
    case SUB_COMMAND_COUNT:
        reply_int(r, command_count());
        return;
    case SUB_COMMAND_DOCS:
        command_docs(argc - 2, argv + 2, r);
        return;
    case SUB_COMMAND_GETKEYS:
    case SUB_COMMAND_GETKEYSANDFLAGS:
        command_getkeys(argc - 2, argv + 2, c->sub == SUB_COMMAND_GETKEYSANDFLAGS, r);
        return;
    case SUB_COMMAND_HELP:
        command_reply_help(r, command_by_id(CMD_COMMAND));
        return;
    case SUB_COMMAND_LIST:
        command_list(argc, argv, r);
        return;
    default: /* INFO, and COMMAND alone */
        command_info(argc, argv, r);
        return;
    }
}
