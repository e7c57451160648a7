/* deconvolutional.c - [deconvolutional]: the transpose of a convolution from this layer's output to its
 * input, with optional batch normalisation, bias and activation. Its weights are that convolution's, so its
 * three products are, too, each in another's place. compat.md 6.3. */
#include "layer.h"

#include <limits.h>

typedef struct deconvolutional_settings {
    dn_conv_shape mirror; /* the convolution this is the transpose of: in_* is our output, out_* our input */
    dn_activation activation;
    bool batch_normalize;
    int biases, scales, mean, variance, weights; /* parameter indices */
} deconvolutional_settings;

static const dn_key keys[] = {
    {"filters", "1", "number of filters"},
    {"size", "1", "side of the square kernel"},
    {"stride", "1", "step between the places where kernels are added"},
    {"pad", "0", "if non-zero, size/2 pixels are cut off on every side"},
    {"padding", "0", "pixels cut off on every side, used when pad=0"},
    {"batch_normalize", "0", "normalise before the activation"},
    {"activation", "logistic", "activation function"},
    {NULL, NULL, NULL},
};

static dn_status declare_params(dn_layer *layer, deconvolutional_settings *s) {
    const dn_conv_shape *mirror = &s->mirror;
    const int filters = mirror->in_c;
    dn_param *param;
    s->scales = s->mean = s->variance = -1;
    s->biases = layer->param_count;
    DN_TRY(dn_layer_add_param(layer, NULL, "biases", DN_PARAM_BIAS, filters, 0, 0, 0));
    if (s->batch_normalize) {
        s->scales = layer->param_count;
        DN_TRY(dn_layer_add_param(layer, &param, "scales", DN_PARAM_SCALE, filters, 0, 0, 0));
        param->center = 1;
        s->mean = layer->param_count;
        DN_TRY(dn_layer_add_param(layer, NULL, "rolling_mean", DN_PARAM_MEAN, filters, 0, 0, 0));
        s->variance = layer->param_count;
        DN_TRY(dn_layer_add_param(layer, NULL, "rolling_variance", DN_PARAM_VARIANCE, filters, 0, 0, 0));
    }
    s->weights = layer->param_count;
    DN_TRY(dn_layer_add_param(layer, &param, "weights", DN_PARAM_WEIGHT, mirror->out_c, filters, mirror->size,
                              mirror->size));
    param->filter_dim = 1;
    param->normal = true;
    param->spread = 0.02f * (float)layer->outputs / (float)filters /
                    ((float)layer->in_w * (float)layer->in_h); /* grows with the map, as in the reference */
    return DN_OK;
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    deconvolutional_settings *s = layer->settings;
    dn_conv_shape *mirror = &s->mirror;
    bool pad;
    int stride;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&mirror->in_c, section, "filters", 1, 1 << 24));
    DN_TRY(dn_option_int(&mirror->size, section, "size", 1, 1024));
    DN_TRY(dn_option_int(&stride, section, "stride", 1, 4096));
    DN_TRY(dn_option_flag(&pad, section, "pad"));
    DN_TRY(dn_option_int(&mirror->pad, section, "padding", 0, 4096));
    DN_TRY(dn_option_flag(&s->batch_normalize, section, "batch_normalize"));
    DN_TRY(dn_layer_activation(&s->activation, section, "activation"));
    if (pad) mirror->pad = mirror->size / 2;
    int64_t w = (int64_t)(layer->in_w - 1) * stride + mirror->size - 2 * mirror->pad;
    int64_t h = (int64_t)(layer->in_h - 1) * stride + mirror->size - 2 * mirror->pad;
    if (w < 1 || h < 1 || w > INT_MAX || h > INT_MAX)
        return dn_option_error(section, "size",
                               "the output would be %lld x %lld: an input of %d x %d, stride %d, a %d x %d "
                               "kernel, %d cut off on every side",
                               (long long)w, (long long)h, layer->in_w, layer->in_h, stride, mirror->size,
                               mirror->size, mirror->pad);
    int deepest = dn_max_int(layer->in_c, mirror->in_c); /* forward or backward */
    if ((int64_t)mirror->size * mirror->size * deepest > INT_MAX)
        return dn_option_error(section, "size", "kernels of %d x %d x %d are too large", mirror->size,
                               mirror->size, deepest);
    mirror->in_w = (int)w;
    mirror->in_h = (int)h;
    mirror->out_c = layer->in_c;
    mirror->out_h = layer->in_h;
    mirror->out_w = layer->in_w;
    mirror->stride_x = mirror->stride_y = stride;
    mirror->dilation = mirror->groups = 1;
    DN_TRY(dn_layer_set_output(layer, section, mirror->in_w, mirror->in_h, mirror->in_c));
    DN_TRY(declare_params(layer, s));

    layer->flops = 2.0 * (double)layer->params[s->weights].count * layer->in_w * layer->in_h;
    if (s->batch_normalize) layer->saved_fixed += 2 * (size_t)mirror->in_c; /* mean, variance */
    if (s->batch_normalize) layer->saved_per_image += layer->outputs;       /* before normalisation */
    if (dn_activation_needs_pre(s->activation)) layer->saved_per_image += layer->outputs;
    return DN_OK;
}

