/* names: see names.h. */
#include "acl/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct acl_names {
    struct acl_name at[ACL_NAMES_MAX];
    int count;
    int first;
    uint64_t in_category[CATEGORY_COUNT][ACL_WORDS];
};

static const struct {
    const char *name;
    uint32_t categories;
} redis_names[] = {
#define KEYSPACE CAT_KEYSPACE
#define READ CAT_READ
#define WRITE CAT_WRITE
#define SET CAT_SET
#define SORTEDSET CAT_SORTEDSET
#define LIST CAT_LIST
#define HASH CAT_HASH
#define STRING CAT_STRING
#define BITMAP CAT_BITMAP
#define HYPERLOGLOG CAT_HYPERLOGLOG
#define GEO CAT_GEO
#define STREAM CAT_STREAM
#define PUBSUB CAT_PUBSUB
#define ADMIN CAT_ADMIN
#define FAST CAT_FAST
#define SLOW CAT_SLOW
#define BLOCKING CAT_BLOCKING
#define DANGEROUS CAT_DANGEROUS
#define CONNECTION CAT_CONNECTION
#define TRANSACTION CAT_TRANSACTION
#define SCRIPTING CAT_SCRIPTING
#define ACL_NAME(name, categories) {name, categories},
#include "acl/redis.def"
};

/* Arguments that are channels. Names, because a table of commands without pub/sub has no such rows.
 */
static enum acl_channels channels_of(struct bytes name)
{
    static const struct {
        const char *name;
        enum acl_channels channels;
    } with[] = {
        {"publish", ACL_CHANNELS_FIRST},       {"spublish", ACL_CHANNELS_FIRST},
        {"subscribe", ACL_CHANNELS_ALL},       {"ssubscribe", ACL_CHANNELS_ALL},
        {"psubscribe", ACL_CHANNELS_PATTERNS},
    };
    for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
        if (bytes_ieq(name, with[i].name))
            return with[i].channels;
    }
    return ACL_CHANNELS_NONE;
}

static bool has_word(struct bytes text, const char *word)
{
    size_t len = strlen(word);
    for (size_t at = 0; at < text.len;) {
        size_t n = 0;
        while (at + n < text.len && text.data[at + n] != ' ')
            n++;
        if (n == len && memcmp(text.data + at, word, len) == 0)
            return true;
        at += n + 1;
    }
    return false;
}

/* As Redis: what looks at the value reads; what adds, changes or removes writes. EXISTS and the
 * like do neither: any pattern for the key will do. */
uint8_t acl_permission_of(struct bytes key_flags)
{
    bool writes = has_word(key_flags, "insert") || has_word(key_flags, "update") ||
                  has_word(key_flags, "delete");
    return (uint8_t)((has_word(key_flags, "access") ? ACL_READ : 0) | (writes ? ACL_WRITE : 0));
}

static void note_keys(struct acl_name *n, const struct command *c)
{
    n->nspecs = command_key_specs(c);
    if (n->nspecs > ACL_KEY_SPECS)
        n->nspecs = ACL_KEY_SPECS;
    for (int i = 0; i < n->nspecs; i++) {
        struct bytes flags = command_key_spec_flags(c, i);
        n->needs[i] = acl_permission_of(flags);
        n->variable_keys |= has_word(flags, "variable_flags") || c->id == CMD_SORT;
    }
}

static struct acl_name *add(struct acl_names *n, struct bytes name, uint32_t categories)
{
    CHECK(n->count < ACL_NAMES_MAX);
    struct acl_name *a = &n->at[n->count++];
    *a = (struct acl_name){.name = name,
                           .categories = categories,
                           .parent = ACL_NO_NAME,
                           .first_child = ACL_NO_NAME,
                           .next = ACL_NO_NAME,
                           .counted = true,
                           .channels = channels_of(name)};
    return a;
}

static void add_own(struct acl_names *n, const struct command *c)
{
    struct acl_name *a = add(n, bytes_of(c->name, c->name_len), command_categories(c));
    a->own = c;
    a->counted = strncmp(c->since, "7.2", 3) < 0;
    note_keys(a, c);
}

