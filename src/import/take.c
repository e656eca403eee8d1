/* take: the words of the command line. */
#include <string.h>

#include "base/mem.h"
#include "import/import.h"

/* Which field of the job a word fills; NULL = it is none of ours. */
static const char **field(struct import_job *job, struct bytes word)
{
    struct {
        const char *word;
        const char **field;
    } const fields[] = {{"--import", &job->kind}, {"--from", &job->from},
                        {"--table", &job->table}, {"--prefix", &job->prefix},
                        {"--as", &job->as},       {"--into-db", &job->db},
                        {"--batch", &job->batch}, {"--time-zone", &job->time_zone},
                        {"--ttl", &job->ttl}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (bytes_eq(word, bytes_cstr(fields[i].word)))
            return fields[i].field;
    }
    return NULL;
}

static bool *flag(struct import_job *job, const char *word)
{
    if (strcmp(word, "--dry-run") == 0)
        return &job->dry_run;
    return strcmp(word, "--overwrite") == 0 ? &job->overwrite : NULL;
}

static bool is_asked_for(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--import") == 0 || strncmp(argv[i], "--import=", 9) == 0)
            return true;
    }
    return false;
}

/* Takes one word, and its value if that is the next one; returns how many. */
static int take(struct import_job *job, int left, char **argv)
{
    const char *equals = strchr(argv[0], '=');
    size_t len = equals != NULL ? (size_t)(equals - argv[0]) : strlen(argv[0]);
    bool *on = flag(job, argv[0]);
    const char **value = field(job, bytes_of(argv[0], len));
    if (on != NULL) {
        *on = true;
        return 1;
    }
    if (value == NULL)
        return 0;
    /* `--prefix --database-url URL`: the next option is no value, and its URL no name of a file. */
    if (equals == NULL && (left < 2 || strncmp(argv[1], "--", 2) == 0)) {
        *value = "";
        job->incomplete = true;
        return 1;
    }
    *value = equals != NULL ? equals + 1 : argv[1];
    if (value == &job->from) {
        char *shown = equals != NULL ? argv[0] + len + 1 : argv[1];
        mem_free(job->owned_from);
        job->from = job->owned_from = mem_strdup(shown);
        memset(shown, 'x', strlen(shown));
    }
    return equals != NULL ? 1 : 2;
}

void import_take(struct import_job *job, int *argc, char **argv)
{
    int kept = 1;
    if (!is_asked_for(*argc, argv))
        return;
    for (int i = 1; i < *argc;) {
        int n = take(job, *argc - i, argv + i);
        if (n == 0)
            argv[kept++] = argv[i++];
        i += n;
    }
    *argc = kept;
    argv[kept] = NULL;
}

void import_release(struct import_job *job)
{
    mem_free(job->owned_from);
    job->owned_from = NULL;
}
