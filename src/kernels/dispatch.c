/* dispatch.c - chooses the kernel table once, at baseline instructions. DARKNET_CPU lowers the level; a name
 * that is unknown or that the machine lacks is an error, not silence. */
#include "levels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const dn_kernels *dn_kernels_available(int i) {
    const dn_kernels *tables[4];
    int count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        tables[count++] = &dn_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables[count++] = &dn_kernels_avx2;
#elif defined(__aarch64__)
    tables[count++] = &dn_kernels_neon;
#endif
    tables[count++] = &dn_kernels_generic;
    return i >= 0 && i < count ? tables[i] : NULL;
}

const dn_kernels *dn_kernels_get(void) {
    /* Racing threads compute the same pointer, so the race is benign. */
    static _Atomic(const dn_kernels *) chosen;
    const dn_kernels *table = atomic_load_explicit(&chosen, memory_order_acquire);
    if (table) return table;

    const char *wanted = getenv("DARKNET_CPU");
    for (int i = 0; (table = dn_kernels_available(i)) != NULL; ++i)
        if (!wanted || !*wanted || strcmp(wanted, table->level) == 0) break;
    if (!table) {
        dn_fail(DN_ERROR_ARGUMENT, "DARKNET_CPU=%s: this machine has no such level; use %s or unset it",
                wanted, dn_kernels_available(0)->level);
        return NULL;
    }
    atomic_store_explicit(&chosen, table, memory_order_release);
    return table;
}
