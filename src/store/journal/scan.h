/* scan: what a folder's files hold, how far each is good, and what is to be made of the rest. Used
 * to open a journal, to check one and to repair one. It changes nothing. For src/store/journal/
 * only. */
#ifndef RESPGRES_STORE_JOURNAL_SCAN_H
#define RESPGRES_STORE_JOURNAL_SCAN_H

#include "store/journal/files.h"

enum scan_state {
    SCAN_WHOLE,
    SCAN_TORN,    /* the end of the last segment, which nobody was told is safe: may be cut */
    SCAN_DAMAGED, /* at damaged_at something is missing that was acknowledged */
    SCAN_STALE,   /* a snapshot replaces it, or it was given up when it was begun: to be deleted */
};

struct scan_file {
    struct file_entry entry;
    bool header_ok;
    bool other_version; /* its header is fine, but not one that can be understood */
    struct file_header header;
    enum scan_state state;
    char why[120];       /* with TORN and DAMAGED */
    uint64_t damaged_at; /* with TORN and DAMAGED */
    bool limited;        /* the next segment's header says where this one ends: */
    uint64_t limit;
    uint64_t size;
    uint64_t end; /* behind the last good record; what is behind is cut or torn */
    uint64_t records;
    uint64_t kinds[JOURNAL_CLOCK + 1];
    uint64_t lost; /* salvage: bytes that are no records */
};

struct scan {
    int dirfd;
    struct scan_file *files; /* as folder_list has them */
    size_t n;
    size_t last; /* index of the last one that is not an empty beginning */
    bool has_id;
    uint8_t id[ID_SIZE];
};

typedef void (*scan_record)(void *arg, const struct journal_record *r);

/* Lists the files, reads their headers and looks whether the chain is complete. False with `error`
 * if the folder cannot be read. */
MUST_CHECK bool scan_open(struct scan *s, int dirfd, struct buf *error);
void scan_close(struct scan *s);

/* Only the warm file's header: of a scan that has nothing but its folder. False if there is no such
 * file. */
MUST_CHECK bool scan_open_warm(struct scan *s, struct scan_file *f);

/* Reads one file up to its end or the first damage and sets its state, unless that is STALE.
 * `record` may be NULL. */
void scan_read(struct scan *s, struct scan_file *f, scan_record record, void *arg);
/* Reads one file and goes on behind damage; writes on `out` which bytes were no records. */
void scan_salvage(struct scan *s, struct scan_file *f, scan_record record, void *arg,
                  struct buf *out);

#endif
