#include "store/postgres/statements.h"

#include <string.h>

#include "base/check.h"

/* Vocabulary of the texts below.
 *
 * LIVE(e): the row counts as there. Time is the server's, read when the row is looked at, never
 * the transaction's (a statement may have waited for a lock). For rows that we have locked.
 * STATE_SEEN(e): what a row shows that we have not locked: its version, negative if it is not
 * live, or "not decided". Somebody may have found it live in time, and written a later expiry,
 * and not have committed yet: who says now that it has expired is wrong as soon as that
 * commits. So time is read before the snapshot is taken (now(): when Bind came), and what
 * has expired by then is gone only if no write of it was under way: a later one finds it
 * expired, too. A row's xmax names whoever has written or locked it. Rows held by people are
 * not waited for: what they write does not depend on the expiry.
 * SPACES: the space of each database as an array, read once per statement (an InitPlan), so that
 * a batch's keys may lie in several databases. Databases are numbered from 0 without a gap.
 * Key lookups are LATERAL with OFFSET 0, or key = ANY in STMT_READ_FEW: index probes under any
 * statistics, as no other index fits those conditions.
 * Keys arrive sorted; INSERT ... SELECT takes its row locks in that order, the same one in every
 * instance, so that batches cannot deadlock. */
#define LIVE_AT(e, time)                                                                           \
    "(" e ".value IS NOT NULL AND " e ".active AND (" e ".expires_at IS NULL OR " e                \
    ".expires_at > " time "))"
#define LIVE(e) LIVE_AT(e, "clock_timestamp()")

/* xmax has the low half of a transaction's number; the whole one is within 2^31 of this. */
#define NEXT_XID "pg_snapshot_xmax(pg_current_snapshot())::text::int8"
#define WRITER(e)                                                                                  \
    "greatest(" NEXT_XID " - 2147483648 + ((" e ".xmax::text::int8 - (" NEXT_XID                   \
    " & 4294967295) + 6442450944) & 4294967295), 0)::text::xid8"
#define IS_BEING_WRITTEN(e)                                                                        \
    "(" e ".xmax <> '0'::xid AND NOT pg_visible_in_snapshot(" WRITER(e) ", pg_current_snapshot()) " \
    "AND NOT EXISTS (SELECT FROM pg_stat_get_activity(NULL) a WHERE a.backend_xid = " e ".xmax "   \
    "AND a.application_name NOT LIKE 'respgres %'))"
#define STATE_UNLESS(e, being_written)                                                             \
    "CASE WHEN " LIVE_AT(e, "now()") " THEN " e ".version "                                        \
    "WHEN " e ".value IS NOT NULL AND " e ".active AND " being_written                             \
    " THEN -9223372036854775807 ELSE -" e ".version END"
#define STATE_SEEN(e) STATE_UNLESS(e, IS_BEING_WRITTEN(e))

#define READ(state, time)                                                                          \
    "SELECT 0::int8, NULL::int8, NULL::int2, NULL::bytea, NULL::int8, " time ", " SPACES " "       \
    "UNION ALL "                                                                                   \
    "SELECT r.n, e.sv, e.type, "                                                                   \
    "CASE WHEN e.sv > 0 AND e.value_version <> r.bytes THEN e.value END, "                         \
    "CASE WHEN e.sv > 0 THEN e.value_version ELSE e.revoked END, e.expires_at, NULL::int4[] "      \
    "FROM unnest($1::int4[], $2::bytea[], $3::int8[], $4::int8[]) WITH ORDINALITY "                \
    "AS r(db, key, known, bytes, n) "                                                              \
    "LEFT JOIN LATERAL (SELECT " state " AS sv, "                                                  \
    "x.type, x.value, x.value_version, x.expires_at, x.revoked FROM @.entries x "                  \
    "WHERE x.space = " SPACES "[r.db + 1] AND x.key = r.key OFFSET 0) e ON true "                  \
    "WHERE coalesce(e.sv, 0) <> r.known"

#define SPACES "(ARRAY(SELECT s.space FROM @.spaces s ORDER BY s.db))"

/* Locks the lane's row while the batch runs; yields nothing if the lane was fenced. */
#define GUARD                                                                                      \
    "guard AS (SELECT true AS ok FROM @.lanes WHERE slot = $1 AND incarnation = $2 "               \
    "AND lane = $3 AND epoch = $4 FOR UPDATE)"

#define ITEM_ROWS                                                                                  \
    "unnest($7::int4[], $8::bytea[], $9::int4[], $10::int8[], $11::int2[], $12::bytea[], "         \
    "$13::interval[], $14::int4[], $16::text[]) "                                                  \
    "AS r(db, key, item, expected, type, value, expiry, slot, doc)"

/* Each item has a stamp of its own: the batch's, raised by the item's position. */
#define ITEM_VERSION(item) "($5::int8 + ((" item " & 1048575)::int8 << 10))"

#define ITEM_EXPIRY                                                                                \
    "CASE (r.item >> 23) & 3 WHEN 0 THEN NULL "                                                    \
    "WHEN 1 THEN timestamptz 'epoch' + r.expiry ELSE statement_timestamp() + r.expiry END"

#define ENTRY_COLUMNS                                                                              \
    "space, key, type, value, version, value_version, expires_at, expire_slot, batch_item, "       \
    "created_at, updated_at, doc, active"

/* A payload may say itself that its session is over. Where that stands is looked up only for those
 * that may say it. */
#define ACTIVE(key, doc, type, space)                                                              \
    "CASE WHEN " doc " IS NULL THEN true "                                                         \
    "WHEN strpos(" doc ", '\"session_active\"') > 0 OR (SELECT m.other_flags FROM @.meta m WHERE m.one) "              \
    "THEN NOT @.says_inactive(" key ", " doc "::jsonb, " type ", " space ") ELSE true END"

/* SQL has ended this session at a version above the floor, and whoever writes now has not seen
 * that yet. (33554432: ITEM_NEW, 4194304: ITEM_TOUCH.) */
#define REVOKED(floor)                                                                             \
    "(coalesce(e.revoked, 0) > " floor " AND excluded.batch_item & 37748736 = 0 "                  \
    "AND excluded.value IS NOT NULL AND NOT (e.value IS NOT NULL AND e.active))"

/* What is not live has a negative version in what a commit statement returns, and bit 62 besides where
 * SQL's end has held it back. */
#define SIGNED_VERSION(e)                                                                          \
    "CASE WHEN " e ".active THEN " e ".version "                                                   \
    "WHEN " e ".revoked IS NULL THEN -" e ".version ELSE -(" e ".version | 4611686018427387904) END"

/* Above what it replaces, in our slot, even where another instance's clock ran ahead. */
#define NEXT_VERSION                                                                               \
    "greatest(excluded.version, (((e.version >> 10) + 1) << 10) | (excluded.version & 1023))"

/* The key has expired, and nobody has been told (67108864: ITEM_TOLD). Whoever takes the row out of that
 * state, by a write or by STMT_EXPIRE, tells it: so it is told once. */
#define UNTOLD(e)                                                                                  \
    "(" e ".expires_at <= clock_timestamp() AND " e ".value IS NOT NULL AND " e ".active "         \
    "AND " e ".batch_item & 67108864 = 0)"
#define OVER(e) "CASE WHEN " UNTOLD(e) " THEN 134217728 ELSE 0 END" /* ITEM_OVER */

/* Somebody wants to know of keys that have expired (256: EVENT_EXPIRED). */
#define EXPIRED_WANTED                                                                             \
    "EXISTS (SELECT FROM @.instances i WHERE i.events & 256 <> 0 "                                 \
    "AND i.seen_at > clock_timestamp() - interval '30 seconds')"

/* A touch passes the old value through unread, so that its TOAST pointer is kept. */
#define ON_CONFLICT_SET(floor)                                                                     \
    "ON CONFLICT (space, key) DO UPDATE SET "                                                      \
    "type = CASE WHEN excluded.batch_item & 4194304 <> 0 THEN e.type ELSE excluded.type END, "     \
    "value = CASE WHEN excluded.batch_item & 4194304 <> 0 THEN e.value ELSE excluded.value END, "  \
    "doc = CASE WHEN excluded.batch_item & 4194304 <> 0 THEN e.doc ELSE excluded.doc END, "        \
    "version = " NEXT_VERSION ", "                                                                 \
    "value_version = CASE WHEN excluded.batch_item & 4194304 <> 0 THEN e.value_version "           \
    "ELSE " NEXT_VERSION " END, "                                                                  \
    "expires_at = excluded.expires_at, "                                                           \
    "expire_slot = least(e.expire_slot, excluded.expire_slot), "                                   \
    "batch_item = excluded.batch_item | " OVER("e") ", "                                            \
    "active = CASE WHEN excluded.batch_item & 4194304 <> 0 THEN e.active "                         \
    "ELSE excluded.active AND NOT " REVOKED(floor) " END, "                                        \
    "revoked = CASE WHEN " REVOKED(floor) " OR (excluded.batch_item & 4194304 <> 0 AND NOT e.active) " \
    "THEN e.revoked END, "                                                                         \
    "created_at = CASE WHEN " LIVE("e") " THEN e.created_at ELSE excluded.created_at END, "        \
    "updated_at = excluded.updated_at "

/* Transactions that notify commit one after the other: each has the queue's lock until it is on disk. That
 * is no row that somebody holds, so lock_timeout, which is short for those, counts no more. */
#define QUEUE_PATIENCE "set_config('lock_timeout', current_setting('statement_timeout'), true)"

/* Tells the instances that read from memory, or wait for keys, what was written: in the same
 * transaction, and only if there is one besides us. Whoever starts to waits for statements that could
 * not see its mark yet (STMT_OLDER_WRITERS). */
