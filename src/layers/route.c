/* route.c - [route]: the outputs of earlier layers, one after the other; with groups, only slice group_id of
 * each. compat.md 6.12, 20.2. */
#include "layer.h"

#include <limits.h>
#include <stdio.h>

typedef struct route_settings {
    int groups, group_id;
    size_t *part;    /* floats per image taken from each source */
    char sizes[128]; /* of maps that can't become one */
} route_settings;

static const dn_key keys[] = {
    {"layers", NULL, "the layers to join; negative ones count back from here"},
    {"groups", "1", "take only one of this many equal slices of each layer's channels"},
    {"group_id", "0", "which slice"},
    {NULL, NULL, NULL},
};

/* The first two sources whose maps differ, for the error of a layer that would need one map. */
static void name_sizes(dn_layer *layer, const dn_graph *graph) {
    route_settings *s = layer->settings;
    const dn_layer *a = &graph->layers[layer->sources[0]], *b = a;
    for (int i = 1; i < layer->source_count && b->out_w == a->out_w && b->out_h == a->out_h; ++i)
        b = &graph->layers[layer->sources[i]];
    if (b->out_w == a->out_w && b->out_h == a->out_h) return; /* all of them are vectors */
    snprintf(s->sizes, sizeof s->sizes, "layer %d joins %d x %d (layer %d) and %d x %d (layer %d)",
             layer->index, a->out_w, a->out_h, a->index, b->out_w, b->out_h, b->index);
    layer->flat_reason = s->sizes;
}

static dn_status read_sources(dn_layer *layer, dn_section *section, const dn_graph *graph, const int *listed,
                              int count) {
    route_settings *s = layer->settings;
    DN_TRY(dn_layer_set_sources(layer, listed, count));
    DN_TRY(dn_new(&s->part, (size_t)count, sizeof *s->part, "route"));
    size_t total = 0;
    int channels = 0;
    bool same = true;
    for (int i = 0; i < count; ++i) {
        DN_TRY(dn_layer_reference(&layer->sources[i], layer, section, "layers", listed[i]));
        const dn_layer *source = &graph->layers[layer->sources[i]],
                       *first = &graph->layers[layer->sources[0]];
        if (source->outputs % (size_t)s->groups || (source->out_c && source->out_c % s->groups))
            return dn_option_error(section, "groups", "%d does not divide the %d channels of layer %d",
                                   s->groups, source->out_c, source->index);
        s->part[i] = source->outputs / (size_t)s->groups;
        total += s->part[i];
        if (total > INT_MAX) return dn_option_error(section, "layers", "together are too large");
        same = same && source->out_w == first->out_w && source->out_h == first->out_h && source->out_c;
        channels += source->out_c / s->groups;
    }
    const dn_layer *first = &graph->layers[layer->sources[0]];
    layer->outputs = total;
    if (same) return dn_layer_set_output(layer, section, first->out_w, first->out_h, channels);
    name_sizes(layer, graph); /* a plain vector, which only flat layers can take */
    return DN_OK;
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    route_settings *s = layer->settings;
    int *listed, count;
    DN_TRY(dn_option_int(&s->groups, section, "groups", 1, 1 << 20));
    DN_TRY(dn_option_int(&s->group_id, section, "group_id", 0, s->groups - 1));
    DN_TRY(dn_option_ints(&listed, &count, section, "layers"));
    if (count == 0) return dn_option_error(section, "layers", "is required");
    layer->reads_previous = false;
    dn_status status = read_sources(layer, section, graph, listed, count);
    dn_free(listed);
    return status;
}

static void release(dn_layer *layer) {
    route_settings *s = layer->settings;
    dn_free(s->part);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const route_settings *s = layer->settings;
    float *output = run->output[layer->index];
    for (int i = 0; i < layer->source_count; ++i) {
        const dn_layer *source = &run->layers[layer->sources[i]];
        run->ops->copy_rows(run->device, output, layer->outputs,
                            run->output[source->index] + (size_t)s->group_id * s->part[i], source->outputs,
                            (size_t)run->batch, s->part[i], false);
        output += s->part[i];
    }
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const route_settings *s = layer->settings;
    const float *delta = run->delta[layer->index];
    for (int i = 0; i < layer->source_count; ++i) {
        const dn_layer *source = &run->layers[layer->sources[i]];
        run->ops->copy_rows(run->device, run->delta[source->index] + (size_t)s->group_id * s->part[i],
                            source->outputs, delta, layer->outputs, (size_t)run->batch, s->part[i], true);
        delta += s->part[i];
    }
    return DN_OK;
}

static void lower(const dn_layer *layer, dn_lowered *out) {
    const route_settings *s = layer->settings;
    if (layer->source_count == 1)
        *out = (dn_lowered){.kind = DN_LOWERED_ALIAS,
                            .source = layer->sources[0],
                            .offset = (size_t)s->group_id * s->part[0]};
    else if (s->groups == 1)
        *out = (dn_lowered){.kind = DN_LOWERED_CONCAT};
}

const dn_layer_type dn_type_route = {
    .name = "route",
    .summary = "joins the outputs of earlier layers",
    .keys = keys,
    .settings_size = sizeof(route_settings),
    .configure = configure,
    .release = release,
    .forward = forward,
    .backward = backward,
    .lower = lower,
};