static int find_exact(const struct acl_names *n, struct bytes name)
{
    for (int i = 0; i < n->count; i++) {
        if (n->at[i].name.len == name.len && bytes_ieq(name, n->at[i].name.data))
            return i;
    }
    return ACL_NO_NAME;
}

static int by_name(const void *a, const void *b)
{
    const struct acl_name *const *x = a;
    const struct acl_name *const *y = b;
    return bytes_cmp((*x)->name, (*y)->name);
}

/* Parents, and the lists of commands and of each one's children, by name. */
static void link_all(struct acl_names *n)
{
    struct acl_name *sorted[ACL_NAMES_MAX];
    for (int i = 0; i < n->count; i++)
        sorted[i] = &n->at[i];
    qsort(sorted, (size_t)n->count, sizeof(sorted[0]), by_name);
    n->first = ACL_NO_NAME;
    for (int i = n->count - 1; i >= 0; i--) {
        struct acl_name *a = sorted[i];
        const char *bar = memchr(a->name.data, '|', a->name.len);
        int *head = &n->first;
        if (bar != NULL) {
            a->parent = find_exact(n, bytes_of(a->name.data, (size_t)(bar - a->name.data)));
            CHECK(a->parent != ACL_NO_NAME);
            head = &n->at[a->parent].first_child;
        }
        a->next = *head;
        *head = (int)(a - n->at);
    }
}

static void fill_categories(struct acl_names *n)
{
    for (int i = 0; i < n->count; i++) {
        for (size_t c = 0; n->at[i].counted && c < CATEGORY_COUNT; c++) {
            if (((n->at[i].categories >> c) & 1) != 0)
                n->in_category[c][i / 64] |= UINT64_C(1) << (i % 64);
        }
    }
}

const uint64_t *acl_names_in_category(const struct acl_names *n, size_t i)
{
    CHECK(i < CATEGORY_COUNT);
    return n->in_category[i];
}

struct acl_names *acl_names_new(void)
{
    struct acl_names *n = mem_zalloc(sizeof(*n));
    size_t nsubs;
    const struct command *subs = command_subs(&nsubs);
    for (int i = 0; i < COMMAND_COUNT; i++)
        add_own(n, command_by_id((enum command_id)i));
    for (size_t i = 0; i < nsubs; i++)
        add_own(n, &subs[i]);
    for (size_t i = 0; i < sizeof(redis_names) / sizeof(redis_names[0]); i++) {
        struct bytes name = bytes_cstr(redis_names[i].name);
        if (find_exact(n, name) == ACL_NO_NAME)
            (void)add(n, name, redis_names[i].categories);
    }
    link_all(n);
    fill_categories(n);
    return n;
}

void acl_names_free(struct acl_names *n)
{
    mem_free(n);
}

int acl_names_count(const struct acl_names *n)
{
    return n->count;
}

const struct acl_name *acl_names_at(const struct acl_names *n, int i)
{
    CHECK(i >= 0 && i < n->count);
    return &n->at[i];
}

int acl_names_first(const struct acl_names *n)
{
    return n->first;
}

int acl_names_find(const struct acl_names *n, struct bytes name)
{
    return name.len == 0 ? ACL_NO_NAME : find_exact(n, name);
}

static int child_of_call(const struct acl_names *n, const struct acl_name *container,
                         struct bytes word)
{
    for (int i = container->first_child; i != ACL_NO_NAME; i = n->at[i].next) {
        struct bytes name = n->at[i].name;
        size_t skip = container->name.len + 1;
        if (name.len == skip + word.len && bytes_ieq(word, name.data + skip))
            return i;
    }
    return ACL_NO_NAME;
}

int acl_names_of_call(const struct acl_names *n, const struct command *c, int argc,
                      const struct bytes *argv)
{
    if (c->sub != SUB_NONE) {
        size_t nsubs;
        return COMMAND_COUNT + (int)(c - command_subs(&nsubs));
    }
    int id = (int)c->id;
    bool refuses_subs = (c->flags & CF_CONTAINER) == 0 && n->at[id].first_child != ACL_NO_NAME;
    int child = refuses_subs && argc > 1 ? child_of_call(n, &n->at[id], argv[1]) : ACL_NO_NAME;
    return child != ACL_NO_NAME ? child : id;
}
