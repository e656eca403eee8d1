/* files: a journal's folder: its lock, the names of its files, and reading one through a window.
 * All paths are relative to the folder's descriptor. For src/store/journal/ only. */
#ifndef RESPGRES_STORE_JOURNAL_FILES_H
#define RESPGRES_STORE_JOURNAL_FILES_H

#include "store/journal/format.h"

enum { FILENAME_SIZE = 48 };

/* "journal.NNNNNNNNNN", "snapshot.NNNNNNNNNN" or "warm". */
const char *file_name(enum file_kind kind, uint64_t number, char out[FILENAME_SIZE]);

/* Opens the folder; with `make` it and its parents are made first (0700). -1 with `error`. */
MUST_CHECK int folder_open(const char *dir, bool make, struct buf *error);

/* The lock, as a descriptor to close; -1 with `error`, which names the process that has it. */
MUST_CHECK int folder_lock(int dirfd, const char *dir, struct buf *error);
/* Does a process have it? It is not taken. */
bool folder_is_locked(int dirfd);

struct file_entry {
    enum file_kind kind;
    uint64_t number;
};

/* All segments and snapshots, by number, the snapshot of a number first. The array is the caller's
 * (mem_free). */
MUST_CHECK bool folder_list(int dirfd, struct file_entry **out, size_t *n);
/* What a crash left half made. */
void folder_remove_unfinished(int dirfd);
/* Deletes segments and snapshots below a number, the lowest first. */
void folder_remove_below(int dirfd, uint64_t number);

/* ---- reading ---- */

struct window {
    int fd;
    uint64_t size; /* of the file when it was opened */
    uint64_t at;   /* where `buf` begins */
    struct buf buf;
    int error; /* errno of a read that failed, 0 = none */
};

MUST_CHECK bool window_open(struct window *w, int dirfd, const char *name);
void window_close(struct window *w);
/* n bytes from `at` on, fewer at the end of the file or if it cannot be read; valid until the next
 * call. */
struct bytes window_get(struct window *w, uint64_t at, size_t n);
/* True if there is nothing but zeros from `at` on. */
bool window_is_zero(struct window *w, uint64_t at);

#endif
