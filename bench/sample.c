#include "sample.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

static const char *const words[] = {
    "session", "user",  "the",     "of",     "and",    "to",       "in",     "is",     "you",
    "that",    "it",    "was",     "for",    "are",    "with",     "his",    "they",   "at",
    "one",     "have",  "this",    "from",   "by",     "word",     "but",    "what",   "some",
    "we",      "can",   "other",   "were",   "all",    "there",    "when",   "up",     "your",
    "how",     "said",  "each",    "which",  "their",  "time",     "will",   "way",    "about",
    "many",    "then",  "them",    "would",  "write",  "like",     "these",  "her",    "long",
    "make",    "thing", "see",     "him",    "two",    "has",      "look",   "more",   "day",
    "could",   "go",    "come",    "did",    "number", "sound",    "most",   "people", "over",
    "know",    "water", "than",    "call",   "first",  "who",      "may",    "down",   "side",
    "been",    "now",   "find",    "any",    "new",    "work",     "part",   "take",   "get",
    "place",   "made",  "live",    "where",  "after",  "back",     "little", "only",   "round",
    "man",     "year",  "came",    "show",   "every",  "good",     "give",   "our",    "under",
    "name",    "very",  "through", "just",   "form",   "sentence", "great",  "think",  "say",
    "help",    "low",   "line",    "differ", "turn",   "cause",    "much",   "mean",   "before",
    "move",    "right", "too",     "same",   "tell",   "does",     "set",    "three",  "want",
    "air",     "well",  "also",    "play",   "small",  "end",      "put",    "home",   "read",
    "hand",    "port",  "large",   "spell",  "add",    "even",     "land",   "here",   "must",
    "big",     "high",  "such",    "follow", "act",    "why",      "ask",    "men",    "change",
    "went",    "light",
};

struct random random_from(uint64_t seed)
{
    struct random r = {seed * 0x9E3779B97F4A7C15ull + 0x1234567ull};
    if (r.state == 0)
        r.state = 1;
    for (int i = 0; i < 4; i++)
        random_next(&r);
    return r;
}

uint64_t random_next(struct random *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545F4914F6CDD1Dull;
}

uint64_t random_below(struct random *r, uint64_t n)
{
    return (random_next(r) >> 32) * n >> 32;
}

static size_t put_message(char *at, size_t room, struct random *r)
{
    static const char *const roles[] = {"user", "assistant"};
    size_t n = (size_t)snprintf(at, room, "{\"role\": \"%s\", \"at\": 17%08u, \"content\": \"",
                                roles[random_below(r, 2)], (unsigned)random_below(r, 100000000));
    int count = 8 + (int)random_below(r, 60);
    for (int i = 0; i < count; i++) {
        size_t which = random_below(r, sizeof(words) / sizeof(words[0]));
        n += (size_t)snprintf(at + n, room - n, "%s%s", words[which], i + 1 < count ? " " : "");
    }
    return n + (size_t)snprintf(at + n, room - n, ".\"}, ");
}

void sample_init(struct sample *s, bool text, uint64_t seed)
{
    enum { MESSAGE_MAX = 1024 };
    struct random r = random_from(seed);
    s->len = 2 * (size_t)SAMPLE_MAX;
    s->pool = mem_alloc(s->len + MESSAGE_MAX);
    size_t at = 0;
    while (at < s->len) {
        if (text) {
            at += put_message(s->pool + at, MESSAGE_MAX, &r);
        } else {
            uint64_t v = random_next(&r);
            memcpy(s->pool + at, &v, sizeof(v));
            at += sizeof(v);
        }
    }
}

void sample_release(struct sample *s)
{
    mem_free(s->pool);
}

struct bytes sample_slice(const struct sample *s, uint64_t which, size_t len)
{
    CHECK(len <= SAMPLE_MAX);
    struct random r = random_from(which);
    return bytes_of(s->pool + random_below(&r, s->len - len), len);
}
