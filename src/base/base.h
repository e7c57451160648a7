/* base.h - status, memory, checked sizes, log, random numbers: what every file of the core may use.
 * Threads and the platform have headers of their own. */
#ifndef DN_BASE_H
#define DN_BASE_H

#include "../../include/dn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- status: code and message are set together, so they cannot disagree ---- */

#define DN_MESSAGE_SIZE 640

/* Records the message for this thread and returns status: `return dn_fail(DN_ERROR_..., "...", ...);` */
dn_status dn_fail(dn_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "context: " before the recorded message; returns status. Used at two levels only: layer and file. */
dn_status dn_fail_context(dn_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define DN_TRY(call)                                                                                         \
    do {                                                                                                     \
        dn_status dn_try_status = (call);                                                                    \
        if (dn_try_status != DN_OK) return dn_try_status;                                                    \
    } while (0)

/* For functions that own something: jumps to the label `fail`, with `status` set. */
#define DN_TRY_GOTO(call)                                                                                    \
    do {                                                                                                     \
        status = (call);                                                                                     \
        if (status != DN_OK) goto fail;                                                                      \
    } while (0)

/* ---- memory: only memory.c calls the C allocator ---- */

void *dn_alloc(size_t bytes); /* 64-byte aligned, not cleared; NULL sets no message */
void *dn_alloc_zero(size_t count, size_t size);
void dn_free(void *memory); /* accepts NULL */
char *dn_strdup(const char *text);
char *dn_strndup(const char *text, size_t length);
/* Allocates *out, cleared, or fails with a message that says for what. */
dn_status dn_new(void *out, size_t count, size_t size, const char *what);
dn_status dn_new_floats(float **out, size_t count, const char *what);

/* ---- sizes from files are checked before they are multiplied ---- */

bool dn_mul(size_t *out, size_t a, size_t b); /* false on overflow */
bool dn_add(size_t *out, size_t a, size_t b);

/* ---- log: silent unless a sink is set ---- */

void dn_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- numbers from text, independent of the locale ---- */

/* As C's atoi and atof on the start of text, garbage gives 0. *end: first byte not used. */
long dn_parse_int(const char *text, const char **end);
double dn_parse_float(const char *text, const char **end);

/* ---- random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011). A stream is a pure function of its key, so results depend on neither threads nor order. ---- */

typedef struct dn_random {
    uint32_t key[2], counter[4], block[4];
    int used; /* of the current block's four words */
    bool has_spare;
    float spare; /* second value of the last Box-Muller pair */
} dn_random;

dn_random dn_random_keyed(uint64_t seed, uint64_t stream, uint64_t step);
uint32_t dn_random_bits(dn_random *random);
float dn_random_unit(dn_random *random);                           /* [0, 1) */
float dn_random_uniform(dn_random *random, float low, float high); /* swapped if needed */
int dn_random_int(dn_random *random, int low, int high);           /* inclusive */
float dn_random_normal(dn_random *random);
float dn_random_scale(dn_random *random, float most); /* u in [1, most], or 1/u, each half of the time */

/* ---- small helpers ---- */

#define DN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline int dn_min_int(int a, int b) {
    return a < b ? a : b;
}
static inline int dn_max_int(int a, int b) {
    return a > b ? a : b;
}
static inline size_t dn_min_size(size_t a, size_t b) {
    return a < b ? a : b;
}
static inline size_t dn_max_size(size_t a, size_t b) {
    return a > b ? a : b;
}
static inline size_t dn_round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

#endif
