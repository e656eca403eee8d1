/* syntax: the grammar of a command's arguments, as a tree. The text is that of a row of
 * commands.def, in the notation of Redis' documentation:
 *
 *   name            an argument          NAME            a literal word
 *   [ ... ]         optional             < a | b >       one of several
 *   a | b           one of several       x [x ...]       once or more often
 *   [x ...]         any number           < a | b > ...   once or more often
 *
 * A literal word at the start of a bracket or an alternative belongs to what follows it. The text
 * is ours, never input: a broken one fails a CHECK. */
#ifndef RESPGRES_COMMAND_SYNTAX_H
#define RESPGRES_COMMAND_SYNTAX_H

#include "base/bytes.h"

enum syntax_kind {
    SYNTAX_ARG,    /* a value */
    SYNTAX_TOKEN,  /* a literal word alone */
    SYNTAX_ONE_OF, /* has children */
    SYNTAX_BLOCK,  /* has children, all of them in order */
};

struct syntax_node {
    enum syntax_kind kind;
    struct bytes name;  /* in `names` or the text; of a token its lower case */
    struct bytes token; /* the literal word before it, or itself; empty = none */
    bool optional;
    bool multiple;
    bool multiple_token; /* the word is repeated with it */
    int child;           /* the first one; -1 = none */
    int next;            /* the next of the same parent; -1 = none */
    const char *start;   /* in the text */
};

enum { SYNTAX_NODES_MAX = 64, SYNTAX_NAMES_MAX = 1024 };

struct syntax {
    struct syntax_node nodes[SYNTAX_NODES_MAX];
    int count;
    int first; /* -1 = no arguments */
    char names[SYNTAX_NAMES_MAX];
    size_t names_len;
};

/* `text` must outlive `s`. */
void syntax_parse(struct syntax *s, const char *text);

/* The least number of words the nodes from `first` on stand for. */
int syntax_min_words(const struct syntax *s, int first);

/* Can they stand for more than that? */
bool syntax_is_open(const struct syntax *s, int first);

#endif
