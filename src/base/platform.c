/* platform.c - files and processors, on POSIX. A port to another system replaces this file. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int dn_platform_processors(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return dn_max_int(1, CPU_COUNT(&set));
#endif
    return dn_max_int(1, (int)sysconf(_SC_NPROCESSORS_ONLN));
}

size_t dn_platform_own_cache(void) {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    /* Kept, as a virtual machine takes microseconds to tell. Racing threads compute the same. */
    static _Atomic long known = -1;
    long bytes = atomic_load_explicit(&known, memory_order_relaxed);
    if (bytes < 0) {
        bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
        bytes = bytes < 0 ? 0 : bytes;
        atomic_store_explicit(&known, bytes, memory_order_relaxed);
    }
    return (size_t)bytes;
#else
    return 0;
#endif
}

#if defined(__linux__)
bool dn_platform_keep_off(pthread_t thread, dn_processors *before) {
    cpu_set_t set;
    _Static_assert(sizeof set == sizeof *before, "dn_processors must be as large as cpu_set_t");
    const int here = sched_getcpu();
    if (here < 0 || here >= CPU_SETSIZE || pthread_getaffinity_np(thread, sizeof set, &set) != 0)
        return false;
    if (!CPU_ISSET(here, &set) || CPU_COUNT(&set) < 2) return false;
    memcpy(before, &set, sizeof set);
    CPU_CLR(here, &set);
    return pthread_setaffinity_np(thread, sizeof set, &set) == 0;
}

void dn_platform_allow(const dn_processors *processors) {
    cpu_set_t set;
    memcpy(&set, processors, sizeof set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}
#else
bool dn_platform_keep_off(pthread_t thread, dn_processors *before) {
    (void)thread;
    (void)before;
    return false;
}

void dn_platform_allow(const dn_processors *processors) {
    (void)processors;
}
#endif

long dn_platform_process(void) {
    return (long)getpid();
}

void dn_platform_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

double dn_platform_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

static dn_status file_error(const char *path, const char *doing) {
    return dn_fail(DN_ERROR_FILE, "%s: %s: %s", path, doing, strerror(errno));
}

dn_status dn_platform_read_file(char **out, size_t *length, const char *path, size_t limit) {
    *out = NULL;
    *length = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return file_error(path, "can't open");
    struct stat info;
    dn_status status = DN_OK;
    char *bytes = NULL;
    size_t used = 0, capacity;
    if (fstat(file, &info) != 0) {
        status = file_error(path, "can't read");
        goto done;
    }
    if (S_ISDIR(info.st_mode)) {
        status = dn_fail(DN_ERROR_FILE, "%s: is a folder, not a file", path);
        goto done;
    }
    if ((uint64_t)info.st_size > limit) {
        status = dn_fail(DN_ERROR_FILE, "%s: %llu bytes; at most %zu are read", path,
                         (unsigned long long)info.st_size, limit);
        goto done;
    }
    /* Pipes and /proc files say size 0; read on until the end, whatever fstat said. */
    capacity = (size_t)info.st_size + 1;
    bytes = dn_alloc(capacity + 1);
    while (bytes) {
        ssize_t got = read(file, bytes + used, capacity - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = file_error(path, "can't read");
            goto done;
        }
        if (got == 0) break;
        used += (size_t)got;
        if (used < capacity) continue;
        if (used > limit) {
            status = dn_fail(DN_ERROR_FILE, "%s: more than %zu bytes", path, limit);
            goto done;
        }
        capacity *= 2;
        char *larger = dn_alloc(capacity + 1);
        if (larger) memcpy(larger, bytes, used);
        dn_free(bytes);
        bytes = larger;
    }
    if (!bytes) {
        status = dn_fail(DN_ERROR_NO_MEMORY, "%s: no memory for %zu bytes", path, capacity);
        goto done;
    }
    bytes[used] = 0;
    *out = bytes;
    *length = used;
done:
    if (status != DN_OK) dn_free(bytes);
    close(file);
    return status;
}

dn_status dn_platform_map_file(dn_mapping *out, const char *path) {
    struct stat info;
    *out = (dn_mapping){0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return file_error(path, "can't open");
    if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0 &&
        (uint64_t)info.st_size <= SIZE_MAX) {
        void *start = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
        if (start != MAP_FAILED) *out = (dn_mapping){start, (size_t)info.st_size};
    }
    close(file);
    return DN_OK;
}

void dn_platform_unmap(dn_mapping *mapping) {
    if (mapping->bytes) munmap(mapping->bytes, mapping->length);
    *mapping = (dn_mapping){0};
}

void dn_platform_evict(const void *start, size_t length) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)start + page - 1) / page * page,
              last = ((uintptr_t)start + length) / page * page;
    if (first < last) (void)madvise((void *)first, last - first, MADV_DONTNEED);
}

