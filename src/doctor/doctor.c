/* doctor: see doctor.h. */
#include "doctor/doctor.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "doctor/parts.h"

enum { WIDTH = 90, INDENT = 9 };

struct report {
    int count[FINDING_BLOCKER + 1];
};

/* In lines of at most WIDTH, all but the first one indented. */
static void print_wrapped(const char *text)
{
    size_t room = WIDTH - INDENT;
    for (bool first = true; *text != '\0'; first = false) {
        size_t n = strlen(text);
        if (n > room) {
            for (n = room; n > 0 && text[n] != ' ';)
                n--;
            if (n == 0)
                n = strcspn(text, " ");
        }
        printf("%*s%.*s\n", first ? 0 : INDENT, "", (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
}

static void on_found(void *arg, enum finding_level level, const char *what, const char *remedy)
{
    static const char *const names[] = {"ok", "note", "warning", "BLOCKER"};
    struct report *r = arg;
    struct buf text;
    r->count[level]++;
    printf("%-*s", INDENT, names[level]);
    buf_init(&text);
    buf_append_cstr(&text, what);
    if (what[0] >= 'a' && what[0] <= 'z' && strncmp(what, "the ", 4) == 0)
        text.data[0] = 'T';
    print_wrapped(buf_cstr(&text));
    if (remedy != NULL) {
        text.len = 0;
        buf_printf(&text, "-> %s", remedy);
        printf("%*s", INDENT, "");
        print_wrapped(buf_cstr(&text));
    }
    buf_release(&text);
}

static void look_at_folder(const struct config_store *config, struct report *r)
{
    struct buf path;
    buf_init(&path);
    if (config_option_text(config, "dir", &path))
        doctor_folder(buf_cstr(&path), on_found, r);
    buf_release(&path);
}

static void print_count(int n, const char *what, const char *behind)
{
    printf("%d %s%s%s", n, what, n == 1 ? "" : "s", behind);
}

bool doctor(const struct config_store *config)
{
    const struct config *c = config_values(config);
    struct report r = {{0}};
    printf("respgres %s\n\n", RESPGRES_VERSION);
    doctor_options(c, on_found, &r);
    doctor_tls(c, clock_wall_us() / 1000000, on_found, &r);
    look_at_folder(config, &r);
    if (c->database_url[0] != '\0')
        postgres_doctor(c, on_found, &r);
    else if (c->standalone)
        on_found(&r, FINDING_NOTE,
                 "standalone: memory and journal are the store, and no other instance sees them.", NULL);
    else
        on_found(&r, FINDING_BLOCKER, "No database is named.",
                 "Set DATABASE_URL, or database-url in the configuration file.");
    putchar('\n');
    print_count(r.count[FINDING_BLOCKER], "blocker", ", ");
    print_count(r.count[FINDING_WARNING], "warning", ", ");
    print_count(r.count[FINDING_NOTE], "note", ". ");
    puts(r.count[FINDING_BLOCKER] > 0 ? "respgres could not serve like this."
                                      : "respgres can serve.");
    return r.count[FINDING_BLOCKER] == 0;
}
