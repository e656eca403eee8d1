/* pickle: Python's pickle, protocols 0 to 5, as data. The opcodes (pickletools.py describes each)
 * run on a stack of nodes. Nothing is looked up, imported or called: what would make an object
 * becomes a node with the callable's name and arguments.
 *
 * Bounds: an opcode makes at most three nodes and three cells besides those it moves, so all memory
 * is proportional to the input, whatever lengths and memo numbers say. */
#include "payload/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "payload/internal.h"

struct machine {
    const unsigned char *p;
    const unsigned char *end;
    size_t size; /* of the input */
    struct emit *e;
    unsigned char op;
    bool stopped;
    struct graph g;
    size_t nnodes;
    size_t nodes_cap;
    size_t ncells;
    size_t cells_cap;
    uint32_t *stack;
    size_t nstack;
    size_t stack_cap;
    uint32_t *memo; /* 0 = not set */
    size_t memo_cap;
    size_t memo_count;
    struct buf text; /* of strings with escapes; never moved */
};

/* ---- nodes ---- */

/* Room for one more in an array. */
static bool grow(struct machine *m, void **array, size_t *cap, size_t used, size_t item)
{
    if (used < *cap)
        return true;
    size_t more = *cap < 32 ? 64 : *cap * 2;
    void *p = mem_try_realloc(*array, more * item);
    if (p == NULL) {
        m->e->result = PAYLOAD_LIMIT;
        return false;
    }
    *array = p;
    *cap = more;
    return true;
}

/* 0 without memory: node 0 is there, but nobody's. */
static uint32_t new_node(struct machine *m, enum node_kind kind)
{
    if (!grow(m, (void **)&m->g.nodes, &m->nodes_cap, m->nnodes, sizeof(struct node)))
        return 0;
    struct node *n = &m->g.nodes[m->nnodes];
    memset(n, 0, sizeof(*n));
    n->kind = (uint8_t)kind;
    return (uint32_t)m->nnodes++;
}

static struct node *at(struct machine *m, uint32_t node)
{
    return &m->g.nodes[node];
}

static bool is_container(const struct node *n)
{
    return n->kind == NODE_LIST || n->kind == NODE_TUPLE || n->kind == NODE_SET ||
           n->kind == NODE_DICT;
}

static bool add_cell(struct machine *m, uint32_t container, uint32_t value)
{
    if (!grow(m, (void **)&m->g.cells, &m->cells_cap, m->ncells, sizeof(struct cell)))
        return false;
    uint32_t c = (uint32_t)m->ncells++;
    struct node *n = at(m, container);
    m->g.cells[c] = (struct cell){.value = value};
    if (n->cells.tail != 0)
        m->g.cells[n->cells.tail].next = c;
    else
        n->cells.head = c;
    n->cells.tail = c;
    return true;
}

/* ---- the stack ---- */

static bool push(struct machine *m, uint32_t node)
{
    if (node == 0 || !grow(m, (void **)&m->stack, &m->stack_cap, m->nstack, sizeof(*m->stack)))
        return false;
    m->stack[m->nstack++] = node;
    return true;
}

static bool push_new(struct machine *m, enum node_kind kind)
{
    return push(m, new_node(m, kind));
}

static bool push_bytes(struct machine *m, enum node_kind kind, struct bytes s)
{
    uint32_t n = new_node(m, kind);
    if (n == 0)
        return false;
    at(m, n)->s = s;
    return push(m, n);
}

static bool push_int(struct machine *m, enum node_kind kind, int64_t v)
{
    uint32_t n = new_node(m, kind);
    if (n == 0)
        return false;
    at(m, n)->i = v;
    return push(m, n);
}

static bool push_double(struct machine *m, double v)
{
    uint32_t n = new_node(m, NODE_FLOAT);
    if (n == 0)
        return false;
    at(m, n)->d = v;
    return push(m, n);
}

static uint32_t top(struct machine *m)
{
    uint32_t n = m->nstack > 0 ? m->stack[m->nstack - 1] : 0;
    return n != 0 && at(m, n)->kind != NODE_MARK ? n : 0;
}

static uint32_t pop(struct machine *m)
{
    uint32_t n = top(m);
    m->nstack -= n != 0;
    return n;
}

