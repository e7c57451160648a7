/* plan.c - builds a plan in passes: lower, count readers, fuse residual additions, assign values, emit
 * operations, prepare convolutions, fuse pools into them and join them, place buffers. */
#include "plan.h"

#include <limits.h>
#include <string.h>

enum { NO_LAYER = -2 };

/* What the passes know while they work; freed when the plan is done. */
typedef struct builder {
    const dn_network *network;
    dn_plan *plan;
    dn_lowered *lowered;
    int *readers;   /* layers that read a layer's output; network outputs count as one more */
    bool *fused;    /* a convolution whose work moved into the addition that follows */
    int *parent;    /* root whose joined buffer contains this root, or NO_LAYER */
    size_t *within; /* offset there */
    dn_plan_buffer *buffers;
    int *order;
    int *convs; /* per operation: the convolution it runs */
} builder;

static int previous_of(const dn_layer *layer) {
    return layer->index - 1;
} /* -1: the network's input */

/* ---- lower and count ---- */

static void lower_layers(builder *b) {
    for (int i = 0; i < b->network->count; ++i) {
        const dn_layer *layer = &b->network->layers[i];
        b->lowered[i] = (dn_lowered){.kind = DN_LOWERED_FORWARD};
        if (layer->type->lower) layer->type->lower(layer, &b->lowered[i]);
        /* Nothing to gain, and the network's input has no buffer to alias. */
        if (b->lowered[i].kind == DN_LOWERED_ALIAS && b->lowered[i].source < 0)
            b->lowered[i].kind = DN_LOWERED_FORWARD;
    }
}

static void count_readers(builder *b) {
    for (int i = 0; i < b->network->count; ++i) {
        const dn_layer *layer = &b->network->layers[i];
        if (layer->reads_previous && i > 0) b->readers[i - 1]++;
        for (int s = 0; s < layer->source_count; ++s) b->readers[layer->sources[s]]++;
    }
    for (int k = 0; k < b->network->output_count; ++k) b->readers[b->network->outputs[k]]++;
}

/* The layer that gives what layer i is given: the one before it, or, where layers between change nothing, as
 * a dropout, and only these read each other, the one before them. */
static int giver_of(const builder *b, int i) {
    int giver = i - 1;
    while (giver > 0 && b->lowered[giver].kind == DN_LOWERED_ALIAS && b->readers[giver] == 1 &&
           b->lowered[giver].source == giver - 1 && b->lowered[giver].offset == 0 &&
           b->network->layers[giver].outputs == b->network->layers[giver - 1].outputs)
        --giver;
    return giver;
}

/* conv, then an addition that alone reads it: the convolution adds on its way out. One activation is left,
 * either the convolution's or the addition's. */
static void fuse_additions(builder *b) {
    for (int i = 1; i < b->network->count; ++i) {
        const int conv = giver_of(b, i);
        if (b->lowered[i].kind == DN_LOWERED_ADD && b->lowered[conv].kind == DN_LOWERED_CONV &&
            b->readers[conv] == 1 && b->lowered[i].source != conv &&
            (b->lowered[i].activation == DN_ACTIVATION_LINEAR ||
             b->lowered[conv].activation == DN_ACTIVATION_LINEAR))
            b->fused[conv] = true;
    }
}

/* ---- values ---- */

static bool whole_root(const builder *b, int layer) {
    const dn_plan_value *value = &b->plan->values[layer];
    return value->root >= 0 && value->offset == 0 && b->network->layers[value->root].outputs == value->floats;
}

/* Sources are computed straight into the joined buffer where they can be; the others are copied later. */
static void assign_concat(builder *b, int i) {
    const dn_layer *layer = &b->network->layers[i];
    size_t at = 0;
    for (int s = 0; s < layer->source_count; ++s) {
        int source = layer->sources[s];
        int root = b->plan->values[source].root;
        if (whole_root(b, source) && b->parent[root] == NO_LAYER) {
            b->parent[root] = i;
            b->within[root] = at;
        }
        at += b->network->layers[source].outputs;
    }
}

