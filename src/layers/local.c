/* local.c - [local]: a convolution whose weights are different at every output location. The patches under
 * the windows become rows; each location multiplies those of all images with its own weights, which are most
 * of the memory that is read. compat.md 6.5. */
#include "layer.h"

#include <limits.h>
#include <math.h>

typedef struct local_settings {
    dn_conv_shape shape;
    dn_activation activation;
    int locations, taps; /* taps: values of a patch */
} local_settings;

enum { BIASES, WEIGHTS };

static const dn_key keys[] = {
    {"filters", "1", "number of filters"},
    {"size", "1", "side of the square kernel"},
    {"stride", "1", "step between windows"},
    {"pad", "0", "zeros on every side: 0, or (size - 1)/2"},
    {"activation", "logistic", "activation function"},
    {NULL, NULL, NULL},
};

/* Outputs along one side: the reference counts as if pad were (size - 1)/2 or 0, and pads by pad itself. */
static dn_status count_outputs(int *out, const dn_section *section, const dn_conv_shape *shape, int in) {
    int most = shape->pad ? in - 1 : in - shape->size, windows = in + 2 * shape->pad - shape->size;
    if (most < 0)
        return dn_option_error(section, "size", "a %d x %d kernel does not fit an input of %d x %d",
                               shape->size, shape->size, shape->in_w, shape->in_h);
    *out = most / shape->stride_x + 1;
    int found = windows < 0 ? 0 : windows / shape->stride_x + 1;
    if (found != *out)
        return dn_option_error(
            section, "pad",
            "%d zeros around %d pixels have room for %d windows of size %d, not for the %d "
            "that the reference counts; pad must be 0 or (size - 1)/2, which is %d",
            shape->pad, in, found, shape->size, *out, (shape->size - 1) / 2);
    return DN_OK;
}

static dn_status declare_params(dn_layer *layer, const local_settings *s) {
    const dn_conv_shape *shape = &s->shape;
    dn_param *param;
    DN_TRY(dn_layer_add_param(layer, NULL, "biases", DN_PARAM_BIAS, (int)layer->outputs, 0, 0, 0));
    DN_TRY(dn_layer_add_param(layer, &param, "weights", DN_PARAM_WEIGHT, s->locations, shape->out_c,
                              shape->in_c, shape->size));
    param->dims[4] = shape->size;
    if (!dn_mul(&param->count, param->count, (size_t)shape->size))
        return dn_fail(DN_ERROR_CONFIG, "weights are too many to count");
    param->spread = sqrtf(2.0f / (float)s->taps);
    return DN_OK;
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    local_settings *s = layer->settings;
    dn_conv_shape *shape = &s->shape;
    DN_TRY(dn_layer_needs_image(layer, section));
    shape->in_c = layer->in_c;
    shape->in_h = layer->in_h;
    shape->in_w = layer->in_w;
    shape->dilation = shape->groups = 1;
    DN_TRY(dn_option_int(&shape->out_c, section, "filters", 1, 1 << 24));
    DN_TRY(dn_option_int(&shape->size, section, "size", 1, 1024));
    DN_TRY(dn_option_int(&shape->stride_x, section, "stride", 1, 4096));
    DN_TRY(dn_option_int(&shape->pad, section, "pad", 0, 4096));
    DN_TRY(dn_layer_activation(&s->activation, section, "activation"));
    shape->stride_y = shape->stride_x;
    if ((int64_t)shape->size * shape->size * shape->in_c > INT_MAX)
        return dn_option_error(section, "size", "kernels of %d x %d x %d are too large", shape->size,
                               shape->size, shape->in_c);
    DN_TRY(count_outputs(&shape->out_w, section, shape, layer->in_w));
    DN_TRY(count_outputs(&shape->out_h, section, shape, layer->in_h));
    DN_TRY(dn_layer_set_output(layer, section, shape->out_w, shape->out_h, shape->out_c));
    s->locations = shape->out_w * shape->out_h;
    s->taps = shape->size * shape->size * shape->in_c;
    DN_TRY(declare_params(layer, s));
    layer->flops = 2.0 * (double)layer->params[WEIGHTS].count;
    if (dn_activation_needs_pre(s->activation)) layer->saved_per_image = layer->outputs;
    return DN_OK;
}

