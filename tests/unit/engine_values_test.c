/* Collections in the engine: one that is changed many times in one batch is copied once, the rows
 * and the cache keep theirs, and what has to be run again runs on values that nobody has changed.
 */
#include "base/mem.h"
#include "value/hash.h"
#include "world.h"

/* ---- copies ---- */

static int copies;

struct value *__real_value_collection_copy(const struct value *v);
struct value *__wrap_value_collection_copy(const struct value *v);

struct value *__wrap_value_collection_copy(const struct value *v)
{
    copies++;
    return __real_value_collection_copy(v);
}

static const struct hash *stored(const struct world *w, const char *key)
{
    const struct memory_row *row = memory_store_row(w->ms, 0, bytes_cstr(key));
    return row == NULL || row->value == NULL || !value_is_collection(row->value)
               ? NULL
               : value_content(row->value);
}

static const char *stored_field(const struct world *w, const char *key, const char *field)
{
    static char text[64];
    struct bytes value;
    const struct hash *h = stored(w, key);
    if (h == NULL || !hash_get(h, bytes_cstr(field), &value) || value.len >= sizeof(text))
        return "(nil)";
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    return text;
}

/* ---- a pipeline ---- */

static void many_changes_cost_one_copy(void)
{
    struct world w;
    begin_three(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "HSET h f 1"), ":1");
    uint64_t commits = counts(&w)->commits;
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1"); /* what follows gathers */
    copies = 0;
    for (int i = 0; i < 50; i++) {
        peer_send(&w.a, "HINCRBY h f 1;HGET h f;HSET h g x");
        peer_send(&w.b, "HINCRBY h f 1;EXPIRE h 100;HLEN h;HDEL h nothing");
    }
    rig_turn(&w.rig);
    EXPECT_CSTR(stored_field(&w, "h", "f"), "1"); /* nobody has changed the row's */
    EXPECT_INT(copies, 1);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_INT(counts(&w)->commits, commits + 2);
    EXPECT_CSTR(stored_field(&w, "h", "f"), "101");
    EXPECT_INT(hash_count(stored(&w, "h")), 2);
    EXPECT_CSTR(peer_ask(&w.c, "HMGET h f g;TTL h"), "+OK *2 $3 101 $1 x :100");
    end(&w);
}

static void a_block_costs_one_copy(void)
{
    struct world w;
    begin_two(&w, NULL);
    peer_ask(&w.a, "HSET h f 1");
    copies = 0;
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;HSET h g 2;HINCRBY h f 5;HGET h f;HDEL h g;HLEN h;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *5 :1 :6 $1 6 :1 :1");
    EXPECT_INT(copies, 1);
    end(&w);
}

/* The value goes on to another key, and what shares it is copied when it is changed. */
static void copies_are_values_of_their_own(void)
{
    struct world w;
    begin_three(&w, NULL);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "HSET h f 1;COPY h copy;HSET h f 2;HSET copy f 3;RENAME h moved;HSET moved g 4;"
                   "HGETALL copy;HGETALL moved");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1 :1 :0 :0 +OK :1 *2 $1 f $1 3 *4 $1 f $1 2 $1 g $1 4");
    EXPECT_CSTR(stored_field(&w, "copy", "f"), "3");
    EXPECT_CSTR(stored_field(&w, "moved", "f"), "2");
    EXPECT(stored(&w, "h") == NULL);
    end(&w);
}

static void the_last_field_takes_the_key_along(void)
{
    struct world w;
    begin_three(&w, NULL);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "HSET h f 1;HDEL h f;EXISTS h;HDEL h f;HSET h g 2;TTL h;HGETALL h;DEL h;HLEN h");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1 :1 :0 :0 :1 :-1 *2 $1 g $1 2 :1 :0");
    EXPECT_CSTR(
        peer_ask(&w.a, "TYPE h;SET h s;TYPE h;HGET h f"),
        "+none +OK +string -WRONGTYPE Operation against a key holding the wrong kind of value");
    end(&w);
}

/* ---- run again ---- */

/* Somebody else's write came in between: the txns run on that. */
static void a_rejected_change_runs_on_what_is_there(void)
{
    struct world w;
    begin_two(&w, NULL);
    peer_ask(&w.a, "HSET h f 1;HSET other f 1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "HSET h f 2;HSET h g 2");
    peer_say(&w.b, "HSET other f 2;HINCRBY other f 1");
    memory_store_write(w.ms, 0, "h", "text");
    memory_store_write(w.ms, 0, "other", NULL);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    static const char wrong[] =
        "-WRONGTYPE Operation against a key holding the wrong kind of value";
    char both[200];
    snprintf(both, sizeof(both), "%s %s", wrong, wrong);
    EXPECT_CSTR(peer_take(&w.a), both);
    EXPECT_CSTR(peer_take(&w.b), ":1 :3");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "h"), "text");
    EXPECT_CSTR(stored_field(&w, "other", "f"), "3");
    end(&w);
}

/* A group is taken apart until the guilty one stands alone: the others have not seen its changes.
 */
