/* query.c - what can be asked of a network, and the registry's public view. */
#include "network.h"

#include "../base/platform.h"
#include "../boxes/tree.h"

#include <string.h>

const char *dn_version(void) {
    return DN_VERSION;
}

const char *dn_build_info(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

const char *dn_cpu_level(void) {
    const dn_kernels *kernels = dn_kernels_get();
    return kernels ? kernels->level : NULL;
}

int dn_cpu_count(void) {
    return dn_platform_processors();
}

int dn_network_layer_count(const dn_network *network) {
    return network->count;
}
int dn_network_batch(const dn_network *network) {
    return network->net.batch;
}
int dn_network_numerics(const dn_network *network) {
    return network->options.numerics;
}
int dn_network_time_steps(const dn_network *network) {
    return network->net.time_steps;
}
int dn_network_subdivisions(const dn_network *network) {
    return network->net.subdivisions;
}
int dn_network_threads(const dn_network *network) {
    return network->options.threads;
}
int dn_network_max_batches(const dn_network *network) {
    return network->net.max_batches;
}
uint64_t dn_network_seen(const dn_network *network) {
    return network->seen;
}
void dn_network_set_seen(dn_network *network, uint64_t seen) {
    network->seen = seen;
}

void dn_network_input_shape(const dn_network *network, int shape[3]) {
    bool image = network->net.w > 0;
    shape[0] = image ? network->net.c : (int)network->net.inputs;
    shape[1] = network->net.h;
    shape[2] = network->net.w;
}

int dn_network_outputs(const dn_network *network, const int **indices) {
    if (indices) *indices = network->outputs;
    return network->output_count;
}

const char *dn_network_option(const dn_network *network, const char *key) {
    return dn_option_raw(&network->config->sections[0], key);
}

static const dn_layer *layer_at(const dn_network *network, int layer) {
    return layer >= 0 && layer < network->count ? &network->layers[layer] : NULL;
}

static const dn_param *param_at(const dn_network *network, int layer, int param) {
    const dn_layer *l = layer_at(network, layer);
    return l && param >= 0 && param < l->param_count ? &l->params[param] : NULL;
}

const char *dn_layer_option(const dn_network *network, int layer, const char *key) {
    return layer_at(network, layer) ? dn_option_raw(&network->config->sections[layer + 1], key) : NULL;
}

double dn_network_number(const dn_network *network, const char *key, double fallback) {
    return dn_option_number(&network->config->sections[0], key, fallback);
}

double dn_layer_number(const dn_network *network, int layer, const char *key, double fallback) {
    return layer_at(network, layer) ? dn_option_number(&network->config->sections[layer + 1], key, fallback)
                                    : fallback;
}

const char *dn_layer_type_name(const dn_network *network, int layer) {
    const dn_layer *l = layer_at(network, layer);
    return l ? l->type->name : NULL;
}

void dn_layer_shape(const dn_network *network, int layer, int shape[3]) {
    const dn_layer *l = layer_at(network, layer);
    shape[0] = shape[1] = shape[2] = 0;
    if (!l) return;
    shape[0] = l->out_c ? l->out_c : (int)l->outputs;
    shape[1] = l->out_h;
    shape[2] = l->out_w;
}

size_t dn_layer_outputs(const dn_network *network, int layer) {
    const dn_layer *l = layer_at(network, layer);
    return l ? l->outputs : 0;
}

size_t dn_layer_truths(const dn_network *network, int layer) {
    const dn_layer *l = layer_at(network, layer);
    return l ? l->truths : 0;
}

double dn_layer_flops(const dn_network *network, int layer) {
    const dn_layer *l = layer_at(network, layer);
    return l ? l->flops : 0;
}

int dn_layer_param_count(const dn_network *network, int layer) {
    const dn_layer *l = layer_at(network, layer);
    return l ? l->param_count : 0;
}

const char *dn_layer_param(const dn_network *network, int layer, int param, int dims[5], size_t *count) {
    const dn_param *p = param_at(network, layer, param);
    if (!p) return NULL;
    if (dims) memcpy(dims, p->dims, sizeof p->dims);
    if (count) *count = p->count;
    return p->name;
}

static dn_status find_param(const dn_param **out, const dn_network *network, int layer, int param,
                            const float *values, size_t count) {
    *out = NULL;
    if (!network || !values) return dn_fail(DN_ERROR_ARGUMENT, "needs a network and an array of values");
    *out = param_at(network, layer, param);
    if (!*out) return dn_fail(DN_ERROR_ARGUMENT, "layer %d has no parameter %d", layer, param);
    if ((*out)->count != count)
        return dn_fail(DN_ERROR_ARGUMENT, "layer %d [%s] %s has %zu values, not %zu", layer,
                       network->layers[layer].type->name, (*out)->name, (*out)->count, count);
    return DN_OK;
}

dn_status dn_layer_param_get(const dn_network *network, int layer, int param, float *values, size_t count) {
    const dn_param *p;
    DN_TRY(find_param(&p, network, layer, param, values, count));
    memcpy(values, network->params + p->offset, count * sizeof *values);
    return DN_OK;
}

dn_status dn_layer_param_set(dn_network *network, int layer, int param, const float *values, size_t count) {
    const dn_param *p;
    DN_TRY(find_param(&p, network, layer, param, values, count));
    pthread_mutex_lock(&network->mutex);
    int sessions = network->sessions;
    if (sessions == 0) {
        memcpy(network->params + p->offset, values, count * sizeof *values);
        network->written = true;
        atomic_fetch_add(&network->version, 1);
    }
    pthread_mutex_unlock(&network->mutex);
    if (sessions)
        return dn_fail(DN_ERROR_STATE,
                       "parameters can't be set while %d sessions use the network; close them first",
                       sessions);
    return DN_OK;
}

int dn_layer_is_head(const dn_network *network, int layer, int *classes, int *max_truths, int *truth_values) {
    const dn_layer *l = layer_at(network, layer);
    dn_head_info info = {0};
    if (!l || !l->type->head_info) return 0;
    l->type->head_info(l, &info);
    if (classes) *classes = info.classes;
    if (max_truths) *max_truths = info.max_truths;
    if (truth_values) *truth_values = info.truth_values;
    return 1;
}

dn_status dn_layer_word_tree(dn_tree **out, const dn_network *network, int layer) {
    if (!out) return dn_fail(DN_ERROR_ARGUMENT, "dn_layer_word_tree: out is NULL");
    *out = NULL;
    const dn_layer *l = layer_at(network, layer);
    const dn_tree *tree = l && l->type->tree ? l->type->tree(l) : NULL;
    return tree ? dn_tree_copy(out, tree) : DN_OK;
}

const int *dn_layer_class_map(const dn_network *network, int layer, int *count) {
    const dn_layer *l = layer_at(network, layer);
    dn_head_info info = {0};
    if (l && l->type->head_info) l->type->head_info(l, &info);
    if (count) *count = info.map_count;
    return info.map;
}

const char *dn_registry_type(int type, const char **aliases) {
    const dn_layer_type *t = dn_layer_type_at(type);
    if (!t) return NULL;
    if (aliases) *aliases = t->aliases;
    return t->name;
}

const char *dn_registry_summary(int type) {
    const dn_layer_type *t = dn_layer_type_at(type);
    return t ? t->summary : NULL;
}

const char *dn_registry_key(int type, int key, const char **default_text, const char **meaning) {
    const dn_layer_type *t = dn_layer_type_at(type);
    const dn_key *keys = type == -1 ? dn_net_keys : type == -2 ? dn_layer_common_keys : t ? t->keys : NULL;
    for (int i = 0; keys && keys->name; ++keys, ++i)
        if (i == key) {
            if (default_text) *default_text = keys->fallback;
            if (meaning) *meaning = keys->meaning;
            return keys->name;
        }
    return NULL;
}

dn_status dn_check_steps(const dn_network *network, int rows) {
    if (!network->recurrent || rows % network->net.time_steps == 0) return DN_OK;
    return dn_fail(DN_ERROR_ARGUMENT,
                   "%s: %d rows are no whole sequences of %d time steps; load the network with time_steps "
                   "as many as you want to run at a time",
                   network->config->file, rows, network->net.time_steps);
}

dn_status dn_check_input(const float *input, int batch) {
    if (!input) return dn_fail(DN_ERROR_ARGUMENT, "needs an input, not NULL");
    if (batch < 1 || batch > 1 << 20)
        return dn_fail(DN_ERROR_ARGUMENT, "needs an input of 1 to %d images, not %d", 1 << 20, batch);
    return DN_OK;
}