/* Scratch: patches[locations][batch][taps], rows[locations][batch][filters], then the products' own. */
typedef struct scratch_views {
    float *patches, *rows, *product;
} scratch_views;

static size_t patch_floats(const local_settings *s, int batch) {
    return dn_round_up((size_t)s->locations * (size_t)batch * (size_t)s->taps, 16);
}

static size_t row_floats(const dn_layer *layer, int batch) {
    return dn_round_up((size_t)batch * layer->outputs, 16);
}

static size_t scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    const local_settings *s = layer->settings;
    const int filters = s->shape.out_c;
    size_t product = ops->matmul_scratch(device, batch, filters, s->taps);
    if (train) {
        product = dn_max_size(product, ops->matmul_scratch(device, filters, s->taps, batch));
        product = dn_max_size(product, ops->matmul_scratch(device, batch, s->taps, filters));
    }
    return patch_floats(s, batch) + row_floats(layer, batch) + product;
}

static scratch_views views(const dn_layer *layer, const dn_run *run) {
    float *rows = run->scratch + patch_floats(layer->settings, run->batch);
    return (scratch_views){run->scratch, rows, rows + row_floats(layer, run->batch)};
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const local_settings *s = layer->settings;
    const dn_ops *ops = run->ops;
    const int filters = s->shape.out_c, outputs = (int)layer->outputs;
    const size_t images = (size_t)run->batch, rows = images * (size_t)filters;
    const scratch_views v = views(layer, run);
    float *output = run->output[layer->index];
    ops->patches_gather(run->device, &s->shape, run->batch, dn_run_input(run, layer), v.patches);
    ops->matmul_batch(run->device, s->locations, false, true, run->batch, filters, s->taps, v.patches,
                      images * (size_t)s->taps, dn_run_param(run, layer, WEIGHTS),
                      (size_t)filters * (size_t)s->taps, v.rows, rows, false, v.product);
    ops->transpose(run->device, v.rows, output, 1, s->locations, rows, false);
    ops->bias_add(run->device, output, dn_run_param(run, layer, BIASES), run->batch, outputs, 1);
    if (run->train && dn_activation_needs_pre(s->activation))
        ops->copy(run->device, run->saved[layer->index], output, images * layer->outputs);
    ops->activate(run->device, s->activation, output, run->batch, filters, (size_t)s->locations);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const local_settings *s = layer->settings;
    const dn_ops *ops = run->ops;
    const int filters = s->shape.out_c;
    const size_t rows = (size_t)run->batch * (size_t)filters, patches = (size_t)run->batch * (size_t)s->taps;
    const size_t weights = (size_t)filters * (size_t)s->taps;
    const scratch_views v = views(layer, run);
    float *delta = run->delta[layer->index], *input_delta = dn_run_input_delta(run, layer);
    if (rows > INT_MAX)
        return dn_fail(DN_ERROR_ARGUMENT, "%d images of %d filters are too many for one pass", run->batch,
                       filters);

    ops->activate_gradient(run->device, s->activation, run->output[layer->index], run->saved[layer->index],
                           delta, run->batch, filters, (size_t)s->locations);
    ops->bias_gradient(run->device, dn_run_gradient(run, layer, BIASES), delta, run->batch,
                       (int)layer->outputs, 1);
    ops->transpose(run->device, delta, v.rows, 1, (int)rows, (size_t)s->locations, false);
    ops->patches_gather(run->device, &s->shape, run->batch, dn_run_input(run, layer), v.patches);
    ops->matmul_batch(run->device, s->locations, true, false, filters, s->taps, run->batch, v.rows, rows,
                      v.patches, patches, dn_run_gradient(run, layer, WEIGHTS), weights, true, v.product);
    if (!input_delta) return DN_OK;
    ops->matmul_batch(run->device, s->locations, false, false, run->batch, s->taps, filters, v.rows, rows,
                      dn_run_param(run, layer, WEIGHTS), weights, v.patches, patches, false, v.product);
    ops->patches_scatter(run->device, &s->shape, run->batch, v.patches, input_delta);
    return DN_OK;
}

const dn_layer_type dn_type_local = {
    .name = "local",
    .summary = "a convolution whose weights differ from place to place",
    .keys = keys,
    .settings_size = sizeof(local_settings),
    .configure = configure,
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
};
