/* mem: small fixed allocations abort when there is no memory; peer-sized ones (`_try`) return
 * NULL and become an error reply (STYLE: rule 15). */
#ifndef RESPGRES_BASE_MEM_H
#define RESPGRES_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *p, size_t n);
void *mem_try_alloc(size_t n);
void *mem_try_realloc(void *p, size_t n);

/* Could n bytes be had now? What is going to be copied a few times before its command ends is asked
 * for at the beginning, when an error reply is still possible. */
bool mem_has_room(size_t n);

char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
void mem_free(void *p);

/* Bytes of physical memory this process may use: the smaller of RAM and the cgroup's limit. */
size_t mem_available_total(void);

/* Gives memory that is free back to the system, as far as the allocator can. */
void mem_give_back(void);

/* What all allocations of this process take, the allocator's own part included; 0 if it does not tell. It may
 * go through all that is free. */
size_t mem_allocated(void);

/* Resident set size of this process in bytes; 0 if unknown. */
size_t mem_resident(void);

#endif
