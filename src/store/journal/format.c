/* Encoding writes through a pointer into room that was measured before; decoding reads through a
 * cursor that never passes the end and remembers that it would have had to. */
#include "store/journal/format.h"

#include "base/crc32c.h"
#include "base/mem.h"

enum {
    LANE_SIZE = 4 + 8 + 4 + 8,
    ITEM_SIZE = 4 + 3 + 5 * 8 + 4 + 4, /* without key and value */
    SHORT_ITEM_SIZE = 4 + 8 + 4,
    BOOT_ID_SIZE = 37,
    CLOCK_SIZE = BOOT_ID_SIZE + 8 + 8 + 8 + 4 + 8 + 8,
    ITEM_LIVE = 1,
    ITEM_TOUCH = 2,
};

const char frame_marker[4] = {'\xf7', 'R', 'J', '\x9e'};
const char header_of_other_version[] = "it has the format of another version of respgres";
static const char file_magic[8] = {'R', 'E', 'S', 'P', 'G', 'J', 'N', 'L'};

/* ---- numbers ---- */

static char *put_le(char *at, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        at[i] = (char)(v >> 8 * i & 0xff);
    return at + n;
}

static char *put8(char *at, uint8_t v)
{
    *at = (char)v;
    return at + 1;
}

static char *put32(char *at, uint32_t v)
{
    return put_le(at, v, 4);
}

static char *put64(char *at, uint64_t v)
{
    return put_le(at, v, 8);
}

static char *put_bytes(char *at, struct bytes s)
{
    if (s.len > 0)
        memcpy(at, s.data, s.len);
    return at + s.len;
}

static uint64_t get_le(const char *at, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v |= (uint64_t)(unsigned char)at[i] << 8 * i;
    return v;
}

struct cursor {
    struct bytes in;
    bool bad; /* more was wanted than there is */
};

static struct bytes take(struct cursor *c, size_t n)
{
    if (c->bad || n > c->in.len) {
        c->bad = true;
        return (struct bytes){NULL, 0};
    }
    struct bytes s = {c->in.data, n};
    c->in.data += n;
    c->in.len -= n;
    return s;
}

static uint64_t take_le(struct cursor *c, int n)
{
    struct bytes s = take(c, (size_t)n);
    return s.data == NULL ? 0 : get_le(s.data, n);
}

static uint8_t take8(struct cursor *c)
{
    return (uint8_t)take_le(c, 1);
}

static uint32_t take32(struct cursor *c)
{
    return (uint32_t)take_le(c, 4);
}

static uint64_t take64(struct cursor *c)
{
    return take_le(c, 8);
}

static bool take_bool(struct cursor *c)
{
    uint8_t v = take8(c);
    c->bad |= v > 1;
    return v == 1;
}

/* ---- frames ---- */

static uint32_t frame_checksum(const char *head, struct bytes payload)
{
    return crc32c(crc32c(0, head + 4, 4), payload.data, payload.len);
}

/* The head of a frame whose payload of `n` bytes stands behind it already. */
static void seal_frame(char *head, size_t n)
{
    CHECK(n > 0 && n <= PAYLOAD_MAX);
    memcpy(head, frame_marker, sizeof(frame_marker));
    put32(head + 4, (uint32_t)n);
    put32(head + 8, frame_checksum(head, bytes_of(head + FRAME_HEAD_SIZE, n)));
}

size_t frame_size(const char *head)
{
    uint64_t n = get_le(head + 4, 4);
    if (memcmp(head, frame_marker, sizeof(frame_marker)) != 0 || n == 0 || n > PAYLOAD_MAX)
        return 0;
    return FRAME_HEAD_SIZE + (size_t)n;
}

enum journal_parse frame_parse(struct bytes in, struct frame *f)
{
    size_t known = in.len < sizeof(frame_marker) ? in.len : sizeof(frame_marker);
    if (known > 0 && memcmp(in.data, frame_marker, known) != 0)
        return JOURNAL_DAMAGED;
    if (in.len < FRAME_HEAD_SIZE)
        return JOURNAL_INCOMPLETE;
    size_t size = frame_size(in.data);
    if (size == 0)
        return JOURNAL_DAMAGED;
    if (in.len < size)
        return JOURNAL_INCOMPLETE;
    struct bytes payload = {in.data + FRAME_HEAD_SIZE, size - FRAME_HEAD_SIZE};
    if (get_le(in.data + 8, 4) != frame_checksum(in.data, payload))
        return JOURNAL_DAMAGED;
    f->kind = (uint8_t)payload.data[0];
    f->payload = bytes_of(payload.data + 1, payload.len - 1);
    f->used = size;
    return JOURNAL_PARSED;
}

