/* convolutional.c - [convolutional]: cross-correlation with zero padding, groups and dilation, optional batch
 * normalisation, bias, activation, antialiasing; and its binary forms (XNOR-Net, float arithmetic).
 * compat.md 6.1, 6.2, 20.7. */
#include "blur.h"
#include "convolutional.h"

#include <limits.h>
#include <math.h>
#include <string.h>

typedef struct convolutional_settings {
    dn_conv_shape shape;
    dn_blur blur; /* after the activation */
    dn_activation activation;
    bool batch_normalize, binary, xnor;
    int biases, scales, mean, variance, weights; /* parameter indices */
    size_t sharp; /* floats per image before the blur; without one, the output */
} convolutional_settings;

static const dn_key keys[] = {
    {"filters", "1", "number of filters"},
    {"size", "1", "side of the square kernel"},
    {"stride", "1", "step between windows"},
    {"stride_x", NULL, "horizontal step; counts only together with stride_y"},
    {"stride_y", NULL, "vertical step"},
    {"pad", "0", "if non-zero, size/2 zeros are added on every side"},
    {"padding", "0", "zeros on every side, used when pad=0"},
    {"dilation", "1", "distance between the kernel's taps; 1 for size=1"},
    {"groups", "1", "input and filters are split into this many independent groups"},
    {"batch_normalize", "0", "normalise before the activation"},
    {"activation", "logistic", "activation function"},
    {"binary", "0", "weights are replaced by their sign times their mean magnitude"},
    {"xnor", "0", "as binary, and inputs are replaced by their sign"},
    {"flipped", "0", "the weights file holds the matrix transposed"},
    {"dot", "0", "read, without effect, as in the reference"},
    {"smooth", "0", "read, without effect: smooths gradients in the reference's GPU build"},
    {"bin_output", "0", "read, without effect: the next layer, xnor=1, takes the sign anyway"},
    {"antialiasing", "0", "run at stride 1, then blur with the stride: 1 by 3x3, 2 by 2x2"},
    {"cbn", "0", "fork: statistics across iterations; plain batch normalisation is trained"},
    {"grad_centr", "0", "fork: centred gradients, no effect"},
    {"sway", "0", "fork: training with moved kernels, no effect"},
    {"rotate", "0", "fork: training with turned kernels, no effect"},
    {"stretch", "0", "fork: training with scaled kernels, no effect"},
    {"stretch_sway", "0", "fork: training with scaled and moved kernels, no effect"},
    {"angle", "15", "fork: of rotate, no effect"},
    {"assisted_excitation", "0", "fork: activations raised where truths are, in training, no effect"},
    {"reverse", "0", "fork: no effect"},
    {"coordconv", "0", "fork: no effect"},
    {"stream", "-1", "fork: of the graphics processor, no effect"},
    {"wait_stream", "-1", "fork: of the graphics processor, no effect"},
    {"share_index", NULL, "use all parameters of that layer; nothing is stored for this one"},
    {NULL, NULL, NULL},
};

/* Strides: both stride_x and stride_y, or stride for either. */
static dn_status read_strides(dn_conv_shape *shape, dn_section *section) {
    int stride, x, y;
    DN_TRY(dn_option_int(&stride, section, "stride", 1, 4096));
    DN_TRY(dn_option_int_or(&x, section, "stride_x", -1, -1, 4096));
    DN_TRY(dn_option_int_or(&y, section, "stride_y", -1, -1, 4096));
    bool both = x > 0 && y > 0;
    shape->stride_x = both ? x : stride;
    shape->stride_y = both ? y : stride;
    return DN_OK;
}

