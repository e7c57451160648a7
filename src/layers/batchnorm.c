/* batchnorm.c - [batchnorm]: batch normalisation as a layer of its own. The reference never trains it; we do.
 * Its biases are in files of the AlexeyAB dialect only. compat.md 6.16. */
#include "layer.h"

enum { BIASES, SCALES, MEAN, VARIANCE };

static const dn_key keys[] = {{NULL, NULL, NULL}};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    dn_param *param;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_layer_add_param(layer, &param, "biases", DN_PARAM_BIAS, layer->in_c, 0, 0, 0));
    param->alexeyab_only = true;
    DN_TRY(dn_layer_add_param(layer, &param, "scales", DN_PARAM_SCALE, layer->in_c, 0, 0, 0));
    param->center = 1;
    DN_TRY(dn_layer_add_param(layer, NULL, "rolling_mean", DN_PARAM_MEAN, layer->in_c, 0, 0, 0));
    DN_TRY(dn_layer_add_param(layer, NULL, "rolling_variance", DN_PARAM_VARIANCE, layer->in_c, 0, 0, 0));
    layer->saved_fixed = 2 * (size_t)layer->in_c; /* mean, variance */
    return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    size_t pixels = (size_t)layer->in_w * (size_t)layer->in_h;
    const float *input = dn_run_input(run, layer);
    float *output = run->output[layer->index];
    float *mean = dn_run_param(run, layer, MEAN), *variance = dn_run_param(run, layer, VARIANCE);
    const float *scales = dn_run_param(run, layer, SCALES), *biases = dn_run_param(run, layer, BIASES);
    if (run->train) {
        float *saved = run->saved[layer->index];
        run->ops->batchnorm_forward(run->device, input, output, saved, saved + layer->in_c, mean, variance,
                                    scales, biases, DN_ACTIVATION_LINEAR, run->batch, layer->in_c, pixels,
                                    run->pjreddie_cpu);
        return DN_OK;
    }
    run->ops->copy(run->device, output, input, (size_t)run->batch * layer->outputs);
    run->ops->batchnorm_infer(run->device, output, mean, variance, scales, biases, run->batch, layer->in_c,
                              pixels, run->pjreddie_cpu);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const float *saved = run->saved[layer->index];
    float *delta = run->delta[layer->index];
    run->ops->batchnorm_backward(run->device, dn_run_input(run, layer), NULL, saved, saved + layer->in_c,
                                 dn_run_param(run, layer, SCALES), DN_ACTIVATION_LINEAR, delta,
                                 dn_run_gradient(run, layer, SCALES), dn_run_gradient(run, layer, BIASES),
                                 run->batch, layer->in_c, (size_t)layer->in_w * (size_t)layer->in_h,
                                 run->pjreddie_cpu);
    dn_run_pass_delta(run, layer, 1);
    return DN_OK;
}

const dn_layer_type dn_type_batchnorm = {
    .name = "batchnorm",
    .summary = "batch normalisation as a layer of its own",
    .keys = keys,
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