/* What training keeps from forward to backward, in this order. */
typedef struct saved_views {
    float *before_norm, *before_activation; /* [batch][outputs] */
    float *mean, *variance;
} saved_views;

static saved_views views(const dn_layer *layer, const dn_run *run) {
    const deconvolutional_settings *s = layer->settings;
    saved_views v = {0};
    float *at = run->saved[layer->index];
    size_t total = (size_t)run->batch * layer->outputs;
    if (s->batch_normalize) v.before_norm = at, at += total;
    if (dn_activation_needs_pre(s->activation)) v.before_activation = at, at += total;
    if (s->batch_normalize) v.mean = at, v.variance = at + s->mirror.in_c;
    return v;
}

/* The convolutions' own; in training behind it the gradient of the input, before it is added. */
static size_t own_scratch(const deconvolutional_settings *s, const dn_ops *ops, dn_device *device,
                          int batch) {
    return dn_round_up(ops->conv_scratch(device, &s->mirror, batch), 16);
}

static size_t scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    return own_scratch(layer->settings, ops, device, batch) + (train ? (size_t)batch * layer->inputs : 0);
}

static dn_conv_shape mirror_of(const deconvolutional_settings *s, const dn_run *run) {
    dn_conv_shape mirror = s->mirror;
    mirror.exact = run->exact;
    return mirror;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const deconvolutional_settings *s = layer->settings;
    const dn_conv_shape mirror = mirror_of(s, run);
    const dn_ops *ops = run->ops;
    const int filters = layer->out_c;
    size_t pixels = (size_t)layer->out_w * (size_t)layer->out_h, total = (size_t)run->batch * layer->outputs;
    float *output = run->output[layer->index];
    const float *biases = dn_run_param(run, layer, s->biases);
    saved_views saved = {0};
    if (run->train) saved = views(layer, run);

    float *sums = run->train && s->batch_normalize ? saved.before_norm : output;
    ops->conv_data_gradient(run->device, &mirror, run->batch, dn_run_param(run, layer, s->weights),
                            dn_run_input(run, layer), sums, false, run->scratch);
    if (!s->batch_normalize)
        ops->bias_add(run->device, output, biases, run->batch, filters, pixels);
    else if (run->train)
        ops->batchnorm_forward(run->device, sums, output, saved.mean, saved.variance,
                               dn_run_param(run, layer, s->mean), dn_run_param(run, layer, s->variance),
                               dn_run_param(run, layer, s->scales), biases, DN_ACTIVATION_LINEAR, run->batch,
                               filters, pixels, run->pjreddie_cpu);
    else
        ops->batchnorm_infer(run->device, output, dn_run_param(run, layer, s->mean),
                             dn_run_param(run, layer, s->variance), dn_run_param(run, layer, s->scales),
                             biases, run->batch, filters, pixels, run->pjreddie_cpu);
    if (saved.before_activation) ops->copy(run->device, saved.before_activation, output, total);
    ops->activate(run->device, s->activation, output, run->batch, filters, pixels);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const deconvolutional_settings *s = layer->settings;
    const dn_conv_shape mirror = mirror_of(s, run);
    const dn_ops *ops = run->ops;
    const int filters = layer->out_c;
    size_t pixels = (size_t)layer->out_w * (size_t)layer->out_h;
    saved_views saved = views(layer, run);
    float *delta = run->delta[layer->index], *input_delta = dn_run_input_delta(run, layer);
    float *bias_gradient = dn_run_gradient(run, layer, s->biases);

    ops->activate_gradient(run->device, s->activation, run->output[layer->index], saved.before_activation,
                           delta, run->batch, filters, pixels);
    if (s->batch_normalize)
        ops->batchnorm_backward(run->device, saved.before_norm, NULL, saved.mean, saved.variance,
                                dn_run_param(run, layer, s->scales), DN_ACTIVATION_LINEAR, delta,
                                dn_run_gradient(run, layer, s->scales), bias_gradient, run->batch, filters,
                                pixels, run->pjreddie_cpu);
    else
        ops->bias_gradient(run->device, bias_gradient, delta, run->batch, filters, pixels);

    ops->conv_weight_gradient(run->device, &mirror, run->batch, delta, dn_run_input(run, layer),
                              dn_run_gradient(run, layer, s->weights), run->scratch);
    if (!input_delta) return DN_OK;
    float *gradient = run->scratch + own_scratch(s, ops, run->device, run->batch);
    ops->conv_forward(run->device, &mirror, run->batch, delta, dn_run_param(run, layer, s->weights), gradient,
                      run->scratch);
    ops->axpy(run->device, input_delta, 1, gradient, (size_t)run->batch * layer->inputs);
    return DN_OK;
}

const dn_layer_type dn_type_deconvolutional = {
    .name = "deconvolutional",
    .aliases = "deconv",
    .summary = "transposed convolution with bias or batch normalisation and activation",
    .keys = keys,
    .settings_size = sizeof(deconvolutional_settings),
    .configure = configure,
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
};