static dn_status declare_params(dn_layer *layer, convolutional_settings *s, bool flipped) {
    const dn_conv_shape *shape = &s->shape;
    dn_param *param;
    s->scales = s->mean = s->variance = -1;
    s->biases = layer->param_count;
    DN_TRY(dn_layer_add_param(layer, NULL, "biases", DN_PARAM_BIAS, shape->out_c, 0, 0, 0));
    if (s->batch_normalize) {
        s->scales = layer->param_count;
        DN_TRY(dn_layer_add_param(layer, &param, "scales", DN_PARAM_SCALE, shape->out_c, 0, 0, 0));
        param->center = 1;
        s->mean = layer->param_count;
        DN_TRY(dn_layer_add_param(layer, NULL, "rolling_mean", DN_PARAM_MEAN, shape->out_c, 0, 0, 0));
        s->variance = layer->param_count;
        DN_TRY(dn_layer_add_param(layer, NULL, "rolling_variance", DN_PARAM_VARIANCE, shape->out_c, 0, 0, 0));
    }
    s->weights = layer->param_count;
    int group_c = shape->in_c / shape->groups;
    DN_TRY(dn_layer_add_param(layer, &param, "weights", DN_PARAM_WEIGHT, shape->out_c, group_c, shape->size,
                              shape->size));
    param->normal = true;
    param->spread = sqrtf(2.0f / ((float)shape->size * (float)shape->size * (float)group_c));
    param->file_flipped = flipped;
    return DN_OK;
}

/* From the choices in settings to shapes, parameters and memory. padding: zeros on a side, without dilation.
 */
static dn_status set_up(dn_layer *layer, dn_section *section, int padding, bool flipped) {
    convolutional_settings *s = layer->settings;
    dn_conv_shape *shape = &s->shape;
    DN_TRY(dn_layer_needs_image(layer, section));
    shape->in_c = layer->in_c;
    shape->in_h = layer->in_h;
    shape->in_w = layer->in_w;
    if (shape->size == 1) shape->dilation = 1;
    if (s->xnor) shape->groups = 1;
    if (shape->in_c % shape->groups || shape->out_c % shape->groups)
        return dn_option_error(section, "groups", "%d must divide the %d input channels and the %d filters",
                               shape->groups, shape->in_c, shape->out_c);
    int deepest = dn_max_int(shape->in_c, shape->out_c) / shape->groups; /* forward or backward */
    if ((int64_t)shape->size * shape->size * deepest > INT_MAX)
        return dn_option_error(section, "size", "kernels of %d x %d x %d are too large", shape->size,
                               shape->size, deepest);
    shape->pad = padding * shape->dilation;
    /* As in the fork, dilation does not enter the output's size: the extra padding makes up for it. */
    if (layer->in_w + 2 * padding < shape->size || layer->in_h + 2 * padding < shape->size)
        return dn_option_error(section, "size",
                               "a %d x %d kernel does not fit an input of %d x %d with %d padding",
                               shape->size, shape->size, layer->in_w, layer->in_h, padding);
    shape->out_w = (layer->in_w + 2 * padding - shape->size) / shape->stride_x + 1;
    shape->out_h = (layer->in_h + 2 * padding - shape->size) / shape->stride_y + 1;
    DN_TRY(dn_layer_set_output(layer, section, shape->out_w, shape->out_h, shape->out_c));
    s->sharp = layer->outputs;
    DN_TRY(dn_blur_configure(&s->blur, section, shape->out_c, shape->out_h, shape->out_w));
    if (s->blur.kind)
        DN_TRY(dn_layer_set_output(layer, section, s->blur.shape.out_w, s->blur.shape.out_h, shape->out_c));
    DN_TRY(declare_params(layer, s, flipped));

    layer->flops = 2.0 * (double)layer->params[s->weights].count * shape->out_w * shape->out_h;
    if (s->batch_normalize) layer->saved_fixed += 2 * (size_t)shape->out_c; /* mean, variance */
    if (s->batch_normalize) layer->saved_per_image += s->sharp;             /* before normalisation */
    if (dn_activation_needs_pre(s->activation)) layer->saved_per_image += s->sharp;
    if (s->blur.kind) layer->saved_per_image += 2 * s->sharp; /* before the blur, and its delta */
    if (s->binary || s->xnor) layer->saved_fixed += layer->params[s->weights].count; /* binary weights */
    if (s->xnor) layer->saved_per_image += layer->inputs;                            /* binary input */
    return DN_OK;
}

/* The key share_index: a layer that has all the same parameters gives its own. Strides, padding, dilation and
 * activation may differ. */