/* ---- records ---- */

static size_t items_size(const struct journal_record *r, bool whole)
{
    size_t n = 4;
    for (size_t i = 0; i < r->nitems; i++) {
        n += (whole ? (size_t)ITEM_SIZE : (size_t)SHORT_ITEM_SIZE) + r->items[i].key.len;
        n += whole ? r->items[i].value.len : 0;
    }
    return n;
}

static size_t body_size(const struct journal_record *r)
{
    switch (r->kind) {
    case JOURNAL_WRITE:
        return LANE_SIZE + items_size(r, true);
    case JOURNAL_SETTLED:
        return LANE_SIZE + 1 + items_size(r, false);
    case JOURNAL_FLUSH:
        return 4 + 8;
    case JOURNAL_MERGE_BEGIN:
        return 8 + items_size(r, false);
    case JOURNAL_MERGE_END:
        return 8 + 1;
    case JOURNAL_CLOCK:
        return CLOCK_SIZE;
    }
    CHECK(!"a kind of record that there is not");
}

size_t record_size(const struct journal_record *r)
{
    return FRAME_HEAD_SIZE + 1 + body_size(r);
}

static char *put_lane(char *at, const struct journal_lane *l)
{
    at = put32(at, (uint32_t)l->slot);
    at = put64(at, (uint64_t)l->incarnation);
    at = put32(at, (uint32_t)l->lane);
    return put64(at, (uint64_t)l->stamp);
}

static char *put_item(char *at, const struct journal_item *i)
{
    at = put32(at, (uint32_t)i->db);
    at = put8(at, (uint8_t)((i->live ? ITEM_LIVE : 0) | (i->touch ? ITEM_TOUCH : 0)));
    at = put8(at, i->type);
    at = put8(at, i->base);
    at = put64(at, (uint64_t)i->version);
    at = put64(at, (uint64_t)i->value_version);
    at = put64(at, (uint64_t)i->expires_us);
    at = put64(at, (uint64_t)i->base_version);
    at = put64(at, (uint64_t)i->maybe_version);
    at = put32(at, (uint32_t)i->key.len);
    at = put32(at, (uint32_t)i->value.len);
    return put_bytes(put_bytes(at, i->key), i->value);
}

static char *put_short_item(char *at, const struct journal_item *i)
{
    at = put32(at, (uint32_t)i->db);
    at = put64(at, (uint64_t)i->version);
    at = put32(at, (uint32_t)i->key.len);
    return put_bytes(at, i->key);
}

static char *put_items(char *at, const struct journal_record *r, bool whole)
{
    at = put32(at, (uint32_t)r->nitems);
    for (size_t i = 0; i < r->nitems; i++)
        at = whole ? put_item(at, &r->items[i]) : put_short_item(at, &r->items[i]);
    return at;
}

static char *put_clock(char *at, const struct journal_clock *c)
{
    char boot_id[BOOT_ID_SIZE] = {0};
    memcpy(boot_id, c->boot_id, strnlen(c->boot_id, BOOT_ID_SIZE - 1));
    at = put_bytes(at, bytes_of(boot_id, BOOT_ID_SIZE));
    at = put64(at, (uint64_t)c->boot_us);
    at = put64(at, (uint64_t)c->pg_us);
    at = put64(at, (uint64_t)c->wall_us);
    at = put32(at, (uint32_t)c->slot);
    at = put64(at, (uint64_t)c->incarnation);
    return put64(at, (uint64_t)c->last_stamp);
}

static char *put_body(char *at, const struct journal_record *r)
{
    switch (r->kind) {
    case JOURNAL_WRITE:
        return put_items(put_lane(at, &r->lane), r, true);
    case JOURNAL_SETTLED:
        return put_items(put8(put_lane(at, &r->lane), r->applied), r, false);
    case JOURNAL_FLUSH:
        return put64(put32(at, (uint32_t)r->db), (uint64_t)r->stamp);
    case JOURNAL_MERGE_BEGIN:
        return put_items(put64(at, r->number), r, false);
    case JOURNAL_MERGE_END:
        return put8(put64(at, r->number), r->applied);
    case JOURNAL_CLOCK:
        return put_clock(at, &r->clock);
    }
    CHECK(!"a kind of record that there is not");
}

