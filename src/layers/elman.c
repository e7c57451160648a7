/* elman.c - the passes of the simple recurrent network over time steps. */
#include "elman.h"

void dn_elman_finish(dn_layer *layer) {
    dn_elman *s = layer->settings;
    dn_inner_link(s->inner, DN_ELMAN_INNERS, layer);
    s->hidden = s->inner[DN_ELMAN_SELF].layer.outputs;
    layer->outputs = s->inner[DN_ELMAN_OUTPUT].layer.outputs;
    layer->state_per_stream = s->hidden;
    layer->saved_per_image += 4 * s->hidden; /* input's and self's outputs, states, their deltas */
    layer->saved_per_stream = s->hidden;     /* the state before the first step */
}

void dn_elman_release(dn_layer *layer) {
    dn_elman *s = layer->settings;
    dn_inner_release(s->inner, DN_ELMAN_INNERS);
}

/* Everything a pass needs, in the saved memory of training or, without deltas, in scratch. */
typedef struct elman_views {
    float *inner[DN_ELMAN_INNERS]; /* what the inner layers keep; NULL outside training */
    float *input, *self;           /* their outputs [steps][streams][hidden] */
    float *before;                 /* the state before the first step, followed by... */
    float *states;                 /* ...the state after each step */
    float *deltas;                 /* of the states */
} elman_views;

static size_t own_floats(const dn_elman *s, int rows, int streams) {
    return (size_t)(3 * rows + streams) * s->hidden;
}

static elman_views views(const dn_elman *s, const dn_run *run, float *at) {
    size_t rows = (size_t)run->batch * s->hidden;
    elman_views v = {0};
    v.input = at;
    v.self = at + rows;
    v.before = at + 2 * rows;
    v.states = v.before + (size_t)dn_run_streams(run) * s->hidden;
    at = v.states + rows;
    if (!run->train) return v;
    v.deltas = at;
    at += rows;
    for (int i = 0; i < DN_ELMAN_INNERS; ++i) {
        v.inner[i] = at;
        at += dn_inner_saved(&s->inner[i], run->batch, run->steps);
    }
    return v;
}

/* Scratch: the inner layers' own, then the delta of one step or, outside training, the views. */
size_t dn_elman_scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    const dn_elman *s = layer->settings;
    size_t floats = dn_round_up(dn_inner_scratch(s->inner, DN_ELMAN_INNERS, ops, device, batch, train), 16);
    return floats + (train ? (size_t)batch * s->hidden : own_floats(s, batch, batch));
}

static size_t inner_scratch(const dn_elman *s, const dn_run *run) {
    return dn_round_up(
        dn_inner_scratch(s->inner, DN_ELMAN_INNERS, run->ops, run->device, run->batch, run->train), 16);
}

static elman_views find_views(const dn_layer *layer, const dn_run *run) {
    const dn_elman *s = layer->settings;
    return views(s, run, run->train ? run->saved[layer->index] : run->scratch + inner_scratch(s, run));
}

dn_status dn_elman_forward(const dn_layer *layer, dn_run *run) {
    const dn_elman *s = layer->settings;
    const dn_ops *ops = run->ops;
    elman_views v = find_views(layer, run);
    size_t step = (size_t)dn_run_streams(run) * s->hidden;
    float *carried = run->state[layer->index];
    DN_TRY(dn_inner_forward_all(&s->inner[DN_ELMAN_INPUT], run, dn_run_input(run, layer), v.input,
                                v.inner[DN_ELMAN_INPUT], run->scratch));
    if (run->train && s->forgets) ops->fill(run->device, carried, 0, step);
    ops->copy(run->device, v.before, carried, step);
    ops->copy(run->device, v.states, v.input, step * (size_t)run->steps);
    for (int t = 0; t < run->steps; ++t) {
        float *self = v.self + (size_t)t * step, *state = v.states + (size_t)t * step;
        const float *old = state - step; /* the first one is v.before */
        DN_TRY(dn_inner_forward(&s->inner[DN_ELMAN_SELF], run, t, old, self, v.inner[DN_ELMAN_SELF],
                                run->scratch));
        ops->axpy(run->device, state, 1, self, step);
        if (s->shortcut) ops->axpy(run->device, state, 1, old, step);
    }
    ops->copy(run->device, carried, v.states + (size_t)(run->steps - 1) * step, step);
    return dn_inner_forward_all(&s->inner[DN_ELMAN_OUTPUT], run, v.states, run->output[layer->index],
                                v.inner[DN_ELMAN_OUTPUT], run->scratch);
}

/* Truncated back-propagation through time: no gradient goes to the pass before. */
dn_status dn_elman_backward(const dn_layer *layer, dn_run *run) {
    const dn_elman *s = layer->settings;
    const dn_ops *ops = run->ops;
    elman_views v = find_views(layer, run);
    size_t step = (size_t)dn_run_streams(run) * s->hidden, total = step * (size_t)run->steps;
    ops->fill(run->device, v.deltas, 0, total);
    DN_TRY(dn_inner_backward_all(&s->inner[DN_ELMAN_OUTPUT], run, v.states, run->output[layer->index],
                                 run->delta[layer->index], v.inner[DN_ELMAN_OUTPUT], v.deltas, run->scratch));
    float *delta = run->scratch + inner_scratch(s, run);
    for (int t = run->steps; t-- > 0;) {
        float *state_delta = v.deltas + (size_t)t * step, *old_delta = t ? state_delta - step : NULL;
        ops->copy(run->device, delta, state_delta, step);
        DN_TRY(dn_inner_backward(&s->inner[DN_ELMAN_SELF], run, t, v.states + (size_t)t * step - step,
                                 v.self + (size_t)t * step, delta, v.inner[DN_ELMAN_SELF], old_delta,
                                 run->scratch));
        if (s->shortcut && old_delta) ops->axpy(run->device, old_delta, 1, state_delta, step);
    }
    return dn_inner_backward_all(&s->inner[DN_ELMAN_INPUT], run, dn_run_input(run, layer), v.input, v.deltas,
                                 v.inner[DN_ELMAN_INPUT], dn_run_input_delta(run, layer), run->scratch);
}
