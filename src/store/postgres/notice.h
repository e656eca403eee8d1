/* notice: what instances tell each other by NOTIFY. The channel has the schema's name.
 *
 *   k SSS CCC CCC ...   keys in these buckets were written; SSS = the writer's slot in hex, 000 = SQL;
 *                       CCC = a bucket's 18 bits in three characters
 *   *                   everything may have changed (FLUSH, SWAPDB, TRUNCATE, too many keys)
 *   p SLOT.INCARNATION.NUMBER
 *                       an instance's own ping
 *
 * (Without the blanks.) Keys are bearer tokens and everybody may LISTEN, so no key is sent. The schema's
 * bucket_code() makes the same codes. */
#ifndef RESPGRES_STORE_POSTGRES_NOTICE_H
#define RESPGRES_STORE_POSTGRES_NOTICE_H

#include "base/buf.h"
#include "store/store.h"

void notice_begin(struct buf *out, int slot);
void notice_add_key(struct buf *out, struct bytes key);
/* NUL-terminates; what is too long for NOTIFY (8,000 bytes) becomes "*". */
void notice_end(struct buf *out);

void notice_ping(struct buf *out, int slot, int64_t incarnation, uint64_t number);

/* Passes on what others say: nothing where `slot` itself has written. What is no notice of ours is
 * left alone. */
void notice_take(const char *payload, int slot, const struct store_notices *to, void *arg);

#endif
