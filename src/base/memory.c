/* memory.c - the only file that calls the C allocator. Blocks are 64-byte aligned, large ones to large pages;
 * the pointer to release sits just before the block, so any allocator will do for the hook. */
#include "base.h"
#include "platform.h"

#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 64,
    LARGE_PAGE = 2 << 20, /* bytes */
    LARGE = 4 << 20       /* weights and activations, which are read in rows far apart; in large pages a pass
                           * over them runs at up to twice the speed, as hardly any address translation is
                           * missed, and to have them from the system takes a fifth of the time */
};

static void *default_allocate(size_t size, void *user) {
    (void)user;
    return malloc(size);
}

static void default_release(void *memory, void *user) {
    (void)user;
    free(memory);
}

static struct {
    void *(*allocate)(size_t, void *);
    void (*release)(void *, void *);
    void *user;
} hook = {default_allocate, default_release, NULL};

void dn_memory_set(void *(*allocate)(size_t, void *), void (*release)(void *, void *), void *user) {
    bool whole = allocate && release;
    hook.allocate = whole ? allocate : default_allocate;
    hook.release = whole ? release : default_release;
    hook.user = whole ? user : NULL;
}

static void *allocate(size_t bytes, bool zero) {
    const bool own = hook.allocate == default_allocate, large = own && bytes >= LARGE;
    const size_t alignment = large ? LARGE_PAGE : ALIGNMENT;
    size_t total;
    if (!dn_add(&total, bytes ? bytes : 1, alignment + sizeof(void *))) return NULL;
    /* calloc has fresh pages from the system, already 0 and not there until they are touched */
    char *block = zero && own ? calloc(1, total) : hook.allocate(total, hook.user);
    if (!block) return NULL;
    if (zero && !own) memset(block, 0, total);
    uintptr_t start = ((uintptr_t)block + sizeof block + alignment - 1) / alignment * alignment;
    if (large) dn_platform_use_large_pages((void *)start, bytes);
    memcpy((char *)start - sizeof block, &block, sizeof block);
    return (void *)start;
}

void *dn_alloc(size_t bytes) {
    return allocate(bytes, false);
}

void *dn_alloc_zero(size_t count, size_t size) {
    size_t bytes;
    return dn_mul(&bytes, count, size) ? allocate(bytes, true) : NULL;
}

void dn_free(void *memory) {
    if (!memory) return;
    void *block;
    memcpy(&block, (char *)memory - sizeof block, sizeof block);
    hook.release(block, hook.user);
}

char *dn_strndup(const char *text, size_t length) {
    char *copy = dn_alloc(length + 1);
    if (!copy) return NULL;
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

char *dn_strdup(const char *text) {
    return dn_strndup(text, strlen(text));
}

dn_status dn_new(void *out, size_t count, size_t size, const char *what) {
    void *memory = dn_alloc_zero(count, size);
    memcpy(out, &memory, sizeof memory);
    if (memory) return DN_OK;
    size_t bytes;
    if (!dn_mul(&bytes, count, size))
        return dn_fail(DN_ERROR_NO_MEMORY, "%s: %zu items of %zu bytes are more than memory can hold", what,
                       count, size);
    return dn_fail(DN_ERROR_NO_MEMORY, "no memory for %s (%zu bytes)", what, bytes);
}

dn_status dn_new_floats(float **out, size_t count, const char *what) {
    return dn_new(out, count, sizeof(float), what);
}

bool dn_mul(size_t *out, size_t a, size_t b) {
    return !__builtin_mul_overflow(a, b, out);
}
bool dn_add(size_t *out, size_t a, size_t b) {
    return !__builtin_add_overflow(a, b, out);
}
