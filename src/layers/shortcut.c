/* shortcut.c - [shortcut]: adds earlier layers to the previous one. One source follows the reference's rule
 * for maps of different sizes (compat.md 6.13); several sources and learned weights are the fork's (20.6). */
#include "layer.h"

#include <math.h>
#include <string.h>

typedef enum normalization { NORMALIZATION_NONE, NORMALIZATION_RELU, NORMALIZATION_SOFTMAX } normalization;

typedef struct shortcut_settings {
    dn_shortcut_shape *shapes; /* one per source */
    dn_activation activation;
    float alpha, beta;
    int weight_columns; /* weights per source: 0 none, 1, or one per channel */
    normalization normalization;
} shortcut_settings;

static const dn_key keys[] = {
    {"from", NULL, "the layers to add; negative ones count back from here"},
    {"activation", "linear", "activation function"},
    {"alpha", "1", "factor of the previous layer where the maps overlap"},
    {"beta", "1", "factor of the added layer"},
    {"weights_type", "none", "learned factors: none, per_feature (one per layer), per_channel"},
    {"weights_normalization", "none", "of those factors: none, relu, softmax"},
    {NULL, NULL, NULL},
};

static dn_status add_source(dn_layer *layer, dn_section *section, const dn_graph *graph, int i,
                            int reference) {
    shortcut_settings *s = layer->settings;
    DN_TRY(dn_layer_reference(&layer->sources[i], layer, section, "from", reference));
    const dn_layer *from = &graph->layers[layer->sources[i]];
    if (!from->out_w)
        return dn_option_error(section, "from", "layer %d has a plain vector as output, not an image",
                               from->index);
    /* The sizes must be whole multiples, by one factor in both directions. */
    int w1 = from->out_w, h1 = from->out_h, w2 = layer->in_w, h2 = layer->in_h;
    if (w1 / w2 != h1 / h2 || w2 / w1 != h2 / h1)
        return dn_option_error(section, "from",
                               "layer %d is %d x %d, the previous layer %d x %d: they don't match",
                               from->index, w1, h1, w2, h2);
    s->shapes[i] = (dn_shortcut_shape){from->out_c, h1, w1, layer->in_c, h2, w2, s->alpha, s->beta};
    return DN_OK;
}

static dn_status read_weights(dn_layer *layer, dn_section *section) {
    shortcut_settings *s = layer->settings;
    const char *type = dn_option_text(section, "weights_type");
    const char *rule = dn_option_text(section, "weights_normalization");
    if (strcmp(type, "per_feature") == 0 || strcmp(type, "per_layer") == 0)
        s->weight_columns = 1;
    else if (strcmp(type, "per_channel") == 0)
        s->weight_columns = layer->in_c;
    else if (strcmp(type, "none") != 0)
        return dn_option_error(section, "weights_type", "must be none, per_feature or per_channel, not %s",
                               type);
    if (strcmp(rule, "relu") == 0 || strcmp(rule, "avg_relu") == 0)
        s->normalization = NORMALIZATION_RELU;
    else if (strcmp(rule, "softmax") == 0)
        s->normalization = NORMALIZATION_SOFTMAX;
    else if (strcmp(rule, "none") != 0)
        return dn_option_error(section, "weights_normalization", "must be none, relu or softmax, not %s",
                               rule);
    if (!s->weight_columns) return DN_OK;
    for (int i = 0; i < layer->source_count; ++i)
        if (s->shapes[i].from_w != layer->in_w || s->shapes[i].from_h != layer->in_h)
            return dn_option_error(
                section, "weights_type",
                "needs layers of one size, but layer %d is %d x %d, the previous layer %d x %d",
                layer->sources[i], s->shapes[i].from_w, s->shapes[i].from_h, layer->in_w, layer->in_h);
    dn_param *param;
    DN_TRY(dn_layer_add_param(layer, &param, "weights", DN_PARAM_WEIGHT, layer->source_count + 1,
                              s->weight_columns, 0, 0));
    param->center = 1;
    return DN_OK;
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    shortcut_settings *s = layer->settings;
    int *from, count;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_layer_activation(&s->activation, section, "activation"));
    DN_TRY(dn_option_float(&s->alpha, section, "alpha", -1e30f, 1e30f));
    DN_TRY(dn_option_float(&s->beta, section, "beta", -1e30f, 1e30f));
    DN_TRY(dn_option_ints(&from, &count, section, "from"));
    if (count == 0) return dn_option_error(section, "from", "is required");
    dn_status status = dn_layer_set_sources(layer, from, count);
    if (status == DN_OK) status = dn_new(&s->shapes, (size_t)count, sizeof *s->shapes, "shortcut");
    for (int i = 0; status == DN_OK && i < count; ++i) status = add_source(layer, section, graph, i, from[i]);
    dn_free(from);
    DN_TRY(status);
    DN_TRY(read_weights(layer, section));
    DN_TRY(dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c));
    layer->flops = (double)count * (double)layer->outputs;
    if (dn_activation_needs_pre(s->activation)) layer->saved_per_image = layer->outputs;
    return DN_OK;
}

