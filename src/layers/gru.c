/* gru.c - [gru]: gated recurrent unit of six connected layers, w* on the state and u* on the input:
 *   z = logistic(wz h + uz x), r = logistic(wr h + ur x), candidate = f(wh (r h) + uh x),
 *   h' = z h + (1 - z) candidate
 * compat.md 6.22. Cho et al., Learning phrase representations (2014), with z's sense reversed. */
#include "inner.h"

enum { WZ, WR, WH, UZ, UR, UH, INNERS };

typedef struct gru_settings {
    dn_inner inner[INNERS];
    dn_activation activation; /* of the candidate */
} gru_settings;

static const dn_key keys[] = {
    {"output", "1", "size of the state, which is the output"},
    {"batch_normalize", "0", "normalise in all six inner layers, each time step by itself"},
    {"tanh", "0", "the candidate's activation is tanh instead of logistic"},
    {"activation", NULL, "read, without effect"},
    {"logistic", "0", "read, without effect"},
    {NULL, NULL, NULL},
};

static const char *const prefixes[INNERS] = {"wz", "wr", "wh", "uz", "ur", "uh"};
/* compat.md 11.2: the fork stores the input's layers first. */
static const int reference_order[INNERS] = {WZ, WR, WH, UZ, UR, UH};
static const int fork_order[INNERS] = {UZ, UR, UH, WZ, WR, WH};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    gru_settings *s = layer->settings;
    int output;
    bool normalize, tanh_candidate;
    DN_TRY(dn_option_int(&output, section, "output", 1, 1 << 28));
    DN_TRY(dn_option_flag(&normalize, section, "batch_normalize"));
    DN_TRY(dn_option_flag(&tanh_candidate, section, "tanh"));
    (void)dn_option_text(section, "activation");
    (void)dn_option_text(section, "logistic");
    s->activation = tanh_candidate ? DN_ACTIVATION_TANH : DN_ACTIVATION_LOGISTIC;
    const int *order = graph->dialect == DN_DIALECT_ALEXEYAB ? fork_order : reference_order;
    for (int k = 0; k < INNERS; ++k) {
        int i = order[k];
        DN_TRY(dn_inner_connected(&s->inner[i], layer, section, graph, prefixes[i],
                                  i < UZ ? (size_t)output : layer->inputs, output, DN_ACTIVATION_LINEAR,
                                  normalize));
    }
    dn_inner_link(s->inner, INNERS, layer);
    layer->outputs = layer->state_per_stream = (size_t)output;
    layer->saved_per_image += 7 * layer->outputs; /* z, r, candidate, r h; deltas of three sums */
    layer->saved_per_stream = layer->outputs;     /* the state before the first step */
    return DN_OK;
}

static void release(dn_layer *layer) {
    gru_settings *s = layer->settings;
    dn_inner_release(s->inner, INNERS);
}

/* Arrays [steps][streams][outputs]. */
typedef struct gru_views {
    float *inner[INNERS];                       /* what the inner layers keep; NULL outside training */
    float *z, *r, *candidate, *reset;           /* reset: r h */
    float *z_delta, *r_delta, *candidate_delta; /* of their sums; NULL outside training */
    float *before;                              /* the state before the first step */
    float *step[3];                             /* scratch of one step */
    float *scratch;                             /* of the inner layers */
} gru_views;

static size_t scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    const gru_settings *s = layer->settings;
    size_t rows = (size_t)batch * layer->outputs;
    return dn_round_up(dn_inner_scratch(s->inner, INNERS, ops, device, batch, train), 16) +
           (train ? 3 : 8) * rows;
}

static gru_views views(const dn_layer *layer, const dn_run *run) {
    const gru_settings *s = layer->settings;
    size_t rows = (size_t)run->batch * layer->outputs, step = rows / (size_t)run->steps;
    gru_views v = {.scratch = run->scratch};
    float *at = run->scratch;
    at += dn_round_up(dn_inner_scratch(s->inner, INNERS, run->ops, run->device, run->batch, run->train), 16);
    for (int i = 0; i < 3; ++i, at += step) v.step[i] = at;
    if (run->train) at = run->saved[layer->index];
    v.z = at;
    v.r = at + rows;
    v.candidate = at + 2 * rows;
    v.reset = at + 3 * rows;
    v.before = at + 4 * rows;
    at = v.before + step;
    if (run->train) {
        v.z_delta = at;
        v.r_delta = at + rows;
        v.candidate_delta = at + 2 * rows;
        at += 3 * rows;
    }
    for (int i = 0; i < INNERS && run->train; ++i) {
        v.inner[i] = at;
        at += dn_inner_saved(&s->inner[i], run->batch, run->steps);
    }
    return v;
}

