/* offset: how far another host's clock is ahead of ours, from questions and answers.
 *
 * A clock that was read after a question was sent and before its answer came was, by our clock,
 * read somewhere between: so each answer gives a least and a greatest offset. What all answers
 * allow is narrower than what the quickest of them allows, for the quickest way there and the
 * quickest way back need not be of one answer, and on a busy host a way back mostly waits for this
 * process. Clocks drift: the bounds go apart by 0.1 % of the time since (NTP slews by no more than
 * half of that). An answer that contradicts them says that one of the clocks has been set: from
 * then on it alone counts. */
#ifndef RESPGRES_STORE_POSTGRES_OFFSET_H
#define RESPGRES_STORE_POSTGRES_OFFSET_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroes: nothing known. */
struct clock_offset {
    bool known;
    int64_t low_us; /* theirs minus clock_mono_us(): at least, and at most */
    int64_t high_us;
    int64_t aged_us; /* as of when (clock_mono_us) */
};

/* Their clock said `theirs_us` after sent_us and before now_us (both clock_mono_us()). Returns by how much it
 * has been set, at least: 0 as a rule, less than 0 if it was set back. */
int64_t clock_offset_note(struct clock_offset *o, int64_t theirs_us, int64_t sent_us, int64_t now_us);

/* From elsewhere: wrong by error_us at most, or so it is said. */
void clock_offset_set(struct clock_offset *o, int64_t offset_us, int64_t error_us, int64_t now_us);

/* The best guess, in microseconds, and how far it may be wrong; 0 while nothing is known. */
int64_t clock_offset_us(const struct clock_offset *o);
int64_t clock_offset_error_us(const struct clock_offset *o, int64_t now_us);

#endif