static void release(dn_layer *layer) {
    shortcut_settings *s = layer->settings;
    dn_free(s->shapes);
}

/* Scratch for learned weights: a factor per image and channel, and its gradient. */
static size_t scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    (void)ops;
    (void)device;
    (void)train;
    const shortcut_settings *s = layer->settings;
    return s->weight_columns ? 2 * (size_t)batch * (size_t)layer->out_c : 0;
}

/* Normalised weight of layer `row` (0: the previous one) for channel c. */
static float normalized(const dn_layer *layer, const float *weights, int row, int c) {
    const shortcut_settings *s = layer->settings;
    size_t columns = (size_t)s->weight_columns, column = columns == 1 ? 0 : (size_t)c;
    float own = weights[(size_t)row * columns + column], sum = 1e-4f, largest = -INFINITY;
    if (s->normalization == NORMALIZATION_NONE) return own;
    for (int i = 0; i <= layer->source_count; ++i)
        largest = fmaxf(largest, weights[(size_t)i * columns + column]);
    for (int i = 0; i <= layer->source_count; ++i) {
        float w = weights[(size_t)i * columns + column];
        sum += s->normalization == NORMALIZATION_RELU ? fmaxf(w, 0) : expf(w - largest);
    }
    return (s->normalization == NORMALIZATION_RELU ? fmaxf(own, 0) : expf(own - largest)) / sum;
}

static void fill_factors(const dn_layer *layer, const dn_run *run, int row, float *factors, int channels) {
    const float *weights = dn_run_param(run, layer, 0);
    for (int b = 0; b < run->batch; ++b)
        for (int c = 0; c < channels; ++c) *factors++ = normalized(layer, weights, row, c);
}

/* A source with fewer channels adds to the first ones only: images are taken one at a time then. */
static void weighted_forward(const dn_layer *layer, dn_run *run) {
    const dn_ops *ops = run->ops;
    size_t pixels = (size_t)layer->out_w * (size_t)layer->out_h;
    float *output = run->output[layer->index], *factors = run->scratch;
    fill_factors(layer, run, 0, factors, layer->out_c);
    ops->scale_channels_forward(run->device, factors, dn_run_input(run, layer), output, run->batch,
                                layer->out_c, pixels, false);
    for (int i = 0; i < layer->source_count; ++i) {
        const dn_layer *source = &run->layers[layer->sources[i]];
        int channels = dn_min_int(source->out_c, layer->out_c);
        fill_factors(layer, run, i + 1, factors, channels);
        for (int b = 0; b < run->batch;
             ++b) /* x_delta adds factor * delta: here output adds factor * source */
            ops->scale_channels_backward(run->device, factors, NULL,
                                         run->output[source->index] + (size_t)b * source->outputs, NULL,
                                         output + (size_t)b * layer->outputs, 1, channels, pixels, false);
    }
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const shortcut_settings *s = layer->settings;
    float *output = run->output[layer->index];
    size_t total = (size_t)run->batch * layer->outputs;
    if (s->weight_columns) {
        weighted_forward(layer, run);
    } else {
        run->ops->copy(run->device, output, dn_run_input(run, layer), total);
        for (int i = 0; i < layer->source_count; ++i)
            run->ops->shortcut_forward(run->device, &s->shapes[i], run->batch, run->output[layer->sources[i]],
                                       output);
    }
    if (run->train && dn_activation_needs_pre(s->activation))
        run->ops->copy(run->device, run->saved[layer->index], output, total);
    run->ops->activate(run->device, s->activation, output, run->batch, layer->out_c,
                       (size_t)layer->out_w * (size_t)layer->out_h);
    return DN_OK;
}

