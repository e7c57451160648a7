/* build.c - sections to a network: configures every layer, lays parameters out in one arena, gives them their
 * first values. */
#include "network.h"

#include "../base/platform.h"

#include <limits.h>
#include <string.h>

static const size_t MOST_CFG_BYTES = (size_t)16 << 20;

void dn_network_options_init(dn_network_options *options) {
    *options = (dn_network_options){.struct_size = sizeof *options};
}

/* ---- layers ---- */

static void free_layers(dn_layer *layers, int count) {
    for (int i = 0; layers && i < count; ++i) {
        if (layers[i].type && layers[i].type->release && layers[i].settings)
            layers[i].type->release(&layers[i]);
        dn_free(layers[i].settings);
        dn_free(layers[i].params);
        dn_free(layers[i].sources);
    }
    dn_free(layers);
}

static dn_status read_common(dn_layer *layer, dn_section *section) {
    DN_TRY(dn_option_flag(&layer->truth, section, "truth"));
    DN_TRY(dn_option_flag(&layer->only_forward, section, "onlyforward"));
    DN_TRY(dn_option_int(&layer->stop_backward, section, "stopbackward", 0, INT_MAX));
    DN_TRY(dn_option_flag(&layer->dont_update, section, "dont_update"));
    DN_TRY(dn_option_flag(&layer->train_only_bn, section, "train_only_bn"));
    DN_TRY(dn_option_int(&layer->burnin_update, section, "burnin_update", 0, INT_MAX));
    DN_TRY(dn_option_float(&layer->clip, section, "clip", 0, 1e30f));
    DN_TRY(dn_option_flag(&layer->dont_save, section, "dontsave"));
    DN_TRY(dn_option_flag(&layer->dont_load, section, "dontload"));
    DN_TRY(dn_option_flag(&layer->dont_load_scales, section, "dontloadscales"));
    DN_TRY(dn_option_int(&layer->num_load, section, "numload", 0, 1 << 28));
    return dn_option_float(&layer->learning_rate, section, "learning_rate", -1e6f, 1e6f);
}

static dn_status configure_layer(dn_layer *layers, int index, dn_section *section, const dn_network *network,
                                 const dn_net_settings *net) {
    dn_layer *layer = &layers[index];
    dn_graph graph = {net,
                      layers,
                      index,
                      network->layers,
                      (dn_numerics)network->options.numerics,
                      (dn_dialect)network->options.dialect};
    layer->type = dn_layer_type_find(section->name);
    if (!layer->type) {
        const char *near = dn_layer_type_nearest(section->name), *why = dn_layer_type_refused(section->name);
        if (why) return dn_option_error(section, NULL, "%s", why);
        return dn_option_error(section, NULL, "unknown or unsupported layer type%s%s%s",
                               near ? "; did you mean [" : "", near ? near : "", near ? "]?" : "");
    }
    layer->index = index;
    layer->line = section->line;
    layer->reads_previous = true;
    if (index == 0) {
        layer->in_w = net->w, layer->in_h = net->h, layer->in_c = net->c;
        layer->inputs = net->inputs;
    } else {
        const dn_layer *previous = &layers[index - 1];
        layer->in_w = previous->out_w, layer->in_h = previous->out_h, layer->in_c = previous->out_c;
        layer->inputs = previous->outputs;
        layer->in_flat_reason = previous->flat_reason;
    }
    if (layer->inputs == 0) return dn_option_error(section, NULL, "the layer before has no output");
    DN_TRY(dn_new(&layer->settings, 1, dn_max_size(1, layer->type->settings_size), "layer settings"));
    section->keys = layer->type->keys;
    section->more_keys = dn_layer_common_keys;
    DN_TRY(read_common(layer, section));
    DN_TRY(layer->type->configure(layer, section, &graph));
    for (int p = 0; layer->num_load && p < layer->param_count; ++p) {
        int filters = layer->params[p].dims[layer->params[p].filter_dim];
        if (layer->num_load > filters)
            return dn_option_error(section, "numload", "%d is more than the layer's %d filters",
                                   layer->num_load, filters);
    }
    if (network->layers) return DN_OK; /* resized: all has been said */
    return dn_section_check_unused(section, network->options.strict);
}

/* All layers for the input size of net; on failure nothing is left. */
static dn_status configure_layers(dn_layer **out, const dn_network *network, const dn_net_settings *net) {
    int count = network->config->count - 1;
    dn_layer *layers;
    DN_TRY(dn_new(&layers, (size_t)count, sizeof *layers, "layers"));
    dn_status status = DN_OK;
    size_t floats = net->inputs;
    for (int i = 0; status == DN_OK && i < count; ++i) {
        dn_section *section = &network->config->sections[i + 1];
        for (int e = 0; e < section->count; ++e) section->entries[e].used = false;
        status = configure_layer(layers, i, section, network, net);
        if (status == DN_OK && (!dn_add(&floats, floats, layers[i].outputs) ||
                                floats > network->options.memory_limit / sizeof(float)))
            status = dn_option_error(section, NULL,
                                     "activations up to here need more than the limit of %llu bytes",
                                     (unsigned long long)network->options.memory_limit);
    }
    if (status != DN_OK) {
        free_layers(layers, count);
        return status;
    }
    *out = layers;
    return DN_OK;
}

