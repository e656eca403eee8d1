/* args: `--name value` pairs of a command line. Every tool of bench/ states its own list. */
#ifndef RESPGRES_BENCH_ARGS_H
#define RESPGRES_BENCH_ARGS_H

#include <stddef.h>

enum arg_kind { ARG_TEXT, ARG_NUMBER, ARG_FLAG };

/* Where the value of `--name` goes: a const char *, a double or a bool (a flag has no value). */
struct arg {
    const char *name;
    enum arg_kind kind;
    void *out;
    const char *prose;
};

/* Ends the program with a list of the arguments where one is unknown or not a number. */
void args_parse(int argc, char **argv, const struct arg *args, size_t n);

/* Writes a line to stderr and ends the program with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