static void assign_values(builder *b) {
    for (int i = 0; i < b->network->count; ++i) {
        const dn_layer *layer = &b->network->layers[i];
        dn_plan_value *value = &b->plan->values[i];
        *value = (dn_plan_value){.root = i, .floats = layer->outputs};
        b->parent[i] = NO_LAYER;
        if (b->fused[i] || (b->lowered[i].kind == DN_LOWERED_NOTHING && b->readers[i] == 0)) {
            value->root = NO_LAYER;
        } else if (b->lowered[i].kind == DN_LOWERED_ALIAS) {
            const dn_plan_value *source = &b->plan->values[b->lowered[i].source];
            value->root = source->root;
            value->offset = source->offset + b->lowered[i].offset;
        } else if (b->lowered[i].kind == DN_LOWERED_CONCAT) {
            assign_concat(b, i);
        }
    }
}

/* ---- operations ---- */

/* The convolution is prepared later, when memory is shared out. */
static void add_conv(builder *b, int conv, int result, int residual) {
    const dn_layer *layer = &b->network->layers[conv];
    b->plan->ops[b->plan->op_count] =
        (dn_plan_op){.kind = DN_PLAN_CONV,
                     .layer = result,
                     .input = previous_of(layer),
                     .residual = residual,
                     .after = result != conv ? b->lowered[result].activation : DN_ACTIVATION_LINEAR,
                     .shape = b->lowered[conv].conv};
    b->convs[b->plan->op_count++] = conv;
}

/* Whether a step could run together with the next. */
static bool may_join(const builder *b, int step) {
    const dn_plan_op *op = &b->plan->ops[step], *next = op + 1;
    return step + 1 < b->plan->op_count && op->kind == DN_PLAN_CONV && next->kind == DN_PLAN_CONV &&
           !op->together && !next->together && op->residual == NO_LAYER && next->input == op->layer &&
           next->residual != op->layer && b->readers[op->layer] == 1;
}

/* As many at a time as the backend can. Nothing is kept of what all but the last give. */
static void join_convs(builder *b) {
    const dn_conv_prepared *convs[DN_PLAN_JOINED];
    for (int k = 0, count; k < b->plan->op_count; k += count) {
        dn_plan_op *op = &b->plan->ops[k];
        for (count = 1; count < DN_PLAN_JOINED && may_join(b, k + count - 1);) ++count;
        for (int i = 0; i < count; ++i) convs[i] = op[i].conv;
        while (count > 1 && !b->network->ops->conv_joins(convs, count)) --count;
        for (int i = 0; i + 1 < count; ++i) {
            op[i].joined = true;
            b->plan->values[op[i].layer].root = NO_LAYER;
        }
    }
}

int dn_plan_joined(const dn_plan *plan, int step, const dn_conv_prepared *convs[DN_PLAN_JOINED]) {
    int count = 0;
    do convs[count] = plan->ops[step + count].conv;
    while (plan->ops[step + count++].joined);
    return count;
}

/* A pool that alone reads a convolution, at the step after it: pooled on its way out, by algorithms that can,
 * the larger map is never stored. */
static void fuse_pool(builder *b, int step) {
    dn_plan_op *op = &b->plan->ops[step];
    const dn_plan_op *next = op + 1;
    const int after = b->plan->op_count - (step + 2); /* steps */
    if (after < 0 || op->residual != NO_LAYER || next->input != op->layer ||
        b->lowered[next->layer].kind != DN_LOWERED_MAXPOOL || b->readers[op->layer] != 1 ||
        !b->network->ops->conv_pool(op->conv, &b->lowered[next->layer].windows))
        return;
    b->plan->values[op->layer].root = NO_LAYER;
    op->layer = next->layer;
    op->pooled = true;
    memmove(op + 1, op + 2, (size_t)after * sizeof *op);
    memmove(&b->convs[step + 1], &b->convs[step + 2], (size_t)after * sizeof *b->convs);
    b->plan->op_count--;
}

static dn_status prepare_convs(builder *b, int threads) {
    const dn_ops *ops = b->network->ops;
    DN_TRY(dn_plan_choose(b->plan, b->lowered, b->convs));
    for (int k = 0; k < b->plan->op_count; ++k) {
        dn_plan_op *op = &b->plan->ops[k];
        dn_plan_step cost = {0};
        if (op->kind != DN_PLAN_CONV) continue;
        const bool activate_sum = op->after != DN_ACTIVATION_LINEAR;
        DN_TRY(ops->conv_prepare(&op->conv, &op->shape,
                                 activate_sum ? op->after : b->lowered[b->convs[k]].activation, activate_sum,
                                 op->most_floats));
        fuse_pool(b, k);
        dn_plan_step_cost(&cost, b->plan, k);
        op->together = cost.weight_bytes > cost.activation_bytes;
        b->plan->together = b->plan->together || op->together;
    }
    join_convs(b);
    return dn_plan_pack(b->plan, b->lowered, b->convs, threads);
}