/* The position behind the topmost mark; 0 if there is none. */
static size_t above_mark(struct machine *m)
{
    size_t i = m->nstack;
    while (i > 0 && at(m, m->stack[i - 1])->kind != NODE_MARK)
        i--;
    emit_step(m->e, m->nstack - i);
    return i;
}

/* ---- arguments of opcodes ---- */

static bool have(const struct machine *m, uint64_t n)
{
    return (uint64_t)(m->end - m->p) >= n;
}

static bool take_le(struct machine *m, int n, uint64_t *out)
{
    uint64_t v = 0;
    if (!have(m, (uint64_t)n))
        return false;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | m->p[i];
    m->p += n;
    *out = v;
    return true;
}

static bool take_bytes(struct machine *m, uint64_t n, struct bytes *out)
{
    if (!have(m, n))
        return false;
    *out = bytes_of((const char *)m->p, n);
    m->p += n;
    return true;
}

/* With a length of `size` bytes before. */
static bool take_counted(struct machine *m, int size, struct bytes *out)
{
    uint64_t n;
    return take_le(m, size, &n) && take_bytes(m, n, out);
}

static bool take_line(struct machine *m, struct bytes *out)
{
    const unsigned char *nl = memchr(m->p, '\n', (size_t)(m->end - m->p));
    if (nl == NULL)
        return false;
    *out = bytes_of((const char *)m->p, (size_t)(nl - m->p));
    m->p = nl + 1;
    return true;
}

/* ---- numbers ---- */

static bool op_none(struct machine *m)
{
    return push_new(m, NODE_NONE);
}

static bool op_bool(struct machine *m)
{
    return push_int(m, NODE_BOOL, m->op == 0x88);
}

static bool push_digits(struct machine *m, struct bytes s)
{
    int64_t v;
    if (num_int64(s, &v))
        return push_int(m, NODE_INT, v);
    for (size_t i = s.len > 0 && s.data[0] == '-'; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    }
    return is_json_number(s) && push_bytes(m, NODE_DIGITS, s);
}

static bool op_int(struct machine *m)
{
    struct bytes s;
    if (!take_line(m, &s))
        return false;
    if (bytes_eq(s, BYTES_LIT("00")) || bytes_eq(s, BYTES_LIT("01")))
        return push_int(m, NODE_BOOL, s.data[1] == '1');
    return push_digits(m, s);
}

static bool op_long(struct machine *m)
{
    struct bytes s;
    if (!take_line(m, &s))
        return false;
    if (s.len > 0 && s.data[s.len - 1] == 'L')
        s.len--;
    return push_digits(m, s);
}

static bool op_binint(struct machine *m)
{
    uint64_t v;
    int size = m->op == 'J' ? 4 : m->op == 'M' ? 2 : 1;
    return take_le(m, size, &v) &&
           push_int(m, NODE_INT, size == 4 ? (int32_t)(uint32_t)v : (int64_t)v);
}

static bool op_long_bytes(struct machine *m)
{
    struct bytes s;
    return take_counted(m, m->op == 0x8a ? 1 : 4, &s) && push_bytes(m, NODE_LONG, s);
}

static bool op_float(struct machine *m)
{
    struct bytes s;
    char text[64];
    char *end;
    if (!take_line(m, &s) || s.len == 0 || s.len >= sizeof(text))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    double v = strtod(text, &end);
    return end == text + s.len && push_double(m, v);
}

static bool op_binfloat(struct machine *m)
{
    uint64_t bits = 0;
    double v;
    if (!have(m, 8))
        return false;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | *m->p++;
    memcpy(&v, &bits, 8);
    return push_double(m, v);
}

/* ---- texts and bytes ---- */

static bool op_counted(struct machine *m)
{
    static const struct {
        unsigned char op;
        unsigned char size;
        unsigned char kind;
    } rows[] = {{'T', 4, NODE_RAW},   {'U', 1, NODE_RAW},    {'X', 4, NODE_TEXT},
                {0x8c, 1, NODE_TEXT}, {0x8d, 8, NODE_TEXT},  {'B', 4, NODE_BYTES},
                {'C', 1, NODE_BYTES}, {0x8e, 8, NODE_BYTES}, {0x96, 8, NODE_BYTES}};
    struct bytes s;
    size_t i = 0;
    while (rows[i].op != m->op)
        i++;
    return take_counted(m, rows[i].size, &s) && push_bytes(m, (enum node_kind)rows[i].kind, s);
}