/* gate += w(x), then its activation. */
static dn_status add_product(const gru_settings *s, const dn_run *run, const gru_views *v, int which, int t,
                             const float *x, float *gate, dn_activation activation) {
    size_t count = (size_t)dn_run_streams(run) * s->inner[which].layer.outputs;
    DN_TRY(dn_inner_forward(&s->inner[which], run, t, x, v->step[0], v->inner[which], v->scratch));
    run->ops->axpy(run->device, gate, 1, v->step[0], count);
    run->ops->activate(run->device, activation, gate, 1, 1, count);
    return DN_OK;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const gru_settings *s = layer->settings;
    const dn_ops *ops = run->ops;
    gru_views v = views(layer, run);
    const float *input = dn_run_input(run, layer), *old = v.before;
    float *output = run->output[layer->index], *carried = run->state[layer->index];
    size_t step = (size_t)dn_run_streams(run) * layer->outputs;
    ops->copy(run->device, v.before, carried, step);
    DN_TRY(dn_inner_forward_all(&s->inner[UZ], run, input, v.z, v.inner[UZ], v.scratch));
    DN_TRY(dn_inner_forward_all(&s->inner[UR], run, input, v.r, v.inner[UR], v.scratch));
    DN_TRY(dn_inner_forward_all(&s->inner[UH], run, input, v.candidate, v.inner[UH], v.scratch));
    for (int t = 0; t < run->steps; ++t) {
        size_t at = (size_t)t * step;
        float *reset = v.reset + at, *h = output + at;
        DN_TRY(add_product(s, run, &v, WZ, t, old, v.z + at, DN_ACTIVATION_LOGISTIC));
        DN_TRY(add_product(s, run, &v, WR, t, old, v.r + at, DN_ACTIVATION_LOGISTIC));
        ops->copy(run->device, reset, old, step);
        ops->multiply(run->device, reset, v.r + at, step);
        DN_TRY(add_product(s, run, &v, WH, t, reset, v.candidate + at, s->activation));
        /* h' = candidate + z (h - candidate) */
        ops->copy(run->device, v.step[0], old, step);
        ops->axpy(run->device, v.step[0], -1, v.candidate + at, step);
        ops->copy(run->device, h, v.candidate + at, step);
        ops->multiply_add(run->device, h, v.z + at, v.step[0], step);
        old = h;
    }
    ops->copy(run->device, carried, old, step);
    return DN_OK;
}

/* One step: delta of h' to the deltas of the three sums, and of h, added to old_delta. */
static dn_status backward_step(const dn_layer *layer, dn_run *run, const gru_views *v, int t,
                               const float *old, const float *delta, float *old_delta) {
    const gru_settings *s = layer->settings;
    const dn_ops *ops = run->ops;
    size_t step = (size_t)dn_run_streams(run) * layer->outputs, at = (size_t)t * step;
    float *z = v->z + at, *r = v->r + at, *candidate = v->candidate + at;
    float *z_delta = v->step[0], *candidate_delta = v->step[1], *reset_delta = v->step[2];
    /* dz = d (h - candidate); dcandidate = d (1 - z); dh = d z */
    ops->copy(run->device, z_delta, old, step);
    ops->axpy(run->device, z_delta, -1, candidate, step);
    ops->multiply(run->device, z_delta, delta, step);
    ops->activate_gradient(run->device, DN_ACTIVATION_LOGISTIC, z, NULL, z_delta, 1, 1, step);
    ops->copy(run->device, candidate_delta, delta, step);
    ops->multiply(run->device, candidate_delta, z, step);
    if (old_delta) ops->axpy(run->device, old_delta, 1, candidate_delta, step);
    ops->scale(run->device, candidate_delta, -1, step);
    ops->axpy(run->device, candidate_delta, 1, delta, step);
    ops->activate_gradient(run->device, s->activation, candidate, NULL, candidate_delta, 1, 1, step);
    ops->copy(run->device, v->z_delta + at, z_delta, step);
    ops->copy(run->device, v->candidate_delta + at, candidate_delta, step);
    /* through wh: d(r h), hence dr = d(r h) h and dh += d(r h) r */
    ops->fill(run->device, reset_delta, 0, step);
    DN_TRY(dn_inner_backward(&s->inner[WH], run, t, v->reset + at, NULL, candidate_delta, v->inner[WH],
                             reset_delta, v->scratch));
    if (old_delta) ops->multiply_add(run->device, old_delta, reset_delta, r, step);
    ops->multiply(run->device, reset_delta, old, step);
    ops->activate_gradient(run->device, DN_ACTIVATION_LOGISTIC, r, NULL, reset_delta, 1, 1, step);
    ops->copy(run->device, v->r_delta + at, reset_delta, step);
    DN_TRY(dn_inner_backward(&s->inner[WR], run, t, old, NULL, reset_delta, v->inner[WR], old_delta,
                             v->scratch));
    return dn_inner_backward(&s->inner[WZ], run, t, old, NULL, z_delta, v->inner[WZ], old_delta, v->scratch);
}

/* Truncated back-propagation through time: no gradient goes to the pass before. */
static dn_status backward(const dn_layer *layer, dn_run *run) {
    const gru_settings *s = layer->settings;
    gru_views v = views(layer, run);
    const float *input = dn_run_input(run, layer), *output = run->output[layer->index];
    float *delta = run->delta[layer->index], *input_delta = dn_run_input_delta(run, layer);
    size_t step = (size_t)dn_run_streams(run) * layer->outputs;
    for (int t = run->steps; t-- > 0;) {
        size_t at = (size_t)t * step;
        DN_TRY(backward_step(layer, run, &v, t, t ? output + at - step : v.before, delta + at,
                             t ? delta + at - step : NULL));
    }
    DN_TRY(dn_inner_backward_all(&s->inner[UZ], run, input, NULL, v.z_delta, v.inner[UZ], input_delta,
                                 v.scratch));
    DN_TRY(dn_inner_backward_all(&s->inner[UR], run, input, NULL, v.r_delta, v.inner[UR], input_delta,
                                 v.scratch));
    return dn_inner_backward_all(&s->inner[UH], run, input, NULL, v.candidate_delta, v.inner[UH], input_delta,
                                 v.scratch);
}

const dn_layer_type dn_type_gru = {
    .name = "gru",
    .summary = "gated recurrent unit",
    .keys = keys,
    .settings_size = sizeof(gru_settings),
    .configure = configure,
    .release = release,
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
};
