/* inner.c - layers inside a layer: configured by the outer one, run on the buffers it gives them. */
#include "inner.h"

#include <stdio.h>
#include <string.h>

static dn_status begin(dn_inner *inner, const dn_layer *outer, const dn_layer_type *type) {
    inner->layer.type = type;
    inner->layer.line = outer->line;
    return dn_new(&inner->layer.settings, 1, type->settings_size, "layer settings");
}

/* Moves the parameters to the outer layer's list, and adds what else counts there. */
static dn_status adopt(dn_inner *inner, dn_layer *outer, const char *prefix, const dn_graph *graph) {
    dn_layer *layer = &inner->layer;
    inner->first_param = outer->param_count;
    for (int p = 0; p < layer->param_count; ++p) {
        const dn_param *own = &layer->params[p];
        dn_param *param;
        DN_TRY(dn_layer_add_param(outer, &param, own->name, own->role, own->dims[0], own->dims[1],
                                  own->dims[2], own->dims[3]));
        *param = *own;
        snprintf(param->name, sizeof param->name, "%s_%.20s", prefix, own->name);
    }
    dn_free(layer->params);
    layer->params = NULL; /* until linked */
    outer->flops += layer->flops;
    outer->saved_per_image += layer->saved_per_image;
    outer->saved_fixed += layer->saved_fixed * (size_t)graph->net->time_steps;
    return DN_OK;
}

dn_status dn_inner_connected(dn_inner *inner, dn_layer *outer, dn_section *section, const dn_graph *graph,
                             const char *prefix, size_t inputs, int outputs, dn_activation activation,
                             bool batch_normalize) {
    DN_TRY(begin(inner, outer, &dn_type_connected));
    inner->layer.inputs = inputs;
    DN_TRY(dn_connected_configure(&inner->layer, section, outputs, activation, batch_normalize));
    return adopt(inner, outer, prefix, graph);
}

dn_status dn_inner_convolutional(dn_inner *inner, dn_layer *outer, dn_section *section, const dn_graph *graph,
                                 const char *prefix, int w, int h, int channels,
                                 const dn_convolution *choice) {
    DN_TRY(begin(inner, outer, &dn_type_convolutional));
    inner->layer.in_w = w;
    inner->layer.in_h = h;
    inner->layer.in_c = channels;
    inner->layer.inputs = (size_t)w * (size_t)h * (size_t)channels;
    DN_TRY(dn_convolutional_configure(&inner->layer, section, choice));
    return adopt(inner, outer, prefix, graph);
}

void dn_inner_link(dn_inner *inners, int count, const dn_layer *outer) {
    for (int i = 0; i < count; ++i) inners[i].layer.params = outer->params + inners[i].first_param;
}

void dn_inner_release(dn_inner *inners, int count) {
    for (int i = 0; i < count; ++i) dn_free(inners[i].layer.settings);
}

dn_status dn_inner_read_convolution(dn_convolution *choice, dn_section *section) {
    int stride, pad;
    *choice = (dn_convolution){.stride = 1};
    DN_TRY(dn_option_int(&choice->size, section, "size", 1, 1023));
    DN_TRY(dn_option_int(&stride, section, "stride", 1, 4096));
    DN_TRY(dn_option_int(&choice->dilation, section, "dilation", 1, 1024));
    DN_TRY(dn_option_int(&pad, section, "pad", 0, 4096));
    DN_TRY(dn_option_int(&choice->groups, section, "groups", 1, 1 << 24));
    DN_TRY(dn_layer_activation(&choice->activation, section, "activation"));
    DN_TRY(dn_option_flag(&choice->batch_normalize, section, "batch_normalize"));
    DN_TRY(dn_option_flag(&choice->binary, section, "binary"));
    DN_TRY(dn_option_flag(&choice->xnor, section, "xnor"));
    (void)dn_option_text(section, "padding");
    choice->padding = choice->size / 2;
    if (stride != 1)
        return dn_option_error(section, "stride", "must be 1, not %d: the state keeps the input's size",
                               stride);
    if (choice->size % 2 == 0 || (choice->size > 1 && pad == 0))
        return dn_option_error(
            section, "size", "must be odd, with pad=1, not %d with pad=%d: the state keeps the input's size",
            choice->size, pad);
    return DN_OK;
}