void dn_platform_use_large_pages(void *start, size_t length) {
#if defined(MADV_HUGEPAGE)
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)start + page - 1) / page * page,
              last = ((uintptr_t)start + length) / page * page;
    if (first < last) (void)madvise((void *)first, last - first, MADV_HUGEPAGE);
#else
    (void)start;
    (void)length;
#endif
}

struct dn_writer {
    int file;
    char *path, *temporary;
};

dn_status dn_writer_open(dn_writer **out, const char *path) {
    *out = NULL;
    dn_writer *writer;
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) /* a rename would replace a device or a pipe */
        return dn_fail(DN_ERROR_FILE, "%s: can't write: not a regular file", path);
    DN_TRY(dn_new(&writer, 1, sizeof *writer, "file writer"));
    writer->file = -1;
    size_t size = strlen(path) + 32;
    writer->path = dn_strdup(path);
    writer->temporary = dn_alloc(size);
    if (!writer->path || !writer->temporary) {
        dn_writer_abandon(writer);
        return dn_fail(DN_ERROR_NO_MEMORY, "%s: no memory to write it", path);
    }
    /* Not mkstemp: its files are private, and what the umask would allow can't be asked safely with threads.
     */
    for (int i = 0; i < 100 && writer->file < 0; ++i) {
        snprintf(writer->temporary, size, "%s.%ld.%d", path, (long)getpid(), i);
        writer->file = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->file < 0 && errno != EEXIST) break;
    }
    if (writer->file < 0) {
        dn_free(writer->temporary);
        writer->temporary = NULL; /* nothing to remove */
        dn_status status = file_error(path, "can't write");
        dn_writer_abandon(writer);
        return status;
    }
    *out = writer;
    return DN_OK;
}

dn_status dn_writer_write(dn_writer *writer, const void *bytes, size_t length) {
    const char *p = bytes;
    while (length > 0) {
        ssize_t wrote = write(writer->file, p, length);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return file_error(writer->path, "can't write");
        p += wrote;
        length -= (size_t)wrote;
    }
    return DN_OK;
}

dn_status dn_writer_commit(dn_writer *writer) {
    dn_status status = DN_OK;
    if (fsync(writer->file) != 0) status = file_error(writer->path, "can't write");
    if (close(writer->file) != 0 && status == DN_OK) status = file_error(writer->path, "can't write");
    writer->file = -1;
    if (status == DN_OK && rename(writer->temporary, writer->path) != 0)
        status = file_error(writer->path, "can't replace");
    if (status == DN_OK) {
        dn_free(writer->temporary);
        writer->temporary = NULL;
    }
    dn_writer_abandon(writer);
    return status;
}

void dn_writer_abandon(dn_writer *writer) {
    if (!writer) return;
    if (writer->file >= 0) close(writer->file);
    if (writer->temporary) unlink(writer->temporary);
    dn_free(writer->temporary);
    dn_free(writer->path);
    dn_free(writer);
}

bool dn_platform_find(char *out, size_t size, const char *name, const char *origin) {
    if ((size_t)snprintf(out, size, "%s", name) < size && file_exists(out)) return true;
    if (!origin || name[0] == '/') return false;
    size_t folder = strlen(origin);
    for (;;) {
        while (folder > 0 && origin[folder - 1] != '/') --folder; /* keeps the slash */
        if (folder == 0) return false;
        int length = snprintf(out, size, "%.*s%s", (int)folder, origin, name);
        if (length > 0 && (size_t)length < size && file_exists(out)) return true;
        --folder;
    }
}
