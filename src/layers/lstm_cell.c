/* lstm_cell.c - forward and backward of long short-term memory over time steps. */
#include "lstm_cell.h"

static bool has_inner(const dn_lstm_cell *s, int k) {
    return k < DN_LSTM_V || (s->peephole && k != DN_LSTM_V + DN_GATE_G);
}

void dn_lstm_finish(dn_layer *layer) {
    dn_lstm_cell *s = layer->settings;
    int kept = 0; /* outputs of inner layers */
    for (int k = 0; k < DN_LSTM_INNERS; ++k) {
        if (!has_inner(s, k)) continue;
        dn_inner_link(&s->inner[k], 1, layer);
        kept += !s->plain;
    }
    layer->outputs = s->inner[DN_LSTM_W].layer.outputs;
    layer->state_per_stream = 2 * layer->outputs;                                 /* h, c */
    layer->saved_per_image += (size_t)(2 * DN_GATES + 1 + kept) * layer->outputs; /* gates, c, deltas, kept */
    layer->saved_per_stream = 2 * layer->outputs; /* both before the first step */
}

void dn_lstm_release(dn_layer *layer) {
    dn_lstm_cell *s = layer->settings;
    dn_inner_release(s->inner, DN_LSTM_INNERS);
}

/* ---- memory ---- */

enum { STEP_ARRAYS = 5 };

/* Arrays [steps][streams][outputs]. */
typedef struct lstm_views {
    float *saved[DN_LSTM_INNERS];            /* what the inner layers keep; NULL outside training */
    float *kept[DN_LSTM_INNERS];             /* their outputs; NULL if nobody needs them later */
    float *gate[DN_GATES], *delta[DN_GATES]; /* deltas of the sums; NULL outside training */
    float *h_before, *c;                     /* one step of c lies in front: that before the first step */
    float *step[STEP_ARRAYS];
    float *scratch; /* of the inner layers */
} lstm_views;

static size_t inner_scratch(const dn_lstm_cell *s, const dn_ops *ops, dn_device *device, int rows,
                            bool train) {
    size_t most = 0;
    for (int k = 0; k < DN_LSTM_INNERS; ++k)
        if (has_inner(s, k))
            most = dn_max_size(most, dn_inner_scratch(&s->inner[k], 1, ops, device, rows, train));
    return dn_round_up(most, 16);
}

size_t dn_lstm_scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    const dn_lstm_cell *s = layer->settings;
    size_t rows = (size_t)batch * layer->outputs;
    return inner_scratch(s, ops, device, batch, train) + (STEP_ARRAYS + (train ? 0 : DN_GATES + 3)) * rows;
}

static lstm_views views(const dn_layer *layer, const dn_run *run) {
    const dn_lstm_cell *s = layer->settings;
    size_t rows = (size_t)run->batch * layer->outputs, step = rows / (size_t)run->steps;
    lstm_views v = {.scratch = run->scratch};
    float *at = run->scratch + inner_scratch(s, run->ops, run->device, run->batch, run->train);
    for (int i = 0; i < STEP_ARRAYS; ++i, at += step) v.step[i] = at;
    if (run->train) at = run->saved[layer->index];
    for (int g = 0; g < DN_GATES; ++g, at += rows) v.gate[g] = at;
    v.h_before = at;
    v.c = at + 2 * step;
    at = v.c + rows;
    for (int g = 0; g < DN_GATES && run->train; ++g, at += rows) v.delta[g] = at;
    for (int k = 0; k < DN_LSTM_INNERS && run->train; ++k) {
        if (!has_inner(s, k)) continue;
        v.saved[k] = at;
        at += dn_inner_saved(&s->inner[k], run->batch, run->steps);
        if (s->plain) continue;
        v.kept[k] = at;
        at += rows;
    }
    return v;
}

/* ---- forward ---- */

/* gate += inner(x) of one step. */
static dn_status add_product(const dn_lstm_cell *s, const dn_run *run, const lstm_views *v, int k, int t,
                             const float *x, float *gate) {
    size_t count = (size_t)dn_run_streams(run) * s->inner[k].layer.outputs;
    float *product = v->kept[k] ? v->kept[k] + (size_t)t * count : v->step[0];
    DN_TRY(dn_inner_forward(&s->inner[k], run, t, x, product, v->saved[k], v->scratch));
    run->ops->axpy(run->device, gate, 1, product, count);
    return DN_OK;
}

