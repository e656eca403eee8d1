/* tree: see the header. Leaves hold entries; inner nodes hold branches, each with a copy of the
 * first entry below it (its item is borrowed: the leaf has the reference) and the number of entries
 * there.
 *
 * All leaves are at one depth. No node is empty. Two neighbours that together have at most half of
 * what fits into one are made one when something was removed from either, so a node is a quarter
 * full on average. A node is changed only by whoever holds its one reference (`own`). */
#include "value/tree.h"

enum { LEAF_MAX = 64, INNER_MAX = 32, CAP_MIN = 4 };

struct tree_node {
    uint32_t refs;
    uint16_t used;
    uint16_t cap;
    bool is_leaf;
    size_t total; /* entries in or below it */
};

struct branch {
    struct tree_entry first;
    struct tree_node *child;
    size_t total;
};

struct leaf {
    struct tree_node node;
    struct tree_entry entries[];
};

struct inner {
    struct tree_node node;
    struct branch branches[];
};

static struct tree_entry *entries_of(const struct tree_node *n)
{
    return ((struct leaf *)(void *)n)->entries;
}

static struct branch *branches_of(const struct tree_node *n)
{
    return ((struct inner *)(void *)n)->branches;
}

static size_t node_size(bool is_leaf, unsigned cap)
{
    return is_leaf ? sizeof(struct leaf) + cap * sizeof(struct tree_entry)
                   : sizeof(struct inner) + cap * sizeof(struct branch);
}

static unsigned node_max(const struct tree_node *n)
{
    return n->is_leaf ? LEAF_MAX : INNER_MAX;
}

static struct tree_node *node_new(bool is_leaf, unsigned cap)
{
    struct tree_node *n = mem_alloc(node_size(is_leaf, cap));
    *n = (struct tree_node){.refs = 1, .cap = (uint16_t)cap, .is_leaf = is_leaf};
    return n;
}

static struct tree_node *node_ref(struct tree_node *n)
{
    CHECK(n->refs > 0 && n->refs < UINT32_MAX);
    n->refs++;
    return n;
}

static void node_unref(struct tree_node *n)
{
    CHECK(n->refs > 0);
    if (--n->refs > 0)
        return;
    for (unsigned i = 0; i < n->used; i++) {
        if (n->is_leaf)
            item_unref(entries_of(n)[i].item);
        else
            node_unref(branches_of(n)[i].child);
    }
    mem_free(n);
}

/* Takes references to what is in places [from, used). */
static void refs_take(struct tree_node *n, unsigned from)
{
    for (unsigned i = from; i < n->used; i++) {
        if (n->is_leaf)
            item_ref(entries_of(n)[i].item);
        else
            node_ref(branches_of(n)[i].child);
    }
}

static struct tree_entry node_first(const struct tree_node *n)
{
    return n->is_leaf ? entries_of(n)[0] : branches_of(n)[0].first;
}

/* Room for `need` in a node that grows by doubling. */
static unsigned cap_for(const struct tree_node *n, unsigned need)
{
    unsigned cap = n->cap < CAP_MIN ? CAP_MIN : n->cap;
    while (cap < need)
        cap *= 2;
    return cap > node_max(n) ? node_max(n) : cap;
}

/* Makes the node the caller's alone, with room for `more`. */
static struct tree_node *own(struct tree_node **slot, unsigned more)
{
    struct tree_node *n = *slot;
    CHECK(n->used + more <= node_max(n));
    unsigned cap = cap_for(n, n->used + more);
    if (n->refs == 1) {
        if (cap > n->cap) {
            n = mem_realloc(n, node_size(n->is_leaf, cap));
            n->cap = (uint16_t)cap;
            *slot = n;
        }
        return n;
    }
    struct tree_node *copy = node_new(n->is_leaf, cap);
    memcpy(copy, n, node_size(n->is_leaf, n->used));
    copy->refs = 1;
    copy->cap = (uint16_t)cap;
    refs_take(copy, 0);
    node_unref(n);
    *slot = copy;
    return copy;
}

static void branch_refresh(struct branch *b)
{
    b->first = node_first(b->child);
    b->total = b->child->total;
}

static struct branch branch_to(struct tree_node *child)
{
    struct branch b = {.child = child};
    branch_refresh(&b);
    return b;
}

/* Moves what is in places [at, used) of an own node to a new one. */
static struct tree_node *split_off(struct tree_node *n, unsigned at)
{
    struct tree_node *right = node_new(n->is_leaf, node_max(n));
    unsigned moved = n->used - at;
    right->used = (uint16_t)moved;
    n->used = (uint16_t)at;
    if (n->is_leaf) {
        memcpy(entries_of(right), entries_of(n) + at, moved * sizeof(struct tree_entry));
        right->total = moved;
    } else {
        memcpy(branches_of(right), branches_of(n) + at, moved * sizeof(struct branch));
        for (unsigned i = 0; i < moved; i++)
            right->total += branches_of(right)[i].total;
    }
    n->total -= right->total;
    return right;
}