/* ---- parameters ---- */

static dn_status place_params(dn_network *network, dn_layer *layers, int count, size_t *total) {
    *total = 0;
    for (int i = 0; i < count; ++i) {
        for (int p = 0; p < layers[i].param_count; ++p) {
            dn_param *param = &layers[i].params[p];
            param->offset = *total;
            if (!dn_add(total, *total, param->count) ||
                *total > network->options.memory_limit / sizeof(float))
                return dn_fail(DN_ERROR_CONFIG,
                               "%s:%d: [%s] %s: parameters up to here need more than the limit of %llu "
                               "bytes",
                               network->config->file, layers[i].line, layers[i].type->name, param->name,
                               (unsigned long long)network->options.memory_limit);
        }
        for (int p = 0; p < layers[i].shared_count; ++p)
            layers[i].params[p].offset = layers[layers[i].shared_with].params[p].offset;
    }
    return DN_OK;
}

/* Random numbers are keyed by layer and parameter, so a layer's start does not depend on the others. */
static void initialize_params(dn_network *network) {
    for (int i = 0; i < network->count; ++i) {
        const dn_layer *layer = &network->layers[i];
        bool whole = !layer->dont_load && !layer->dont_load_scales && !layer->num_load;
        if (network->options.blank && whole) continue; /* the arena is made of zeros */
        for (int p = 0; p < layer->param_count; ++p) {
            const dn_param *param = &layer->params[p];
            float *values = network->params + param->offset;
            dn_random random = dn_random_keyed(network->options.seed, (uint64_t)i << 8 | (uint64_t)p, 0);
            for (size_t k = 0; k < param->count; ++k) {
                float spread = 0;
                if (param->spread != 0)
                    spread = param->spread *
                             (param->normal ? dn_random_normal(&random) : dn_random_uniform(&random, -1, 1));
                values[k] = param->center + spread;
            }
        }
    }
}

/* ---- network ---- */

/* All detection heads; if there are none, the last layer that is not a cost. */
static dn_status find_outputs(dn_network *network) {
    DN_TRY(dn_new(&network->outputs, (size_t)network->count, sizeof *network->outputs, "outputs"));
    for (int i = 0; i < network->count; ++i)
        if (network->layers[i].type->detect) network->outputs[network->output_count++] = i;
    for (int i = network->count - 1; i >= 0 && network->output_count == 0; --i) {
        dn_lowered lowered = {0};
        if (network->layers[i].type->lower) network->layers[i].type->lower(&network->layers[i], &lowered);
        if (lowered.kind != DN_LOWERED_NOTHING) network->outputs[network->output_count++] = i;
    }
    if (network->output_count == 0)
        return dn_fail(DN_ERROR_CONFIG, "%s: no layer has an output", network->config->file);
    return DN_OK;
}

static dn_status check_options(const dn_network_options *options) {
    if (options->struct_size != sizeof *options)
        return dn_fail(DN_ERROR_ARGUMENT, "options were not set by dn_network_options_init");
    if (options->threads < 0 || options->threads > 1024)
        return dn_fail(DN_ERROR_ARGUMENT, "threads: must be 0 to 1024, not %d", options->threads);
    if (options->batch < 0 || options->time_steps < 0 || options->width < 0 || options->height < 0)
        return dn_fail(DN_ERROR_ARGUMENT, "batch, time_steps, width and height must not be negative");
    if (options->numerics != DN_NUMERICS_DEFAULT && options->numerics != DN_NUMERICS_PJREDDIE_CPU)
        return dn_fail(DN_ERROR_ARGUMENT, "numerics: %d is not one of dn_numerics", options->numerics);
    if (options->memory != DN_MEMORY_FAST && options->memory != DN_MEMORY_LEAN)
        return dn_fail(DN_ERROR_ARGUMENT, "memory: %d is not one of dn_memory", options->memory);
    if (options->dialect != DN_DIALECT_PJREDDIE && options->dialect != DN_DIALECT_ALEXEYAB)
        return dn_fail(DN_ERROR_ARGUMENT, "dialect: %d is not one of dn_dialect", options->dialect);
    return DN_OK;
}