static dn_status forward_step(const dn_layer *layer, dn_run *run, const lstm_views *v, int t,
                              const float *old_h, float *h) {
    const dn_lstm_cell *s = layer->settings;
    const dn_ops *ops = run->ops;
    size_t step = (size_t)dn_run_streams(run) * layer->outputs, at = (size_t)t * step;
    float *f = v->gate[DN_GATE_F] + at, *i = v->gate[DN_GATE_I] + at, *g = v->gate[DN_GATE_G] + at;
    float *o = v->gate[DN_GATE_O] + at, *c = v->c + at, *old_c = c - step;
    for (int k = 0; k < DN_GATES; ++k)
        DN_TRY(add_product(s, run, v, DN_LSTM_W + k, t, old_h, v->gate[k] + at));
    if (s->peephole) {
        DN_TRY(add_product(s, run, v, DN_LSTM_V + DN_GATE_F, t, old_c, f));
        DN_TRY(add_product(s, run, v, DN_LSTM_V + DN_GATE_I, t, old_c, i));
    }
    ops->activate(run->device, DN_ACTIVATION_LOGISTIC, f, 1, 1, step);
    ops->activate(run->device, DN_ACTIVATION_LOGISTIC, i, 1, 1, step);
    ops->activate(run->device, s->squash, g, 1, 1, step);
    ops->copy(run->device, c, old_c, step);
    ops->multiply(run->device, c, f, step);
    ops->multiply_add(run->device, c, i, g, step);
    if (s->constrain > 0) ops->clamp(run->device, c, s->constrain, step);
    if (s->peephole) DN_TRY(add_product(s, run, v, DN_LSTM_V + DN_GATE_O, t, c, o));
    ops->activate(run->device, DN_ACTIVATION_LOGISTIC, o, 1, 1, step);
    ops->copy(run->device, h, c, step);
    ops->activate(run->device, s->squash, h, 1, 1, step);
    ops->multiply(run->device, h, o, step);
    return DN_OK;
}

dn_status dn_lstm_forward(const dn_layer *layer, dn_run *run) {
    const dn_lstm_cell *s = layer->settings;
    const dn_ops *ops = run->ops;
    lstm_views v = views(layer, run);
    size_t step = (size_t)dn_run_streams(run) * layer->outputs, total = step * (size_t)run->steps;
    float *output = run->output[layer->index], *carried = run->state[layer->index];
    size_t n = layer->outputs, streams = (size_t)dn_run_streams(run); /* carried: h and c of each stream */
    ops->copy_rows(run->device, v.h_before, n, carried, 2 * n, streams, n, false);
    ops->copy_rows(run->device, v.c - step, n, carried + n, 2 * n, streams, n, false);
    for (int k = 0; k < DN_GATES; ++k) {
        int u = DN_LSTM_U + k;
        float *product = v.kept[u] ? v.kept[u] : v.gate[k];
        DN_TRY(dn_inner_forward_all(&s->inner[u], run, dn_run_input(run, layer), product, v.saved[u],
                                    v.scratch));
        if (product != v.gate[k]) ops->copy(run->device, v.gate[k], product, total);
    }
    for (int t = 0; t < run->steps; ++t) {
        float *h = output + (size_t)t * step;
        DN_TRY(forward_step(layer, run, &v, t, t ? h - step : v.h_before, h));
    }
    ops->copy_rows(run->device, carried, 2 * n, output + total - step, n, streams, n, false);
    ops->copy_rows(run->device, carried + n, 2 * n, v.c + total - step, n, streams, n, false);
    return DN_OK;
}

/* ---- backward ---- */

/* Through one step of an inner layer; delta is kept. */
static dn_status backward_product(const dn_lstm_cell *s, const dn_run *run, const lstm_views *v, int k, int t,
                                  const float *x, const float *delta, float *input_delta) {
    size_t count = (size_t)dn_run_streams(run) * s->inner[k].layer.outputs;
    float *own = v->step[2], *product = v->kept[k] ? v->kept[k] + (size_t)t * count : NULL;
    run->ops->copy(run->device, own, delta, count);
    return dn_inner_backward(&s->inner[k], run, t, x, product, own, v->saved[k], input_delta, v->scratch);
}

