/* acl: rules make users, users judge calls, descriptions are rules again. */
#include <stdlib.h>
#include <unistd.h>

#include "acl/acl.h"
#include "acl/log.h"
#include "acl/names.h"
#include "acl/password.h"
#include "base/hash.h"
#include "base/mem.h"
#include "test.h"

enum { WORDS_MAX = 32 };

static int words_of(const char *text, struct bytes words[WORDS_MAX])
{
    int n = 0;
    while (*text != '\0' && n < WORDS_MAX) {
        size_t len = strcspn(text, " ");
        words[n++] = bytes_of(text, len);
        text += len + (text[len] == ' ');
    }
    return n;
}

/* Sets rules of a user; returns the error, "" if there is none. */
static const char *set(struct acl *a, const char *name, const char *rules)
{
    static char text[512];
    struct bytes words[WORDS_MAX];
    struct buf error;
    buf_init(&error);
    text[0] = '\0';
    if (!acl_set_user(a, bytes_cstr(name), words_of(rules, words), words, &error))
        snprintf(text, sizeof(text), "%s", buf_cstr(&error));
    buf_release(&error);
    return text;
}

static const char *described(struct acl *a, const char *name)
{
    static char text[4096];
    struct buf out;
    buf_init(&out);
    acl_describe_user(acl_find_user(a, bytes_cstr(name)), &out);
    snprintf(text, sizeof(text), "%s", buf_cstr(&out));
    buf_release(&out);
    return text;
}

static enum acl_verdict try_call(struct acl *a, const char *name, const char *call, int *arg)
{
    struct bytes words[WORDS_MAX];
    int n = words_of(call, words);
    const struct command *c = command_find(words[0]);
    if (c != NULL && (c->flags & CF_CONTAINER) != 0 && n > 1)
        c = command_find_sub(c, words[1]);
    if (c == NULL)
        abort();
    return acl_check(acl_find_user(a, bytes_cstr(name)), c, n, words, arg);
}

static enum acl_verdict may(struct acl *a, const char *name, const char *call)
{
    int arg;
    return try_call(a, name, call, &arg);
}

static void the_default_user_may_do_everything(void)
{
    struct acl *a = acl_new(false);
    const struct acl_user *u = acl_default_user(a);
    EXPECT(u->unrestricted && !acl_needs_password(a));
    EXPECT_CSTR(described(a, "default"), "on nopass ~* &* +@all");
    acl_set_default_password(a, BYTES_LIT("x"));
    EXPECT(acl_needs_password(a) && u->unrestricted);
    EXPECT(acl_authenticate(a, BYTES_LIT("default"), BYTES_LIT("x")) == u);
    EXPECT(acl_authenticate(a, BYTES_LIT("default"), BYTES_LIT("y")) == NULL);
    EXPECT(acl_authenticate(a, BYTES_LIT("nobody"), BYTES_LIT("x")) == NULL);
    acl_set_default_password(a, BYTES_LIT(""));
    EXPECT_CSTR(described(a, "default"), "on nopass ~* &* +@all");
    EXPECT_CSTR(set(a, "default", "off"), "");
    EXPECT(acl_needs_password(a));
    EXPECT(acl_authenticate(a, BYTES_LIT("default"), BYTES_LIT("x")) == NULL);
    acl_free(a);
}

static void an_app_and_an_operator(void)
{
    struct acl *a = acl_new(false);
    EXPECT_CSTR(set(a, "app", "on >secret ~session:* +@all -@dangerous -@admin"), "");
    EXPECT_CSTR(set(a, "operator", "on >look %R~* +@read +@connection +info +config|get"), "");
    EXPECT(!acl_find_user(a, BYTES_LIT("app"))->unrestricted);
    EXPECT_INT(may(a, "app", "SET session:1 x"), ACL_ALLOWED);
    EXPECT_INT(may(a, "app", "SETEX session:1 60 x"), ACL_ALLOWED);
    EXPECT_INT(may(a, "app", "GET other"), ACL_DENIED_KEY);
    EXPECT_INT(may(a, "app", "FLUSHALL"), ACL_DENIED_COMMAND);
    EXPECT_INT(may(a, "app", "KEYS *"), ACL_DENIED_COMMAND);
    EXPECT_INT(may(a, "app", "CONFIG GET port"), ACL_DENIED_COMMAND);
    EXPECT_INT(may(a, "operator", "GET session:1"), ACL_ALLOWED);
    EXPECT_INT(may(a, "operator", "SET session:1 x"), ACL_DENIED_COMMAND);
    EXPECT_INT(may(a, "operator", "INFO"), ACL_ALLOWED);
    EXPECT_INT(may(a, "operator", "CONFIG GET port"), ACL_ALLOWED);
    EXPECT_INT(may(a, "operator", "CONFIG SET timeout 1"), ACL_DENIED_COMMAND);
    acl_free(a);
}