dn_status dn_network_create(dn_network **out, const char *text, size_t length,
                            const dn_network_options *options) {
    dn_network_options defaults;
    dn_network *network = NULL;
    dn_status status;
    if (!out || !text)
        return dn_fail(DN_ERROR_ARGUMENT, "dn_network_create needs a place for the network and a cfg");
    *out = NULL;
    dn_network_options_init(&defaults);
    if (!options) options = &defaults;
    DN_TRY(check_options(options));
    if (length > MOST_CFG_BYTES)
        return dn_fail(DN_ERROR_CONFIG, "a cfg of %zu bytes; at most %zu are read", length, MOST_CFG_BYTES);

    DN_TRY(dn_new(&network, 1, sizeof *network, "network"));
    network->options = *options;
    if (!network->options.memory_limit) network->options.memory_limit = (uint64_t)16 << 30;
    if (!network->options.threads) network->options.threads = dn_cpu_count();
    network->ops = &dn_ops_cpu;
    pthread_mutex_init(&network->mutex, NULL);
    DN_TRY_GOTO(dn_config_parse(&network->config, text, length, options->name ? options->name : "cfg"));
    network->options.name = network->config->file;
    network->text = dn_strndup(text, length);
    network->text_length = length;
    if (!network->text) DN_TRY_GOTO(dn_fail(DN_ERROR_NO_MEMORY, "no memory for the cfg"));

    dn_section *first = &network->config->sections[0];
    if (strcmp(first->name, "net") != 0 && strcmp(first->name, "network") != 0)
        DN_TRY_GOTO(dn_option_error(first, NULL, "the first section must be [net] or [network]"));
    DN_TRY_GOTO(dn_net_settings_read(&network->net, first, &network->options));
    if (network->config->count < 2) DN_TRY_GOTO(dn_option_error(first, NULL, "no layers follow"));
    network->count = network->config->count - 1;
    DN_TRY_GOTO(configure_layers(&network->layers, network, &network->net));
    for (int i = 0; i < network->count; ++i)
        network->recurrent = network->recurrent || network->layers[i].state_per_stream > 0;
    DN_TRY_GOTO(place_params(network, network->layers, network->count, &network->param_count));
    DN_TRY_GOTO(dn_new_floats(&network->params, network->param_count, "parameters"));
    initialize_params(network);
    DN_TRY_GOTO(find_outputs(network));
    *out = network;
    return DN_OK;

fail:
    dn_network_free(network);
    return status;
}

dn_status dn_network_load(dn_network **out, const char *path, const dn_network_options *options) {
    dn_network_options defaults;
    char *text;
    size_t length;
    if (!out || !path)
        return dn_fail(DN_ERROR_ARGUMENT, "dn_network_load needs a place for the network and a path");
    *out = NULL;
    if (options)
        defaults = *options;
    else
        dn_network_options_init(&defaults);
    if (!defaults.name) defaults.name = path;
    DN_TRY(dn_platform_read_file(&text, &length, path, MOST_CFG_BYTES));
    dn_status status = dn_network_create(out, text, length, &defaults);
    dn_free(text);
    return status;
}

void dn_network_drop_params(dn_network *network) {
    if (!network->mapping.bytes) dn_free(network->params);
    dn_platform_unmap(&network->mapping);
    network->params = NULL;
}

void dn_network_free(dn_network *network) {
    if (!network) return;
    if (network->plan && network->plan_release) network->plan_release(network->plan);
    free_layers(network->layers, network->count);
    dn_net_settings_free(&network->net);
    dn_config_free(network->config);
    dn_free(network->text);
    dn_free(network->outputs);
    dn_network_drop_params(network);
    pthread_mutex_destroy(&network->mutex);
    dn_free(network);
}

dn_status dn_network_resize(dn_network *network, int width, int height) {
    dn_net_settings net = network->net;
    dn_layer *layers;
    size_t total;
    if (!net.w)
        return dn_fail(DN_ERROR_ARGUMENT, "a network fed with vectors has no width and height to change");
    if (width < 1 || height < 1 || width > 1 << 16 || height > 1 << 16)
        return dn_fail(DN_ERROR_ARGUMENT, "an input of %d x %d is impossible", width, height);
    net.w = width;
    net.h = height;
    net.inputs = (size_t)width * (size_t)height * (size_t)net.c;
    if (net.inputs > INT_MAX)
        return dn_fail(DN_ERROR_ARGUMENT, "an input of %d x %d x %d is too large", width, height, net.c);
    DN_TRY(configure_layers(&layers, network, &net));
    dn_status status = place_params(network, layers, network->count, &total);
    for (int i = 0; status == DN_OK && i < network->count; ++i)
        for (int p = 0; status == DN_OK && p < layers[i].param_count; ++p)
            if (layers[i].params[p].count != network->layers[i].params[p].count)
                status = dn_fail(DN_ERROR_CONFIG,
                                 "%s:%d: [%s] %s: has another size at %d x %d, so the network can't be "
                                 "resized",
                                 network->config->file, layers[i].line, layers[i].type->name,
                                 layers[i].params[p].name, width, height);
    if (status != DN_OK) {
        free_layers(layers, network->count);
        return status;
    }
    free_layers(network->layers, network->count);
    network->layers = layers;
    network->net = net;
    network->resizes++;
    atomic_fetch_add(&network->version, 1);
    return DN_OK;
}