static void add_op(builder *b, dn_plan_kind kind, int layer, int input, size_t offset) {
    b->plan->ops[b->plan->op_count++] =
        (dn_plan_op){.kind = kind, .layer = layer, .input = input, .residual = NO_LAYER, .offset = offset};
}

static void add_copies(builder *b, int i) {
    const dn_layer *layer = &b->network->layers[i];
    size_t at = 0;
    for (int s = 0; s < layer->source_count; ++s) {
        int source = layer->sources[s];
        int root = b->plan->values[source].root;
        bool in_place = whole_root(b, source) && b->parent[root] == i && b->within[root] == at;
        if (!in_place) add_op(b, DN_PLAN_COPY, i, source, at);
        at += b->network->layers[source].outputs;
    }
}

static void emit_ops(builder *b) {
    for (int i = 0; i < b->network->count; ++i) {
        if (b->fused[i]) continue;
        switch (b->lowered[i].kind) {
        case DN_LOWERED_CONV:
            add_conv(b, i, i, NO_LAYER);
            break;
        case DN_LOWERED_ADD:
            if (b->fused[giver_of(b, i)])
                add_conv(b, giver_of(b, i), i, b->lowered[i].source);
            else
                add_op(b, DN_PLAN_FORWARD, i, i - 1, 0);
            break;
        case DN_LOWERED_CONCAT:
            add_copies(b, i);
            break;
        case DN_LOWERED_ALIAS:
            break;
        case DN_LOWERED_NOTHING:
            if (b->readers[i]) add_op(b, DN_PLAN_CLEAR, i, NO_LAYER, 0);
            break;
        case DN_LOWERED_FORWARD:
        case DN_LOWERED_MAXPOOL:
            add_op(b, DN_PLAN_FORWARD, i, i - 1, 0);
            break;
        }
    }
}

/* ---- placement ---- */

/* The outermost buffer a layer's value lies in, and its offset there. */
static int outermost(const builder *b, int layer, size_t *offset) {
    const dn_plan_value *value = &b->plan->values[layer];
    int root = value->root;
    *offset = value->offset;
    while (root >= 0 && b->parent[root] != NO_LAYER) {
        *offset += b->within[root];
        root = b->parent[root];
    }
    return root;
}

static void touch(builder *b, int layer, int time) {
    size_t offset;
    int root = layer < 0 ? layer : outermost(b, layer, &offset);
    if (root < 0) return;
    b->buffers[root].start = dn_min_int(b->buffers[root].start, time);
    b->buffers[root].end = dn_max_int(b->buffers[root].end, time);
}

/* Whether nothing outside of a run of steps that take one image reads or writes a buffer. */
static bool is_passing(const dn_plan *plan, const dn_plan_buffer *buffer) {
    if (buffer->end >= plan->op_count) return false;
    for (int k = buffer->start; k <= buffer->end; ++k)
        if (plan->ops[k].together) return false;
    return true;
}

static void place_arenas(builder *b) {
    dn_plan *plan = b->plan;
    for (int i = 0; i < plan->count; ++i) {
        dn_plan_value *value = &plan->values[i];
        value->root = outermost(b, i, &value->offset);
        value->kept_offset = value->offset;
    }
    plan->arena = dn_plan_place(b->buffers, plan->count, b->order);
    for (int i = 0; i < plan->count; ++i)
        if (plan->values[i].root >= 0) plan->values[i].offset += b->buffers[plan->values[i].root].offset;
    for (int i = 0; i < plan->count; ++i)
        if (is_passing(plan, &b->buffers[i])) b->buffers[i].floats = 0;
    plan->kept_arena = dn_plan_place(b->buffers, plan->count, b->order);
    for (int i = 0; i < plan->count; ++i) {
        dn_plan_value *value = &plan->values[i];
        if (value->root < 0) continue;
        value->passing = is_passing(plan, &b->buffers[value->root]);
        value->kept_offset += b->buffers[value->root].offset;
    }
}