/* target = delta * factor * g'(gate) */
static void gate_delta(const dn_run *run, float *target, const float *delta, const float *factor,
                       dn_activation kind, const float *gate, size_t count) {
    run->ops->copy(run->device, target, delta, count);
    run->ops->multiply(run->device, target, factor, count);
    run->ops->activate_gradient(run->device, kind, gate, NULL, target, 1, 1, count);
}

/* The deltas of the four sums from that of h, and from c_delta, that of c, which becomes that of the old c.
 */
static dn_status gates_backward(const dn_layer *layer, dn_run *run, const lstm_views *v, int t,
                                const float *delta, float *c_delta) {
    const dn_lstm_cell *s = layer->settings;
    const dn_ops *ops = run->ops;
    size_t step = (size_t)dn_run_streams(run) * layer->outputs, at = (size_t)t * step;
    float *f = v->gate[DN_GATE_F] + at, *i = v->gate[DN_GATE_I] + at, *g = v->gate[DN_GATE_G] + at;
    float *o = v->gate[DN_GATE_O] + at, *c = v->c + at, *old_c = c - step;
    float *f_delta = v->delta[DN_GATE_F] + at, *i_delta = v->delta[DN_GATE_I] + at;
    float *g_delta = v->delta[DN_GATE_G] + at, *o_delta = v->delta[DN_GATE_O] + at;
    float *squashed = v->step[0], *through_h = v->step[1];
    ops->copy(run->device, squashed, c, step);
    ops->activate(run->device, s->squash, squashed, 1, 1, step);
    gate_delta(run, through_h, delta, o, s->squash, squashed, step);
    ops->axpy(run->device, c_delta, 1, through_h, step);
    gate_delta(run, o_delta, delta, squashed, DN_ACTIVATION_LOGISTIC, o, step);
    if (s->peephole) DN_TRY(backward_product(s, run, v, DN_LSTM_V + DN_GATE_O, t, c, o_delta, c_delta));
    gate_delta(run, i_delta, c_delta, g, DN_ACTIVATION_LOGISTIC, i, step);
    gate_delta(run, g_delta, c_delta, i, s->squash, g, step);
    gate_delta(run, f_delta, c_delta, old_c, DN_ACTIVATION_LOGISTIC, f, step);
    ops->multiply(run->device, c_delta, f, step);
    if (!s->peephole) return DN_OK;
    DN_TRY(backward_product(s, run, v, DN_LSTM_V + DN_GATE_F, t, old_c, f_delta, c_delta));
    return backward_product(s, run, v, DN_LSTM_V + DN_GATE_I, t, old_c, i_delta, c_delta);
}

/* Truncated back-propagation through time: no gradient goes to the pass before. */
dn_status dn_lstm_backward(const dn_layer *layer, dn_run *run) {
    const dn_lstm_cell *s = layer->settings;
    const dn_ops *ops = run->ops;
    lstm_views v = views(layer, run);
    size_t step = (size_t)dn_run_streams(run) * layer->outputs;
    const float *output = run->output[layer->index];
    float *c_delta = v.step[3], *h_delta = v.step[4];
    ops->fill(run->device, c_delta, 0, step);
    for (int t = run->steps; t-- > 0;) {
        size_t at = (size_t)t * step;
        float *delta = run->delta[layer->index] + at;
        DN_TRY(gates_backward(layer, run, &v, t, delta, c_delta));
        ops->fill(run->device, h_delta, 0, step);
        for (int k = 0; k < DN_GATES; ++k)
            DN_TRY(backward_product(s, run, &v, DN_LSTM_W + k, t, t ? output + at - step : v.h_before,
                                    v.delta[k] + at, t ? h_delta : NULL));
        if (t) ops->axpy(run->device, delta - step, s->time_normalizer, h_delta, step);
        if (s->time_normalizer != 1) ops->scale(run->device, c_delta, s->time_normalizer, step);
    }
    for (int k = 0; k < DN_GATES; ++k)
        DN_TRY(dn_inner_backward_all(&s->inner[DN_LSTM_U + k], run, dn_run_input(run, layer),
                                     v.kept[DN_LSTM_U + k], v.delta[k], v.saved[DN_LSTM_U + k],
                                     dn_run_input_delta(run, layer), v.scratch));
    return DN_OK;
}