static void keys_are_read_and_written(void)
{
    struct acl *a = acl_new(false);
    int arg;
    EXPECT_CSTR(set(a, "u", "on nopass +@all %R~r:* %W~w:* ~b:*"), "");
    EXPECT_INT(may(a, "u", "GET r:1"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "GET w:1"), ACL_DENIED_KEY);
    EXPECT_INT(may(a, "u", "SET w:1 x"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "SET w:1 x GET"), ACL_DENIED_KEY); /* it reads as well */
    EXPECT_INT(may(a, "u", "SET b:1 x GET"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "EXISTS w:1 r:1"), ACL_ALLOWED); /* neither read nor written */
    EXPECT_INT(may(a, "u", "GETDEL r:1"), ACL_DENIED_KEY);
    EXPECT_INT(may(a, "u", "BITFIELD r:1 GET u8 0"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "BITFIELD r:1 SET u8 0 1"), ACL_DENIED_KEY);
    EXPECT_INT(may(a, "u", "COPY r:1 w:1"), ACL_ALLOWED);
    EXPECT_INT(try_call(a, "u", "COPY w:1 r:1", &arg), ACL_DENIED_KEY);
    EXPECT_INT(arg, 1);
    EXPECT_INT(try_call(a, "u", "MGET r:1 b:1 x:1", &arg), ACL_DENIED_KEY);
    EXPECT_INT(arg, 3);
    acl_free(a);
}

static void one_selector_must_allow_all_of_a_call(void)
{
    struct acl *a = acl_new(false);
    EXPECT_CSTR(set(a, "u", "on nopass +get ~a (+set ~b) (+mget ~c ~d)"), "");
    EXPECT_INT(may(a, "u", "GET a"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "SET b 1"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "SET a 1"), ACL_DENIED_KEY);
    EXPECT_INT(may(a, "u", "GET b"), ACL_DENIED_KEY);
    EXPECT_INT(may(a, "u", "MGET c d"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "MGET a c"), ACL_DENIED_KEY);
    EXPECT_INT(may(a, "u", "DEL a"), ACL_DENIED_COMMAND);
    EXPECT_CSTR(described(a, "u"), "on nopass ~a resetchannels -@all +get (~b resetchannels -@all "
                                   "+set) (~c ~d resetchannels -@all +mget)");
    EXPECT_CSTR(set(a, "u", "clearselectors"), "");
    EXPECT_INT(may(a, "u", "SET b 1"), ACL_DENIED_COMMAND);
    EXPECT_CSTR(set(a, "w", "(~* &* +@all)"), "");
    EXPECT(acl_find_user(a, BYTES_LIT("w"))->unrestricted);
    acl_free(a);
}

static void subcommands_and_first_arguments(void)
{
    struct acl *a = acl_new(false);
    EXPECT_CSTR(set(a, "u", "+client -client|kill +config|get +select|0"), "");
    EXPECT_INT(may(a, "u", "CLIENT LIST"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "CLIENT KILL ID 1"), ACL_DENIED_COMMAND);
    EXPECT_INT(may(a, "u", "CONFIG GET x"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "CONFIG SET x y"), ACL_DENIED_COMMAND);
    EXPECT_INT(may(a, "u", "SELECT 0"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "SELECT 1"), ACL_DENIED_COMMAND);
    EXPECT_CSTR(described(a, "u"),
                "off resetchannels -@all +client -client|kill +config|get +select|0");
    EXPECT_CSTR(set(a, "u", "-select"), "");
    EXPECT_INT(may(a, "u", "SELECT 0"), ACL_DENIED_COMMAND);
    /* What must be possible without a user is possible for each. */
    EXPECT_INT(may(a, "u", "AUTH x"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "HELLO"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "QUIT"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "RESET"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "PING"), ACL_DENIED_COMMAND);
    EXPECT_CSTR(set(a, "u", "+cluster|info"), ""); /* no container here, but in Redis */
    EXPECT_INT(may(a, "u", "CLUSTER INFO"), ACL_ALLOWED);
    EXPECT_INT(may(a, "u", "CLUSTER NODES"), ACL_DENIED_COMMAND);
    acl_free(a);
}

