/* registry.c - layer types by name, and the helpers their configure functions share. */
#include "layer.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LAYER(name) extern const dn_layer_type dn_type_##name;
#include "layer_list.h"
#undef LAYER

static const dn_layer_type *const types[] = {
#define LAYER(name) &dn_type_##name,
#include "layer_list.h"
#undef LAYER
};

const dn_key dn_layer_common_keys[] = {
    {"truth", "0", "this layer's output becomes the truth of later layers"},
    {"onlyforward", "0", "no loss and no gradient from this layer"},
    {"stopbackward", "0",
     "the backward pass stops before this layer; above 1: until so many updates were made"},
    {"dontsave", "0", "parameters are left out when weights are saved"},
    {"dontload", "0", "parameters are not read from weights files (no bytes are skipped)"},
    {"numload", "0", "read only this many filters"},
    {"dontloadscales", "0", "batch-normalisation arrays are not read (no bytes are skipped)"},
    {"dont_update", "0", "fork: parameters stay as they are in training"},
    {"burnin_update", "0", "fork: parameters stay as they are for this many times burn_in updates"},
    {"train_only_bn", "0", "fork: weights stay as they are, biases and scales are trained"},
    {"clip", "0", "fork: weights are kept within this, after each update; 0: as [net] clip says"},
    {"learning_rate", "1", "multiplies the network's learning rate"},
    {NULL, NULL, NULL},
};

const dn_layer_type *dn_layer_type_at(int i) {
    return i >= 0 && i < (int)DN_COUNT(types) ? types[i] : NULL;
}

/* True if name is one of the comma-separated words. */
static bool listed(const char *words, const char *name) {
    size_t length = strlen(name);
    for (const char *word = words; word; word = strchr(word, ',') ? strchr(word, ',') + 1 : NULL)
        if (strncmp(word, name, length) == 0 && (word[length] == 0 || word[length] == ',')) return true;
    return false;
}

const dn_layer_type *dn_layer_type_find(const char *name) {
    for (size_t i = 0; i < DN_COUNT(types); ++i)
        if (strcmp(types[i]->name, name) == 0 || listed(types[i]->aliases, name)) return types[i];
    return NULL;
}

const char *dn_layer_type_refused(const char *name) {
    if (strcmp(name, "history") == 0)
        return "the fork's layer that joins the last frames of a video for its tracking experiments is not "
               "supported; no published network uses it";
    return NULL;
}

const char *dn_layer_type_nearest(const char *name) {
    const char *best = NULL;
    int distance = dn_max_int(2, (int)strlen(name) / 3) + 1;
    for (size_t i = 0; i < DN_COUNT(types); ++i) {
        int d = dn_text_distance(name, types[i]->name);
        if (d < distance) {
            distance = d;
            best = types[i]->name;
        }
    }
    return best;
}

dn_status dn_layer_add_param(dn_layer *layer, dn_param **out, const char *name, dn_param_role role, int d0,
                             int d1, int d2, int d3) {
    dn_param *params;
    DN_TRY(dn_new(&params, (size_t)layer->param_count + 1, sizeof *params, "parameter list"));
    if (layer->param_count) memcpy(params, layer->params, (size_t)layer->param_count * sizeof *params);
    dn_free(layer->params);
    layer->params = params;
    dn_param *param = &params[layer->param_count++];
    snprintf(param->name, sizeof param->name, "%s", name);
    param->role = role;
    param->dims[0] = d0;
    param->dims[1] = d1;
    param->dims[2] = d2;
    param->dims[3] = d3;
    param->count = 1;
    for (int i = 0; i < 5 && param->dims[i]; ++i)
        if (param->dims[i] < 0 || !dn_mul(&param->count, param->count, (size_t)param->dims[i]))
            return dn_fail(DN_ERROR_CONFIG, "%s are too many to count", name);
    if (out) *out = param;
    return DN_OK;
}

void dn_layer_share_params(dn_layer *layer, const dn_layer *owner) {
    layer->shared_with = owner->index;
    layer->shared_count = layer->param_count;
    layer->param_count = 0;
}

dn_status dn_layer_set_sources(dn_layer *layer, const int *sources, int count) {
    DN_TRY(dn_new(&layer->sources, (size_t)count, sizeof *layer->sources, "layer references"));
    memcpy(layer->sources, sources, (size_t)count * sizeof *sources);
    layer->source_count = count;
    return DN_OK;
}

