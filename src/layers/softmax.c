/* softmax.c - [softmax]: per group, per tree group, or per pixel across channels; with cross-entropy loss
 * when there is truth. The delta is truth - y: the softmax's Jacobian is folded in. compat.md 6.10. */
#include "layer.h"
#include "files.h"

#include <math.h>
#include <string.h>

typedef struct softmax_settings {
    int groups;
    float temperature;
    bool spatial, no_loss;
    dn_tree *tree;
} softmax_settings;

static const dn_key keys[] = {
    {"groups", "1", "number of equal, contiguous groups"},
    {"temperature", "1", "values are divided by it first"},
    {"tree", NULL, "word tree file: one softmax per group of siblings"},
    {"spatial", "0", "across channels at each pixel"},
    {"noloss", "0", "no loss, even when there is truth"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    softmax_settings *s = layer->settings;
    DN_TRY(dn_option_int(&s->groups, section, "groups", 1, 1 << 28));
    DN_TRY(dn_option_float(&s->temperature, section, "temperature", 1e-20f, 1e20f));
    DN_TRY(dn_option_flag(&s->spatial, section, "spatial"));
    DN_TRY(dn_option_flag(&s->no_loss, section, "noloss"));
    DN_TRY(dn_layer_tree(&s->tree, section, "tree"));
    if (s->tree && (size_t)s->tree->size != layer->inputs)
        return dn_option_error(section, "tree", "has %d nodes, but the layer has %zu inputs", s->tree->size,
                               layer->inputs);
    if (layer->inputs % (size_t)s->groups)
        return dn_option_error(section, "groups", "%d must divide the %zu inputs", s->groups, layer->inputs);
    if (s->spatial) DN_TRY(dn_layer_needs_image(layer, section));
    layer->outputs = layer->inputs;
    layer->truths = s->no_loss ? 0 : layer->inputs;
    layer->has_cost = true; /* also with noloss: the reference counts it in the mean */
    if (s->spatial) return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c);
    return DN_OK;
}

static void release(dn_layer *layer) {
    softmax_settings *s = layer->settings;
    dn_tree_free(s->tree);
}

/* Cross entropy, where soft truth counts in full, as in the reference; -1234 marks values of a tree that are
 * not to be learned from. */
static dn_status loss(const dn_layer *layer, dn_run *run) {
    const softmax_settings *s = layer->settings;
    if (run->truths != layer->inputs)
        return dn_fail(DN_ERROR_DATA, "layer %d [softmax] needs %zu truth values per image, not %zu",
                       layer->index, layer->inputs, run->truths);
    const float *output = run->output[layer->index], *truth = run->truth;
    float *delta = dn_run_delta(run, layer);
    double cost = 0;
    for (size_t i = 0; i < (size_t)run->batch * layer->inputs; ++i) {
        bool ignored = s->tree && truth[i] == DN_IGNORED;
        if (truth[i] != 0 && !ignored) cost -= log(output[i]);
        if (delta) delta[i] = ignored ? 0 : truth[i] - output[i];
    }
    run->cost[layer->index] = (float)cost;
    return DN_OK;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const softmax_settings *s = layer->settings;
    const float *input = dn_run_input(run, layer);
    float *output = run->output[layer->index];
    size_t n = layer->inputs, pixels = (size_t)layer->in_w * (size_t)layer->in_h;
    if (s->spatial) {
        run->ops->softmax(run->device, input, output, layer->in_c, pixels, (size_t)run->batch, n, pixels, 1,
                          1);
    } else if (s->tree) {
        run->ops->copy(run->device, output, input, (size_t)run->batch * n); /* inputs beyond the tree stay */
        for (int g = 0; g < s->tree->groups; ++g) {
            size_t offset = (size_t)s->tree->group_offsets[g];
            run->ops->softmax(run->device, input + offset, output + offset, s->tree->group_sizes[g], 1,
                              (size_t)run->batch, n, 1, 1, s->temperature);
        }
    } else {
        size_t size = n / (size_t)s->groups;
        run->ops->softmax(run->device, input, output, (int)size, 1, (size_t)run->batch, n, (size_t)s->groups,
                          size, s->temperature);
    }
    return run->truth && !s->no_loss ? loss(layer, run) : DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    dn_run_pass_delta(run, layer, 1);
    return DN_OK;
}

static const dn_tree *tree(const dn_layer *layer) {
    const softmax_settings *s = layer->settings;
    return s->tree;
}

const dn_layer_type dn_type_softmax = {
    .name = "softmax",
    .aliases = "soft",
    .summary = "values become probabilities",
    .keys = keys,
    .settings_size = sizeof(softmax_settings),
    .configure = configure,
    .release = release,
    .forward = forward,
    .backward = backward,
    .tree = tree,
};