/* Escapes make a text shorter, Latin-1 makes it twice as long; so this is enough for all. */
static struct buf *text_buf(struct machine *m)
{
    if (m->text.cap == 0)
        buf_reserve(&m->text, m->size * 2 + 16);
    return &m->text;
}

static struct bytes text_since(struct machine *m, size_t start)
{
    CHECK(m->text.len <= m->size * 2 + 16);
    return bytes_of(m->text.data + start, m->text.len - start);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* n hex digits at `i`. */
static bool hex_at(struct bytes s, size_t i, size_t n, uint32_t *out)
{
    uint32_t v = 0;
    if (s.len - i < n)
        return false;
    for (size_t k = 0; k < n; k++) {
        int d = hex_digit(s.data[i + k]);
        if (d < 0)
            return false;
        v = v << 4 | (uint32_t)d;
    }
    *out = v;
    return true;
}

/* What stands behind a backslash at s[i] in the repr of a str; returns how much it is. */
static size_t unescape(struct bytes s, size_t i, struct buf *out)
{
    static const char from[] = "\\'\"abfnrtv";
    static const char to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = s.data[i];
    const char *named = c == '\0' ? NULL : strchr(from, c);
    uint32_t v;
    if (named != NULL) {
        buf_append_u8(out, (uint8_t)to[named - from]);
        return 1;
    }
    if (c == 'x' && hex_at(s, i + 1, 2, &v)) {
        buf_append_u8(out, (uint8_t)v);
        return 3;
    }
    if (c >= '0' && c <= '7') {
        size_t n = 0;
        for (v = 0; n < 3 && i + n < s.len && s.data[i + n] >= '0' && s.data[i + n] <= '7'; n++)
            v = v << 3 | (uint32_t)(s.data[i + n] - '0');
        buf_append_u8(out, (uint8_t)v);
        return n;
    }
    buf_append_u8(out, '\\');
    return 0;
}

static bool op_string(struct machine *m)
{
    struct bytes s;
    struct buf *out = text_buf(m);
    size_t start = out->len;
    if (!take_line(m, &s) || s.len < 2 || (s.data[0] != '\'' && s.data[0] != '"') ||
        s.data[s.len - 1] != s.data[0])
        return false;
    s = bytes_of(s.data + 1, s.len - 2);
    for (size_t i = 0; i < s.len;) {
        if (s.data[i] == '\\' && i + 1 < s.len)
            i += 1 + unescape(s, i + 1, out);
        else
            buf_append_u8(out, (uint8_t)s.data[i++]);
    }
    return push_bytes(m, NODE_RAW, text_since(m, start));
}

/* "\uXXXX" or "\UXXXXXXXX" at i; returns its length, 0 if there is none. */
static size_t code_at(struct bytes s, size_t i, uint32_t *c)
{
    if (s.len - i < 6 || s.data[i] != '\\')
        return 0;
    if (s.data[i + 1] == 'u')
        return hex_at(s, i + 2, 4, c) ? 6 : 0;
    return s.data[i + 1] == 'U' && hex_at(s, i + 2, 8, c) && *c < 0x110000 ? 10 : 0;
}

/* Raw-unicode-escape: Latin-1 with these escapes. Two surrogates are one character. */
static bool op_unicode(struct machine *m)
{
    struct bytes s;
    struct buf *out = text_buf(m);
    size_t start = out->len;
    if (!take_line(m, &s))
        return false;
    for (size_t i = 0; i < s.len;) {
        uint32_t c;
        uint32_t low;
        size_t n = code_at(s, i, &c);
        if (n == 0) {
            append_utf8(out, (unsigned char)s.data[i++]);
            continue;
        }
        i += n;
        if (c >= 0xd800 && c < 0xdc00 && code_at(s, i, &low) == 6 && low >= 0xdc00 &&
            low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            i += 6;
        }
        append_utf8(out, c);
    }
    return push_bytes(m, NODE_TEXT, text_since(m, start));
}

/* ---- containers ---- */

static bool op_empty(struct machine *m)
{
    return push_new(m, m->op == '}'   ? NODE_DICT
                       : m->op == ']' ? NODE_LIST
                       : m->op == ')' ? NODE_TUPLE
                                      : NODE_SET);
}

static bool op_mark(struct machine *m)
{
    return push_new(m, NODE_MARK);
}

/* Moves what stands above the mark into `container`, and takes the mark away. */
static bool move_marked(struct machine *m, uint32_t container, size_t from)
{
    bool pairs = at(m, container)->kind == NODE_DICT;
    if (pairs && (m->nstack - from) % 2 != 0)
        return false;
    for (size_t i = from; i < m->nstack; i++) {
        if (!add_cell(m, container, m->stack[i]))
            return false;
    }
    m->nstack = from - 1;
    return true;
}

static bool op_from_mark(struct machine *m)
{
    size_t from = above_mark(m);
    if (from == 0)
        return false;
    uint32_t n = new_node(m, m->op == 'd'   ? NODE_DICT
                             : m->op == 'l' ? NODE_LIST
                             : m->op == 't' ? NODE_TUPLE
                                            : NODE_SET);
    return n != 0 && move_marked(m, n, from) && push(m, n);
}

static bool op_tuple(struct machine *m)
{
    size_t n = (size_t)(m->op - 0x84);
    uint32_t t = new_node(m, NODE_TUPLE);
    if (t == 0 || m->nstack < n)
        return false;
    for (size_t i = m->nstack - n; i < m->nstack; i++) {
        if (at(m, m->stack[i])->kind == NODE_MARK || !add_cell(m, t, m->stack[i]))
            return false;
    }
    m->nstack -= n;
    return push(m, t);
}

/* What takes the items for `target`: itself, or the list or dict that hangs on an object. 0: it can
 * take none. */
static uint32_t receiver(struct machine *m, uint32_t target, bool pairs)
{
    struct node *n = at(m, target);
    if (n->kind != NODE_OBJECT) {
        bool fits = is_container(n) && (n->kind == NODE_DICT) == pairs && n->kind != NODE_TUPLE;
        return fits ? target : 0;
    }
    uint32_t r = pairs ? n->object.pairs : n->object.items;
    if (r != 0)
        return r;
    r = new_node(m, pairs ? NODE_DICT : NODE_LIST);
    n = at(m, target); /* it may have moved */
    if (pairs)
        n->object.pairs = r;
    else
        n->object.items = r;
    return r;
}

/* APPENDS, ADDITEMS, SETITEMS. */
static bool op_add_marked(struct machine *m)
{
    size_t from = above_mark(m);
    if (from < 2)
        return false;
    uint32_t target = m->stack[from - 2];
    if (at(m, target)->kind == NODE_MARK)
        return false;
    uint32_t r = receiver(m, target, m->op == 'u');
    return r != 0 && move_marked(m, r, from);
}

static bool op_append(struct machine *m)
{
    uint32_t value = pop(m);
    uint32_t target = top(m);
    if (value == 0 || target == 0)
        return false;
    uint32_t r = receiver(m, target, false);
    return r != 0 && add_cell(m, r, value);
}

static bool op_setitem(struct machine *m)
{
    uint32_t value = pop(m);
    uint32_t key = pop(m);
    uint32_t target = top(m);
    if (value == 0 || key == 0 || target == 0)
        return false;
    uint32_t r = receiver(m, target, true);
    return r != 0 && add_cell(m, r, key) && add_cell(m, r, value);
}

/* ---- objects ---- */

static bool push_global(struct machine *m, uint32_t module, uint32_t name)
{
    uint32_t n = new_node(m, NODE_GLOBAL);
    if (n == 0 || module == 0 || name == 0)
        return false;
    at(m, n)->object.callable = module;
    at(m, n)->object.args = name;
    return push(m, n);
}

static uint32_t text_node(struct machine *m, struct bytes s)
{
    uint32_t n = new_node(m, NODE_TEXT);
    if (n != 0)
        at(m, n)->s = s;
    return n;
}

/* A global whose name stands in two lines. */
static bool op_global(struct machine *m)
{
    struct bytes module;
    struct bytes name;
    if (!take_line(m, &module) || !take_line(m, &name))
        return false;
    uint32_t first = text_node(m, module);
    return push_global(m, first, text_node(m, name));
}

static bool is_text(struct machine *m, uint32_t n)
{
    return n != 0 && (at(m, n)->kind == NODE_TEXT || at(m, n)->kind == NODE_RAW);
}

static bool op_stack_global(struct machine *m)
{
    uint32_t name = pop(m);
    uint32_t module = pop(m);
    return is_text(m, name) && is_text(m, module) && push_global(m, module, name);
}

/* A number of the extension registry instead of a name. */
static bool op_ext(struct machine *m)
{
    static const char *const names[] = {"1", "2", "4"};
    uint64_t code;
    if (!take_le(m, 1 << (m->op - 0x82), &code))
        return false;
    uint32_t module = text_node(m, BYTES_LIT("copyreg.extension"));
    return push_global(m, module, text_node(m, bytes_cstr(names[m->op - 0x82])));
}

static bool push_object(struct machine *m, uint32_t callable, uint32_t args)
{
    uint32_t n = new_node(m, NODE_OBJECT);
    if (n == 0 || callable == 0 || args == 0)
        return false;
    at(m, n)->object.callable = callable;
    at(m, n)->object.args = args;
    return push(m, n);
}

/* REDUCE, NEWOBJ; NEWOBJ_EX has keyword arguments above them. */
static bool op_reduce(struct machine *m)
{
    uint32_t keywords = m->op == 0x92 ? pop(m) : 0;
    uint32_t args = pop(m);
    uint32_t callable = pop(m);
    if (args == 0 || callable == 0 || at(m, args)->kind != NODE_TUPLE)
        return false;
    if (!push_object(m, callable, args))
        return false;
    if (m->op == 0x92)
        at(m, top(m))->object.state = keywords;
    return m->op != 0x92 || keywords != 0;
}

/* OBJ: the class is the first above the mark. INST: it stands in two lines. */
static bool op_obj(struct machine *m)
{
    size_t from = above_mark(m);
    if (from == 0)
        return false;
    uint32_t callable;
    if (m->op == 'i') {
        if (!op_global(m))
            return false;
        callable = pop(m);
    } else {
        if (from == m->nstack)
            return false;
        callable = m->stack[from];
        memmove(&m->stack[from], &m->stack[from + 1], (m->nstack - from - 1) * sizeof(*m->stack));
        m->nstack--;
    }
    uint32_t args = new_node(m, NODE_TUPLE);
    return args != 0 && move_marked(m, args, from) && push_object(m, callable, args);
}

static bool op_build(struct machine *m)
{
    uint32_t state = pop(m);
    uint32_t target = top(m);
    if (state == 0 || target == 0 || at(m, target)->kind != NODE_OBJECT)
        return false;
    at(m, target)->object.state = state;
    return true;
}

static bool push_persistent(struct machine *m, uint32_t id)
{
    uint32_t n = new_node(m, NODE_PERSISTENT);
    if (n == 0 || id == 0)
        return false;
    at(m, n)->object.args = id;
    return push(m, n);
}

static bool op_persid(struct machine *m)
{
    struct bytes s;
    if (m->op == 'Q')
        return push_persistent(m, pop(m));
    return take_line(m, &s) && push_persistent(m, text_node(m, s));
}

/* ---- stack and memo ---- */

static bool op_pop(struct machine *m)
{
    if (m->nstack == 0)
        return false;
    m->nstack--; /* a mark, too */
    return true;
}

static bool op_pop_mark(struct machine *m)
{
    size_t from = above_mark(m);
    if (from == 0)
        return false;
    m->nstack = from - 1;
    return true;
}

static bool op_dup(struct machine *m)
{
    return push(m, top(m));
}

/* Every pickler numbers from 0 or 1 on, so a number above the input's size is nonsense. */
static bool memo_set(struct machine *m, uint64_t id)
{
    uint32_t n = top(m);
    if (n == 0 || id > m->size)
        return false;
    if (id >= m->memo_cap) {
        size_t cap = m->memo_cap < 32 ? 64 : m->memo_cap * 2;
        while (cap <= id)
            cap *= 2;
        uint32_t *memo = mem_try_realloc(m->memo, cap * sizeof(*memo));
        if (memo == NULL)
            return false;
        memset(memo + m->memo_cap, 0, (cap - m->memo_cap) * sizeof(*memo));
        m->memo = memo;
        m->memo_cap = cap;
    }
    m->memo_count += m->memo[id] == 0;
    m->memo[id] = n;
    return true;
}

static bool take_memo_id(struct machine *m, uint64_t *id)
{
    struct bytes s;
    int64_t v;
    if (m->op == 'p' || m->op == 'g') {
        if (!take_line(m, &s) || !num_int64(s, &v) || v < 0)
            return false;
        *id = (uint64_t)v;
        return true;
    }
    return take_le(m, m->op == 'q' || m->op == 'h' ? 1 : 4, id);
}

static bool op_put(struct machine *m)
{
    uint64_t id;
    return take_memo_id(m, &id) && memo_set(m, id);
}

static bool op_memoize(struct machine *m)
{
    return memo_set(m, m->memo_count);
}

static bool op_get(struct machine *m)
{
    uint64_t id;
    return take_memo_id(m, &id) && id < m->memo_cap && push(m, m->memo[id]);
}

static bool op_proto(struct machine *m)
{
    uint64_t v;
    return take_le(m, 1, &v) && v <= 5;
}

static bool op_frame(struct machine *m)
{
    uint64_t v;
    return take_le(m, 8, &v);
}

static bool op_stop(struct machine *m)
{
    m->stopped = true;
    return true;
}

static bool (*const ops[256])(struct machine *m) = {
    ['N'] = op_none,        [0x88] = op_bool,         [0x89] = op_bool,     ['I'] = op_int,
    ['L'] = op_long,        ['J'] = op_binint,        ['K'] = op_binint,    ['M'] = op_binint,
    [0x8a] = op_long_bytes, [0x8b] = op_long_bytes,   ['F'] = op_float,     ['G'] = op_binfloat,
    ['T'] = op_counted,     ['U'] = op_counted,       ['X'] = op_counted,   [0x8c] = op_counted,
    [0x8d] = op_counted,    ['B'] = op_counted,       ['C'] = op_counted,   [0x8e] = op_counted,
    [0x96] = op_counted,    ['S'] = op_string,        ['V'] = op_unicode,   ['}'] = op_empty,
    [']'] = op_empty,       [')'] = op_empty,         [0x8f] = op_empty,    ['('] = op_mark,
    ['d'] = op_from_mark,   ['l'] = op_from_mark,     ['t'] = op_from_mark, [0x91] = op_from_mark,
    [0x85] = op_tuple,      [0x86] = op_tuple,        [0x87] = op_tuple,    ['e'] = op_add_marked,
    ['u'] = op_add_marked,  [0x90] = op_add_marked,   ['a'] = op_append,    ['s'] = op_setitem,
    ['c'] = op_global,      [0x93] = op_stack_global, [0x82] = op_ext,      [0x83] = op_ext,
    [0x84] = op_ext,        ['R'] = op_reduce,        [0x81] = op_reduce,   [0x92] = op_reduce,
    ['o'] = op_obj,         ['i'] = op_obj,           ['b'] = op_build,     ['P'] = op_persid,
    ['Q'] = op_persid,      ['0'] = op_pop,           ['1'] = op_pop_mark,  ['2'] = op_dup,
    ['p'] = op_put,         ['q'] = op_put,           ['r'] = op_put,       [0x94] = op_memoize,
    ['g'] = op_get,         ['h'] = op_get,           ['j'] = op_get,       [0x80] = op_proto,
    [0x95] = op_frame,      ['.'] = op_stop,
};

static bool run(struct machine *m)
{
    while (!m->stopped) {
        if (m->p == m->end || !emit_step(m->e, 1))
            return false;
        m->op = *m->p++;
        if (ops[m->op] == NULL || !ops[m->op](m))
            return false;
    }
    return m->p == m->end && m->nstack == 1 && top(m) != 0;
}

static void release(struct machine *m)
{
    mem_free(m->g.nodes);
    mem_free(m->g.cells);
    mem_free(m->stack);
    mem_free(m->memo);
    buf_release(&m->text);
}

bool decode_pickle(struct bytes in, struct emit *e)
{
    struct machine m = {.p = (const unsigned char *)in.data, .size = in.len, .e = e};
    m.end = m.p + in.len;
    buf_init(&m.text);
    m.nnodes = 1; /* 0 is none */
    m.ncells = 1;
    bool whole = grow(&m, (void **)&m.g.nodes, &m.nodes_cap, 0, sizeof(struct node)) &&
                 grow(&m, (void **)&m.g.cells, &m.cells_cap, 0, sizeof(struct cell)) && run(&m);
    if (whole)
        pickle_emit(&m.g, top(&m), e);
    release(&m);
    return whole ? emit_ok(e) : emit_unknown(e);
}