static void wrong_rules_change_nothing(void)
{
    static const struct {
        const char *rule;
        const char *why;
    } wrong[] = {
        {"foo", "Syntax error"},
        {"+nosuch", "Unknown command or category name in ACL"},
        {"-get|x", "Unknown command or category name in ACL"},
        {"+@nosuch", "Unknown command or category name in ACL"},
        {"+get|", "Syntax error"},
        {"+client|list|x", "Allowing first-arg of a subcommand is not supported"},
        {"%X~a", "Syntax error"},
        {"(on)", "Syntax error"},
        {"(~\"a)", "Syntax error"},
        {"#12", "The password hash must be exactly 64 characters and contain only lowercase "
                "hexadecimal characters"},
        {"<nosuch", "The password you are trying to remove from the user does not exist"},
    };
    struct acl *a = acl_new(false);
    char want[256], rules[256];
    EXPECT_CSTR(set(a, "u", "on >pw ~a +get"), "");
    char before[4096];
    snprintf(before, sizeof(before), "%s", described(a, "u"));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(rules, sizeof(rules), "off ~b +set %s -get", wrong[i].rule);
        snprintf(want, sizeof(want), "ERR Error in ACL SETUSER modifier '%s': %s", wrong[i].rule,
                 wrong[i].why);
        EXPECT_CSTR(set(a, "u", rules), want);
        EXPECT_CSTR(described(a, "u"), before);
        EXPECT_CSTR(set(a, "new", rules), want);
        EXPECT(acl_find_user(a, BYTES_LIT("new")) == NULL);
    }
    EXPECT_CSTR(set(a, "u", "on (~a +get"),
                "ERR Unmatched parenthesis in acl selector starting at '(~a'.");
    EXPECT_CSTR(described(a, "u"), before);
    acl_free(a);
}

static void descriptions_find_the_categories(void)
{
    struct acl *a = acl_new(false);
    EXPECT_CSTR(set(a, "u", "+@read -keys +config|get"), "");
    EXPECT_CSTR(described(a, "u"), "off resetchannels -@all +@read +config|get -keys");
    EXPECT_CSTR(set(a, "v", "allkeys +@all -@dangerous"), "");
    EXPECT_CSTR(described(a, "v"), "off ~* resetchannels +@all -@dangerous");
    EXPECT_CSTR(set(a, "w", "+@stream +eval -xadd"), ""); /* nothing of that is here */
    EXPECT_CSTR(described(a, "w"), "off resetchannels -@all +@stream +eval -xadd");
    EXPECT_CSTR(set(a, "x", "reset ~a ~a %R~b %W~b &c"), "");
    EXPECT_CSTR(described(a, "x"), "off sanitize-payload ~a ~b resetchannels &c -@all");
    EXPECT_CSTR(set(a, "y", "%RW~* ~b"), ""); /* "~* ~b" could not be read */
    EXPECT_CSTR(described(a, "y"), "off %RW~* ~b resetchannels -@all");
    acl_free(a);
}

/* A row that commands.def has, or will have, must have the categories that Redis gives it. */
static void own_rows_have_the_categories_of_redis(void)
{
    static const struct {
        const char *name;
        uint32_t categories;
    } redis[] = {
#define KEYSPACE CAT_KEYSPACE
#define READ CAT_READ
#define WRITE CAT_WRITE
#define SET CAT_SET
#define SORTEDSET CAT_SORTEDSET
#define LIST CAT_LIST
#define HASH CAT_HASH
#define STRING CAT_STRING
#define BITMAP CAT_BITMAP
#define HYPERLOGLOG CAT_HYPERLOGLOG
#define GEO CAT_GEO
#define STREAM CAT_STREAM
#define PUBSUB CAT_PUBSUB
#define ADMIN CAT_ADMIN
#define FAST CAT_FAST
#define SLOW CAT_SLOW
#define BLOCKING CAT_BLOCKING
#define DANGEROUS CAT_DANGEROUS
#define CONNECTION CAT_CONNECTION
#define TRANSACTION CAT_TRANSACTION
#define SCRIPTING CAT_SCRIPTING
#define ACL_NAME(name, categories) {name, categories},
#include "acl/redis.def"
        {"get", CAT_READ | CAT_STRING | CAT_FAST},
        {"config|get", CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS},
        {"keys", CAT_KEYSPACE | CAT_READ | CAT_SLOW | CAT_DANGEROUS},
        {"multi", CAT_FAST | CAT_TRANSACTION},
    };
    struct acl_names *n = acl_names_new();
    for (size_t i = 0; i < sizeof(redis) / sizeof(redis[0]); i++) {
        int id = acl_names_find(n, bytes_cstr(redis[i].name));
        EXPECT(id != ACL_NO_NAME);
        if (id == ACL_NO_NAME || acl_names_at(n, id)->categories == redis[i].categories)
            continue;
        printf("  %s: categories %x, Redis has %x\n", redis[i].name,
               (unsigned)acl_names_at(n, id)->categories, (unsigned)redis[i].categories);
        test_failures++;
    }
    acl_names_free(n);
}

