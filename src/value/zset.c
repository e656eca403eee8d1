/* zset: two trees over the same items. An item's tail is the score; it is replaced when the score
 * changes, as other versions may share it. */
#include "value/zset.h"

#include <math.h>
#include <stdio.h>

#include "value/coding.h"

enum { ZSET_FORMAT = 1 };

struct zset {
    struct tree by_score;  /* key: score_key */
    struct tree by_member; /* key: member_hash */
    bool skiplist;
};

struct zset *zset_new(void)
{
    struct zset *z = mem_alloc(sizeof(*z));
    *z = (struct zset){.skiplist = false};
    tree_init(&z->by_score);
    tree_init(&z->by_member);
    return z;
}

void zset_free(struct zset *z)
{
    tree_release(&z->by_score);
    tree_release(&z->by_member);
    mem_free(z);
}

struct zset *zset_copy(const struct zset *z)
{
    struct zset *copy = zset_new();
    copy->skiplist = z->skiplist;
    tree_copy(&copy->by_score, &z->by_score);
    tree_copy(&copy->by_member, &z->by_member);
    return copy;
}

/* The items are in both trees once. */
size_t zset_memory(const struct zset *z)
{
    return sizeof(*z) + tree_memory(&z->by_score) +
           zset_count(z) * (sizeof(struct tree_entry) * 5 / 4 + sizeof(double));
}

size_t zset_count(const struct zset *z)
{
    return tree_count(&z->by_score);
}

/* A number that is ordered as scores are: negative ones are turned round. The two zeros are one. */
static uint64_t score_key(double score)
{
    if (score == 0)
        score = 0;
    uint64_t bits;
    memcpy(&bits, &score, sizeof(bits));
    uint64_t sign = UINT64_C(1) << 63;
    return (bits & sign) != 0 ? ~bits : bits | sign;
}

double zset_item_score(const struct item *it)
{
    double score;
    memcpy(&score, it->data + it->len, sizeof(score));
    return score;
}

static struct item *find(const struct zset *z, struct bytes member, uint64_t *hash, size_t *pos)
{
    *hash = member_hash(member);
    bool there = tree_find(&z->by_member, *hash, member, pos);
    return there ? tree_at(&z->by_member, *pos).item : NULL;
}

static size_t rank_of(const struct zset *z, const struct item *it)
{
    size_t rank;
    bool there = tree_find(&z->by_score, score_key(zset_item_score(it)), item_bytes(it), &rank);
    CHECK(there);
    return rank;
}

bool zset_score(const struct zset *z, struct bytes member, double *score)
{
    uint64_t hash;
    size_t pos;
    const struct item *it = find(z, member, &hash, &pos);
    if (it == NULL)
        return false;
    *score = zset_item_score(it);
    return true;
}

bool zset_rank(const struct zset *z, struct bytes member, size_t *rank)
{
    uint64_t hash;
    size_t pos;
    const struct item *it = find(z, member, &hash, &pos);
    if (it == NULL)
        return false;
    *rank = rank_of(z, it);
    return true;
}

static void insert_by_score(struct zset *z, struct item *it)
{
    uint64_t key = score_key(zset_item_score(it));
    size_t rank;
    bool there = tree_find(&z->by_score, key, item_bytes(it), &rank);
    CHECK(!there);
    tree_insert(&z->by_score, rank, (struct tree_entry){key, item_ref(it)});
}

/* Can this member be added? */
static bool fits_listpack(const struct zset *z, struct bytes member)
{
    return member.len <= ZSET_MAX_LISTPACK_VALUE && zset_count(z) < ZSET_MAX_LISTPACK_ENTRIES;
}

/* Redis keeps whole numbers as integers there: -0 becomes 0. */
static double stored_in_listpack(double score)
{
    return score == 0 ? 0 : score;
}

/* Not 0 and -0. */
static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

bool zset_put(struct zset *z, struct bytes member, double score)
{
    CHECK(!isnan(score));
    uint64_t hash;
    size_t pos;
    struct item *old = find(z, member, &hash, &pos);
    z->skiplist = z->skiplist || (old == NULL && !fits_listpack(z, member));
    if (!z->skiplist)
        score = stored_in_listpack(score);
    if (old != NULL && same_bits(zset_item_score(old), score))
        return false;
    struct item *it = item_new(member, &score, sizeof(score));
    if (old != NULL) {
        tree_remove(&z->by_score, rank_of(z, old));
        tree_replace(&z->by_member, pos, (struct tree_entry){hash, it});
    } else {
        tree_insert(&z->by_member, pos, (struct tree_entry){hash, it});
    }
    insert_by_score(z, it);
    return old == NULL;
}

