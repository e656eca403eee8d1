/* category: the ACL categories, which rules, ACL CAT and COMMAND speak of. Those of a command
 * follow from its flags and its group; what neither of them implies, the row says (CF_CAT_...).
 * Source: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/ */
#ifndef RESPGRES_COMMAND_CATEGORY_H
#define RESPGRES_COMMAND_CATEGORY_H

#include "command/command.h"

/* In the order in which Redis prints them. */
enum command_category {
    CAT_KEYSPACE = 1 << 0,
    CAT_READ = 1 << 1,
    CAT_WRITE = 1 << 2,
    CAT_SET = 1 << 3,
    CAT_SORTEDSET = 1 << 4,
    CAT_LIST = 1 << 5,
    CAT_HASH = 1 << 6,
    CAT_STRING = 1 << 7,
    CAT_BITMAP = 1 << 8,
    CAT_HYPERLOGLOG = 1 << 9,
    CAT_GEO = 1 << 10,
    CAT_STREAM = 1 << 11,
    CAT_PUBSUB = 1 << 12,
    CAT_ADMIN = 1 << 13,
    CAT_FAST = 1 << 14,
    CAT_SLOW = 1 << 15,
    CAT_BLOCKING = 1 << 16,
    CAT_DANGEROUS = 1 << 17,
    CAT_CONNECTION = 1 << 18,
    CAT_TRANSACTION = 1 << 19,
    CAT_SCRIPTING = 1 << 20,
};

enum { CATEGORY_COUNT = 21 };

uint32_t command_categories(const struct command *c);

/* "@keyspace" … of the bit 1 << i. */
const char *category_name(size_t i);
/* By its name without the @, in any case; 0 if there is none. */
uint32_t category_find(struct bytes name);

#endif
