/* packet: how published messages travel between instances. A packet is the text of one NOTIFY, or
 * of one row for those who cannot LISTEN:
 *
 *   m BASE64      (without the blank) of: sender, number (be64 each), then frames to the end
 *
 * A frame is a message, or a reference to a row of `messages` whose body is the frame of one
 * message:
 *
 *   0 or 1, channel's length, message's length (be32 each), channel, message     1 = to a shard
 * channel 2, number, bytes (be64 each)
 *
 * The number makes packets of one sender different: PostgreSQL tells equal notices of a transaction
 * only once. Everybody may LISTEN, so whoever may connect to the database can read what is
 * published. */
#ifndef RESPGRES_STORE_POSTGRES_PACKET_H
#define RESPGRES_STORE_POSTGRES_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"

/* NOTIFY takes less than 8,000 bytes: so many before they are encoded. */
enum { PACKET_HEADER = 16, PACKET_RAW_MAX = 5900 };

struct frame {
    bool is_reference;
    bool shard;
    struct bytes channel;
    struct bytes message;
    uint64_t number; /* reference: of the row */
    uint64_t size;   /* ... and how long its body is */
};

void packet_begin(struct buf *raw, uint64_t sender, uint64_t number);
/* What it adds to a packet. */
size_t packet_frame_size(struct bytes channel, struct bytes message);
void packet_add(struct buf *raw, bool shard, struct bytes channel, struct bytes message);
enum { PACKET_REFERENCE_SIZE = 17 };
void packet_add_reference(struct buf *raw, uint64_t number, uint64_t size);
/* Appends the text. */
void packet_encode(const struct buf *raw, struct buf *text);

/* False if it is none. `raw` is emptied first; what is behind the header is `frames`. */
MUST_CHECK bool packet_decode(const char *text, struct buf *raw, uint64_t *sender,
                              struct bytes *frames);
/* Takes the next frame off the front; it points into the packet. False at the end, and at what is
 * no frame: then all of the rest is passed by. */
MUST_CHECK bool frame_next(struct bytes *frames, struct frame *out);

#endif