static void every_command_has_its_own_number(void)
{
    struct acl_names *n = acl_names_new();
    size_t nsubs;
    const struct command *subs = command_subs(&nsubs);
    struct bytes none[1] = {BYTES_LIT("x")};
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = command_by_id((enum command_id)i);
        EXPECT(acl_names_at(n, acl_names_of_call(n, c, 1, none))->own == c);
        EXPECT_INT(acl_names_find(n, bytes_cstr(c->name)), i);
    }
    for (size_t i = 0; i < nsubs; i++)
        EXPECT(acl_names_at(n, acl_names_of_call(n, &subs[i], 1, none))->own == &subs[i]);
    EXPECT(acl_names_count(n) <= ACL_NAMES_MAX - 64); /* room for what will come */
    acl_names_free(n);
}

static void passwords_are_hashed(void)
{
    char hash[ACL_HASH_LEN + 1];
    acl_hash_password(BYTES_LIT("abc"), hash);
    EXPECT_CSTR(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    acl_hash_password(BYTES_LIT(""), hash);
    EXPECT_CSTR(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT(acl_is_hash(bytes_cstr(hash)) && !acl_is_hash(bytes_of(hash, 63)));
    for (int bits = 1; bits <= ACL_GENPASS_MAX_BITS; bits += 37) {
        struct buf made;
        buf_init(&made);
        acl_make_password(bits, &made);
        EXPECT_INT(made.len, (bits + 3) / 4);
        buf_release(&made);
    }
}

static void a_file_is_written_and_read(void)
{
    char path[] = "/tmp/acl-test-XXXXXX";
    int fd = mkstemp(path);
    struct acl *a = acl_new(false);
    struct acl *b = acl_new(false);
    struct buf error;
    buf_init(&error);
    close(fd);
    EXPECT_CSTR(set(a, "app", "on >secret ~session:* &c +@all -@dangerous (~x +get)"), "");
    EXPECT_CSTR(set(a, "default", "off resetpass"), "");
    EXPECT(acl_write_file(a, path));
    EXPECT(acl_read_file(b, path, &error));
    EXPECT_INT(error.len, 0);
    EXPECT_INT(acl_user_count(b), 2);
    for (size_t i = 0; i < acl_user_count(a); i++)
        EXPECT(acl_same_user(acl_user_at(a, i), acl_user_at(b, i)));
    EXPECT(acl_authenticate(b, BYTES_LIT("app"), BYTES_LIT("secret")) != NULL);
    EXPECT(!acl_write_file(a, "/nosuchfolder/users.acl"));
    unlink(path);
    EXPECT(!acl_read_file(b, path, &error) && error.len > 0);
    buf_release(&error);
    acl_free(a);
    acl_free(b);
}

/* Removal leaves the others where they are, in order. */
static void users_come_and_go(void)
{
    struct acl *a = acl_new(false);
    char name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "u%d", i * 37 % 200);
        EXPECT_CSTR(set(a, name, "on"), "");
    }
    EXPECT_INT(acl_user_count(a), 201);
    for (size_t i = 1; i < acl_user_count(a); i++)
        EXPECT(bytes_cmp(acl_user_name(acl_user_at(a, i - 1)), acl_user_name(acl_user_at(a, i))) <
               0);
    const struct acl_user *kept = acl_find_user(a, BYTES_LIT("u7"));
    for (int i = 0; i < 200; i += 2) {
        snprintf(name, sizeof(name), "u%d", i);
        acl_remove_user(a, acl_find_user(a, bytes_cstr(name)));
    }
    EXPECT_INT(acl_user_count(a), 101);
    EXPECT(acl_find_user(a, BYTES_LIT("u7")) == kept);
    EXPECT(acl_find_user(a, BYTES_LIT("u8")) == NULL);
    acl_free(a);
}

