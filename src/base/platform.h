/* platform.h - everything that differs between operating systems: files, processors, threads' raw
 * material. platform.c is the only file that includes system headers for these. */
#ifndef DN_PLATFORM_H
#define DN_PLATFORM_H

#include "base.h"

#include <pthread.h>

size_t dn_platform_own_cache(void); /* bytes of a processor's second-level cache; 0 if unknown */
int dn_platform_processors(void);   /* usable by this process, at least 1 */
long dn_platform_process(void);     /* this process's number: changes in a forked child */
void dn_platform_pause(void);       /* hint inside a spin loop */
double dn_platform_seconds(void);   /* a clock that only goes forward */

/* Where a thread may run. */
typedef struct dn_processors {
    uint64_t bits[16];
} dn_processors;
/* Keeps a thread off the processor that the caller runs on, if it may run on another one, until it calls
 * dn_platform_allow(before) itself. False if nothing has changed. */
bool dn_platform_keep_off(pthread_t thread, dn_processors *before);
void dn_platform_allow(const dn_processors *processors);

/* Whole file into one allocation, with a terminating 0 after the last byte. limit: largest size accepted. */
dn_status dn_platform_read_file(char **out, size_t *length, const char *path, size_t limit);

/* A regular file's bytes in memory, read when they are touched; writes to them stay private. bytes is NULL
 * for what can't be mapped: empty files, pipes. */
typedef struct dn_mapping {
    uint8_t *bytes;
    size_t length;
} dn_mapping;
dn_status dn_platform_map_file(dn_mapping *out, const char *path);
void dn_platform_unmap(dn_mapping *mapping); /* leaves it empty; safe on an empty one */
/* Gives back the memory of whole pages in this part of a mapping that nobody has written to; they are read
 * again when touched. */
void dn_platform_evict(const void *start, size_t length);
/* Asks for large pages, which are there from the first touch on; a wish, not more. */
void dn_platform_use_large_pages(void *start, size_t length);

/* A file written whole or not at all: bytes go to a temporary file beside path; commit syncs and renames. */
typedef struct dn_writer dn_writer;
dn_status dn_writer_open(dn_writer **out, const char *path);
dn_status dn_writer_write(dn_writer *writer, const void *bytes, size_t length);
dn_status dn_writer_commit(dn_writer *writer); /* frees the writer, also on failure */
void dn_writer_abandon(dn_writer *writer);     /* accepts NULL */

/* Finds the file a cfg or .data file names: as it stands, then in the folder of origin and its parents.
 * Writes the path to out; false if there is none. */
bool dn_platform_find(char *out, size_t size, const char *name, const char *origin);

#endif
