/* connected.c - [connected]: y = activation(W x + b), optionally batch-normalised. compat.md 6.4. */
#include "connected.h"

#include <math.h>

typedef struct connected_settings {
    dn_activation activation;
    bool batch_normalize;
    int biases, weights, scales, mean, variance; /* parameter indices */
} connected_settings;

static const dn_key keys[] = {
    {"output", "1", "number of outputs"},
    {"activation", "logistic", "activation function"},
    {"batch_normalize", "0", "normalise before the activation"},
    {NULL, NULL, NULL},
};

static dn_status declare_params(dn_layer *layer, connected_settings *s, int outputs, int inputs) {
    dn_param *param;
    s->scales = s->mean = s->variance = -1;
    s->biases = layer->param_count;
    DN_TRY(dn_layer_add_param(layer, NULL, "biases", DN_PARAM_BIAS, outputs, 0, 0, 0));
    s->weights = layer->param_count;
    DN_TRY(dn_layer_add_param(layer, &param, "weights", DN_PARAM_WEIGHT, outputs, inputs, 0, 0));
    param->spread = sqrtf(2.0f / (float)inputs);
    param->file_transposed = true;
    if (!s->batch_normalize) return DN_OK;
    s->scales = layer->param_count;
    DN_TRY(dn_layer_add_param(layer, &param, "scales", DN_PARAM_SCALE, outputs, 0, 0, 0));
    param->center = 1;
    s->mean = layer->param_count;
    DN_TRY(dn_layer_add_param(layer, NULL, "rolling_mean", DN_PARAM_MEAN, outputs, 0, 0, 0));
    s->variance = layer->param_count;
    return dn_layer_add_param(layer, NULL, "rolling_variance", DN_PARAM_VARIANCE, outputs, 0, 0, 0);
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    int outputs;
    dn_activation activation;
    bool batch_normalize;
    DN_TRY(dn_option_int(&outputs, section, "output", 1, 1 << 28));
    DN_TRY(dn_layer_activation(&activation, section, "activation"));
    DN_TRY(dn_option_flag(&batch_normalize, section, "batch_normalize"));
    return dn_connected_configure(layer, section, outputs, activation, batch_normalize);
}

dn_status dn_connected_configure(dn_layer *layer, dn_section *section, int outputs, dn_activation activation,
                                 bool batch_normalize) {
    connected_settings *s = layer->settings;
    s->activation = activation;
    s->batch_normalize = batch_normalize;
    if (layer->inputs > 1u << 30)
        return dn_option_error(section, NULL, "%zu inputs are too many", layer->inputs);
    DN_TRY(dn_layer_set_output(layer, section, 1, 1, outputs));
    DN_TRY(declare_params(layer, s, outputs, (int)layer->inputs));
    layer->flops = 2.0 * (double)layer->inputs * outputs;
    if (s->batch_normalize) {
        layer->saved_per_image += layer->outputs; /* before normalisation */
        layer->saved_fixed += 2 * layer->outputs; /* mean, variance */
    }
    if (dn_activation_needs_pre(s->activation)) layer->saved_per_image += layer->outputs;
    return DN_OK;
}

typedef struct saved_views {
    float *before_norm, *before_activation, *mean, *variance;
} saved_views;

static saved_views views(const dn_layer *layer, const dn_run *run) {
    const connected_settings *s = layer->settings;
    saved_views v = {0};
    float *at = run->saved[layer->index];
    size_t total = (size_t)run->batch * layer->outputs;
    if (s->batch_normalize) v.before_norm = at, at += total;
    if (dn_activation_needs_pre(s->activation)) v.before_activation = at, at += total;
    if (s->batch_normalize) v.mean = at, v.variance = at + layer->outputs;
    return v;
}

/* The largest of the three products: y = x W^T, dW = dy^T x, dx = dy W. */
static size_t scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    int in = (int)layer->inputs, out = (int)layer->outputs;
    size_t floats = ops->matmul_scratch(device, batch, out, in);
    if (!train) return floats;
    floats = dn_max_size(floats, ops->matmul_scratch(device, out, in, batch));
    return dn_max_size(floats, ops->matmul_scratch(device, batch, in, out));
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const connected_settings *s = layer->settings;
    const dn_ops *ops = run->ops;
    int in = (int)layer->inputs, out = (int)layer->outputs;
    size_t total = (size_t)run->batch * layer->outputs;
    float *output = run->output[layer->index];
    const float *biases = dn_run_param(run, layer, s->biases);
    saved_views saved = {0};
    if (run->train) saved = views(layer, run);

    float *sums = run->train && s->batch_normalize ? saved.before_norm : output;
    ops->matmul(run->device, false, true, run->batch, out, in, dn_run_input(run, layer),
                dn_run_param(run, layer, s->weights), sums, false, run->scratch);
    if (!s->batch_normalize)
        ops->bias_add(run->device, output, biases, run->batch, out, 1);
    else if (run->train)
        ops->batchnorm_forward(run->device, sums, output, saved.mean, saved.variance,
                               dn_run_param(run, layer, s->mean), dn_run_param(run, layer, s->variance),
                               dn_run_param(run, layer, s->scales), biases, DN_ACTIVATION_LINEAR, run->batch,
                               out, 1, run->pjreddie_cpu);
    else
        ops->batchnorm_infer(run->device, output, dn_run_param(run, layer, s->mean),
                             dn_run_param(run, layer, s->variance), dn_run_param(run, layer, s->scales),
                             biases, run->batch, out, 1, run->pjreddie_cpu);
    if (saved.before_activation) ops->copy(run->device, saved.before_activation, output, total);
    ops->activate(run->device, s->activation, output, run->batch, out, 1);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const connected_settings *s = layer->settings;
    const dn_ops *ops = run->ops;
    int in = (int)layer->inputs, out = (int)layer->outputs;
    saved_views saved = views(layer, run);
    float *delta = run->delta[layer->index], *input_delta = dn_run_input_delta(run, layer);
    float *bias_gradient = dn_run_gradient(run, layer, s->biases);

    ops->activate_gradient(run->device, s->activation, run->output[layer->index], saved.before_activation,
                           delta, run->batch, out, 1);
    if (s->batch_normalize)
        ops->batchnorm_backward(run->device, saved.before_norm, NULL, saved.mean, saved.variance,
                                dn_run_param(run, layer, s->scales), DN_ACTIVATION_LINEAR, delta,
                                dn_run_gradient(run, layer, s->scales), bias_gradient, run->batch, out, 1,
                                run->pjreddie_cpu);
    else
        ops->bias_gradient(run->device, bias_gradient, delta, run->batch, out, 1);
    ops->matmul(run->device, true, false, out, in, run->batch, delta, dn_run_input(run, layer),
                dn_run_gradient(run, layer, s->weights), true, run->scratch);
    if (input_delta)
        ops->matmul(run->device, false, false, run->batch, in, out, delta,
                    dn_run_param(run, layer, s->weights), input_delta, true, run->scratch);
    return DN_OK;
}

const dn_layer_type dn_type_connected = {
    .name = "connected",
    .aliases = "conn",
    .summary = "every output is a weighted sum of every input",
    .keys = keys,
    .settings_size = sizeof(connected_settings),
    .configure = configure,
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
};