static void place(builder *b) {
    const dn_network *network = b->network;
    size_t offset;
    for (int i = 0; i < network->count; ++i) {
        bool own = b->plan->values[i].root == i && outermost(b, i, &offset) == i;
        b->buffers[i] = (dn_plan_buffer){own ? network->layers[i].outputs : 0, 0, INT_MAX, -1};
    }
    for (int k = 0; k < b->plan->op_count; ++k) {
        const dn_plan_op *op = &b->plan->ops[k];
        touch(b, op->layer, k);
        int last = k; /* step that runs together with it */
        while (b->plan->ops[last].joined) ++last;
        touch(b, op->input, last);
        touch(b, op->residual, k);
        if (op->kind != DN_PLAN_FORWARD) continue;
        const dn_layer *layer = &network->layers[op->layer];
        for (int s = 0; s < layer->source_count; ++s) touch(b, layer->sources[s], k);
    }
    for (int k = 0; k < network->output_count; ++k) touch(b, network->outputs[k], INT_MAX - 1);
    place_arenas(b);
}

/* ---- all together ---- */

static void free_builder(builder *b) {
    dn_free(b->lowered);
    dn_free(b->readers);
    dn_free(b->fused);
    dn_free(b->parent);
    dn_free(b->within);
    dn_free(b->buffers);
    dn_free(b->order);
    dn_free(b->convs);
}

static dn_status build(dn_plan **out, const dn_network *network, int threads, bool described) {
    builder b = {.network = network};
    size_t count = (size_t)network->count, copies = 0;
    dn_status status;
    *out = NULL;
    DN_TRY_GOTO(dn_new(&b.plan, 1, sizeof *b.plan, "plan"));
    atomic_init(&b.plan->references, 1);
    b.plan->network = network;
    b.plan->count = network->count;
    b.plan->described = described;
    for (int i = 0; i < network->count; ++i) copies += (size_t)network->layers[i].source_count;
    DN_TRY_GOTO(dn_new(&b.plan->values, count, sizeof *b.plan->values, "plan"));
    DN_TRY_GOTO(dn_new(&b.plan->ops, count + copies, sizeof *b.plan->ops, "plan"));
    DN_TRY_GOTO(dn_new(&b.convs, count + copies, sizeof *b.convs, "plan"));
    DN_TRY_GOTO(dn_new(&b.lowered, count, sizeof *b.lowered, "plan"));
    DN_TRY_GOTO(dn_new(&b.readers, count, sizeof *b.readers, "plan"));
    DN_TRY_GOTO(dn_new(&b.fused, count, sizeof *b.fused, "plan"));
    DN_TRY_GOTO(dn_new(&b.parent, count, sizeof *b.parent, "plan"));
    DN_TRY_GOTO(dn_new(&b.within, count, sizeof *b.within, "plan"));
    DN_TRY_GOTO(dn_new(&b.buffers, count, sizeof *b.buffers, "plan"));
    DN_TRY_GOTO(dn_new(&b.order, count, sizeof *b.order, "plan"));
    lower_layers(&b);
    count_readers(&b);
    fuse_additions(&b);
    assign_values(&b);
    emit_ops(&b);
    DN_TRY_GOTO(prepare_convs(&b, threads));
    place(&b);
    free_builder(&b);
    *out = b.plan;
    return DN_OK;

fail:
    free_builder(&b);
    dn_plan_release(b.plan);
    return status;
}

dn_status dn_plan_acquire(dn_plan **out, dn_network *network, int threads, uint64_t *version) {
    dn_status status = DN_OK;
    pthread_mutex_lock(&network->mutex);
    uint64_t now = atomic_load(&network->version);
    if (!network->plan || network->plan_version != now) {
        dn_plan_release(network->plan);
        network->plan = NULL;
        network->plan_release = dn_plan_release;
        network->plan_version = now;
        status = build(&network->plan, network, threads, false);
    }
    *out = network->plan;
    *version = now;
    if (network->plan) atomic_fetch_add(&network->plan->references, 1);
    pthread_mutex_unlock(&network->mutex);
    return status;
}

dn_status dn_plan_describe(dn_plan **out, const dn_network *network, int threads) {
    return build(out, network, threads, true);
}

void dn_plan_release(dn_plan *plan) {
    if (!plan || atomic_fetch_sub(&plan->references, 1) != 1) return;
    for (int i = 0; plan->ops && i < plan->op_count; ++i)
        if (plan->ops[i].conv) plan->network->ops->conv_prepared_free(plan->ops[i].conv);
    dn_free(plan->packed);
    dn_free(plan->ops);
    dn_free(plan->values);
    dn_free(plan);
}
