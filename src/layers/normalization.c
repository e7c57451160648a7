/* normalization.c - [normalization], [lrn]: local response normalisation across neighbouring channels, with
 * the reference's window and its backward pass, which treats the norms as constants. compat.md 6.17. */
#include "layer.h"

static const dn_key keys[] = {
    {"alpha", "0.0001", "factor of the sum of squares"},
    {"beta", "0.75", "values are divided by the norm to this power"},
    {"kappa", "1", "norm of a window of zeros"},
    {"size", "5", "channels in a window"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    dn_lrn *s = layer->settings;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_float(&s->alpha, section, "alpha", -1e30f, 1e30f));
    DN_TRY(dn_option_float(&s->beta, section, "beta", -1e30f, 1e30f));
    DN_TRY(dn_option_float(&s->kappa, section, "kappa", -1e30f, 1e30f));
    DN_TRY(dn_option_int(&s->size, section, "size", 1, 1 << 20));
    layer->saved_per_image = layer->inputs; /* what each value was multiplied by */
    return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    run->ops->lrn(run->device, layer->settings, dn_run_input(run, layer), run->output[layer->index],
                  run->train ? run->saved[layer->index] : NULL, run->batch, layer->in_c,
                  (size_t)layer->in_w * (size_t)layer->in_h);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    float *input_delta = dn_run_input_delta(run, layer);
    if (input_delta)
        run->ops->multiply_add(run->device, input_delta, run->delta[layer->index], run->saved[layer->index],
                               (size_t)run->batch * layer->inputs);
    return DN_OK;
}

const dn_layer_type dn_type_normalization = {
    .name = "normalization",
    .aliases = "lrn",
    .summary = "local response normalisation across neighbouring channels",
    .keys = keys,
    .settings_size = sizeof(dn_lrn),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
