/* pickle: what the two halves of the pickle decoder share: the machine (pickle.c) runs the opcodes
 * and leaves a graph of nodes, which pickle_emit.c writes down. Nodes refer to each other by index;
 * 0 is none. They may form cycles. All of them are freed at once. */
#ifndef RESPGRES_PAYLOAD_PICKLE_H
#define RESPGRES_PAYLOAD_PICKLE_H

#include <stdint.h>

#include "payload/emit.h"

enum node_kind {
    NODE_FREE,
    NODE_MARK,
    NODE_NONE,
    NODE_BOOL,
    NODE_INT,    /* i */
    NODE_LONG,   /* s: two's complement, little-endian */
    NODE_DIGITS, /* s: decimal */
    NODE_FLOAT,  /* d */
    NODE_TEXT,   /* s: UTF-8 */
    NODE_RAW,    /* s: a str of Python 2 */
    NODE_BYTES,  /* s */
    NODE_LIST,   /* cells */
    NODE_TUPLE,
    NODE_SET,
    NODE_DICT,       /* cells: key, value, key, value ... */
    NODE_GLOBAL,     /* object.callable = module, object.args = name, both texts */
    NODE_OBJECT,     /* a callable that would be called with args, then given a state */
    NODE_PERSISTENT, /* object.args = the id */
};

struct cell {
    uint32_t value;
    uint32_t next;
};

struct node {
    uint8_t kind;
    bool open; /* being written: it contains itself if it is met again */
    union {
        int64_t i;
        double d;
        struct bytes s;
        struct {
            uint32_t head;
            uint32_t tail;
        } cells;
        struct {
            uint32_t callable;
            uint32_t args;
            uint32_t state;
            uint32_t items; /* a list: what was appended */
            uint32_t pairs; /* a dict: what was set */
        } object;
    };
};

struct graph {
    struct node *nodes;
    struct cell *cells;
};

/* Writes the value of a node. */
void pickle_emit(struct graph *g, uint32_t node, struct emit *e);

#endif
