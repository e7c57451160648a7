/* packed.h - planned convolutions, packed as a plan packs them. */
#ifndef DN_TEST_PACKED_H
#define DN_TEST_PACKED_H

#include "../../src/backends/cpu/cpu.h"

typedef struct packed_conv {
    dn_conv_prepared *prepared;
    float *place;
} packed_conv;

static void free_packed(packed_conv *conv) {
    dn_cpu_conv_prepared_free(conv->prepared);
    dn_free(conv->place);
}

/* As a plan does it: the last filters first, as few at a time as may be. bias: may be NULL. */
static bool pack_conv(packed_conv *out, const dn_kernels *kernels, const dn_conv_shape *s, const float *w,
                      const float *bias, dn_activation activation, bool sum, size_t most_floats) {
    const size_t filter = (size_t)(s->in_c / s->groups * s->size * s->size);
    *out = (packed_conv){0};
    if (dn_cpu_conv_prepare_level(&out->prepared, kernels, s, activation, sum, most_floats)) return false;
    const size_t bytes = dn_cpu_conv_prepared_bytes(out->prepared);
    out->place = dn_alloc_zero(bytes, 1);
    float *none = dn_alloc_zero((size_t)s->out_c, sizeof *none);
    if (bytes % 64 == 0 && out->place && none) {
        const int step = dn_cpu_conv_pack_step(out->prepared);
        dn_cpu_conv_place(out->prepared, out->place);
        for (int first = (s->out_c - 1) / step * step; first >= 0; first -= step)
            dn_cpu_conv_pack(out->prepared, first, dn_min_int(step, s->out_c - first),
                             w + (size_t)first * filter, (bias ? bias : none) + first);
    }
    dn_free(none);
    return bytes % 64 == 0 && out->place;
}

#endif