#define CACHING "EXISTS (SELECT FROM @.instances i WHERE i.caching)"
#define TELL(notice)                                                                               \
    "(SELECT CASE WHEN pg_notify('@#', " notice ") IS NOT NULL THEN " QUEUE_PATIENCE " END "         \
    "WHERE EXISTS (SELECT FROM @.instances i WHERE i.caching AND i.slot <> $1))"

/* The batch's outcome goes into the lane's row in the same transaction: that row alone says
 * afterwards whether the batch counted, and which of its items. */
#define RECORD_OUTCOME(notice)                                                                           \
    "UPDATE @.lanes l SET stamp = $5::int8, batch_time = statement_timestamp(), accepted = x.accepted "  \
    "FROM (SELECT CASE WHEN count(*) < $6::int4 THEN coalesce(array_agg(w.item & 1048575), '{}') END "   \
    "AS accepted, "                                                                                \
    "array_agg(w.item & 1048575) FILTER (WHERE w.version <> " ITEM_VERSION("w.item") ") AS raised, " \
    "array_agg(w.version) FILTER (WHERE w.version <> " ITEM_VERSION("w.item") ") AS versions, "    \
    "array_agg(w.item & 1048575) FILTER (WHERE w.item & 134217728 <> 0) AS over FROM w) x "        \
    "WHERE l.slot = $1 AND l.incarnation = $2 AND l.lane = $3 AND (SELECT ok FROM guard) "         \
    "RETURNING l.batch_time, l.accepted, x.raised, x.versions, x.over, " TELL(notice)

/* When a slot was claimed. After a failover to a standby that had not heard of our claim, somebody
 * else may have claimed the same slot and incarnation there, but not at the same microsecond. */
#define CLAIMED(i) "(extract(epoch FROM " i ".started_at) * 1000000)::int8"

#define SETTINGS(local)                                                                            \
    "set_config('search_path', '', " local "), "                                                   \
    "CASE WHEN $1 = '1' THEN set_config('plan_cache_mode', 'force_generic_plan', " local ") END, " \
    "CASE WHEN $1 = '1' THEN set_config('enable_seqscan', 'off', " local ") END, "                 \
    "CASE WHEN $1 = '1' THEN set_config('enable_bitmapscan', 'off', " local ") END, "              \
    "set_config('jit', 'off', " local "), set_config('lock_timeout', $2, " local "), "             \
    "set_config('statement_timeout', $3, " local "), "                                             \
    "set_config('idle_in_transaction_session_timeout', '10s', " local "), "                        \
    "CASE WHEN $4 = 'off' THEN set_config('synchronous_commit', 'off', " local ") "                \
    "WHEN current_setting('synchronous_commit') IN ('off', 'local') "                              \
    "THEN set_config('synchronous_commit', 'on', " local ") END"

/* The advisory lock that a commit lane's batch holds behind a pooler. */
#define LANE_CLASS "hashtext('respgres.lane @.')"
#define LANE_OBJECT(slot, incarnation, lane)                                                       \
    "((" incarnation " & 16383) << 17 | " slot " << 7 | " lane ")::int4"

/* ---- the merge of a journal (docs/consistency.md has the rules) ---- */

/* Only in the transaction that has taken the batch's number. $1 = slot, $2 = journal, $3 = number. */
#define MERGING                                                                                    \
    "merging AS MATERIALIZED (SELECT clock_timestamp() AS now FROM @.journals j "                  \
    "WHERE j.journal = $2::text AND j.merged = $3::int8 AND j.xmin = pg_current_xact_id()::xid "   \
    "AND $1::int4 IS NOT NULL)"

#define STAMP_TIME(v) "(timestamptz '2025-01-01Z' + ((" v ") >> 10) * interval '1 microsecond')"

/* A write that was under way when SQL had ended the session was stored, but inactive: whoever was not told so
 * took it for live. Whoever knew of an absence at that end, or at a later version, did not. */
#define ENDED(e) "(" e ".value IS NOT NULL AND NOT " e ".active AND " e ".revoked IS NOT NULL)"

/* What an item says and what its row is. `noted` is what merges has of the row as it is now. Of an unknown
 * base with a version (an absence that had been told once: BASE_NO_ROW) the row is known as long as it is
 * the same, and where it is the instance's own write since then, of an outcome that it was not told. */
#define MERGE_SIDES                                                                                \
    "c AS MATERIALIZED (SELECT r.*, " SPACES "[r.db + 1] AS space, g.now, y.version AS rv, "       \
    "y.value AS rvalue, y.type AS rtype, y.expires_at AS rexpires, "                               \
    "y.version = 0 AND y.value IS NULL AS norow, "                                                 \
    LIVE_AT("y", "g.now") " AS live, y.value IS NOT NULL AND NOT y.active AS inactive, "           \
    "coalesce(m.kind, 0) AS noted, r.value IS NULL AS removal, "                                   \
    "coalesce(y.batch_item & 67108864 <> 0, false) AS rtold, "                                     \
    "timestamptz 'epoch' + r.expiry AS expires_at, "                                               \
    "r.value IS NOT NULL AND coalesce(timestamptz 'epoch' + r.expiry <= g.now, false) AS expired, " \
    "r.base = 0 AND NOT (r.base_version > 0 AND y.version > r.base_version "                       \
    "AND (y.version & 1023) = (r.version & 1023)) AS unknowing, "                                  \
    "(r.base_version > 0 AND y.version = r.base_version "                                          \
    "AND (r.base = 1 OR r.base = 2 AND NOT " ENDED("y") " OR r.base = 0 AND NOT " LIVE_AT("y", "g.now") ")) " \
    "OR (r.maybe <> 0 AND y.version = r.maybe AND NOT " ENDED("y") ") "                            \
    "OR (r.base = 0 AND " ENDED("y") " AND y.revoked <= r.base_version) AS as_based "              \
    "FROM merging g CROSS JOIN unnest($7::int4[], $8::bytea[], $9::int2[], $10::bytea[], "         \
    "$11::int8[], $12::int8[], $13::interval[], $14::int4[], $15::int8[], $16::int8[], $17::int4[], " \
    "$18::text[]) WITH ORDINALITY AS r(db, key, type, value, version, value_version, expiry, base, "  \
    "base_version, maybe, grp, doc, n) "                                                                \
    "LEFT JOIN LATERAL (SELECT x.version, x.value, x.type, x.expires_at, x.active, x.revoked, x.batch_item " \
    "FROM @.entries x WHERE x.space = " SPACES "[r.db + 1] AND x.key = r.key OFFSET 0) y ON true " \
    "LEFT JOIN LATERAL (SELECT k.kind FROM @.merges k WHERE k.space = " SPACES "[r.db + 1] "       \
    "AND k.key = r.key AND k.version = y.version OFFSET 0) m ON true)"

/* The first letter: A applied, S same, T same but for the expiry, L lost. Behind it the reason for
 * which something is kept in conflicts. */
#define MERGE_VERDICT                                                                              \
    "CASE WHEN c.rv = c.version THEN 'S' "                                                         \
    "WHEN c.norow THEN CASE WHEN NOT c.removal AND " STAMP_TIME("c.version") " < c.now - "         \
    "make_interval(secs => $5::float8) THEN 'Ltoo-old' ELSE 'A' END "                              \
    "WHEN c.removal THEN CASE WHEN c.live AND NOT c.as_based THEN 'Adeleted-while-away' ELSE 'A' END " \
    "WHEN c.as_based THEN 'A' "                                                                    \
    "WHEN c.live AND c.rvalue = c.value AND c.rtype = c.type "                                     \
    "THEN CASE WHEN c.version > c.rv THEN 'T' ELSE 'S' END "                                       \
    "WHEN c.inactive OR (c.rvalue IS NULL AND c.rv & 1023 = 0) THEN 'Lrevoked' "                   \
    "WHEN c.rvalue IS NULL AND c.noted = 2 THEN 'Ldeleted' "                                       \
    "WHEN c.unknowing AND c.live THEN CASE WHEN c.noted = 1 AND c.version > c.rv "                  \
    "THEN 'Aboth-unknown' ELSE 'Lunknown-base' END "                                               \
    "WHEN c.unknowing THEN CASE WHEN c.rvalue IS NULL AND c.rv > c.version THEN 'Ldeleted' ELSE 'A' END " \
    "WHEN c.noted = 1 THEN 'Aunknown-base' "                                                       \
    "WHEN c.version > c.rv THEN 'Aboth-changed' ELSE 'Lboth-changed' END"

#define MERGE_WRITE                                                                                \
    "w AS (INSERT INTO @.entries AS e (" ENTRY_COLUMNS ") "                                        \
    "SELECT d.space, d.key, d.type, CASE WHEN NOT d.expired THEN d.value END, d.kept, "            \
    "CASE WHEN d.removal OR d.expired OR d.value_version = 0 THEN d.kept ELSE d.value_version END, " \
    "CASE WHEN NOT d.expired OR d.verdict = 'T' THEN d.expires_at END, "                           \
    "greatest(@.slot_of(CASE WHEN d.removal OR (d.expired AND d.verdict <> 'T') "                  \
    "THEN d.now + make_interval(secs => $5::float8) ELSE d.expires_at END) - 1, 0), "              \
    "CASE d.verdict WHEN 'T' THEN 4194304 ELSE 0 END, d.now, d.now, "                              \
    "CASE WHEN NOT d.removal AND NOT d.expired THEN d.doc::jsonb END, "                            \
    "CASE WHEN d.removal OR d.expired THEN true ELSE " ACTIVE("d.key", "d.doc", "d.type", "d.space") " END "            \
    "FROM d WHERE left(d.verdict, 1) IN ('A', 'T') ORDER BY d.n "                                  \
    "ON CONFLICT (space, key) DO UPDATE SET "                                                      \
    "type = CASE WHEN excluded.batch_item <> 0 THEN e.type ELSE excluded.type END, "               \
    "value = CASE WHEN excluded.batch_item <> 0 THEN e.value ELSE excluded.value END, "            \
    "doc = CASE WHEN excluded.batch_item <> 0 THEN e.doc ELSE excluded.doc END, "                  \
    "version = excluded.version, "                                                                 \
    "value_version = CASE WHEN excluded.batch_item <> 0 THEN e.value_version "                     \
    "ELSE excluded.value_version END, expires_at = excluded.expires_at, "                          \
    "expire_slot = least(e.expire_slot, excluded.expire_slot), batch_item = excluded.batch_item, " \
    "active = CASE WHEN excluded.batch_item <> 0 THEN e.active ELSE excluded.active END, "         \
    "revoked = NULL, "                                                                             \
    "created_at = CASE WHEN " LIVE("e") " THEN e.created_at ELSE excluded.created_at END, "        \
    "updated_at = excluded.updated_at)"

