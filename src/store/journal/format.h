/* format: the bytes of a journal's files (docs/journal.md has the offsets). A file is a header and
 * frames; a frame is a marker, a length, a checksum and a payload; a payload is a record, or one of
 * two kinds that only the files know: a mark (how far this file had been acknowledged when it was
 * written) and the end of a snapshot. Little endian. For src/store/journal/ only. */
#ifndef RESPGRES_STORE_JOURNAL_FORMAT_H
#define RESPGRES_STORE_JOURNAL_FORMAT_H

#include "base/check.h"
#include "store/journal/journal.h"

enum {
    FORMAT_VERSION = 1,
    FILE_HEADER_SIZE = 256,
    FRAME_HEAD_SIZE = 12,
    ID_SIZE = 16,
    FILE_NAME_SIZE = 128, /* of the instance's name in a header, NUL included */
    MARK_SIZE = FRAME_HEAD_SIZE + 1 + 8 + ID_SIZE,
    END_SIZE = FRAME_HEAD_SIZE + 1 + 8,
    PAYLOAD_MAX = INT32_MAX,
};

/* Stored: never renumber. */
enum file_kind { FILE_SEGMENT = 1, FILE_SNAPSHOT = 2, FILE_WARM = 3 };
enum internal_kind { KIND_MARK = 128, KIND_END = 129 };

struct file_header {
    enum file_kind kind;
    uint64_t number;
    uint8_t id[ID_SIZE];
    uint64_t previous;     /* number of the segment before this one, 0 = none */
    uint64_t previous_end; /* where that one ends: what is behind counts no more */
    int64_t created_us;    /* since 1970, for people */
    char name[FILE_NAME_SIZE];
};

void header_encode(const struct file_header *h, char out[FILE_HEADER_SIZE]);
/* False with the reason in `why`: header_of_other_version, or it is broken. */
extern const char header_of_other_version[];
MUST_CHECK bool header_decode(struct bytes in, struct file_header *h, const char **why);

struct frame {
    uint8_t kind;
    struct bytes payload; /* behind the kind */
    size_t used;
};

/* The bytes that are there decide: JOURNAL_INCOMPLETE only if they may be the beginning of one. */
enum journal_parse frame_parse(struct bytes in, struct frame *f);
/* The whole frame's size as its head says; 0 = this is no head. Needs FRAME_HEAD_SIZE bytes. */
size_t frame_size(const char *head);
extern const char frame_marker[4];

/* The size of journal_encode's result. */
size_t record_size(const struct journal_record *r);
/* A checked frame's payload. The items are the caller's to free. */
MUST_CHECK bool record_decode(const struct frame *f, struct journal_record *r);

/* Into MARK_SIZE bytes. */
void mark_encode(uint64_t acknowledged, const uint8_t id[ID_SIZE], char *out);
MUST_CHECK bool mark_decode(const struct frame *f, uint64_t *acknowledged, uint8_t id[ID_SIZE]);

/* The end of a snapshot: how many records it has. */
void end_encode(uint64_t records, struct buf *out);
MUST_CHECK bool end_decode(const struct frame *f, uint64_t *records);

#endif