bool zset_remove(struct zset *z, struct bytes member)
{
    uint64_t hash;
    size_t pos;
    const struct item *it = find(z, member, &hash, &pos);
    if (it == NULL)
        return false;
    tree_remove(&z->by_score, rank_of(z, it));
    tree_remove(&z->by_member, pos);
    return true;
}

void zset_remove_range(struct zset *z, size_t rank, size_t n)
{
    CHECK(rank <= zset_count(z) && n <= zset_count(z) - rank);
    for (; n > 0; n--) {
        const struct item *it = tree_at(&z->by_score, rank).item;
        uint64_t hash;
        size_t pos;
        it = find(z, item_bytes(it), &hash, &pos);
        CHECK(it != NULL);
        tree_remove(&z->by_score, rank);
        tree_remove(&z->by_member, pos);
    }
}

size_t zset_below(const struct zset *z, double score, bool or_equal)
{
    size_t pos;
    (void)tree_find(&z->by_score, score_key(score) + or_equal, BYTES_LIT(""), &pos);
    return pos;
}

size_t zset_below_lex(const struct zset *z, struct bytes member, bool or_equal)
{
    if (zset_count(z) == 0)
        return 0;
    size_t pos;
    bool there = tree_find(&z->by_score, tree_at(&z->by_score, 0).key, member, &pos);
    return pos + (there && or_equal);
}

struct tree_reader zset_reader(const struct zset *z)
{
    return tree_reader(&z->by_score);
}

uint64_t zset_scan(const struct zset *z, uint64_t cursor, size_t count, member_cb f, void *arg)
{
    if (z->skiplist)
        return member_scan(&z->by_member, cursor, count, f, arg);
    struct tree_reader r = zset_reader(z);
    for (size_t i = 0; i < zset_count(z); i++) {
        const struct item *it = tree_read(&r, i).item;
        f(item_bytes(it), it, arg);
    }
    return 0;
}

bool zset_is_skiplist(const struct zset *z)
{
    return z->skiplist;
}

const char *zset_encoding(const struct zset *z)
{
    return z->skiplist ? "skiplist" : "listpack";
}

void zset_unsettle(struct zset *z)
{
    z->skiplist = true;
}

/* Writes the scores anew that a listpack would have otherwise. */
static void settle_zeros(struct zset *z)
{
    size_t end = zset_below(z, 0, true);
    for (size_t rank = zset_below(z, 0, false); rank < end; rank++) {
        struct tree_entry e = tree_at(&z->by_score, rank);
        double zero = 0;
        uint64_t hash;
        size_t pos;
        CHECK(find(z, item_bytes(e.item), &hash, &pos) == e.item);
        struct item *it = item_new(item_bytes(e.item), &zero, sizeof(zero));
        tree_replace(&z->by_member, pos, (struct tree_entry){hash, it});
        tree_replace(&z->by_score, rank, (struct tree_entry){e.key, item_ref(it)});
    }
}

void zset_settle(struct zset *z)
{
    z->skiplist = zset_count(z) > ZSET_MAX_LISTPACK_ENTRIES;
    struct tree_reader r = zset_reader(z);
    for (size_t i = 0; i < zset_count(z) && !z->skiplist; i++)
        z->skiplist = tree_read(&r, i).item->len > ZSET_MAX_LISTPACK_VALUE;
    if (!z->skiplist)
        settle_zeros(z);
}

/* --- stored form --- */

void zset_encode(const struct zset *z, struct buf *out)
{
    buf_append_u8(out, ZSET_FORMAT);
    buf_append_u8(out, z->skiplist);
    put_varint(out, zset_count(z));
    struct tree_reader r = zset_reader(z);
    for (size_t i = 0; i < zset_count(z); i++) {
        const struct item *it = tree_read(&r, i).item;
        double score = zset_item_score(it);
        uint64_t bits;
        memcpy(&bits, &score, sizeof(bits));
        buf_append_be64(out, bits);
        put_coded(out, item_bytes(it));
    }
}

