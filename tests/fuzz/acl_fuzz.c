/* Users: rules, a word for each line of the input. The first byte chooses.
 *
 * What is accepted is described by rules that make the same user: behind one another as ACL SETUSER
 * takes them, and as the words of a configuration file's line. A rule that is refused changes
 * nothing. Whoever may do everything is refused nothing. A whole file of users is read or refused,
 * never half. */
#include <stdio.h>
#include <unistd.h>

#include "acl/acl.h"
#include "base/mem.h"
#include "config/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 64 };

/* Made once: they are emptied after each input. */
static struct acl *first;
static struct acl *second;

static void empty(struct acl *a)
{
    struct acl_user *all = acl_default_user(a);
    while (acl_user_count(a) > 1) {
        struct acl_user *u = acl_user_at(a, 0);
        acl_remove_user(a, u == all ? acl_user_at(a, 1) : u);
    }
}

static int split(struct bytes text, char by, struct bytes words[WORDS_MAX])
{
    int n = 0;
    while (text.len > 0 && n < WORDS_MAX) {
        const char *end = memchr(text.data, by, text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);
        words[n++] = bytes_of(text.data, len);
        len += end != NULL;
        text = bytes_of(text.data + len, text.len - len);
    }
    return n;
}

static void describe(const struct acl *a, struct bytes name, struct buf *out)
{
    const struct acl_user *u = acl_find_user(a, name);
    out->len = 0;
    if (u != NULL)
        acl_describe_user(u, out);
}

static void check_same(const struct acl *a, const struct acl *b, struct bytes name)
{
    struct buf x, y;
    buf_init(&x);
    buf_init(&y);
    describe(a, name, &x);
    describe(b, name, &y);
    CHECK(bytes_eq(buf_bytes(&x), buf_bytes(&y)));
    buf_release(&x);
    buf_release(&y);
}

/* Its description as rules, in a set of its own. */
static void check_description(const struct acl *a, struct bytes name)
{
    struct acl *again = second;
    empty(again);
    struct bytes words[WORDS_MAX * 4];
    struct buf text, error;
    buf_init(&text);
    buf_init(&error);
    describe(a, name, &text);
    size_t n = 0;
    for (size_t at = 0; at < text.len && n < WORDS_MAX * 4;) {
        const char *blank = memchr(text.data + at, ' ', text.len - at);
        size_t len = blank == NULL ? text.len - at : (size_t)(blank - text.data) - at;
        words[n++] = bytes_of(text.data + at, len);
        at += len + 1;
    }
    if (n < WORDS_MAX * 4) {
        bool read = acl_set_user(again, name, (int)n, words, &error);
        CHECK(read);
        check_same(a, again, name);
    }
    buf_release(&text);
    buf_release(&error);
}

/* As a line of a configuration file. */
static void check_line(const struct acl *a, struct bytes name)
{
    struct acl *again = second;
    empty(again);
    struct bytes words[WORDS_MAX * 4];
    size_t ends[WORDS_MAX * 4];
    struct buf line, text, error;
    size_t at = 0;
    int n = 0;
    bool found = true;
    buf_init(&line);
    buf_init(&text);
    buf_init(&error);
    acl_describe_line(acl_find_user(a, name), &line);
    while (found && n < WORDS_MAX * 4) {
        bool read = words_next(buf_bytes(&line), &at, &text, &found);
        CHECK(read);
        ends[n] = text.len;
        n += found;
    }
    for (int i = 0; i < n; i++) {
        size_t start = i == 0 ? 0 : ends[i - 1];
        words[i] = bytes_of(text.data + start, ends[i] - start);
    }
    if (!found) {
        bool read = acl_add_line(again, n, words, &error);
        CHECK(read);
        check_same(a, again, name);
    }
    buf_release(&line);
    buf_release(&text);
    buf_release(&error);
}

static void check_calls(const struct acl_user *u)
{
    static const struct bytes argv[] = {{"a", 1}, {"s:1", 3}, {"s:1", 3}, {"GET", 3}, {"b", 1}};
    size_t nsubs;
    (void)command_subs(&nsubs);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = command_by_id((enum command_id)i);
        int argc = c->arity > 0 ? c->arity : 5;
        int arg = 0;
        if (argc > 5)
            continue;
        enum acl_verdict v = acl_check(u, c, argc, argv, &arg);
        CHECK(arg >= 0 && arg < argc);
        CHECK(!u->unrestricted || v == ACL_ALLOWED);
        CHECK(v != ACL_DENIED_KEY || arg > 0);
    }
}

static void check_rules(struct bytes input)
{
    struct bytes words[WORDS_MAX];
    int n = split(input, '\n', words);
    struct bytes name = BYTES_LIT("u");
    struct acl *a = first;
    struct buf before, after, error;
    buf_init(&before);
    buf_init(&after);
    buf_init(&error);
    for (int i = 0; i < n; i++) {
        bool ok = acl_set_user(a, name, 1, &words[i], &error);
        describe(a, name, &after);
        CHECK(ok || bytes_eq(buf_bytes(&before), buf_bytes(&after)));
        struct buf swap = before;
        before = after;
        after = swap;
    }
    if (acl_find_user(a, name) != NULL) {
        check_description(a, name);
        check_line(a, name);
        check_calls(acl_find_user(a, name));
    }
    /* all at once: "(" and ")" in words of their own */
    if (acl_set_user(a, BYTES_LIT("v"), n, words, &error)) {
        check_description(a, BYTES_LIT("v"));
        check_line(a, BYTES_LIT("v"));
    }
    buf_release(&before);
    buf_release(&after);
    buf_release(&error);
    empty(a);
}

/* What was read is written, and read again as the same. */
static void check_file(struct bytes input)
{
    static char path[32];
    struct buf error;
    struct acl *a = acl_new(false); /* the default user may be in the file */
    struct acl *b = acl_new(false);
    buf_init(&error);
    if (path[0] == '\0')
        snprintf(path, sizeof(path), "/dev/shm/acl-fuzz-%d", (int)getpid());
    FILE *f = fopen(path, "we");
    CHECK(f != NULL);
    fwrite(input.data, 1, input.len, f);
    fclose(f);
    if (acl_read_file(a, path, &error)) {
        bool written = acl_write_file(a, path);
        bool read = written && acl_read_file(b, path, &error);
        CHECK(read);
        CHECK(acl_user_count(a) == acl_user_count(b));
        for (size_t i = 0; i < acl_user_count(a); i++)
            CHECK(acl_same_user(acl_user_at(a, i), acl_user_at(b, i)));
    } else {
        CHECK(error.len > 0);
    }
    unlink(path);
    buf_release(&error);
    acl_free(a);
    acl_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (first == NULL) {
        first = acl_new(false);
        second = acl_new(false);
    }
    struct bytes rest = bytes_of((const char *)data + 1, size - 1);
    if (data[0] == 'f')
        check_file(rest);
    else
        check_rules(rest);
    return 0;
}