static void note(struct acl_log *l, enum acl_reason reason, const char *object, int64_t now_ms,
                 size_t max)
{
    struct acl_refusal f = {reason, false, bytes_cstr(object), BYTES_LIT("u"), BYTES_LIT("id=1")};
    acl_log_note(l, &f, now_ms, max);
}

static size_t log_size(struct acl_log *l, const char *first)
{
    struct buf out;
    struct reply r = {&out, 2, false};
    buf_init(&out);
    acl_log_reply(l, 1000, 0, &r);
    size_t n = (size_t)atoi(buf_cstr(&out) + 1);
    EXPECT(first == NULL || strstr(buf_cstr(&out), first) != NULL);
    buf_release(&out);
    return n;
}

static void refusals_of_a_minute_are_one_entry(void)
{
    struct acl_log *l = acl_log_new();
    note(l, ACL_REASON_KEY, "a", 1000, 3);
    note(l, ACL_REASON_KEY, "a", 61000, 3);
    EXPECT_INT(log_size(l, "count\r\n:2\r\n"), 1);
    note(l, ACL_REASON_KEY, "a", 121001, 3);
    EXPECT_INT(log_size(l, NULL), 2);
    note(l, ACL_REASON_COMMAND, "a", 121001, 3);
    note(l, ACL_REASON_COMMAND, "b", 121001, 3);
    EXPECT_INT(log_size(l, NULL), 3);
    note(l, ACL_REASON_COMMAND, "c", 121001, 0);
    EXPECT_INT(log_size(l, NULL), 0);
    acl_log_free(l);
}

static void lines_of_a_configuration(void)
{
    struct acl *a = acl_new(false);
    struct bytes words[WORDS_MAX];
    struct buf error;
    buf_init(&error);
    int n = words_of("app on >pw ~session:* +@all", words);
    EXPECT(acl_add_line(a, n, words, &error) && error.len == 0);
    EXPECT(!acl_add_line(a, n, words, &error)); /* twice */
    error.len = 0;
    n = words_of("default on >x ~* +@all", words);
    EXPECT(acl_add_line(a, n, words, &error));
    EXPECT(!acl_add_line(a, n, words, &error));
    error.len = 0;
    n = words_of("other <notmine", words);
    EXPECT(!acl_add_line(a, n, words, &error));
    EXPECT(strstr(buf_cstr(&error), "notmine") == NULL); /* may be a password */
    EXPECT(strncmp(buf_cstr(&error), "user other: '<': ", 17) == 0);
    buf_release(&error);
    acl_free(a);
}

static void channels_by_default(void)
{
    struct acl *a = acl_new(true);
    EXPECT_CSTR(set(a, "u", "(+get)"), "");
    EXPECT_CSTR(described(a, "u"), "off &* -@all (&* -@all +get)");
    acl_set_channel_default(a, false);
    EXPECT_CSTR(set(a, "u", "(+set)"), "");
    EXPECT_CSTR(described(a, "u"), "off &* -@all (&* -@all +get) (resetchannels -@all +set)");
    EXPECT_CSTR(set(a, "u", "reset"), "");
    EXPECT_CSTR(described(a, "u"), "off sanitize-payload resetchannels -@all");
    acl_free(a);
}

TEST_MAIN(TEST(the_default_user_may_do_everything), TEST(an_app_and_an_operator),
          TEST(keys_are_read_and_written), TEST(one_selector_must_allow_all_of_a_call),
          TEST(subcommands_and_first_arguments), TEST(wrong_rules_change_nothing),
          TEST(descriptions_find_the_categories), TEST(own_rows_have_the_categories_of_redis),
          TEST(every_command_has_its_own_number), TEST(passwords_are_hashed),
          TEST(a_file_is_written_and_read), TEST(users_come_and_go),
          TEST(refusals_of_a_minute_are_one_entry), TEST(lines_of_a_configuration),
          TEST(channels_by_default))
