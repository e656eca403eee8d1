#include "args.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void usage(const char *program, const char *wrong, const struct arg *args,
                            size_t n)
{
    fprintf(stderr, "%s: cannot use '%s'. Arguments:\n", program, wrong);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "  --%-12s %s\n", args[i].name, args[i].prose);
    exit(2);
}

static const struct arg *find(const char *word, const struct arg *args, size_t n)
{
    if (strncmp(word, "--", 2) != 0)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(word + 2, args[i].name) == 0)
            return &args[i];
    }
    return NULL;
}

void args_parse(int argc, char **argv, const struct arg *args, size_t n)
{
    for (int i = 1; i < argc; i++) {
        const struct arg *a = find(argv[i], args, n);
        if (a == NULL)
            usage(argv[0], argv[i], args, n);
        if (a->kind == ARG_FLAG) {
            *(bool *)a->out = true;
            continue;
        }
        if (++i == argc)
            usage(argv[0], argv[i - 1], args, n);
        if (a->kind == ARG_TEXT) {
            *(const char **)a->out = argv[i];
            continue;
        }
        char *end;
        *(double *)a->out = strtod(argv[i], &end);
        if (end == argv[i] || *end != '\0')
            usage(argv[0], argv[i], args, n);
    }
}

void die(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}