#define MERGE_BASE "CASE d.base WHEN 0 THEN 'unknown' WHEN 1 THEN 'absent' ELSE 'live' END"

#define MERGE_KEEP                                                                                 \
    "lost AS (INSERT INTO @.conflicts (instance, journal, reason, lost, db, type, key, value, "    \
    "expires_at, base, base_version, lost_version, kept_version, group_id) "                       \
    "SELECT $4::text, $2, substr(d.verdict, 2), 'journal', d.db, d.type, d.key, d.value, "         \
    "d.expires_at, " MERGE_BASE ", d.base_version, d.version, d.rv, nullif(d.grp, 0) "             \
    "FROM d WHERE left(d.verdict, 1) = 'L' AND NOT d.expired "                                     \
    "UNION ALL SELECT $4, $2, substr(d.verdict, 2), 'row', d.db, d.rtype, d.key, d.rvalue, "       \
    "d.rexpires, " MERGE_BASE ", d.base_version, d.rv, d.kept, nullif(d.grp, 0) "                  \
    "FROM d WHERE d.verdict LIKE 'A_%' AND d.live)"

/* ---- import ---- */

/* The row says nothing of a key: none has been made, or it has expired. */
#define IS_FREE(e)                                                                                 \
    "(" e ".value IS NULL AND " e ".version = 0 OR " e ".value IS NOT NULL AND " e ".active "       \
    "AND coalesce(" e ".expires_at <= clock_timestamp(), false))"

/* $1 = database, $2 = 1: what is there gives way; then keys, values, expiries since 1970. */
#define IMPORT_ROWS(columns, arrays)                                                               \
    "c AS MATERIALIZED (SELECT r.*, CASE WHEN r.expires_at <= clock_timestamp() THEN 'expired' "   \
    "WHEN coalesce(e.free, true) THEN 'free' WHEN NOT e.live THEN 'ended' "                        \
    "WHEN e.value = r.value AND e.expires_at IS NOT DISTINCT FROM r.expires_at THEN 'same' "       \
    "ELSE 'live' END AS state "                                                                    \
    "FROM (SELECT x.*, timestamptz 'epoch' + x.expiry AS expires_at, "                             \
    "(SELECT s.space FROM @.spaces s WHERE s.db = $1::int4) AS space "                             \
    "FROM unnest($3::bytea[], $4::bytea[], $5::interval[]" arrays ") "                             \
    "AS x(key, value, expiry" columns ")) r "                                                      \
    "LEFT JOIN LATERAL (SELECT y.value, y.expires_at, " LIVE("y") " AS live, "                     \
    IS_FREE("y") " AS free FROM @.entries y WHERE y.space = r.space AND y.key = r.key OFFSET 0) e " \
    "ON true)"

#define IMPORT_COUNTS                                                                              \
    "count(*) FILTER (WHERE c.state = 'free'), count(*) FILTER (WHERE c.state = 'live'), "         \
    "count(*) FILTER (WHERE c.state = 'same'), count(*) FILTER (WHERE c.state = 'ended'), "        \
    "count(*) FILTER (WHERE c.state = 'expired') FROM c"