/* A full node is split where the new one comes, if that is at an end: so what only grows at its
 * ends has full nodes. */
static unsigned split_place(const struct tree_node *n, unsigned at)
{
    return at == 0 || at == n->used ? at : n->used / 2U;
}

/* Puts a member at place `at` of a node, splitting it if it is full: then returns the right half.
 * `entry` for a leaf, `branch` for an inner node. */
static struct tree_node *put_in(struct tree_node **slot, unsigned at,
                                const struct tree_entry *entry, const struct branch *branch)
{
    struct tree_node *right = NULL;
    if ((*slot)->used == node_max(*slot)) {
        struct tree_node *n = own(slot, 0);
        unsigned cut = split_place(n, at);
        right = split_off(n, cut);
        if (at >= cut && cut > 0) {
            slot = &right;
            at -= cut;
        }
    }
    struct tree_node *n = own(slot, 1);
    unsigned behind = n->used - at;
    if (entry != NULL) {
        struct tree_entry *to = entries_of(n) + at;
        memmove(to + 1, to, behind * sizeof(*to));
        *to = *entry;
        n->total++;
    } else {
        struct branch *to = branches_of(n) + at;
        memmove(to + 1, to, behind * sizeof(*to));
        *to = *branch;
        n->total += branch->total;
    }
    n->used++;
    return right;
}

/* The branch below which position `*pos` is; `*pos` is counted from its beginning afterwards. With
 * `insert` the end of a branch belongs to it. */
static unsigned branch_for(const struct tree_node *n, size_t *pos, bool insert)
{
    const struct branch *b = branches_of(n);
    unsigned i = 0;
    while (*pos >= b[i].total + insert) {
        *pos -= b[i].total;
        i++;
        CHECK(i < n->used);
    }
    return i;
}

static struct tree_node *insert_at(struct tree_node **slot, size_t pos, struct tree_entry e)
{
    if ((*slot)->is_leaf)
        return put_in(slot, (unsigned)pos, &e, NULL);
    struct tree_node *n = own(slot, 0);
    unsigned i = branch_for(n, &pos, true);
    struct branch *b = &branches_of(n)[i];
    struct tree_node *right = insert_at(&b->child, pos, e);
    size_t before = b->total;
    branch_refresh(b);
    n->total = n->total - before + b->total;
    if (right == NULL)
        return NULL;
    struct branch more = branch_to(right);
    return put_in(slot, i + 1, NULL, &more);
}

/* Moves all of place i + 1's child to the end of place i's. */
static void join(struct tree_node *n, unsigned i)
{
    struct branch *b = branches_of(n) + i;
    struct tree_node *right = b[1].child;
    struct tree_node *left = own(&b[0].child, right->used);
    if (left->is_leaf)
        memcpy(entries_of(left) + left->used, entries_of(right),
               right->used * sizeof(struct tree_entry));
    else
        memcpy(branches_of(left) + left->used, branches_of(right),
               right->used * sizeof(struct branch));
    unsigned from = left->used;
    left->used = (uint16_t)(left->used + right->used);
    left->total += right->total;
    refs_take(left, from);
    node_unref(right);
    branch_refresh(&b[0]);
    memmove(b + 1, b + 2, (n->used - i - 2U) * sizeof(*b));
    n->used--;
}

static void join_if_small(struct tree_node *n, unsigned i)
{
    if (i + 1 >= n->used)
        return;
    const struct tree_node *left = branches_of(n)[i].child;
    const struct tree_node *right = branches_of(n)[i + 1].child;
    if (left->used + right->used <= (int)node_max(left) / 2)
        join(n, i);
}

/* Gives memory of a node that is a quarter full back. */
static void shrink(struct tree_node **slot)
{
    struct tree_node *n = *slot;
    if (n->cap <= CAP_MIN || n->used > n->cap / 4)
        return;
    unsigned cap = n->cap / 2U;
    n = mem_realloc(n, node_size(n->is_leaf, cap));
    n->cap = (uint16_t)cap;
    *slot = n;
}

static void remove_at(struct tree_node **slot, size_t pos)
{
    struct tree_node *n = own(slot, 0);
    n->total--;
    if (n->is_leaf) {
        struct tree_entry *e = entries_of(n) + pos;
        item_unref(e->item);
        memmove(e, e + 1, (n->used - pos - 1) * sizeof(*e));
        n->used--;
        shrink(slot);
        return;
    }
    unsigned i = branch_for(n, &pos, false);
    struct branch *b = branches_of(n) + i;
    remove_at(&b->child, pos);
    if (b->child->used == 0) {
        node_unref(b->child);
        memmove(b, b + 1, (n->used - i - 1U) * sizeof(*b));
        n->used--;
        return;
    }
    branch_refresh(b);
    join_if_small(n, i);
    if (i > 0)
        join_if_small(n, i - 1);
}