static dn_status share(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    static const char key[] = "share_index";
    int reference, index;
    if (!dn_option_text(section, key)) return DN_OK; /* 0 is a layer, too */
    DN_TRY(dn_option_int_or(&reference, section, key, 0, -(1 << 20), 1 << 20));
    DN_TRY(dn_layer_reference(&index, layer, section, key, reference));
    const dn_layer *owner = &graph->layers[index];
    if (owner->type != layer->type)
        return dn_option_error(section, key, "layer %d is [%s], not [%s]", index, owner->type->name,
                               layer->type->name);
    const convolutional_settings *s = layer->settings, *theirs = owner->settings;
    const int *mine = layer->params[s->weights].dims, *other = owner->params[theirs->weights].dims;
    if (memcmp(mine, other, 4 * sizeof *mine) != 0)
        return dn_option_error(section, key,
                               "layer %d has weights of %d x %d x %d x %d, this layer needs "
                               "%d x %d x %d x %d",
                               index, other[0], other[1], other[2], other[3], mine[0], mine[1], mine[2],
                               mine[3]);
    if (s->batch_normalize != theirs->batch_normalize)
        return dn_option_error(section, key, "layer %d has batch_normalize=%d, this layer %d", index,
                               theirs->batch_normalize, s->batch_normalize);
    dn_layer_share_params(layer, owner);
    return DN_OK;
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    convolutional_settings *s = layer->settings;
    dn_conv_shape *shape = &s->shape;
    bool pad, flipped;
    int padding;
    DN_TRY(dn_option_int(&shape->out_c, section, "filters", 1, 1 << 24));
    DN_TRY(dn_option_int(&shape->size, section, "size", 1, 1024));
    DN_TRY(read_strides(shape, section));
    DN_TRY(dn_blur_read(&s->blur, section, &shape->stride_y, &shape->stride_x));
    DN_TRY(dn_option_flag(&pad, section, "pad"));
    DN_TRY(dn_option_int(&padding, section, "padding", 0, 4096));
    DN_TRY(dn_option_int(&shape->dilation, section, "dilation", 1, 1024));
    DN_TRY(dn_option_int(&shape->groups, section, "groups", 1, INT_MAX));
    DN_TRY(dn_option_flag(&s->batch_normalize, section, "batch_normalize"));
    DN_TRY(dn_layer_activation(&s->activation, section, "activation"));
    DN_TRY(dn_option_flag(&s->binary, section, "binary"));
    DN_TRY(dn_option_flag(&s->xnor, section, "xnor"));
    DN_TRY(dn_option_flag(&flipped, section, "flipped"));
    static const char *const others[] = {
        "dot",     "bin_output", "cbn",          "grad_centr",  "sway",
        "rotate",  "stretch",    "stretch_sway", "angle",       "assisted_excitation",
        "reverse", "coordconv",  "stream",       "wait_stream", "smooth"};
    for (size_t i = 0; i < DN_COUNT(others); ++i) (void)dn_option_text(section, others[i]);
    if (pad) padding = shape->size / 2;
    DN_TRY(set_up(layer, section, padding, flipped));
    return share(layer, section, graph);
}

dn_status dn_convolutional_configure(dn_layer *layer, dn_section *section, const dn_convolution *choice) {
    convolutional_settings *s = layer->settings;
    s->shape = (dn_conv_shape){.out_c = choice->filters,
                               .size = choice->size,
                               .stride_y = choice->stride,
                               .stride_x = choice->stride,
                               .dilation = choice->dilation,
                               .groups = choice->groups};
    s->activation = choice->activation;
    s->batch_normalize = choice->batch_normalize;
    s->binary = choice->binary;
    s->xnor = choice->xnor;
    return set_up(layer, section, choice->padding, false);
}

/* What training keeps from forward to backward, in this order. */
typedef struct saved_views {
    float *before_norm, *before_activation, *sharp, *sharp_delta, *binary_input; /* [batch][...] */
    float *mean, *variance, *binary_weights;
} saved_views;