void journal_encode(const struct journal_record *r, struct buf *out)
{
    size_t size = record_size(r);
    char *head = buf_reserve(out, size);
    char *end = put_body(put8(head + FRAME_HEAD_SIZE, (uint8_t)r->kind), r);
    CHECK(end == head + size);
    seal_frame(head, size - FRAME_HEAD_SIZE);
    out->len += size;
}

static void take_lane(struct cursor *c, struct journal_lane *l)
{
    l->slot = (int32_t)take32(c);
    l->incarnation = (int64_t)take64(c);
    l->lane = (int32_t)take32(c);
    l->stamp = (int64_t)take64(c);
}

static void take_item(struct cursor *c, struct journal_item *i)
{
    i->db = (int32_t)take32(c);
    uint8_t flags = take8(c);
    c->bad |= flags > (ITEM_LIVE | ITEM_TOUCH);
    i->live = (flags & ITEM_LIVE) != 0;
    i->touch = (flags & ITEM_TOUCH) != 0;
    i->type = take8(c);
    i->base = take8(c);
    c->bad |= i->base > BASE_LIVE;
    i->version = (int64_t)take64(c);
    i->value_version = (int64_t)take64(c);
    i->expires_us = (int64_t)take64(c);
    i->base_version = (int64_t)take64(c);
    i->maybe_version = (int64_t)take64(c);
    uint32_t key = take32(c);
    uint32_t value = take32(c);
    i->key = take(c, key);
    i->value = take(c, value);
}

static void take_short_item(struct cursor *c, struct journal_item *i)
{
    i->db = (int32_t)take32(c);
    i->version = (int64_t)take64(c);
    uint32_t key = take32(c);
    i->key = take(c, key);
}

/* No more is allocated than the bytes that are there can fill. */
static void take_items(struct cursor *c, struct journal_record *r, bool whole)
{
    uint32_t n = take32(c);
    if (c->bad || n > c->in.len / (whole ? (size_t)ITEM_SIZE : (size_t)SHORT_ITEM_SIZE)) {
        c->bad = true;
        return;
    }
    r->nitems = n;
    r->items = n == 0 ? NULL : mem_zalloc(n * sizeof(*r->items));
    for (uint32_t i = 0; i < n && !c->bad; i++) {
        if (whole)
            take_item(c, &r->items[i]);
        else
            take_short_item(c, &r->items[i]);
    }
}

static void take_clock(struct cursor *c, struct journal_clock *k)
{
    struct bytes boot_id = take(c, BOOT_ID_SIZE);
    if (c->bad || boot_id.data[BOOT_ID_SIZE - 1] != '\0') {
        c->bad = true;
        return;
    }
    size_t n = strlen(boot_id.data);
    memcpy(k->boot_id, boot_id.data, n);
    for (; n < BOOT_ID_SIZE; n++)
        c->bad |= boot_id.data[n] != '\0';
    k->boot_us = (int64_t)take64(c);
    k->pg_us = (int64_t)take64(c);
    k->wall_us = (int64_t)take64(c);
    k->slot = (int32_t)take32(c);
    k->incarnation = (int64_t)take64(c);
    k->last_stamp = (int64_t)take64(c);
}

static void take_body(struct cursor *c, struct journal_record *r)
{
    switch (r->kind) {
    case JOURNAL_WRITE:
        take_lane(c, &r->lane);
        take_items(c, r, true);
        return;
    case JOURNAL_SETTLED:
        take_lane(c, &r->lane);
        r->applied = take_bool(c);
        take_items(c, r, false);
        return;
    case JOURNAL_FLUSH:
        r->db = (int32_t)take32(c);
        r->stamp = (int64_t)take64(c);
        return;
    case JOURNAL_MERGE_BEGIN:
        r->number = take64(c);
        take_items(c, r, false);
        return;
    case JOURNAL_MERGE_END:
        r->number = take64(c);
        r->applied = take_bool(c);
        return;
    case JOURNAL_CLOCK:
        take_clock(c, &r->clock);
        return;
    }
    c->bad = true;
}