static void a_refused_neighbour_leaves_no_trace(void)
{
    struct world w;
    begin_three(&w, NULL);
    peer_ask(&w.a, "HSET h n 0");
    memory_store_refuse(w.ms, 0, "bad", "no thanks");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "HINCRBY h n 1");
    peer_say(&w.b, "MULTI;HINCRBY h n 100;SET bad 1;EXEC");
    peer_say(&w.a, "HINCRBY h n 1");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1 :2");
    EXPECT_CSTR(peer_take(&w.b),
                "+OK +QUEUED +QUEUED -ERR PostgreSQL refused the write: no thanks");
    EXPECT_CSTR(stored_field(&w, "h", "n"), "2");
    memory_store_refuse(w.ms, 0, "bad", NULL);
    end(&w);
}

/* ---- large ones ---- */

enum { BULK_LANE = 1, PIECE = 100 * 1000 };

static void send_field(struct peer *p, const char *key, const char *field, size_t len)
{
    char *value = mem_alloc(len);
    memset(value, 'x', len);
    struct bytes argv[] = {BYTES_LIT("HSET"), bytes_cstr(key), bytes_cstr(field),
                           bytes_of(value, len)};
    peer_send_argv(p, 4, argv);
    mem_free(value);
}

static void make_large(struct world *w, const char *key)
{
    char field[16];
    for (int i = 0; i < 300; i++) {
        snprintf(field, sizeof(field), "piece%d", i);
        send_field(&w->a, key, field, 1000);
    }
    rig_turn(&w->rig);
    peer_take(&w->a);
    EXPECT_INT(hash_count(stored(w, key)), 300);
}

/* Changes of one large hash share a batch on the bulk lane; another large value has its own. */
static void changes_of_a_large_hash_share_a_batch(void)
{
    struct world w;
    begin_three(&w, NULL);
    make_large(&w, "large");
    make_large(&w, "larger");
    memory_store_hold(w.ms, MEMORY_COMMIT, BULK_LANE, true);
    send_field(&w.c, "larger", "d", 1); /* keeps the lane busy */
    rig_turn(&w.rig);
    uint64_t commits = counts(&w)->commits;
    copies = 0;
    for (int i = 0; i < 20; i++) {
        peer_send(&w.a, "HINCRBY large n 1");
        peer_send(&w.b, "HINCRBY large n 1;HGET large n");
        rig_turn(&w.rig);
    }
    EXPECT_INT(copies, 1);
    EXPECT_CSTR(peer_ask(&w.c, "PING"), ""); /* behind its HSET */
    memory_store_hold(w.ms, MEMORY_COMMIT, BULK_LANE, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.c), ":1 +PONG");
    EXPECT_CSTR(stored_field(&w, "large", "n"), "40");
    EXPECT_INT(counts(&w)->commits, commits + 1); /* that of "larger" was asked for before */
    end(&w);
}

static void two_large_values_have_two_batches(void)
{
    struct world w;
    begin_three(&w, NULL);
    make_large(&w, "large");
    make_large(&w, "larger");
    memory_store_hold(w.ms, MEMORY_COMMIT, BULK_LANE, true);
    send_field(&w.c, "larger", "d", 1);
    rig_turn(&w.rig);
    peer_send(&w.a, "HSET large n 1;HSET larger n 1;HSET small n 1;HSET large m 1");
    peer_say(&w.b, "HSET larger m 1");
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_COMMIT, BULK_LANE), 1);
    memory_store_hold(w.ms, MEMORY_COMMIT, BULK_LANE, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1 :1 :1 :1");
    EXPECT_CSTR(peer_take(&w.b), ":1");
    EXPECT_CSTR(peer_take(&w.c), ":1");
    EXPECT_INT(hash_count(stored(&w, "large")), 302);
    EXPECT_INT(hash_count(stored(&w, "larger")), 303);
    EXPECT_INT(hash_count(stored(&w, "small")), 1);
    end(&w);
}

/* It grows beyond the limit in a batch that it shares: there it stays, with what has been done. */
static void a_hash_that_grows_large_stays_in_its_batch(void)
{
    struct world w;
    begin_three(&w, NULL);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    for (int i = 0; i < 3; i++) {
        static const char *const fields[] = {"a", "b", "c"};
        send_field(&w.a, "h", fields[i], PIECE);
        peer_send(&w.b, "HINCRBY h n 1");
        rig_turn(&w.rig);
    }
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1 :1 :1");
    EXPECT_CSTR(peer_take(&w.b), ":1 :2 :3");
    EXPECT_CSTR(stored_field(&w, "h", "n"), "3");
    EXPECT_INT(hash_count(stored(&w, "h")), 4);
    end(&w);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(many_changes_cost_one_copy),
        TEST(a_block_costs_one_copy),
        TEST(copies_are_values_of_their_own),
        TEST(the_last_field_takes_the_key_along),
        TEST(a_rejected_change_runs_on_what_is_there),
        TEST(a_refused_neighbour_leaves_no_trace),
        TEST(changes_of_a_large_hash_share_a_batch),
        TEST(two_large_values_have_two_batches),
        TEST(a_hash_that_grows_large_stays_in_its_batch),
    };
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
