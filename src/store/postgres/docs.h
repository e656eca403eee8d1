/* docs: the column `doc` of written rows: what a value says, as JSON (payload/payload.h). It is for
 * people only; nothing that clients are told depends on it. A write never fails because of it. */
#ifndef RESPGRES_STORE_POSTGRES_DOCS_H
#define RESPGRES_STORE_POSTGRES_DOCS_H

#include <stdint.h>

#include "config/config.h"
#include "payload/rules.h"
#include "store/postgres/params.h"
#include "store/store.h"

struct docs {
    const struct config *config;
    struct payload_rules *rules; /* of the options as they were at the last batch */
    struct buf json;             /* of the item being encoded */
    bool off;                    /* the database's encoding cannot hold every text */
    uint64_t decoded;
    uint64_t refused; /* writes sent again without: PostgreSQL did not take them with */
};

void docs_init(struct docs *d, const struct config *config);
void docs_release(struct docs *d);

/* A parameter of the commit statements: a text[] in the order of the items, NULL where there is
 * no document; shorter where the last ones have none. Returns how many there are. */
size_t docs_add(struct docs *d, struct params *p, const struct commit_batch *b, const int *order,
                bool without);
/* The same for the single item of STMT_COMMIT_ONE. */
size_t docs_add_one(struct docs *d, struct params *p, const struct commit_item *it, bool without);

#endif
