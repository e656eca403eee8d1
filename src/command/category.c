/* category: see category.h. */
#include "command/category.h"

#include <string.h>

#include "command/command_docs.h"

static const char *const names[CATEGORY_COUNT] = {
    "@keyspace",   "@read",        "@write",     "@set",         "@sortedset", "@list",
    "@hash",       "@string",      "@bitmap",    "@hyperloglog", "@geo",       "@stream",
    "@pubsub",     "@admin",       "@fast",      "@slow",        "@blocking",  "@dangerous",
    "@connection", "@transaction", "@scripting",
};

const char *category_name(size_t i)
{
    CHECK(i < CATEGORY_COUNT);
    return names[i];
}

uint32_t category_find(struct bytes name)
{
    for (size_t i = 0; i < CATEGORY_COUNT; i++) {
        if (bytes_ieq(name, names[i] + 1))
            return UINT32_C(1) << i;
    }
    return 0;
}

/* By the group's name, so that a new group has its category. */
static uint32_t group_category(const struct command *c)
{
    static const struct {
        const char *group;
        uint32_t category;
    } groups[] = {
        {"string", CAT_STRING},
        {"bitmap", CAT_BITMAP},
        {"generic", CAT_KEYSPACE},
        {"connection", CAT_CONNECTION},
        {"transactions", CAT_TRANSACTION},
        {"hash", CAT_HASH},
        {"list", CAT_LIST},
        {"set", CAT_SET},
        {"sorted-set", CAT_SORTEDSET},
        {"stream", CAT_STREAM},
        {"geo", CAT_GEO},
        {"hyperloglog", CAT_HYPERLOGLOG},
        {"scripting", CAT_SCRIPTING},
    };
    if ((c->flags & CF_CONTAINER) != 0)
        return 0;
    if (c->id == CMD_SORT || c->id == CMD_SORT_RO)
        return CAT_SET | CAT_SORTEDSET | CAT_LIST;
    const char *group = command_group_name(c->group);
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(groups[i].group, group) == 0)
            return groups[i].category;
    }
    return 0;
}

uint32_t command_categories(const struct command *c)
{
    static const struct {
        uint32_t flags;
        uint32_t category;
    } implied[] = {
        {CF_READONLY, CAT_READ},
        {CF_WRITE, CAT_WRITE},
        {CF_PUBSUB, CAT_PUBSUB},
        {CF_BLOCKING, CAT_BLOCKING},
        {CF_ADMIN, CAT_ADMIN | CAT_DANGEROUS},
        {CF_CAT_DANGEROUS, CAT_DANGEROUS},
        {CF_CAT_ADMIN, CAT_ADMIN},
        {CF_CAT_KEYSPACE, CAT_KEYSPACE},
        {CF_CAT_CONNECTION, CAT_CONNECTION},
    };
    uint32_t all = group_category(c) | ((c->flags & CF_FAST) != 0 ? CAT_FAST : CAT_SLOW);
    for (size_t i = 0; i < sizeof(implied) / sizeof(implied[0]); i++) {
        if ((c->flags & implied[i].flags) != 0)
            all |= implied[i].category;
    }
    if ((all & CAT_SCRIPTING) != 0) /* what a script reads and writes is not known */
        all &= ~(uint32_t)(CAT_READ | CAT_WRITE);
    return all;
}
