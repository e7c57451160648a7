/* pack.c - folds batch normalisation into the weights of a plan's convolutions and packs them: a few filters
 * at a time, dealt out to threads, into one block, which can lie in large pages. What is packed does not
 * depend on who packs it. */
#include "plan.h"

#include "../base/platform.h"
#include "../base/threads.h"

#include <math.h>
#include <string.h>

/* Floats that are folded at a time, so that caches have them when they are packed. */
enum { SLICE = 1 << 17 };

typedef struct slice {
    int op, first, count; /* filters */
} slice;

typedef struct packing {
    const dn_plan *plan;
    const dn_lowered *lowered;
    const int *convs;
    slice *slices;
    int count;
    size_t most_floats; /* of a slice's folded weights and biases */
    float *folded;      /* [threads][most_floats] */
    atomic_int next;    /* slice to pack, counted from the last */
} packing;

static const dn_layer *conv_of(const packing *p, int op) {
    return &p->plan->network->layers[p->convs[op]];
}

static size_t filter_floats(const packing *p, int op) {
    const dn_lowered *low = &p->lowered[p->convs[op]];
    return conv_of(p, op)->params[low->weights].count / (size_t)low->conv.out_c;
}

/* Cuts an operation's filters into slices, written from `out` on unless it is NULL; returns how many. */
static int cut(packing *p, int op, slice *out) {
    const dn_plan_op *conv = &p->plan->ops[op];
    const int filters = conv->shape.out_c, step = p->plan->network->ops->conv_pack_step(conv->conv);
    const size_t floats = filter_floats(p, op), fit = SLICE / floats / (size_t)step;
    const int most = dn_min_int(filters, step * (int)dn_min_size(dn_max_size(fit, 1), (size_t)filters));
    int count = 0;
    p->most_floats = dn_max_size(p->most_floats, (floats + 1) * (size_t)most);
    for (int first = 0; first < filters; first += most, ++count)
        if (out) out[count] = (slice){op, first, dn_min_int(most, filters - first)};
    return count;
}

/* Folded weights and bias: w s, b - mean s with s = scale / D (compat.md 10.7). */
static void fold(const packing *p, const slice *s, float *weights, float *bias) {
    const dn_network *network = p->plan->network;
    const dn_layer *layer = conv_of(p, s->op);
    const dn_lowered *low = &p->lowered[p->convs[s->op]];
    const size_t floats = filter_floats(p, s->op), first = (size_t)s->first, count = (size_t)s->count;
    const float *params = network->params;
    const float *plain = params + layer->params[low->weights].offset + first * floats;
    memcpy(bias, params + layer->params[low->bias].offset + first, count * sizeof *bias);
    if (low->scale < 0) {
        memcpy(weights, plain, count * floats * sizeof *weights);
    } else {
        const float *scale = params + layer->params[low->scale].offset + first,
                    *mean = params + layer->params[low->mean].offset + first,
                    *variance = params + layer->params[low->variance].offset + first;
        const bool pjreddie_cpu = network->options.numerics == DN_NUMERICS_PJREDDIE_CPU;
        for (size_t f = 0; f < count; ++f) {
            const double divisor = pjreddie_cpu ? sqrt(variance[f]) + 1e-6 : sqrt(variance[f] + 1e-5);
            const double factor = scale[f] / divisor;
            for (size_t k = f * floats; k < (f + 1) * floats; ++k) weights[k] = (float)(plain[k] * factor);
            bias[f] = (float)(bias[f] - mean[f] * factor);
        }
    }
    /* A network that only runs has no further use for what is packed now; it can be read again. */
    if (network->mapping.bytes && !network->written) dn_platform_evict(plain, count * floats * sizeof *plain);
}

static void pack_some(void *context, int part, int parts) {
    packing *p = context;
    const dn_plan *plan = p->plan;
    float *weights = p->folded + (size_t)part * p->most_floats;
    (void)parts;
    for (;;) {
        const int k = p->count - 1 - atomic_fetch_add(&p->next, 1);
        if (k < 0) return;
        const slice *s = &p->slices[k];
        float *bias = weights + (size_t)s->count * filter_floats(p, s->op);
        fold(p, s, weights, bias);
        plan->network->ops->conv_pack(plan->ops[s->op].conv, s->first, s->count, weights, bias);
    }
}

static dn_status place_all(dn_plan *plan) {
    const dn_ops *ops = plan->network->ops;
    size_t at = 0;
    plan->packed = dn_alloc_zero(plan->packed_bytes, 1);
    if (!plan->packed)
        return dn_fail(DN_ERROR_NO_MEMORY,
                       "%s: no memory for the packed weights (%zu bytes); try memory=\"lean\"",
                       plan->network->config->file, plan->packed_bytes);
    for (int k = 0; k < plan->op_count; ++k) {
        if (plan->ops[k].kind != DN_PLAN_CONV) continue;
        ops->conv_place(plan->ops[k].conv, plan->packed + at / sizeof(float));
        at += ops->conv_prepared_bytes(plan->ops[k].conv);
    }
    return DN_OK;
}

static dn_status pack_all(packing *p, dn_plan *plan, int threads) {
    const dn_network *network = plan->network;
    dn_pool *pool = NULL;
    int count = 0;
    DN_TRY(dn_new(&p->slices, (size_t)p->count, sizeof *p->slices, "plan"));
    for (int k = 0; k < plan->op_count; ++k)
        if (plan->ops[k].kind == DN_PLAN_CONV) count += cut(p, k, p->slices + count);
    p->folded = dn_alloc(plan->working_floats * sizeof *p->folded);
    if (!p->folded) return dn_fail(DN_ERROR_NO_MEMORY, "no memory for folded weights");
    DN_TRY(place_all(plan));
    DN_TRY(dn_pool_create(&pool, threads));
    dn_pool_run(pool, pack_some, p);
    dn_pool_free(pool);
    /* Pages that came in again with their neighbours. */
    if (network->mapping.bytes && !network->written)
        dn_platform_evict(network->mapping.bytes, network->mapping.length);
    return DN_OK;
}

dn_status dn_plan_pack(dn_plan *plan, const dn_lowered *lowered, const int *convs, int threads) {
    packing p = {.plan = plan, .lowered = lowered, .convs = convs};
    for (int k = 0; k < plan->op_count; ++k) {
        if (plan->ops[k].kind != DN_PLAN_CONV) continue;
        plan->packed_bytes += plan->network->ops->conv_prepared_bytes(plan->ops[k].conv);
        plan->plain_floats += (filter_floats(&p, k) + 1) * (size_t)plan->ops[k].shape.out_c;
        p.count += cut(&p, k, NULL);
    }
    threads = dn_min_int(threads, p.count);
    plan->working_floats = (size_t)threads * p.most_floats;
    if (plan->described || p.count == 0) return DN_OK;
    dn_status status = pack_all(&p, plan, threads);
    dn_free(p.slices);
    dn_free(p.folded);
    return status;
}