static saved_views views(const dn_layer *layer, const dn_run *run, float *at) {
    const convolutional_settings *s = layer->settings;
    saved_views v = {0};
    size_t outputs = (size_t)run->batch * s->sharp, filters = (size_t)s->shape.out_c;
    if (s->batch_normalize) v.before_norm = at, at += outputs;
    if (dn_activation_needs_pre(s->activation)) v.before_activation = at, at += outputs;
    if (s->blur.kind) v.sharp = at, v.sharp_delta = at + outputs, at += 2 * outputs;
    if (s->xnor) v.binary_input = at, at += (size_t)run->batch * layer->inputs;
    if (s->batch_normalize) v.mean = at, v.variance = at + filters, at += 2 * filters;
    if (s->binary || s->xnor) v.binary_weights = at;
    return v;
}

/* Scratch: the convolution's or the blur's own, then, outside training, the binary weights and input and the
 * map before the blur. */
static size_t own_scratch(const convolutional_settings *s, const dn_ops *ops, dn_device *device, int batch) {
    return dn_round_up(dn_max_size(ops->conv_scratch(device, &s->shape, batch),
                                   dn_blur_scratch(&s->blur, ops, device, batch)),
                       16);
}

static size_t scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    const convolutional_settings *s = layer->settings;
    size_t floats = own_scratch(s, ops, device, batch);
    if (!train && s->blur.kind) floats += (size_t)batch * s->sharp;
    if (!train && (s->binary || s->xnor)) floats += layer->params[s->weights].count;
    if (!train && s->xnor) floats += (size_t)batch * layer->inputs;
    return floats;
}

/* The weights and input that are really multiplied: binarised if the layer says so. */
static void binarize(const dn_layer *layer, dn_run *run, const saved_views *saved, const float **weights,
                     const float **input) {
    const convolutional_settings *s = layer->settings;
    size_t count = layer->params[s->weights].count, filters = (size_t)s->shape.out_c;
    float *at = run->scratch + own_scratch(s, run->ops, run->device, run->batch);
    if (s->blur.kind) at += (size_t)run->batch * s->sharp;
    float *binary_weights = run->train ? saved->binary_weights : at;
    float *binary_input = run->train ? saved->binary_input : at + count;
    run->ops->binarize_rows(run->device, *weights, binary_weights, filters, count / filters);
    *weights = binary_weights;
    if (!s->xnor) return;
    run->ops->sign(run->device, *input, binary_input, (size_t)run->batch * layer->inputs);
    *input = binary_input;
}

static dn_conv_shape shape_of(const convolutional_settings *s, const dn_run *run) {
    dn_conv_shape shape = s->shape;
    shape.exact = run->exact;
    return shape;
}

