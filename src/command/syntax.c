#include "command/syntax.h"

#include "base/check.h"

struct parser {
    struct syntax *s;
    const char *at;
};

/* A list of sibling nodes, and whether "..." ended it. */
struct sequence {
    int first;
    int last;
    bool repeats;
    const char *repeats_at; /* where "..." stands */
};

static bool is_delimiter(char c)
{
    return c == '\0' || strchr(" []<>|", c) != NULL;
}

static void skip_blanks(struct parser *p)
{
    while (*p->at == ' ')
        p->at++;
}

static struct bytes take_word(struct parser *p)
{
    const char *start = p->at;
    while (!is_delimiter(*p->at))
        p->at++;
    CHECK(p->at > start);
    return bytes_of(start, (size_t)(p->at - start));
}

static bool is_literal(struct bytes word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] >= 'a' && word.data[i] <= 'z')
            return false;
    }
    return true;
}

static void name_add(struct syntax *s, struct bytes part)
{
    CHECK(s->names_len + part.len <= SYNTAX_NAMES_MAX);
    for (size_t i = 0; i < part.len; i++) {
        char c = part.data[i];
        s->names[s->names_len++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
}

static int node_new(struct syntax *s, enum syntax_kind kind, const char *start)
{
    CHECK(s->count < SYNTAX_NODES_MAX);
    s->nodes[s->count] =
        (struct syntax_node){.kind = kind, .child = -1, .next = -1, .start = start};
    return s->count++;
}

static void sequence_add(struct syntax *s, struct sequence *seq, int node)
{
    if (seq->first < 0)
        seq->first = node;
    else
        s->nodes[seq->last].next = node;
    seq->last = node;
}

/* A node over the siblings from `first` on, named after them. */
static int node_over(struct syntax *s, enum syntax_kind kind, int first)
{
    int node = node_new(s, kind, s->nodes[first].start);
    char *name = s->names + s->names_len;
    for (int i = first; i >= 0; i = s->nodes[i].next) {
        if (i != first)
            name_add(s, BYTES_LIT("_"));
        name_add(s, s->nodes[i].name);
    }
    s->nodes[node].name = bytes_of(name, (size_t)(s->names + s->names_len - name));
    s->nodes[node].child = first;
    return node;
}

/* One node for a whole sequence; a literal word at its start becomes the others' token. */
static int sequence_node(struct syntax *s, int first)
{
    CHECK(first >= 0);
    struct syntax_node *head = &s->nodes[first];
    if (head->next < 0)
        return first;
    if (head->kind != SYNTAX_TOKEN)
        return node_over(s, SYNTAX_BLOCK, first);
    int rest = head->next;
    int node = s->nodes[rest].next < 0 ? rest : node_over(s, SYNTAX_BLOCK, rest);
    s->nodes[node].token = head->token;
    s->nodes[node].start = head->start;
    return node;
}

static int parse_alternatives(struct parser *p, struct sequence *single);

/* `x [x ...]`: if the text in the brackets is that of the last nodes before them, these become one
 * node that may be repeated. */
static bool sequence_repeat(struct parser *p, struct sequence *seq, const char *bracket,
                            const struct sequence *inside)
{
    struct syntax *s = p->s;
    const char *text = s->nodes[inside->first].start;
    size_t len = (size_t)(inside->repeats_at - text);
    int before = -1;
    for (int i = seq->first; i >= 0; before = i, i = s->nodes[i].next) {
        const char *start = s->nodes[i].start;
        if ((size_t)(bracket - start) != len || memcmp(start, text, len) != 0)
            continue;
        bool with_token = s->nodes[i].kind == SYNTAX_TOKEN;
        int node = sequence_node(s, i);
        s->nodes[node].multiple = true;
        s->nodes[node].multiple_token = with_token;
        seq->last = node;
        if (before < 0)
            seq->first = node;
        else
            s->nodes[before].next = node;
        return true;
    }
    return false;
}

static void parse_optional(struct parser *p, struct sequence *seq)
{
    const char *bracket = p->at++;
    struct sequence inside;
    int node = parse_alternatives(p, &inside);
    CHECK(*p->at == ']');
    p->at++;
    if (inside.repeats && sequence_repeat(p, seq, bracket, &inside))
        return;
    if (node < 0)
        node = sequence_node(p->s, inside.first);
    p->s->nodes[node].start = bracket;
    p->s->nodes[node].optional = true;
    p->s->nodes[node].multiple |= inside.repeats;
    sequence_add(p->s, seq, node);
}

static void parse_choice(struct parser *p, struct sequence *seq)
{
    const char *start = p->at++;
    struct sequence inside;
    int node = parse_alternatives(p, &inside);
    CHECK(*p->at == '>' && node >= 0);
    p->at++;
    p->s->nodes[node].start = start;
    sequence_add(p->s, seq, node);
}

static void parse_word(struct parser *p, struct sequence *seq)
{
    struct syntax *s = p->s;
    const char *start = p->at;
    struct bytes word = take_word(p);
    if (bytes_eq(word, BYTES_LIT("..."))) {
        seq->repeats = true;
        seq->repeats_at = start;
        return;
    }
    bool literal = is_literal(word);
    int node = node_new(s, literal ? SYNTAX_TOKEN : SYNTAX_ARG, start);
    const char *name = s->names + s->names_len;
    if (literal)
        name_add(s, word);
    s->nodes[node].name = literal ? bytes_of(name, word.len) : word;
    s->nodes[node].token = literal ? word : BYTES_LIT("");
    sequence_add(s, seq, node);
}

static struct sequence parse_sequence(struct parser *p)
{
    struct sequence seq = {.first = -1, .last = -1};
    for (;;) {
        skip_blanks(p);
        char c = *p->at;
        if (c == '\0' || c == ']' || c == '>' || c == '|')
            return seq;
        CHECK(!seq.repeats); /* "..." comes last */
        if (c == '[')
            parse_optional(p, &seq);
        else if (c == '<')
            parse_choice(p, &seq);
        else
            parse_word(p, &seq);
    }
}

/* Without a `|`: -1, and the sequence in `single`. */
static int parse_alternatives(struct parser *p, struct sequence *single)
{
    struct syntax *s = p->s;
    struct sequence seq = parse_sequence(p);
    *single = seq;
    if (*p->at != '|')
        return -1;
    single->repeats = false;
    struct sequence all = {.first = -1, .last = -1};
    for (;;) {
        if (seq.repeats)
            s->nodes[seq.last].multiple = true;
        sequence_add(s, &all, sequence_node(s, seq.first));
        if (*p->at != '|')
            break;
        p->at++;
        seq = parse_sequence(p);
    }
    return node_over(s, SYNTAX_ONE_OF, all.first);
}

void syntax_parse(struct syntax *s, const char *text)
{
    s->count = 0;
    s->names_len = 0;
    struct parser p = {s, text};
    struct sequence seq;
    int node = parse_alternatives(&p, &seq);
    CHECK(*p.at == '\0');
    if (seq.repeats)
        s->nodes[seq.last].multiple = true;
    s->first = node >= 0 ? node : seq.first;
}

static int node_min_words(const struct syntax *s, const struct syntax_node *n)
{
    int words = n->kind == SYNTAX_TOKEN || n->token.len == 0 ? 0 : 1;
    if (n->child < 0)
        return words + 1;
    if (n->kind == SYNTAX_BLOCK)
        return words + syntax_min_words(s, n->child);
    int least = -1;
    for (int i = n->child; i >= 0; i = s->nodes[i].next) {
        int of_this = node_min_words(s, &s->nodes[i]);
        if (least < 0 || of_this < least)
            least = of_this;
    }
    return words + least;
}

int syntax_min_words(const struct syntax *s, int first)
{
    int words = 0;
    for (int i = first; i >= 0; i = s->nodes[i].next) {
        if (!s->nodes[i].optional)
            words += node_min_words(s, &s->nodes[i]);
    }
    return words;
}

bool syntax_is_open(const struct syntax *s, int first)
{
    for (int i = first; i >= 0; i = s->nodes[i].next) {
        const struct syntax_node *n = &s->nodes[i];
        if (n->optional || n->multiple || (n->child >= 0 && syntax_is_open(s, n->child)))
            return true;
    }
    return false;
}