static bool take_score(struct bytes *in, double *out)
{
    if (in->len < 8)
        return false;
    uint64_t bits = 0;
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | (unsigned char)in->data[i];
    memcpy(out, &bits, sizeof(bits));
    *in = bytes_of(in->data + 8, in->len - 8);
    return !isnan(*out);
}

/* Adds a stored member; they are stored by rank. */
static bool add_stored(struct zset *z, struct bytes member, double score)
{
    uint64_t hash;
    size_t pos;
    size_t rank;
    uint64_t key = score_key(score);
    if ((!z->skiplist && !fits_listpack(z, member)) || find(z, member, &hash, &pos) != NULL ||
        tree_find(&z->by_score, key, member, &rank) || rank < zset_count(z))
        return false;
    struct item *it = item_new(member, &score, sizeof(score));
    tree_insert(&z->by_member, pos, (struct tree_entry){hash, it});
    tree_insert(&z->by_score, rank, (struct tree_entry){key, item_ref(it)});
    return true;
}

struct zset *zset_decode(struct bytes stored)
{
    uint8_t format, skiplist;
    uint64_t count;
    if (!take_u8(&stored, &format) || format != ZSET_FORMAT || !take_u8(&stored, &skiplist) ||
        skiplist > 1 || !take_varint(&stored, &count) || count == 0)
        return NULL;
    struct zset *z = zset_new();
    z->skiplist = skiplist;
    bool good = true;
    for (; good && count > 0; count--) {
        double score;
        struct bytes member;
        good = take_score(&stored, &score) && take_coded(&stored, &member) &&
               add_stored(z, member, score);
    }
    if (good && stored.len == 0)
        return z;
    zset_free(z);
    return NULL;
}

static size_t op_encoded_size(const void *content)
{
    const struct zset *c = content;
    return 16 + member_coded_size(&c->by_score) + zset_count(c) * sizeof(double);
}

/* [[member, score], …] by rank. */
static void op_to_json(const void *content, struct emit *out)
{
    const struct zset *z = content;
    if (!emit_begin(out, '['))
        return;
    struct tree_reader r = zset_reader(z);
    for (size_t i = 0; i < zset_count(z) && emit_step(out, 1) && !emit_closed(out); i++) {
        const struct item *it = tree_read(&r, i).item;
        if (!emit_begin(out, '['))
            return;
        emit_text_or_bytes(out, item_bytes(it));
        emit_double(out, zset_item_score(it));
        emit_end(out, ']');
    }
    emit_end(out, ']');
}

/* --- as a value (type.h) --- */

static void *op_new(void)
{
    return zset_new();
}

static void op_free(void *content)
{
    zset_free(content);
}

static void *op_copy(const void *content)
{
    return zset_copy(content);
}

static size_t op_count(const void *content)
{
    return zset_count(content);
}

static size_t op_memory(const void *content)
{
    return zset_memory(content);
}

static void op_encode(const void *content, struct buf *out)
{
    zset_encode(content, out);
}

static void *op_decode(struct bytes stored)
{
    return zset_decode(stored);
}

static const char *op_encoding(const void *content)
{
    return zset_encoding(content);
}

/* Score and member of each, by rank. A score's 17 digits are all of it. */
static void op_each(const void *content, void (*f)(void *arg, struct bytes argument), void *arg)
{
    const struct zset *z = content;
    struct tree_reader r = zset_reader(z);
    for (size_t i = 0; i < zset_count(z); i++) {
        const struct item *it = tree_read(&r, i).item;
        char score[40];
        snprintf(score, sizeof(score), "%.17g", zset_item_score(it));
        f(arg, bytes_cstr(score));
        f(arg, item_bytes(it));
    }
}

const struct value_type_ops zset_ops = {
    .name = "zset",
    .new_empty = op_new,
    .free = op_free,
    .copy = op_copy,
    .count = op_count,
    .memory = op_memory,
    .encoded_size = op_encoded_size,
    .encode = op_encode,
    .decode = op_decode,
    .to_json = op_to_json,
    .add_command = "ZADD",
    .add_arguments = 2,
    .each = op_each,
    .encoding = op_encoding,
};