size_t dn_inner_scratch(const dn_inner *inners, int count, const dn_ops *ops, dn_device *device, int rows,
                        bool train) {
    size_t most = 0;
    for (int i = 0; i < count; ++i)
        most = dn_max_size(most, inners[i].layer.type->scratch(&inners[i].layer, ops, device, rows, train));
    return most;
}

size_t dn_inner_saved(const dn_inner *inner, int rows, int steps) {
    return (size_t)rows * inner->layer.saved_per_image + (size_t)steps * inner->layer.saved_fixed;
}

/* ---- running ---- */

/* A pass that consists of the inner layer alone. */
typedef struct lone_run {
    dn_run run;
    float *output, *delta, *saved;
} lone_run;

static void lone(lone_run *one, const dn_inner *inner, const dn_run *run, int rows, const float *input,
                 float *output, float *saved, float *scratch) {
    one->output = output;
    one->delta = NULL;
    one->saved = saved;
    one->run = *run;
    one->run.layers = &inner->layer;
    one->run.count = 1;
    one->run.batch = rows;
    one->run.steps = 1;
    one->run.input = input;
    one->run.input_delta = NULL;
    one->run.output = &one->output;
    one->run.delta = NULL;
    one->run.saved = &one->saved;
    one->run.scratch = scratch;
}

static dn_status forward_rows(const dn_inner *inner, const dn_run *run, int rows, const float *input,
                              float *output, float *saved, float *scratch) {
    lone_run one;
    lone(&one, inner, run, rows, input, output, saved, scratch);
    return inner->layer.type->forward(&inner->layer, &one.run);
}

static dn_status backward_rows(const dn_inner *inner, const dn_run *run, int rows, const float *input,
                               float *output, float *delta, float *saved, float *input_delta,
                               float *scratch) {
    lone_run one;
    lone(&one, inner, run, rows, input, output, saved, scratch);
    one.delta = delta;
    one.run.delta = &one.delta;
    one.run.input_delta = input_delta;
    return inner->layer.type->backward(&inner->layer, &one.run);
}

/* Where one step's saved memory lies. */
static float *saved_of_step(const dn_inner *inner, const dn_run *run, float *saved, int step) {
    return saved ? saved + (size_t)step * dn_inner_saved(inner, dn_run_streams(run), 1) : NULL;
}

dn_status dn_inner_forward(const dn_inner *inner, const dn_run *run, int step, const float *input,
                           float *output, float *saved, float *scratch) {
    return forward_rows(inner, run, dn_run_streams(run), input, output,
                        saved_of_step(inner, run, saved, step), scratch);
}

dn_status dn_inner_backward(const dn_inner *inner, const dn_run *run, int step, const float *input,
                            float *output, float *delta, float *saved, float *input_delta, float *scratch) {
    return backward_rows(inner, run, dn_run_streams(run), input, output, delta,
                         saved_of_step(inner, run, saved, step), input_delta, scratch);
}

/* Only layers that normalise over the batch keep memory of fixed size. */
static bool step_by_step(const dn_inner *inner, const dn_run *run) {
    return run->train && inner->layer.saved_fixed > 0;
}

dn_status dn_inner_forward_all(const dn_inner *inner, const dn_run *run, const float *input, float *output,
                               float *saved, float *scratch) {
    size_t streams = (size_t)dn_run_streams(run);
    if (!step_by_step(inner, run)) return forward_rows(inner, run, run->batch, input, output, saved, scratch);
    for (int t = 0; t < run->steps; ++t)
        DN_TRY(dn_inner_forward(inner, run, t, input + (size_t)t * streams * inner->layer.inputs,
                                output + (size_t)t * streams * inner->layer.outputs, saved, scratch));
    return DN_OK;
}

dn_status dn_inner_backward_all(const dn_inner *inner, const dn_run *run, const float *input, float *output,
                                float *delta, float *saved, float *input_delta, float *scratch) {
    size_t streams = (size_t)dn_run_streams(run);
    if (!step_by_step(inner, run))
        return backward_rows(inner, run, run->batch, input, output, delta, saved, input_delta, scratch);
    for (int t = run->steps; t-- > 0;) {
        size_t in = (size_t)t * streams * inner->layer.inputs;
        size_t out = (size_t)t * streams * inner->layer.outputs;
        DN_TRY(dn_inner_backward(inner, run, t, input + in, output + out, delta + out, saved,
                                 input_delta ? input_delta + in : NULL, scratch));
    }
    return DN_OK;
}
