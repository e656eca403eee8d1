/* policy: see policy.h. */
#include "config/policy.h"

#include "base/glob.h"

static const char *const fallback_words[] = {"on", "readonly", "off", NULL};
static const char *const away_miss_words[] = {"absent", "error", NULL};

/* The next word of `rest`, which begins behind it afterwards; empty at the end. */
static struct bytes next_word(struct bytes *rest)
{
    size_t from = 0;
    while (from < rest->len && rest->data[from] == ' ')
        from++;
    size_t to = from;
    while (to < rest->len && rest->data[to] != ' ')
        to++;
    struct bytes word = bytes_of(rest->data + from, to - from);
    *rest = bytes_of(rest->data + to, rest->len - to);
    return word;
}

/* -1 = none of them. */
static int word_number(struct bytes word, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (bytes_ieq(word, words[i]))
            return i;
    }
    return -1;
}

static int policy(const char *text, struct bytes key, const char *const *words)
{
    struct bytes rest = bytes_of(text, strlen(text));
    int chosen = word_number(next_word(&rest), words);
    while (key.data != NULL && rest.len > 0) {
        struct bytes pattern = next_word(&rest);
        struct bytes word = next_word(&rest);
        if (word.len > 0 && glob_match(pattern, key, false))
            return word_number(word, words);
    }
    return chosen;
}

enum fallback policy_fallback(const char *text, struct bytes key)
{
    return (enum fallback)policy(text, key, fallback_words);
}

enum away_miss policy_away_miss(const char *text, struct bytes key)
{
    return (enum away_miss)policy(text, key, away_miss_words);
}

static bool check(struct bytes text, const char *const *words, struct buf *reason)
{
    struct bytes rest = text;
    bool good = word_number(next_word(&rest), words) >= 0;
    while (good) {
        struct bytes pattern = next_word(&rest);
        if (pattern.len == 0)
            return true;
        good = word_number(next_word(&rest), words) >= 0;
    }
    buf_append_cstr(reason, "argument must be one of");
    for (int i = 0; words[i] != NULL; i++)
        buf_printf(reason, "%s %s", i > 0 ? "," : "", words[i]);
    buf_append_cstr(reason, ", and pairs of a pattern and one of them");
    return false;
}

bool check_fallback(struct bytes text, struct buf *reason)
{
    return check(text, fallback_words, reason);
}

bool check_away_miss(struct bytes text, struct buf *reason)
{
    return check(text, away_miss_words, reason);
}