bool record_decode(const struct frame *f, struct journal_record *out)
{
    struct journal_record r = {0};
    struct cursor c = {.in = f->payload};
    if (f->kind < JOURNAL_WRITE || f->kind > JOURNAL_CLOCK)
        return false;
    r.kind = (enum journal_kind)f->kind;
    take_body(&c, &r);
    if (c.bad || c.in.len != 0) {
        mem_free(r.items);
        return false;
    }
    *out = r;
    return true;
}

enum journal_parse journal_decode(struct bytes in, struct journal_record *r, size_t *used)
{
    struct frame f;
    enum journal_parse parse = frame_parse(in, &f);
    if (parse != JOURNAL_PARSED)
        return parse;
    if (!record_decode(&f, r))
        return JOURNAL_DAMAGED;
    *used = f.used;
    return JOURNAL_PARSED;
}

/* ---- what only the files know ---- */

void mark_encode(uint64_t acknowledged, const uint8_t id[ID_SIZE], char *out)
{
    char *at = put64(put8(out + FRAME_HEAD_SIZE, KIND_MARK), acknowledged);
    at = put_bytes(at, bytes_of((const char *)id, ID_SIZE));
    CHECK(at == out + MARK_SIZE);
    seal_frame(out, MARK_SIZE - FRAME_HEAD_SIZE);
}

bool mark_decode(const struct frame *f, uint64_t *acknowledged, uint8_t id[ID_SIZE])
{
    if (f->kind != KIND_MARK || f->payload.len != 8 + ID_SIZE)
        return false;
    *acknowledged = get_le(f->payload.data, 8);
    memcpy(id, f->payload.data + 8, ID_SIZE);
    return true;
}

void end_encode(uint64_t records, struct buf *out)
{
    char *head = buf_reserve(out, END_SIZE);
    put64(put8(head + FRAME_HEAD_SIZE, KIND_END), records);
    seal_frame(head, END_SIZE - FRAME_HEAD_SIZE);
    out->len += END_SIZE;
}

bool end_decode(const struct frame *f, uint64_t *records)
{
    if (f->kind != KIND_END || f->payload.len != 8)
        return false;
    *records = get_le(f->payload.data, 8);
    return true;
}

void header_encode(const struct file_header *h, char out[FILE_HEADER_SIZE])
{
    memset(out, 0, FILE_HEADER_SIZE);
    char *at = put_bytes(out, bytes_of(file_magic, sizeof(file_magic)));
    at = put32(put32(at, FORMAT_VERSION), FILE_HEADER_SIZE);
    at = put64(put64(at, (uint64_t)h->kind), h->number);
    at = put_bytes(at, bytes_of((const char *)h->id, ID_SIZE));
    at = put64(put64(at, h->previous), h->previous_end);
    at = put64(at, (uint64_t)h->created_us);
    memcpy(at, h->name, strnlen(h->name, FILE_NAME_SIZE - 1));
    put32(out + FILE_HEADER_SIZE - 4, crc32c(0, out, FILE_HEADER_SIZE - 4));
}

bool header_decode(struct bytes in, struct file_header *out, const char **why)
{
    struct file_header h = {0};
    if (in.len < FILE_HEADER_SIZE) {
        *why = "the header is not complete";
        return false;
    }
    if (memcmp(in.data, file_magic, sizeof(file_magic)) != 0) {
        *why = "it does not begin as a file of a journal does";
        return false;
    }
    if (get_le(in.data + FILE_HEADER_SIZE - 4, 4) != crc32c(0, in.data, FILE_HEADER_SIZE - 4)) {
        *why = "the header's checksum is wrong";
        return false;
    }
    struct cursor c = {.in = bytes_of(in.data + sizeof(file_magic), FILE_HEADER_SIZE)};
    if (take32(&c) != FORMAT_VERSION || take32(&c) != FILE_HEADER_SIZE) {
        *why = header_of_other_version;
        return false;
    }
    h.kind = (enum file_kind)take64(&c);
    h.number = take64(&c);
    memcpy(h.id, take(&c, ID_SIZE).data, ID_SIZE);
    h.previous = take64(&c);
    h.previous_end = take64(&c);
    h.created_us = (int64_t)take64(&c);
    memcpy(h.name, take(&c, FILE_NAME_SIZE).data, FILE_NAME_SIZE - 1);
    *out = h;
    return true;
}