/* In training, normalisation and activation go over the memory together, where they can. */
static bool activates_with_norm(const convolutional_settings *s, const dn_run *run) {
    return run->train && s->batch_normalize && !dn_activation_needs_pre(s->activation) &&
           !dn_activation_across_channels(s->activation);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const convolutional_settings *s = layer->settings;
    const dn_conv_shape shape = shape_of(s, run);
    const bool together = activates_with_norm(s, run);
    const dn_ops *ops = run->ops;
    size_t pixels = (size_t)shape.out_w * (size_t)shape.out_h, total = (size_t)run->batch * s->sharp;
    float *output = run->output[layer->index];
    const float *input = dn_run_input(run, layer), *weights = dn_run_param(run, layer, s->weights);
    const float *biases = dn_run_param(run, layer, s->biases);
    saved_views saved = {0};
    if (run->train) saved = views(layer, run, run->saved[layer->index]);
    if (s->blur.kind)
        output = run->train ? saved.sharp : run->scratch + own_scratch(s, ops, run->device, run->batch);
    if (s->binary || s->xnor) binarize(layer, run, &saved, &weights, &input);

    float *sums = run->train && s->batch_normalize ? saved.before_norm : output;
    ops->conv_forward(run->device, &shape, run->batch, input, weights, sums, run->scratch);
    if (!s->batch_normalize)
        ops->bias_add(run->device, output, biases, run->batch, shape.out_c, pixels);
    else if (run->train)
        ops->batchnorm_forward(run->device, sums, output, saved.mean, saved.variance,
                               dn_run_param(run, layer, s->mean), dn_run_param(run, layer, s->variance),
                               dn_run_param(run, layer, s->scales), biases,
                               together ? s->activation : DN_ACTIVATION_LINEAR, run->batch, shape.out_c,
                               pixels, run->pjreddie_cpu);
    else
        ops->batchnorm_infer(run->device, output, dn_run_param(run, layer, s->mean),
                             dn_run_param(run, layer, s->variance), dn_run_param(run, layer, s->scales),
                             biases, run->batch, shape.out_c, pixels, run->pjreddie_cpu);
    if (saved.before_activation) ops->copy(run->device, saved.before_activation, output, total);
    if (!together) ops->activate(run->device, s->activation, output, run->batch, shape.out_c, pixels);
    if (s->blur.kind) dn_blur_forward(&s->blur, run, output, run->output[layer->index], run->scratch);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const convolutional_settings *s = layer->settings;
    const dn_conv_shape shape = shape_of(s, run);
    const dn_ops *ops = run->ops;
    size_t pixels = (size_t)shape.out_w * (size_t)shape.out_h;
    saved_views saved = views(layer, run, run->saved[layer->index]);
    float *delta = run->delta[layer->index], *input_delta = dn_run_input_delta(run, layer);
    float *bias_gradient = dn_run_gradient(run, layer, s->biases);
    const float *input = s->xnor ? saved.binary_input : dn_run_input(run, layer);
    const float *weights = s->binary || s->xnor ? saved.binary_weights : dn_run_param(run, layer, s->weights);
    const float *output = run->output[layer->index];

    if (s->blur.kind) {
        dn_blur_backward(&s->blur, run, delta, saved.sharp_delta, run->scratch);
        output = saved.sharp;
        delta = saved.sharp_delta;
    }
    const bool together = activates_with_norm(s, run);
    if (!together)
        ops->activate_gradient(run->device, s->activation, output, saved.before_activation, delta, run->batch,
                               shape.out_c, pixels);
    if (s->batch_normalize)
        ops->batchnorm_backward(run->device, saved.before_norm, output, saved.mean, saved.variance,
                                dn_run_param(run, layer, s->scales),
                                together ? s->activation : DN_ACTIVATION_LINEAR, delta,
                                dn_run_gradient(run, layer, s->scales), bias_gradient, run->batch,
                                shape.out_c, pixels, run->pjreddie_cpu);
    else
        ops->bias_gradient(run->device, bias_gradient, delta, run->batch, shape.out_c, pixels);

    ops->conv_weight_gradient(run->device, &shape, run->batch, input, delta,
                              dn_run_gradient(run, layer, s->weights), run->scratch);
    if (!input_delta) return DN_OK;
    ops->conv_data_gradient(run->device, &shape, run->batch, weights, delta, input_delta, !run->overwrite,
                            run->scratch);
    /* Straight-through estimator, on all that has accumulated there (compat.md 6.1.1). */
    if (s->xnor)
        ops->sign_gradient(run->device, dn_run_input(run, layer), input_delta,
                           (size_t)run->batch * layer->inputs);
    return DN_OK;
}

static void lower(const dn_layer *layer, dn_lowered *out) {
    const convolutional_settings *s = layer->settings;
    if (s->binary || s->xnor || s->blur.kind || dn_activation_across_channels(s->activation)) return;
    *out = (dn_lowered){.kind = DN_LOWERED_CONV,
                        .conv = s->shape,
                        .activation = s->activation,
                        .weights = s->weights,
                        .bias = s->biases,
                        .scale = s->scales,
                        .mean = s->mean,
                        .variance = s->variance};
}

const dn_layer_type dn_type_convolutional = {
    .name = "convolutional",
    .aliases = "conv",
    .summary = "convolution with bias or batch normalisation and activation",
    .keys = keys,
    .settings_size = sizeof(convolutional_settings),
    .configure = configure,
    .scratch = scratch,
    .overwrites = true,
    .forward = forward,
    .backward = backward,
    .lower = lower,
};