static void replace_at(struct tree_node **slot, size_t pos, struct tree_entry e)
{
    struct tree_node *n = own(slot, 0);
    if (n->is_leaf) {
        item_unref(entries_of(n)[pos].item);
        entries_of(n)[pos] = e;
        return;
    }
    struct branch *b = branches_of(n) + branch_for(n, &pos, false);
    replace_at(&b->child, pos, e);
    branch_refresh(b);
}

/* --- the whole --- */

void tree_init(struct tree *t)
{
    *t = (struct tree){0};
}

void tree_release(struct tree *t)
{
    if (t->root != NULL)
        node_unref(t->root);
    tree_init(t);
}

void tree_copy(struct tree *to, const struct tree *from)
{
    CHECK(to->root == NULL);
    *to = *from;
    if (to->root != NULL)
        node_ref(to->root);
}

size_t tree_count(const struct tree *t)
{
    return t->root == NULL ? 0 : t->root->total;
}

size_t tree_memory(const struct tree *t)
{
    enum { ALLOCATION = 8 }; /* what an allocation costs besides */
    size_t n = tree_count(t);
    size_t per_entry = sizeof(struct tree_entry) * 5 / 4 + sizeof(struct item) + ALLOCATION;
    return sizeof(struct leaf) + n * per_entry + t->item_bytes;
}

void tree_insert(struct tree *t, size_t pos, struct tree_entry e)
{
    CHECK(pos <= tree_count(t));
    t->item_bytes += e.item->len;
    if (t->root == NULL)
        t->root = node_new(true, CAP_MIN);
    struct tree_node *right = insert_at(&t->root, pos, e);
    if (right == NULL)
        return;
    struct tree_node *root = node_new(false, CAP_MIN);
    branches_of(root)[0] = branch_to(t->root);
    branches_of(root)[1] = branch_to(right);
    root->used = 2;
    root->total = t->root->total + right->total;
    t->root = root;
}

void tree_remove(struct tree *t, size_t pos)
{
    CHECK(pos < tree_count(t));
    t->item_bytes -= tree_at(t, pos).item->len;
    remove_at(&t->root, pos);
    while (!t->root->is_leaf && t->root->used == 1) {
        struct tree_node *child = node_ref(branches_of(t->root)[0].child);
        node_unref(t->root);
        t->root = child;
    }
    if (t->root->total == 0)
        tree_release(t);
}

void tree_remove_range(struct tree *t, size_t pos, size_t n)
{
    if (pos == 0 && n == tree_count(t)) {
        tree_release(t);
        return;
    }
    for (; n > 0; n--)
        tree_remove(t, pos);
}

void tree_replace(struct tree *t, size_t pos, struct tree_entry e)
{
    CHECK(pos < tree_count(t));
    t->item_bytes = t->item_bytes - tree_at(t, pos).item->len + e.item->len;
    replace_at(&t->root, pos, e);
}

static const struct tree_node *leaf_at(const struct tree *t, size_t *pos)
{
    CHECK(*pos < tree_count(t));
    const struct tree_node *n = t->root;
    while (!n->is_leaf)
        n = branches_of(n)[branch_for(n, pos, false)].child;
    return n;
}

struct tree_entry tree_at(const struct tree *t, size_t pos)
{
    const struct tree_node *n = leaf_at(t, &pos);
    return entries_of(n)[pos];
}

struct tree_entry tree_read(struct tree_reader *r, size_t pos)
{
    if (r->entries == NULL || pos < r->first || pos - r->first >= r->count) {
        size_t within = pos;
        const struct tree_node *n = leaf_at(r->tree, &within);
        r->entries = entries_of(n);
        r->first = pos - within;
        r->count = n->used;
    }
    return r->entries[pos - r->first];
}

/* --- search --- */

static int entry_cmp(const struct tree_entry *e, uint64_t key, struct bytes bytes)
{
    if (e->key != key)
        return e->key < key ? -1 : 1;
    return bytes_cmp(item_bytes(e->item), bytes);
}

/* The last branch that begins at or before it; the first if none does. */
static unsigned branch_search(const struct tree_node *n, uint64_t key, struct bytes bytes)
{
    unsigned low = 0;
    unsigned high = n->used; /* branches from here on begin behind it */
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (entry_cmp(&branches_of(n)[middle].first, key, bytes) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

bool tree_find(const struct tree *t, uint64_t key, struct bytes bytes, size_t *pos)
{
    *pos = 0;
    const struct tree_node *n = t->root;
    if (n == NULL)
        return false;
    while (!n->is_leaf) {
        unsigned at = branch_search(n, key, bytes);
        const struct branch *b = branches_of(n);
        for (unsigned i = 0; i < at; i++)
            *pos += b[i].total;
        n = b[at].child;
    }
    unsigned low = 0;
    unsigned high = n->used;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (entry_cmp(&entries_of(n)[middle], key, bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *pos += low;
    return low < n->used && entry_cmp(&entries_of(n)[low], key, bytes) == 0;
}