static const struct statement table[STATEMENT_COUNT] = {
    /* Keys → state. Parameters: db int4[], key bytea[], known int8[], bytes int8[]. `known` is what
     * the caller holds: v = live at version v, -v = not live at v, 0 = nothing; `bytes` is the
     * value_version of the bytes it holds. A row comes back for each key whose state differs, with
     * the bytes if they do. Row 0 is the time, and the space of each database. What is not live has
     * its end by SQL in the place of value_version, NULL = none. */
    [STMT_READ] = {"respgres_read", READ(STATE_SEEN("x"), "now()"), 4},

    /* The same of rows that this transaction has locked. */
    [STMT_READ_LOCKED] = {"respgres_read_locked",
        READ("CASE WHEN " LIVE("x") " THEN x.version ELSE -x.version END", "clock_timestamp()"), 4},

    /* The same for few keys of one database, at half the cost: one index scan for all of them. A row
     * for each key that has one; the bytes are left out where the caller holds those of some key at
     * that value_version, which is unique but for rows that people have copied. Always a row, so
     * that space and time come back. Of an expired row with an xmax it says "not decided" and leaves
     * the rest to the other statement: to look closer makes a plan that costs every batch a twelfth.
     * Parameters: db, keys, value_versions held. */
    [STMT_READ_FEW] = {"respgres_read_few",
        "SELECT s.space, now(), x.key, x.sv, x.type, "
        "CASE WHEN x.sv > 0 AND x.value_version <> ALL ($3::int8[]) THEN x.value END, "
        "CASE WHEN x.sv > 0 THEN x.value_version ELSE x.revoked END, x.expires_at "
        "FROM @.spaces s LEFT JOIN LATERAL ("
        "SELECT e.key, " STATE_UNLESS("e", "e.xmax <> '0'::xid") " AS sv, "
        "e.type, e.value, e.value_version, e.expires_at, e.revoked FROM @.entries e "
        "WHERE e.key = ANY ($2::bytea[]) AND e.space = s.space OFFSET 0) x ON true "
        "WHERE s.db = $1::int4", 3},

    /* A batch of single-key groups. Parameters: slot, incarnation, lane, epoch, stamp, number of
     * items, then a column per property of the items, then the notice, their documents, the floor of REVOKED. An item that expects a live row is not
     * inserted where there is none at all. */
    [STMT_COMMIT] = {"respgres_commit",
        "WITH " GUARD ", w AS (INSERT INTO @.entries AS e (" ENTRY_COLUMNS ") "
        "SELECT " SPACES "[r.db + 1], r.key, r.type, r.value, " ITEM_VERSION("r.item") ", "
        "CASE WHEN r.item & 1048576 <> 0 THEN r.expected ELSE " ITEM_VERSION("r.item") " END, " ITEM_EXPIRY ", r.slot, "
        "r.item, statement_timestamp(), statement_timestamp(), r.doc::jsonb, "
        ACTIVE("r.key", "r.doc", "r.type", SPACES "[r.db + 1]") " FROM " ITEM_ROWS " "
        "WHERE (SELECT ok FROM guard) AND CASE WHEN r.item & 1048576 = 0 THEN true ELSE "
        "(SELECT true FROM @.entries y WHERE y.space = " SPACES "[r.db + 1] AND y.key = r.key "
        "OFFSET 0) END "
        ON_CONFLICT_SET("$17")
        "WHERE CASE (excluded.batch_item >> 20) & 3 WHEN 0 THEN true "
        "WHEN 1 THEN e.version = excluded.value_version AND " LIVE("e") " "
        "WHEN 2 THEN NOT " LIVE("e") " "
        "ELSE e.value_version = excluded.value_version AND " LIVE("e") " END "
        "RETURNING e.batch_item AS item, " SIGNED_VERSION("e") " AS version) "
        RECORD_OUTCOME("$15"), 17},

    /* A batch that expects nothing of any row (plain SET, SETEX, MSET): nothing in it can be refused,
     * so the outcome is known before the rows are written, and the lane's row is written first. */
    [STMT_COMMIT_BLIND] = {"respgres_commit_blind",
        "WITH lane AS (UPDATE @.lanes SET stamp = $5::int8, batch_time = statement_timestamp(), "
        "accepted = NULL WHERE slot = $1 AND incarnation = $2 AND lane = $3 AND epoch = $4 "
        "AND $6::int4 IS NOT NULL RETURNING batch_time), "
        "w AS (INSERT INTO @.entries AS e (" ENTRY_COLUMNS ") "
        "SELECT " SPACES "[r.db + 1], r.key, r.type, r.value, " ITEM_VERSION("r.item") ", "
        ITEM_VERSION("r.item") ", " ITEM_EXPIRY ", r.slot, r.item, statement_timestamp(), "
        "statement_timestamp(), r.doc::jsonb, " ACTIVE("r.key", "r.doc", "r.type", SPACES "[r.db + 1]") " FROM " ITEM_ROWS " "
        "WHERE (SELECT true FROM lane) AND r.expected IS NOT NULL "
        ON_CONFLICT_SET("$17")
        "RETURNING e.batch_item AS item, " SIGNED_VERSION("e") " AS version) "
        "SELECT (SELECT batch_time FROM lane), NULL::int4[], "
        "array_agg(w.item & 1048575) FILTER (WHERE w.version <> " ITEM_VERSION("w.item") "), "
        "array_agg(w.version) FILTER (WHERE w.version <> " ITEM_VERSION("w.item") "), "
        "array_agg(w.item & 1048575) FILTER (WHERE w.item & 134217728 <> 0), "
        TELL("$15") " FROM w", 17},

    /* The same for a single row, what a client waits for that has PostgreSQL to itself: no arrays, and
     * a smaller plan, so about a fifth less time. Parameters: guard, stamp, then the properties of the item, then the
     * notice, the document and the floor. */
    [STMT_COMMIT_ONE] = {"respgres_commit_one",
        "WITH lane AS (UPDATE @.lanes SET stamp = $5::int8, batch_time = statement_timestamp(), "
        "accepted = NULL WHERE slot = $1 AND incarnation = $2 AND lane = $3 AND epoch = $4 "
        "RETURNING batch_time) "
        "INSERT INTO @.entries AS e (" ENTRY_COLUMNS ") "
        "SELECT (SELECT s.space FROM @.spaces s WHERE s.db = $6::int4), $7::bytea, $9::int2, "
        "$10::bytea, $5, $5, CASE ($8::int4 >> 23) & 3 WHEN 0 THEN NULL "
        "WHEN 1 THEN timestamptz 'epoch' + $11::interval ELSE batch_time + $11 END, $12::int4, $8, "
        "batch_time, batch_time, $14::text::jsonb, " ACTIVE("$7", "$14::text", "$9", "(SELECT s.space FROM @.spaces s WHERE s.db = $6)") " FROM lane "
        "ON CONFLICT (space, key) DO UPDATE SET type = excluded.type, value = excluded.value, "
        "doc = excluded.doc, version = " NEXT_VERSION ", value_version = " NEXT_VERSION ", "
        "expires_at = excluded.expires_at, expire_slot = least(e.expire_slot, excluded.expire_slot), "
        "batch_item = excluded.batch_item | " OVER("e") ", "
        "active = excluded.active AND NOT " REVOKED("$15::int8") ", "
        "revoked = CASE WHEN " REVOKED("$15::int8") " THEN e.revoked END, "
        "created_at = CASE WHEN " LIVE("e") " THEN e.created_at ELSE excluded.created_at END, "
        "updated_at = excluded.updated_at "
        "RETURNING updated_at, NULL::int4[], CASE WHEN version <> $5 OR NOT active THEN ARRAY[0] END, "
        "CASE WHEN version <> $5 OR NOT active THEN ARRAY[" SIGNED_VERSION("e") "] END, "
        "CASE WHEN batch_item & 134217728 <> 0 THEN ARRAY[0] END, " TELL("$13"), 15},

    /* A batch with multi-key or check-only groups is three statements in one transaction. The
     * first keeps FLUSH and SWAPDB out, so that the other two see the same spaces. */
    [STMT_SHARE_SPACES] = {"respgres_share_spaces",
        "SELECT pg_advisory_xact_lock_shared(hashtext('respgres.spaces'), hashtext($1))", 1},

    /* The same place for a transaction that will flush or swap itself. */
    [STMT_OWN_SPACES] = {"respgres_own_spaces",
        "SELECT pg_advisory_xact_lock(hashtext('respgres.spaces'), hashtext($1))", 1},

    /* The second locks every key in sorted order; absent ones get a placeholder, which counts as
     * absent and can be locked. Parameters: guard, then db int4[], key bytea[], slot int4. */
    [STMT_LOCK_KEYS] = {"respgres_lock_keys",
        "WITH " GUARD " INSERT INTO @.entries AS e "
        "(space, key, value, version, value_version, expire_slot) "
        "SELECT " SPACES "[r.db + 1], r.key, NULL, 0, 0, $7::int4 "
        "FROM unnest($5::int4[], $6::bytea[]) AS r(db, key) WHERE (SELECT ok FROM guard) "
        "ON CONFLICT (space, key) DO UPDATE SET version = e.version WHERE false", 7},

    /* The third, on a fresh snapshot, checks every item and writes the groups that pass whole.
     * $15 = group of each item, $16 = 1 for items that are only checked, $17 = what is expected,
     * $18 = the space in which a watched key was seen absent, $19 = the notice, $20 = the documents, $21
     * = the floor of REVOKED. */
    [STMT_COMMIT_CHECKED] = {"respgres_commit_checked",
        "WITH " GUARD ", c AS MATERIALIZED (SELECT r.*, " SPACES "[r.db + 1] AS space, "
        "CASE r.expect WHEN 0 THEN true "
        "WHEN 1 THEN coalesce(y.live AND y.version = r.expected, false) "
        "WHEN 2 THEN NOT coalesce(y.live, false) "
        "WHEN 3 THEN coalesce(y.live AND y.value_version = r.expected, false) "
        "ELSE NOT coalesce(y.live, false) AND coalesce(y.version, 0) <= r.expected "
        "AND r.expected_space = " SPACES "[r.db + 1] END AS ok "
        "FROM unnest($7::int4[], $8::bytea[], $9::int4[], $10::int8[], $11::int2[], $12::bytea[], "
        "$13::interval[], $14::int4[], $15::int4[], $16::int4[], $17::int4[], $18::int4[], $20::text[]) "
        "AS r(db, key, item, expected, type, value, expiry, slot, grp, only_check, expect, "
        "expected_space, doc) "
        "LEFT JOIN LATERAL (SELECT x.version, x.value_version, " LIVE("x") " AS live "
        "FROM @.entries x WHERE x.space = " SPACES "[r.db + 1] AND x.key = r.key OFFSET 0) y ON true "
        "WHERE (SELECT ok FROM guard)), "
        "w AS (INSERT INTO @.entries AS e (" ENTRY_COLUMNS ") "
        "SELECT r.space, r.key, r.type, r.value, " ITEM_VERSION("r.item") ", "
        ITEM_VERSION("r.item") ", " ITEM_EXPIRY ", r.slot, r.item, "
        "statement_timestamp(), statement_timestamp(), r.doc::jsonb, " ACTIVE("r.key", "r.doc", "r.type", "r.space") " FROM c r "
        "WHERE r.only_check = 0 AND r.grp <> ALL (ARRAY(SELECT c.grp FROM c WHERE NOT c.ok)) "
        ON_CONFLICT_SET("$21")
        "RETURNING e.batch_item AS item, " SIGNED_VERSION("e") " AS version) "
        RECORD_OUTCOME("$19"), 21},

    /* Which of these keys can be locked right now? Parameters: db int4[], key bytea[]. Returns the
     * ordinals of those that somebody else holds. */
    [STMT_FIND_LOCKED] = {"respgres_find_locked",
        "SELECT r.n FROM unnest($1::int4[], $2::bytea[]) WITH ORDINALITY AS r(db, key, n) "
        "WHERE EXISTS (SELECT FROM @.entries x WHERE x.space = " SPACES "[r.db + 1] AND x.key = r.key "
        "OFFSET 0) AND NOT EXISTS (SELECT FROM @.entries x WHERE x.space = " SPACES "[r.db + 1] "
        "AND x.key = r.key FOR UPDATE SKIP LOCKED)", 2},

    /* Can all these keys be locked, rows that are only being inserted included? Gives up soon. */
    [STMT_SHORT_WAIT] = {"respgres_short_wait",
        "SELECT set_config('lock_timeout', '20ms', true), "
        "set_config('statement_timeout', '100ms', true)", 0},
    /* $1 = milliseconds, as text. */
    [STMT_LOCK_TIMEOUT] = {"respgres_lock_timeout", "SELECT set_config('lock_timeout', $1, true)", 1},

    [STMT_TRY_LOCK] = {"respgres_try_lock",
        "INSERT INTO @.entries AS e (space, key, value, version, value_version) "
        "SELECT " SPACES "[r.db + 1], r.key, NULL, 0, 0 "
        "FROM unnest($1::int4[], $2::bytea[]) AS r(db, key) "
        "ON CONFLICT (space, key) DO UPDATE SET version = e.version WHERE false", 2},

    /* After a restore that left the sequence behind the rows. */
    [STMT_ADVANCE_SEQUENCE] = {"respgres_advance_sequence",
        "SELECT setval(pg_get_serial_sequence('@.entries', 'id'), m) "
        "FROM (SELECT max(id) AS m FROM @.entries) x WHERE m IS NOT NULL", 0},

    /* What became of the last batch of a lane whose connection was lost? Waits for a batch that is
     * still under way there, and fences one that has not begun. */
    [STMT_SETTLE_LANE] = {"respgres_settle_lane",
        "UPDATE @.lanes SET epoch = epoch + 1 WHERE slot = $1 AND incarnation = $2 AND lane = $3 "
        "RETURNING stamp, batch_time, accepted", 3},

    /* A fresh connection: the settings of a lane. Parameters: 1 = lane (plans that do not depend on
     * statistics), lock_timeout, statement_timeout, synchronous_commit. */
    [STMT_SESSION] = {"respgres_session", "SELECT " SETTINGS("false") ", "
        "set_config('default_transaction_isolation', 'read committed', false)", 4},

    /* The same for one transaction, behind a pooler; but for its isolation, which is settled by then. */
    [STMT_SETTINGS] = {"respgres_settings", "SELECT " SETTINGS("true"), 4},

    /* And a lock that nobody waits for, by which the backend that runs a lane's batch can be found.
     * Parameters 5 to 7: slot, incarnation, lane. */
    [STMT_SETTINGS_COMMIT] = {"respgres_settings_commit",
        "SELECT " SETTINGS("true") ", pg_advisory_xact_lock_shared(" LANE_CLASS ", "
        LANE_OBJECT("$5::int4", "$6::int8", "$7::int4") ")", 7},

    /* All live keys of all databases as of the transaction's snapshot. */
    [STMT_DUMP] = {"respgres_dump",
        "DECLARE respgres_dump NO SCROLL CURSOR FOR "
        "SELECT s.db, e.key, e.type, e.value, CASE WHEN isfinite(e.expires_at) "
        "THEN floor(extract(epoch FROM e.expires_at) * 1000)::int8 END "
        "FROM @.entries e JOIN @.spaces s USING (space) WHERE " LIVE_AT("e", "transaction_timestamp()"), 0},

    /* Rows of a table of sessions become keys, as a person's INSERT would make them: stamps of slot 0, and
     * where a row is there, the trigger moves the version and tells. What was deleted or ended here stays
     * so, and what lives stays as it is, unless $2 says otherwise. expire_slot is low enough for the next
     * write of an instance not to lower it. $6 = documents. */
    [STMT_IMPORT] = {"respgres_import",
        "WITH " IMPORT_ROWS(", doc", ", $6::text[]") ", "
        "w AS (INSERT INTO @.entries AS e (space, key, value, expires_at, expire_slot, doc, active) "
        "SELECT c.space, c.key, c.value, c.expires_at, "
        "@.slot_of(c.expires_at - interval '2 minutes'), c.doc::jsonb, "
        ACTIVE("c.key", "c.doc", "0::int2", "c.space") " FROM c "
        "WHERE c.state = 'free' OR $2::int4 = 1 AND c.state IN ('live', 'ended') ORDER BY c.key "
        "ON CONFLICT (space, key) DO UPDATE SET type = excluded.type, value = excluded.value, "
        "doc = excluded.doc, expires_at = excluded.expires_at, active = excluded.active, "
        "created_at = CASE WHEN " LIVE("e") " THEN e.created_at ELSE excluded.created_at END "
        "WHERE $2 = 1 OR " IS_FREE("e") " RETURNING 1) "
        "SELECT (SELECT count(*) FROM w), " IMPORT_COUNTS, 6},

    /* What it would do. */
    [STMT_IMPORT_LOOK] = {"respgres_import_look",
        "WITH " IMPORT_ROWS("", "") " SELECT ($2::int4 * 0)::int8, " IMPORT_COUNTS, 5},

    [STMT_SERVER] = {"respgres_server",
        "SELECT pg_is_in_recovery()::text, current_setting('server_version_num'), "
        "current_setting('transaction_read_only'), current_setting('transaction_isolation'), "
        "current_setting('server_encoding'), (extract(epoch FROM clock_timestamp()) * 1000000)::int8::text", 0},

    /* Does it answer? */
    [STMT_PROBE] = {"respgres_probe", "SELECT 1", 0},

    /* NULL where the schema or its meta table is not there. */
    [STMT_SCHEMA_STATE] = {"respgres_schema_state",
        "SELECT version::text, least_binary::text, "
        "(SELECT count(*) FROM @.spaces)::text FROM @.meta", 0},

    [STMT_SCHEMA_EXISTS] = {"respgres_schema_exists",
        "SELECT to_regclass('@.meta') IS NOT NULL", 0},

    /* A script: one migrator at a time per schema. Then a busy table makes it give up, and soon: all
     * that wants the table queues behind it meanwhile, and lanes give up after a sixteenth of
     * pg-timeout. */
    [STMT_MIGRATION_BEGIN] = {"respgres_migration_begin",
        "BEGIN; SET LOCAL search_path = ''; SET LOCAL lock_timeout = '2s'; "
        "SELECT pg_advisory_xact_lock(hashtext('respgres.migration'), hashtext('@.')); "
        "SET LOCAL lock_timeout = '50ms'", 0},

    /* CREATE SCHEMA IF NOT EXISTS would ask for the right to create even where it exists. */
    [STMT_CREATE_SCHEMA] = {"respgres_create_schema",
        "DO $do$ BEGIN IF to_regnamespace('@!') IS NULL THEN CREATE SCHEMA @!; END IF; END $do$", 0},

    /* Databases 0 to $1 - 1. */
    [STMT_CREATE_SPACES] = {"respgres_create_spaces",
        "INSERT INTO @.spaces (db) SELECT g FROM generate_series(0, $1::int - 1) g ORDER BY g "
        "ON CONFLICT (db) DO NOTHING", 1},

    [STMT_SLOT_LOCK] = {"respgres_slot_lock",
        "SELECT pg_advisory_xact_lock(hashtext('respgres.slots'), hashtext($1))", 1},

    /* A slot whose owner has not been seen for the lease ($5 seconds), else a new one. Its stamps
     * go on above everything it ever stamped; its earlier owners' lanes are fenced, but their rows
     * stay for them to read. A slot whose owner may hold a journal is kept for an instance of that
     * name, unless it has not been seen for $6 seconds, or no other slot is left. $7 = 1 if we may
     * hold one. The last column is that owner's name, where somebody else gets its slot. */
    [STMT_CLAIM_SLOT] = {"respgres_claim_slot",
        "WITH free AS MATERIALIZED (SELECT o.slot, o.name, o.seen_at, o.holds_journal FROM @.instances o "
        "WHERE o.seen_at < clock_timestamp() - make_interval(secs => $5::float8)), "
        "chosen AS MATERIALIZED (SELECT coalesce("
        "(SELECT f.slot FROM free f WHERE f.holds_journal AND f.name = $1 ORDER BY f.seen_at DESC LIMIT 1), "
        "(SELECT min(f.slot) FROM free f WHERE NOT f.holds_journal "
        "OR f.seen_at < clock_timestamp() - make_interval(secs => $6::float8)), "
        "(SELECT coalesce(max(o.slot), 0) + 1 FROM @.instances o HAVING coalesce(max(o.slot), 0) < 1023), "
        "(SELECT f.slot FROM free f ORDER BY f.seen_at LIMIT 1)) AS slot), "
        "claimed AS (INSERT INTO @.instances AS i "
        "(slot, name, host, pid, binary_version, high_stamp, holds_journal) "
        "SELECT c.slot, $1, $2, $3::int, $4, 0, $7 = '1' FROM chosen c "
        "ON CONFLICT (slot) DO UPDATE SET incarnation = i.incarnation + 1, name = excluded.name, "
        "host = excluded.host, pid = excluded.pid, binary_version = excluded.binary_version, "
        "started_at = clock_timestamp(), seen_at = clock_timestamp(), caching = false, events = 0, "
        "wants = 0, holds_journal = excluded.holds_journal, high_stamp = greatest("
        "i.high_stamp, (SELECT max(l.stamp) FROM @.lanes l WHERE l.slot = i.slot)) "
        "RETURNING slot, incarnation, high_stamp, started_at), "
        "fenced AS (UPDATE @.lanes l SET epoch = l.epoch + 1 FROM claimed c "
        "WHERE l.slot = c.slot AND l.incarnation < c.incarnation), "
        "forgotten AS (DELETE FROM @.lanes l USING claimed c "
        "WHERE l.slot = c.slot AND l.incarnation < c.incarnation - 10) "
        "SELECT slot::text, incarnation::text, high_stamp::text, "
        "(extract(epoch FROM clock_timestamp()) * 1000000)::int8::text, "
        CLAIMED("claimed") "::text, (SELECT f.name FROM free f JOIN chosen c USING (slot) "
        "WHERE f.holds_journal AND f.name <> $1) FROM claimed", 7},

    /* A new connection for a lane; $4 = when we claimed the slot, $5 = 1 if its batches have a backend
     * each. Returns nothing if the slot is no longer ours. Epochs come from the clock: after a restore
     * somebody else may be given our slot and incarnation, and must not be given our epoch, too. */
    [STMT_CLAIM_LANE] = {"respgres_claim_lane",
        "INSERT INTO @.lanes AS l (slot, incarnation, lane, epoch, pid) "
        "SELECT $1::int4, $2::int8, $3::int4, (extract(epoch FROM clock_timestamp()) * 1000000)::int8, "
        "CASE $5::int4 WHEN 0 THEN pg_backend_pid() ELSE 0 END "
        "FROM @.instances i "
        "WHERE i.slot = $1 AND i.incarnation = $2 AND " CLAIMED("i") " = $4::int8 "
        "ON CONFLICT (slot, incarnation, lane) DO UPDATE "
        "SET epoch = greatest(l.epoch + 1, excluded.epoch), pid = excluded.pid "
        "RETURNING epoch", 5},

    /* The lost connection's backend, where it holds the lane's row and will not end by itself. */
    [STMT_TERMINATE_LANE] = {"respgres_terminate_lane",
        "SELECT pg_terminate_backend(a.pid) FROM @.lanes l JOIN pg_stat_activity a ON a.pid = l.pid "
        "WHERE l.slot = $1 AND l.incarnation = $2 AND l.lane = $3 AND a.pid <> pg_backend_pid() "
        "AND a.usename = current_user", 3},

    /* The same behind a pooler, where no connection has a backend: whoever runs a batch of the lane
     * now. */
    [STMT_TERMINATE_BATCH] = {"respgres_terminate_batch",
        "SELECT pg_terminate_backend(a.pid) FROM pg_locks x JOIN pg_stat_activity a ON a.pid = x.pid "
        "WHERE x.locktype = 'advisory' AND x.classid = " LANE_CLASS "::oid "
        "AND x.objid = " LANE_OBJECT("$1::int4", "$2::int8", "$3::int4") "::oid AND x.objsubid = 2 "
        "AND x.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) "
        "AND a.pid <> pg_backend_pid() AND a.usename = current_user", 3},

    [STMT_HEARTBEAT] = {"respgres_heartbeat",
        "UPDATE @.instances SET seen_at = clock_timestamp(), high_stamp = greatest(high_stamp, "
        "$3::int8), holds_journal = $5 = '1', events = $6::int WHERE slot = $1::int "
        "AND incarnation = $2::int8 AND " CLAIMED("instances") " = $4::int8", 6},

    /* An instance that has not been seen for the lease ($1 seconds) need not be told any more; it will
     * notice that before it trusts its memory again. */
    [STMT_FORGET_CACHING] = {"respgres_forget_caching",
        "UPDATE @.instances SET caching = false, wants = 0 WHERE (caching OR wants <> 0) "
        "AND seen_at < clock_timestamp() - make_interval(secs => $1::float8)", 1},

    /* For INFO: the instances that live, as text. */
    [STMT_FLEET] = {"respgres_fleet",
        "SELECT f.slot, f.name, f.host, f.pid, f.binary_version, "
        "CASE WHEN f.caching THEN 'cached' ELSE 'strict' END, "
        "(extract(epoch FROM clock_timestamp() - f.seen_at) * 1000)::int8 FROM @.fleet f ORDER BY 1", 0},

    [STMT_LISTEN] = {"respgres_listen", "LISTEN @!", 0},

    [STMT_UNLISTEN] = {"respgres_unlisten", "UNLISTEN *", 0},

    /* What this instance wants to hear: $4 = enum store_want, $5 = 1 if keys are among that. */
    [STMT_ENLIST] = {"respgres_enlist",
        "UPDATE @.instances SET wants = $4::int4, caching = $5::int4 = 1 "
        "WHERE slot = $1::int4 AND incarnation = $2::int8 "
        "AND " CLAIMED("instances") " = $3::int8 RETURNING to_regclass('@.entries')::oid::text", 5},

    /* For who polls: is it still known; and its mark, $4 to $6 (see STMT_MARK_MESSAGES)? */
    [STMT_ENLISTED] = {"respgres_enlisted",
        "SELECT count(*), (SELECT count(*) FROM @.messages m WHERE m.id = $4::int8 AND m.sender = $5::int8 "
        "AND m.number = $6::int8) FROM @.instances i WHERE i.slot = $1::int4 AND i.incarnation = $2::int8 "
        "AND " CLAIMED("i") " = $3::int8 AND i.wants & 8 <> 0", 6},

    /* Do other instances than $1 want to be told what is published: by NOTIFY; in the table? */
    [STMT_HEARERS] = {"respgres_hearers",
        "SELECT bool_or(i.wants & 4 <> 0), bool_or(i.wants & 8 <> 0) FROM @.instances i "
        "WHERE i.slot <> $1::int4 AND i.wants & 12 <> 0", 1},

    /* $6 = packets, $7 and $8 = numbers and bodies of large messages, $5 = the sender of all, $9 = the
     * schema. For who polls, ids must become visible in their order: these publishers take turns, as all
     * do that NOTIFY. Nothing, and no row, from a connection that has been given up. */
    [STMT_PUBLISH] = {"respgres_publish",
        "WITH " GUARD ", wanted AS (SELECT bool_or(i.wants & 4 <> 0) AS listen, "
        "bool_or(i.wants & 8 <> 0) AS poll FROM @.instances i WHERE i.slot <> $1::int4 AND i.wants & 12 <> 0), "
        "hearers AS MATERIALIZED (SELECT w.listen, w.poll FROM guard g CROSS JOIN wanted w), "
        "kept AS (INSERT INTO @.messages (sender, number, body) SELECT $5::int8, b.number, b.body "
        "FROM hearers h, unnest($7::int8[], $8::bytea[]) AS b(number, body) WHERE h.listen OR h.poll), "
        "turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtext('respgres.messages'), hashtext($9)) AS x "
        "FROM hearers h WHERE h.poll), "
        "queued AS (INSERT INTO @.messages (sender, number, packet) SELECT $5, p.n, p.packet "
        "FROM turn t CROSS JOIN unnest($6::text[]) WITH ORDINALITY AS p(packet, n) "
        "WHERE t.x IS NOT NULL ORDER BY p.n) "
        "SELECT h.listen, h.poll, (SELECT count(pg_notify('@#', p.packet)) FROM (SELECT u.packet "
        "FROM unnest($6) WITH ORDINALITY AS u(packet, n) ORDER BY u.n OFFSET 0) p WHERE h.listen) "
        "FROM hearers h", 9},

    /* Of the bodies, those before which there are less than $3 bytes; of the others, only how long they
     * are: what a NOTIFY says of that is not to be trusted. */
    [STMT_FETCH_MESSAGES] = {"respgres_fetch_messages",
        "SELECT m.sender, m.number, octet_length(m.body)::int8, CASE WHEN coalesce(sum(octet_length(m.body)) "
        "OVER (ORDER BY r.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < $3::int8 THEN m.body END "
        "FROM unnest($1::int8[], $2::int8[]) WITH ORDINALITY AS r(sender, number, n) "
        "CROSS JOIN LATERAL (SELECT x.sender, x.number, x.body FROM @.messages x WHERE x.sender = r.sender "
        "AND x.number = r.number AND x.body IS NOT NULL OFFSET 0) m", 3},

    [STMT_LAST_MESSAGE] = {"respgres_last_message",
        "SELECT coalesce(max(m.id), 0)::text FROM @.messages m", 0},

    /* A row that says nothing. While it is there, the table is the one that it was written to, and ids go
     * on from there: a crash, a failover, TRUNCATE or a restore take it, and ids may begin anew. */
    [STMT_MARK_MESSAGES] = {"respgres_mark_messages",
        "INSERT INTO @.messages (sender, number) VALUES ($1::int8, $2::int8) RETURNING id", 2},

    [STMT_POLL_MESSAGES] = {"respgres_poll_messages",
        "SELECT m.id, m.packet FROM @.messages m WHERE m.id > $1::int8 AND m.packet IS NOT NULL "
        "ORDER BY m.id LIMIT $2::int8", 2},

    /* A small batch of what is older than a minute: whoever has not read it by then has lost it. */
    [STMT_SWEEP_MESSAGES] = {"respgres_sweep_messages",
        "WITH elected AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtext('respgres.sweeper'), "
        "hashtext($1)) AS ok), "
        "gone AS (DELETE FROM @.messages m WHERE m.ctid = ANY (ARRAY(SELECT x.ctid FROM (SELECT y.ctid, y.at "
        "FROM @.messages y WHERE (SELECT ok FROM elected) ORDER BY y.id LIMIT $2::int8) x "
        "WHERE x.at < clock_timestamp() - interval '1 minute')) RETURNING 1) "
        "SELECT count(*) FROM gone", 2},

    /* Transactions that may be writing without having seen that mark: they hold a lock on one of the
     * tables since before their statement's snapshot. */
    [STMT_OLDER_WRITERS] = {"respgres_older_writers",
        "SELECT array_agg(DISTINCT l.virtualtransaction) FROM pg_locks l "
        "WHERE l.locktype = 'relation' AND l.relation IN ('@.entries'::regclass, '@.spaces'::regclass) "
        "AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) "
        "AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') "
        "AND l.pid IS DISTINCT FROM pg_backend_pid()", 0},

    /* Which of them have not ended? */
    [STMT_OLDER_WRITERS_LEFT] = {"respgres_older_writers_left",
        "SELECT array_agg(DISTINCT l.virtualtransaction) FROM pg_locks l "
        "WHERE l.locktype = 'relation' AND l.relation IN ('@.entries'::regclass, '@.spaces'::regclass) "
        "AND l.virtualtransaction = ANY ($1::text[])", 1},

    /* No row if this instance is not marked any more (an older binary only takes `caching` away). Column 1: which table it is, for a restore may put
     * another one in its place, which no trigger tells. */
    [STMT_PING] = {"respgres_ping",
        "SELECT pg_notify('@#', $1), to_regclass('@.entries')::oid::text FROM @.instances i "
        "WHERE i.slot = $2::int4 AND i.incarnation = $3::int8 AND " CLAIMED("i") " = $4::int8 "
        "AND i.wants & $5::int4 = $5 AND (i.caching OR $5 & 3 = 0)", 5},

    /* On a clean stop: free for the next to start, or ($5 = 1) kept for the next of this name. */
    [STMT_RELEASE_SLOT] = {"respgres_release_slot",
        "UPDATE @.instances SET seen_at = CASE WHEN $5 = '1' THEN clock_timestamp() - interval '1 minute' "
        "ELSE '-infinity' END, holds_journal = $5 = '1', caching = false, wants = 0, events = $6::int * 0, "
        "high_stamp = greatest(high_stamp, $3::int8) "
        "WHERE slot = $1::int AND incarnation = $2::int8 AND " CLAIMED("instances") " = $4::int8", 6},

    /* The next $3 rows behind cursor $2 of database $1. LIMIT counts rows that are scanned; what is
     * not live comes back as id alone. */
    [STMT_SCAN] = {"respgres_scan",
        "SELECT e.id, CASE WHEN " LIVE("e") " THEN e.key END, e.type FROM @.entries e "
        "WHERE e.space + 0 = (SELECT s.space FROM @.spaces s WHERE s.db = $1::int4) "
        "AND e.id > $2::int8 ORDER BY e.id LIMIT $3::int8", 3},

    /* The same, the newest first. */
    [STMT_SCAN_DOWN] = {"respgres_scan_down",
        "SELECT e.id, CASE WHEN " LIVE("e") " THEN e.key END, e.type FROM @.entries e "
        "WHERE e.space + 0 = (SELECT s.space FROM @.spaces s WHERE s.db = $1::int4) "
        "AND e.id < $2::int8 ORDER BY e.id DESC LIMIT $3::int8", 3},

    /* Live keys of database $1 from $2 up to, not including, $3 (NULL = no bound). */
    [STMT_KEYS] = {"respgres_keys",
        "SELECT e.key FROM @.entries e "
        "WHERE e.space = (SELECT s.space FROM @.spaces s WHERE s.db = $1::int4) AND e.key >= $2::bytea "
        "AND ($3::bytea IS NULL OR e.key < $3) AND " LIVE("e"), 3},

    /* Some live key of database $1: that of the first of 32 random ids behind which the next row is
     * live. So the work is bounded, however large the database is; only where hardly any row is live
     * are all of them looked at, from one of these ids on. LIMIT 1 keeps to the index, whatever the
     * statistics say. */
    [STMT_RANDOM] = {"respgres_random",
        "WITH bounds AS MATERIALIZED (SELECT s.space, lo.id AS lo, hi.id AS hi FROM @.spaces s, "
        "LATERAL (SELECT e.id FROM @.entries e WHERE e.space + 0 = s.space ORDER BY e.id LIMIT 1) lo, "
        "LATERAL (SELECT e.id FROM @.entries e WHERE e.space + 0 = s.space ORDER BY e.id DESC LIMIT 1) hi "
        "WHERE s.db = $1::int4), "
        "probes AS MATERIALIZED (SELECT b.space, b.lo + floor(random() * (b.hi - b.lo + 1))::int8 AS id "
        "FROM bounds b, generate_series(1, 32)) "
        "SELECT f.key FROM (SELECT coalesce("
        "(SELECT x.key FROM probes p, LATERAL (SELECT e.key, " LIVE("e") " AS live FROM @.entries e "
        "WHERE e.space + 0 = p.space AND e.id >= p.id ORDER BY e.id LIMIT 1) x WHERE x.live LIMIT 1), "
        "(SELECT x.key FROM (SELECT * FROM probes LIMIT 1) p, LATERAL (SELECT e.key FROM @.entries e "
        "WHERE e.space + 0 = p.space AND e.id >= p.id AND " LIVE("e") " ORDER BY e.id LIMIT 1) x), "
        "(SELECT x.key FROM bounds b, LATERAL (SELECT e.key FROM @.entries e "
        "WHERE e.space + 0 = b.space AND " LIVE("e") " ORDER BY e.id LIMIT 1) x)) AS key) f "
        "WHERE f.key IS NOT NULL", 1},

    [STMT_DBSIZE] = {"respgres_dbsize",
        "SELECT count(*) FROM @.entries e "
        "WHERE e.space = (SELECT s.space FROM @.spaces s WHERE s.db = $1::int4) AND " LIVE("e"), 1},

    /* For INFO: keys, keys with an expiry, and their mean remaining time, per database. */
    [STMT_KEYSPACE] = {"respgres_keyspace",
        "SELECT s.db, count(*), count(e.expires_at), coalesce(avg(extract(epoch FROM "
        "e.expires_at - clock_timestamp()) * 1000) FILTER (WHERE isfinite(e.expires_at)), 0)::int8 "
        "FROM @.entries e JOIN @.spaces s USING (space) WHERE " LIVE("e") " GROUP BY s.db ORDER BY 1",
        0},

    [STMT_SCRIPT_SAVE] = {"respgres_script_save",
        "INSERT INTO @.scripts (sha, body) SELECT s.sha, s.body FROM unnest($1::text[], $2::bytea[]) "
        "AS s(sha, body) ORDER BY 1 ON CONFLICT (sha) DO NOTHING", 2},
    [STMT_SCRIPT_FIND] = {"respgres_script_find", "SELECT body FROM @.scripts WHERE sha = $1::text", 1},
    [STMT_SCRIPT_EXISTS] = {"respgres_script_exists",
        "SELECT convert_to(sha, 'UTF8') FROM @.scripts WHERE sha = ANY ($1::text[])", 1},
    /* Whoever knows scripts looks now and then whether the number is another one. */
    [STMT_SCRIPT_FLUSH] = {"respgres_script_flush",
        "WITH d AS (DELETE FROM @.scripts) "
        "UPDATE @.script_flushes SET number = number + 1 RETURNING number", 0},
    [STMT_SCRIPT_FLUSHES] = {"respgres_script_flushes", "SELECT number FROM @.script_flushes", 0},

    /* Databases $2 .. $3 get new spaces. Keeps out, and waits for, checked batches. */
    [STMT_FLUSH] = {"respgres_flush",
        "WITH l AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtext('respgres.spaces'), "
        "hashtext($1)) AS x), "
        "old AS (SELECT s.db, s.space FROM @.spaces s, l WHERE s.db BETWEEN $2::int4 AND $3::int4 "
        "AND l.x IS NOT NULL ORDER BY s.db FOR UPDATE OF s), "
        "gone AS (INSERT INTO @.abandoned_spaces (space) SELECT space FROM old), "
        "new AS (UPDATE @.spaces s SET space = nextval('@.space_seq') FROM old "
        "WHERE s.db = old.db RETURNING 1) SELECT count(*), "
        "(SELECT pg_notify('@#', '*') WHERE " CACHING ") FROM new", 3},

    [STMT_SWAP] = {"respgres_swap",
        "WITH l AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtext('respgres.spaces'), "
        "hashtext($1)) AS x), "
        "both_dbs AS MATERIALIZED (SELECT max(x.space) FILTER (WHERE x.db = $2::int4) AS first, "
        "max(x.space) FILTER (WHERE x.db = $3::int4) AS second "
        "FROM (SELECT s.db, s.space FROM @.spaces s, l WHERE s.db IN ($2::int4, $3::int4) "
        "AND l.x IS NOT NULL ORDER BY s.db FOR UPDATE OF s) x), "
        "new AS (UPDATE @.spaces s SET space = CASE s.db WHEN $2::int4 THEN o.second ELSE o.first END "
        "FROM both_dbs o WHERE s.db IN ($2::int4, $3::int4) AND $2::int4 <> $3::int4 RETURNING 1) "
        "SELECT count(*), (SELECT pg_notify('@#', '*') WHERE " CACHING ") FROM new", 3},

    /* One small batch of due rows; whoever gets the lock is the sweeper. Purges what expired more
     * than $2 seconds ago, tombstones older than $3 seconds, placeholders; moves the others' slot
     * on to where their expiry is. Rows somebody holds are left for the next time. What has expired
     * and is to be told is left for STMT_EXPIRE. */
    [STMT_SWEEP] = {"respgres_sweep",
        "WITH elected AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtext('respgres.sweeper'), "
        "hashtext($1)) AS ok), "
        "due AS MATERIALIZED (SELECT e.ctid AS at, e.value IS NULL AS dead, e.version = 0 AS placeholder, "
        "CASE WHEN " UNTOLD("e") " AND (SELECT " EXPIRED_WANTED ") THEN clock_timestamp() "
        "ELSE e.expires_at END AS expires_at, e.updated_at FROM @.entries e "
        "WHERE e.expire_slot <= (SELECT @.slot_of(clock_timestamp())) AND (SELECT ok FROM elected) "
        "ORDER BY e.expire_slot LIMIT $4 FOR UPDATE SKIP LOCKED), "
        "judged AS MATERIALIZED (SELECT due.at, "
        "CASE WHEN dead AND placeholder THEN updated_at + make_interval(secs => $2::float8) "
        "WHEN dead THEN updated_at + make_interval(secs => $3::float8) "
        "ELSE expires_at + make_interval(secs => $2::float8) END AS purge_at FROM due), "
        "purged AS (DELETE FROM @.entries e WHERE e.ctid = ANY (ARRAY(SELECT at FROM judged "
        "WHERE purge_at <= clock_timestamp())) RETURNING 1), "
        "moved AS (UPDATE @.entries e SET expire_slot = @.slot_of(CASE "
        "WHEN e.value IS NULL AND e.version = 0 THEN e.updated_at + make_interval(secs => $2::float8) "
        "WHEN e.value IS NULL THEN e.updated_at + make_interval(secs => $3::float8) "
        "ELSE CASE WHEN " UNTOLD("e") " AND (SELECT " EXPIRED_WANTED ") THEN clock_timestamp() "
        "ELSE e.expires_at END + make_interval(secs => $2::float8) END) + 1 "
        "WHERE e.ctid = ANY (ARRAY(SELECT at FROM judged "
        "WHERE purge_at > clock_timestamp() OR purge_at IS NULL)) RETURNING 1) "
        "SELECT (SELECT ok FROM elected), (SELECT count(*) FROM due), (SELECT count(*) FROM purged), "
        "(SELECT count(*) FROM moved)", 4},

    /* For the next one: to find few rows among those of some minutes, whatever the planner thinks. */
    [STMT_BY_INDEX] = {"respgres_by_index", "SELECT set_config('enable_seqscan', 'off', true)", 0},

    /* Marks up to $1 keys that have expired as told; whoever marks one tells it. A sweep may have moved a
     * row's slot up to two behind that of its expiry. A changed slot tells the trigger that we are no
     * person. FLUSHed rows have no database any more, and nothing is told of them. Behind $2 (PostgreSQL's
     * clock in microseconds) it is too late to look: the server hung meanwhile, and others may have taken
     * it for away. There is always a row; columns 2 and 3: PostgreSQL's clock, whether it was in time. */
    [STMT_EXPIRE] = {"respgres_expire",
        "WITH timely AS MATERIALIZED (SELECT extract(epoch FROM clock_timestamp()) * 1000000 < $2::int8 AS ok), "
        "due AS MATERIALIZED (SELECT e.ctid AS at FROM @.entries e WHERE (SELECT ok FROM timely) "
        "AND e.expire_slot <= (SELECT @.slot_of(clock_timestamp()) + 2) AND " UNTOLD("e") " "
        "AND e.space = ANY (" SPACES ") ORDER BY e.expire_slot LIMIT $1::int8 FOR UPDATE SKIP LOCKED), "
        "told AS (UPDATE @.entries e SET batch_item = e.batch_item | 67108864, "
        "expire_slot = greatest(@.slot_of(e.expires_at + interval '1 minute') + 1, e.expire_slot + 1) "
        "WHERE e.ctid = ANY (ARRAY(SELECT at FROM due)) RETURNING e.space, e.key, e.expires_at) "
        "SELECT s.db, t.key, (extract(epoch FROM clock_timestamp()) * 1000000)::int8, y.ok FROM timely y "
        "LEFT JOIN (told t JOIN @.spaces s USING (space)) ON true ORDER BY t.expires_at, t.key", 2},

    /* The events that some other instance than that of slot $1 wants. */
    [STMT_EVENTS] = {"respgres_events",
        "SELECT coalesce(bit_or(i.events), 0) FROM @.instances i WHERE i.events <> 0 "
        "AND i.slot <> $1::int4 AND i.seen_at > clock_timestamp() - interval '30 seconds'", 1},

    /* How far back the oldest snapshot in sight reaches, in transactions: while one is held, old row
     * versions stay and updates are no longer HOT. */
    [STMT_OLDEST_XMIN] = {"respgres_oldest_xmin",
        "SELECT coalesce(max(age(a.backend_xmin)), 0)::int8 FROM pg_stat_activity a "
        "WHERE a.pid <> pg_backend_pid()", 0},

    [STMT_TABLE_SIZE] = {"respgres_table_size",
        "SELECT pg_total_relation_size('@.entries')", 0},

    /* Values over 2 kB live in TOAST, where a rewrite leaves the old bytes until a VACUUM; autovacuum
     * looks once a minute. Another VACUUM that is at work is not waited for. */
    [STMT_VACUUM] = {"respgres_vacuum",
        "VACUUM (SKIP_LOCKED, TRUNCATE false) @.entries", 0},

    /* One small batch of the rows of flushed spaces; a space is forgotten when it has been empty
     * for ten minutes, longer than any statement that may still write into it. Rows somebody holds are left. */
    [STMT_SWEEP_ABANDONED] = {"respgres_sweep_abandoned",
        "WITH elected AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtext('respgres.sweeper'), "
        "hashtext($1)) AS ok), "
        "due AS MATERIALIZED (SELECT e.ctid AS at FROM @.abandoned_spaces a CROSS JOIN LATERAL "
        "(SELECT x.ctid FROM @.entries x WHERE x.space + 0 = a.space ORDER BY x.id LIMIT $2 OFFSET 0 "
        "FOR UPDATE SKIP LOCKED) e WHERE (SELECT ok FROM elected) LIMIT $2), "
        "purged AS (DELETE FROM @.entries e WHERE e.ctid = ANY (ARRAY(SELECT at FROM due)) RETURNING 1), "
        "forgotten AS (DELETE FROM @.abandoned_spaces a "
        "WHERE a.abandoned_at < clock_timestamp() - interval '10 minutes' AND (SELECT ok FROM elected) "
        "AND (SELECT x.id FROM @.entries x WHERE x.space + 0 = a.space ORDER BY x.id LIMIT 1) IS NULL "
        "RETURNING 1) "
        "SELECT (SELECT ok FROM elected), (SELECT count(*) FROM purged)", 2},

    /* The last batch that is merged of a journal. Fences every merge of it that is still under way, and
     * waits for one that has begun. Parameters: journal, instance. */
    [STMT_OPEN_JOURNAL] = {"respgres_open_journal",
        "INSERT INTO @.journals AS j (journal, instance, pid) "
        "VALUES ($1::text, $2::text, pg_backend_pid()) ON CONFLICT (journal) DO UPDATE "
        "SET epoch = j.epoch + 1, pid = excluded.pid, instance = excluded.instance "
        "RETURNING merged, epoch", 2},

    [STMT_TERMINATE_MERGE] = {"respgres_terminate_merge",
        "SELECT pg_terminate_backend(a.pid) FROM @.journals j JOIN pg_stat_activity a ON a.pid = j.pid "
        "WHERE j.journal = $1::text AND a.pid <> pg_backend_pid() AND a.usename = current_user", 1},

    /* A merge is four statements in one transaction, behind STMT_SHARE_SPACES or STMT_OWN_SPACES: the
     * number, which is taken once; the lock pass; what is decided and written. Parameters: journal,
     * number, epoch. Returns whether it was taken, and what stood there before. */
    [STMT_MERGE_NUMBER] = {"respgres_merge_number",
        "WITH taken AS (UPDATE @.journals SET merged = $2::int8, at = clock_timestamp() "
        "WHERE journal = $1::text AND epoch = $3::int8 AND merged < $2 RETURNING 1) "
        "SELECT (SELECT count(*) FROM taken), j.merged, j.epoch FROM @.journals j "
        "WHERE j.journal = $1", 3},

    [STMT_MERGE_LOCK_KEYS] = {"respgres_merge_lock_keys",
        "WITH " MERGING " INSERT INTO @.entries AS e "
        "(space, key, value, version, value_version, expire_slot) "
        "SELECT " SPACES "[r.db + 1], r.key, NULL, 0, 0, @.slot_of(g.now) "
        "FROM merging g CROSS JOIN unnest($4::int4[], $5::bytea[]) AS r(db, key) "
        "ON CONFLICT (space, key) DO UPDATE SET version = e.version WHERE false", 5},

    /* Parameters: slot, journal, number, instance, tombstone-retention in seconds, notice; then a column
     * per property of the items. Returns per item: ordinal, verdict, the row's version now, whether
     * what it had been is in conflicts, whether it has expired and that is to be told now. */
    [STMT_MERGE] = {"respgres_merge",
        "WITH " MERGING ", " MERGE_SIDES ", v AS MATERIALIZED (SELECT c.*, " MERGE_VERDICT " AS verdict, "
        "CASE WHEN c.version > c.rv THEN c.version "
        "ELSE ((c.rv >> 10) + 1) << 10 | (c.version & 1023) END AS above FROM c), "
        "d AS MATERIALIZED (SELECT v.*, CASE WHEN left(v.verdict, 1) IN ('A', 'T') THEN v.above "
        "ELSE v.rv END AS kept FROM v), "
        MERGE_WRITE ", " MERGE_KEEP ", "
        "noted AS (INSERT INTO @.merges AS m (space, key, version, kind, at) "
        "SELECT d.space, d.key, d.kept, CASE WHEN d.removal THEN 2 ELSE 1 END, d.now FROM d "
        "WHERE left(d.verdict, 1) = 'A' AND (d.removal OR d.unknowing) ORDER BY d.n "
        "ON CONFLICT (key, space) DO UPDATE SET version = excluded.version, kind = excluded.kind, "
        "at = excluded.at) "
        "SELECT d.n, CASE WHEN left(d.verdict, 1) <> 'L' THEN d.verdict WHEN d.expired THEN 'D' "
        "ELSE d.verdict END, d.kept, d.verdict LIKE 'A_%' AND d.live, "
        "left(d.verdict, 1) = 'A' AND d.expired AND NOT d.rtold, " TELL("$6") " FROM d", 18},

    /* For a FLUSH: nobody writes while rows are moved. LOCK alone wants a transaction block. */
    [STMT_MERGE_LOCK_TABLE] = {"respgres_merge_lock_table",
        "DO $do$ BEGIN LOCK TABLE @.entries IN SHARE MODE; END $do$", 0},

    /* Everything of database $4 (below 0: of all) whose version is below $5 is left behind in the old
     * space. What is newer moves; its expire_slot moves, too, so that no trigger takes us for a
     * person, and nobody has a tombstone made in a space that is no database's any more. */
    [STMT_MERGE_FLUSH] = {"respgres_merge_flush",
        "WITH " MERGING ", old AS MATERIALIZED (SELECT s.db, s.space, nextval('@.space_seq')::int AS new "
        "FROM @.spaces s, merging WHERE $4::int4 < 0 OR s.db = $4), "
        "gone AS (INSERT INTO @.abandoned_spaces (space) SELECT o.space FROM old o), "
        "changed AS (UPDATE @.spaces s SET space = o.new FROM old o WHERE s.db = o.db RETURNING 1), "
        "moved AS (UPDATE @.entries e SET space = o.new, expire_slot = coalesce(e.expire_slot, 1) - 1 "
        "FROM old o WHERE e.space + 0 = o.space AND e.version >= $5::int8 AND e.version > 0 RETURNING 1), "
        "notes AS (UPDATE @.merges m SET space = o.new FROM old o "
        "WHERE m.space = o.space AND m.version >= $5 RETURNING 1) "
        "SELECT count(*), (SELECT count(*) FROM moved), "
        "(SELECT pg_notify('@#', '*') WHERE " CACHING ") FROM changed", 5},

    /* Small batches of what is older than conflict-retention ($2 seconds) and tombstone-retention. */
    [STMT_SWEEP_CONFLICTS] = {"respgres_sweep_conflicts",
        "WITH elected AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtext('respgres.sweeper'), "
        "hashtext($1)) AS ok), "
        "conflicts AS (DELETE FROM @.conflicts c WHERE c.ctid = ANY (ARRAY(SELECT x.ctid FROM @.conflicts x "
        "WHERE x.at < clock_timestamp() - make_interval(secs => $2::float8) AND (SELECT ok FROM elected) "
        "ORDER BY x.at LIMIT $4::int8)) RETURNING 1), "
        "notes AS (DELETE FROM @.merges m WHERE m.ctid = ANY (ARRAY(SELECT x.ctid FROM @.merges x "
        "WHERE x.at < clock_timestamp() - make_interval(secs => $3::float8) AND (SELECT ok FROM elected) "
        "ORDER BY x.at LIMIT $4)) RETURNING 1) "
        "SELECT (SELECT count(*) FROM conflicts), (SELECT count(*) FROM notes)", 4},
};

const struct statement *statement_get(enum statement_id id)
{
    CHECK(id < STATEMENT_COUNT && table[id].text != NULL);
    return &table[id];
}

static void append_quoted_name(struct buf *out, const char *name)
{
    buf_append_cstr(out, "\"");
    for (const char *s = name; *s != '\0'; s++) {
        buf_append(out, s, 1);
        if (*s == '"')
            buf_append(out, s, 1);
    }
    buf_append_cstr(out, "\"");
}

void statement_expand(struct buf *out, const char *text, const char *schema)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (p[0] != '@' || p[1] == '\0' || strchr(".!#", p[1]) == NULL) {
            buf_append(out, p, 1);
            continue;
        }
        p++;
        if (*p == '#') /* its characters are checked: no quote can be among them */
            buf_append_cstr(out, schema);
        else
            append_quoted_name(out, schema);
        if (*p == '.')
            buf_append_cstr(out, ".");
    }
    (void)buf_cstr(out);
}
