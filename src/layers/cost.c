/* cost.c - [cost]: compares the previous layer with the truth. The output is the error of each element, the
 * cost their sum. Without truth both are 0. compat.md 6.11. */
#include "files.h"
#include "layer.h"

#include <math.h>
#include <string.h>

typedef enum cost_kind {
    COST_SSE,
    COST_MASKED,
    COST_SMOOTH,
    COST_L1,
    COST_SEG,
    COST_WGAN,
    COST_KINDS
} cost_kind;

static const char *const kind_names[COST_KINDS] = {"sse", "masked", "smooth", "L1", "seg", "wgan"};

typedef struct cost_settings {
    cost_kind kind;
    float scale, no_object, threshold, smooth;
} cost_settings;

static const dn_key keys[] = {
    {"type", "sse", "sse, masked, smooth, L1, seg or wgan"},
    {"scale", "1", "multiplies the gradient"},
    {"ratio", "0", "read, without effect, as in the reference"},
    {"noobj", "1", "seg: factor of elements whose truth is 0"},
    {"thresh", "0", "gradients below thresh/inputs are dropped"},
    {"smooth", "0", "label smoothing: truth (1 - smooth) + smooth/inputs"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    cost_settings *s = layer->settings;
    const char *type = dn_option_text(section, "type");
    int kind = 0;
    while (kind < COST_KINDS && strcmp(kind_names[kind], type) != 0) ++kind;
    if (kind == COST_KINDS) {
        dn_log(DN_LOG_WARNING, "%s:%d: [cost] type: '%s' is unknown; sse is used, as the reference does",
               section->file, section->line, type);
        kind = COST_SSE;
    }
    s->kind = (cost_kind)kind;
    DN_TRY(dn_option_float(&s->scale, section, "scale", -1e30f, 1e30f));
    DN_TRY(dn_option_float(&s->no_object, section, "noobj", -1e30f, 1e30f));
    DN_TRY(dn_option_float(&s->threshold, section, "thresh", 0, 1e30f));
    DN_TRY(dn_option_float(&s->smooth, section, "smooth", 0, 1));
    (void)dn_option_text(section, "ratio");
    layer->outputs = layer->inputs;
    layer->has_cost = true;
    layer->truths = layer->inputs;
    return DN_OK;
}

/* Error and delta (negative gradient, up to the factor the reference drops) of one element. */
static void element(const cost_settings *s, float prediction, float truth, float *error, float *delta) {
    float d = truth - prediction, magnitude = fabsf(d);
    *error = d * d;
    *delta = d;
    switch (s->kind) {
    case COST_L1:
        *error = magnitude;
        *delta = d > 0 ? 1.0f : -1.0f;
        break;
    case COST_SMOOTH:
        if (magnitude < 1) break;
        *error = 2 * magnitude - 1;
        *delta = d > 0 ? 1.0f : -1.0f;
        break;
    case COST_WGAN:
        *error = truth != 0 ? -prediction : prediction;
        *delta = truth > 0 ? 1.0f : -1.0f;
        break;
    case COST_SEG:
        if (truth != 0) break;
        *error *= s->no_object;
        *delta *= s->no_object;
        break;
    default:
        break;
    }
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const cost_settings *s = layer->settings;
    if (!run->truth) {
        run->ops->fill(run->device, run->output[layer->index], 0, (size_t)run->batch * layer->outputs);
        return DN_OK;
    }
    if (run->truths != layer->inputs)
        return dn_fail(DN_ERROR_DATA, "layer %d [cost] needs %zu truth values per image, not %zu",
                       layer->index, layer->inputs, run->truths);
    const float *input = dn_run_input(run, layer);
    float *output = run->output[layer->index], *delta = dn_run_delta(run, layer);
    float least = s->threshold / (float)layer->inputs;
    double cost = 0;
    for (size_t i = 0; i < (size_t)run->batch * layer->inputs; ++i) {
        float truth = run->truth[i], d;
        if (s->kind == COST_MASKED && truth == DN_IGNORED) {
            output[i] = d = 0;
        } else {
            if (s->smooth > 0) truth = truth * (1 - s->smooth) + s->smooth / (float)layer->inputs;
            element(s, input[i], truth, &output[i], &d);
        }
        if (fabsf(d) < least) d = 0;
        if (delta) delta[i] = d;
        cost += output[i];
    }
    run->cost[layer->index] = (float)cost;
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const cost_settings *s = layer->settings;
    dn_run_pass_delta(run, layer, s->scale);
    return DN_OK;
}

static void lower(const dn_layer *layer, dn_lowered *out) {
    (void)layer;
    *out = (dn_lowered){.kind = DN_LOWERED_NOTHING};
}

const dn_layer_type dn_type_cost = {
    .name = "cost",
    .summary = "compares with the truth: squared error and its relatives",
    .keys = keys,
    .settings_size = sizeof(cost_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
    .lower = lower,
};