dn_status dn_layer_set_output(dn_layer *layer, dn_section *section, int w, int h, int c) {
    if (w < 1 || h < 1 || c < 1)
        return dn_option_error(section, NULL,
                               "the output would be %d x %d x %d from an input of %d x %d x %d", w, h, c,
                               layer->in_w, layer->in_h, layer->in_c);
    size_t outputs;
    if (!dn_mul(&outputs, (size_t)w, (size_t)h) || !dn_mul(&outputs, outputs, (size_t)c) || outputs > INT_MAX)
        return dn_option_error(section, NULL, "an output of %d x %d x %d is too large", w, h, c);
    layer->out_w = w;
    layer->out_h = h;
    layer->out_c = c;
    layer->outputs = outputs;
    return DN_OK;
}

dn_status dn_layer_needs_image(const dn_layer *layer, const dn_section *section) {
    if (layer->in_w > 0 && layer->in_h > 0 && layer->in_c > 0) return DN_OK;
    const char *reason = layer->in_flat_reason;
    return dn_option_error(section, NULL, "needs an image, but its input is a plain vector of %zu values%s%s",
                           layer->inputs, reason ? ": " : "", reason ? reason : "");
}

dn_status dn_layer_reference(int *out, const dn_layer *layer, const dn_section *section, const char *key,
                             int value) {
    int index = value < 0 ? layer->index + value : value;
    if (index < 0 || index >= layer->index)
        return dn_option_error(section, key, "%d means layer %d; layer %d can only refer to layers before it",
                               value, index, layer->index);
    *out = index;
    return DN_OK;
}

static const char *const activation_names[DN_ACTIVATION_COUNT] = {
    [DN_ACTIVATION_LINEAR] = "linear",
    [DN_ACTIVATION_LOGISTIC] = "logistic",
    [DN_ACTIVATION_LOGGY] = "loggy",
    [DN_ACTIVATION_RELU] = "relu",
    [DN_ACTIVATION_ELU] = "elu",
    [DN_ACTIVATION_SELU] = "selu",
    [DN_ACTIVATION_RELIE] = "relie",
    [DN_ACTIVATION_RAMP] = "ramp",
    [DN_ACTIVATION_LEAKY] = "leaky",
    [DN_ACTIVATION_TANH] = "tanh",
    [DN_ACTIVATION_PLSE] = "plse",
    [DN_ACTIVATION_STAIR] = "stair",
    [DN_ACTIVATION_HARDTAN] = "hardtan",
    [DN_ACTIVATION_LHTAN] = "lhtan",
    [DN_ACTIVATION_RELU6] = "relu6",
    [DN_ACTIVATION_REVLEAKY] = "revleaky",
    [DN_ACTIVATION_SWISH] = "swish",
    [DN_ACTIVATION_MISH] = "mish",
    [DN_ACTIVATION_HARD_MISH] = "hard_mish",
    [DN_ACTIVATION_GELU] = "gelu",
    [DN_ACTIVATION_NORMALIZE_CHANNELS] = "normalize_channels",
    [DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX] = "normalize_channels_softmax",
    [DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL] = "normalize_channels_softmax_maxval",
};

const char *dn_registry_activation(int i) {
    return i >= 0 && i < DN_ACTIVATION_COUNT ? activation_names[i] : NULL;
}

dn_status dn_layer_activation(dn_activation *out, dn_section *section, const char *key) {
    const char *name = dn_option_text(section, key);
    if (!name) return dn_option_error(section, key, "is required");
    for (int i = 0; i < DN_ACTIVATION_COUNT; ++i)
        if (strcmp(activation_names[i], name) == 0) {
            *out = (dn_activation)i;
            return DN_OK;
        }
    dn_log(DN_LOG_WARNING, "%s:%d: [%s] %s: '%s' is unknown; relu is used, as the reference does",
           section->file, section->line, section->name, key, name);
    *out = DN_ACTIVATION_RELU;
    return DN_OK;
}

bool dn_activation_needs_pre(dn_activation kind) {
    return kind == DN_ACTIVATION_SWISH || kind == DN_ACTIVATION_MISH || kind == DN_ACTIVATION_HARD_MISH;
}

bool dn_activation_across_channels(dn_activation kind) {
    return kind >= DN_ACTIVATION_NORMALIZE_CHANNELS;
}