/* The fork takes the normalisation's own gradient as 1. */
static void weighted_backward(const dn_layer *layer, dn_run *run) {
    const shortcut_settings *s = layer->settings;
    const float *delta = run->delta[layer->index];
    float *factors = run->scratch, *gradient = factors + (size_t)run->batch * (size_t)layer->out_c;
    float *weight_gradient = dn_run_gradient(run, layer, 0);
    for (int row = 0; row <= layer->source_count; ++row) {
        int index = row ? layer->sources[row - 1] : layer->index - 1;
        const float *input = run->output[index];
        float *input_delta = run->delta[index];
        size_t input_size = run->layers[index].outputs;
        int channels = row ? dn_min_int(run->layers[index].out_c, layer->out_c) : layer->out_c;
        fill_factors(layer, run, row, factors, channels);
        for (int b = 0; b < run->batch; ++b) {
            memset(gradient, 0, (size_t)channels * sizeof *gradient);
            run->ops->scale_channels_backward(run->device, factors, input + (size_t)b * input_size,
                                              delta + (size_t)b * layer->outputs, gradient,
                                              input_delta + (size_t)b * input_size, 1, channels,
                                              (size_t)layer->out_w * (size_t)layer->out_h, false);
            for (int c = 0; c < channels; ++c)
                weight_gradient[(size_t)row * (size_t)s->weight_columns +
                                (s->weight_columns == 1 ? 0 : (size_t)c)] += gradient[c];
        }
    }
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const shortcut_settings *s = layer->settings;
    float *delta = run->delta[layer->index], *input_delta = dn_run_input_delta(run, layer);
    run->ops->activate_gradient(run->device, s->activation, run->output[layer->index],
                                run->saved[layer->index], delta, run->batch, layer->out_c,
                                (size_t)layer->out_w * (size_t)layer->out_h);
    if (s->weight_columns) {
        weighted_backward(layer, run);
        return DN_OK;
    }
    /* alpha scales everything here, although forward scales the overlap only: the reference's rule. */
    if (input_delta)
        run->ops->axpy(run->device, input_delta, s->alpha, delta, (size_t)run->batch * layer->outputs);
    for (int i = 0; i < layer->source_count; ++i)
        run->ops->shortcut_backward(run->device, &s->shapes[i], run->batch, delta,
                                    run->delta[layer->sources[i]]);
    return DN_OK;
}

static void lower(const dn_layer *layer, dn_lowered *out) {
    const shortcut_settings *s = layer->settings;
    const dn_shortcut_shape *shape = &s->shapes[0];
    if (layer->source_count == 1 && !s->weight_columns && s->activation < DN_ACTIVATION_NORMALIZE_CHANNELS &&
        s->alpha == 1 && s->beta == 1 && shape->from_c == shape->out_c && shape->from_h == shape->out_h &&
        shape->from_w == shape->out_w)
        *out = (dn_lowered){.kind = DN_LOWERED_ADD, .source = layer->sources[0], .activation = s->activation};
}

const dn_layer_type dn_type_shortcut = {
    .name = "shortcut",
    .summary = "adds earlier layers to the previous one",
    .keys = keys,
    .settings_size = sizeof(shortcut_settings),
    .configure = configure,
    .release = release,
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
    .lower = lower,
};
