/* run.c - unfused passes: forward and backward through the layers, each buffer kept. What a trainer runs, and
 * the oracle that plans are checked against. */
#include "network.h"

#include <limits.h>
#include <string.h>

/* Room for one layer's buffers; each starts on a cache line. */
static size_t padded(size_t floats) {
    return dn_round_up(floats, 16);
}

/* Walks all buffers in order; with block NULL only counts. */
static size_t lay_out(dn_runner *runner, float *block, bool train, bool input_delta, size_t scratch) {
    dn_run *run = &runner->run;
    const dn_network *network = runner->network;
    size_t used = 0, batch = (size_t)runner->capacity;
    for (int i = 0; i < network->count; ++i) {
        const dn_layer *layer = &network->layers[i];
        if (layer->in_place) {
            if (block) run->output[i] = run->output[i - 1];
            if (block && train) run->delta[i] = run->delta[i - 1];
        } else {
            if (block) run->output[i] = block + used;
            used += padded(batch * layer->outputs);
            if (train) {
                if (block) run->delta[i] = block + used;
                used += padded(batch * layer->outputs);
            }
        }
        if (train) {
            if (block) run->saved[i] = block + used;
            used += padded(batch * layer->saved_per_image + layer->saved_fixed +
                           (size_t)dn_run_streams(run) * layer->saved_per_stream);
        }
    }
    if (train && input_delta) {
        if (block) run->input_delta = block + used;
        used += padded(batch * network->net.inputs);
    }
    if (block) run->scratch = block + used;
    used += padded(scratch);
    if (block) run->cost = block + used;
    return used + padded((size_t)network->count);
}

static size_t largest_scratch(const dn_network *network, dn_device *device, int batch, bool train) {
    size_t largest = 0;
    for (int i = 0; i < network->count; ++i) {
        const dn_layer *layer = &network->layers[i];
        if (layer->type->scratch)
            largest = dn_max_size(largest, layer->type->scratch(layer, network->ops, device, batch, train));
    }
    return largest;
}

/* Backends count the pixels of a batch, and the elements of their blocks, with ints. */
static dn_status check_pixels(const dn_network *network, int batch) {
    for (int i = 0; i < network->count; ++i) {
        const dn_layer *layer = &network->layers[i];
        int64_t in = (int64_t)layer->in_w * layer->in_h, out = (int64_t)layer->out_w * layer->out_h;
        if (in > INT_MAX / 2 / batch || out > INT_MAX / 2 / batch)
            return dn_fail(DN_ERROR_ARGUMENT, "%s:%d: %d images of %d x %d pixels are too many for one pass",
                           network->config->file, layer->line, batch, dn_max_int(layer->in_w, layer->out_w),
                           dn_max_int(layer->in_h, layer->out_h));
    }
    return DN_OK;
}

dn_status dn_runner_bytes(dn_network *network, dn_device *device, int batch, bool train, uint64_t *bytes) {
    DN_TRY(check_pixels(network, batch));
    DN_TRY(dn_check_steps(network, batch));
    dn_runner runner = {.network = network,
                        .capacity = batch,
                        .run = {.batch = batch, .steps = network->recurrent ? network->net.time_steps : 1}};
    size_t scratch = largest_scratch(network, device, batch, train);
    *bytes = (uint64_t)lay_out(&runner, NULL, train, false, scratch) * sizeof(float);
    return DN_OK;
}

dn_status dn_runner_init(dn_runner *runner, dn_network *network, dn_device *device, int batch, bool train,
                         bool input_delta) {
    *runner = (dn_runner){0}; /* what a failure leaves */
    DN_TRY(check_pixels(network, batch));
    DN_TRY(dn_check_steps(network, batch));
    size_t count = (size_t)network->count;
    DN_TRY(dn_new(&runner->pointers, 3 * count, sizeof *runner->pointers, "buffers"));
    dn_status status = dn_new(&runner->unset, count, sizeof *runner->unset, "buffers");
    if (status != DN_OK) {
        dn_runner_free(runner);
        return status;
    }
    runner->network = network;
    runner->capacity = batch;
    runner->run = (dn_run){.ops = network->ops,
                           .device = device,
                           .layers = network->layers,
                           .count = network->count,
                           .batch = batch,
                           .steps = network->recurrent ? network->net.time_steps : 1,
                           .train = train,
                           .exact = !train || network->options.exact,
                           .pjreddie_cpu = network->options.numerics == DN_NUMERICS_PJREDDIE_CPU,
                           .params = network->params,
                           .output = runner->pointers,
                           .delta = train ? runner->pointers + count : NULL,
                           .saved = train ? runner->pointers + 2 * count : NULL};
    size_t scratch = largest_scratch(network, device, batch, train);
    size_t floats = lay_out(runner, NULL, train, input_delta, scratch);
    /* Training keeps about four times the activations. */
    uint64_t limit =
        network->options.memory_limit > UINT64_MAX / 4 ? UINT64_MAX : network->options.memory_limit * 4;
    runner->bytes = floats * sizeof(float);
    runner->buffers = runner->bytes / sizeof(float) == floats && runner->bytes <= limit
                          ? network->ops->allocate(device, floats)
                          : NULL;
    if (!runner->buffers) {
        dn_runner_free(runner);
        return dn_fail(DN_ERROR_NO_MEMORY,
                       "no memory for the buffers of %d images (%zu bytes); use a smaller batch or "
                       "more subdivisions",
                       batch, floats * sizeof(float));
    }
    lay_out(runner, runner->buffers, train, input_delta, scratch);
    return DN_OK;
}

void dn_runner_free(dn_runner *runner) {
    if (runner->buffers) runner->network->ops->release(runner->run.device, runner->buffers);
    dn_free(runner->pointers);
    dn_free(runner->unset);
    *runner = (dn_runner){0};
}

static dn_status layer_context(dn_status status, const dn_network *network, const dn_layer *layer) {
    return dn_fail_context(status, "%s:%d", network->config->file, layer->line);
}

/* ---- deltas: what backward adds to. Most are first set by the one layer that reads the output, so zeros are
 * written only where somebody needs them. ---- */

/* Losses are computed forward, into deltas of zeros. */
static bool has_loss(const dn_layer *layer) {
    return layer->has_cost || layer->truths > 0 || layer->type->detect;
}

static void clear_delta(dn_runner *runner, int i) {
    dn_run *run = &runner->run;
    run->ops->fill(run->device, run->delta[i], 0, (size_t)run->batch * run->layers[i].outputs);
    runner->unset[i] = false;
}

/* The layer whose delta's memory layer i uses. */
static int owner_of(const dn_run *run, int i) {
    while (run->layers[i].in_place) --i;
    return i;
}

/* Before a layer's backward: its own delta and those it adds to hold numbers. */
static void prepare_deltas(dn_runner *runner, const dn_layer *layer) {
    dn_run *run = &runner->run;
    const int own = owner_of(run, layer->index);
    run->overwrite = false;
    if (runner->unset[own]) clear_delta(runner, own);
    for (int i = 0; i < layer->source_count; ++i) {
        const int source = owner_of(run, layer->sources[i]);
        if (runner->unset[source]) clear_delta(runner, source);
    }
    if (layer->index == 0) return;
    const int previous = owner_of(run, layer->index - 1);
    if (!runner->unset[previous]) return;
    if (layer->type->overwrites && previous == layer->index - 1) {
        run->overwrite = true;
        runner->unset[previous] = false;
    } else
        clear_delta(runner, previous);
}

dn_status dn_runner_forward_layer(dn_runner *runner, int i) {
    dn_run *run = &runner->run;
    const dn_layer *layer = &run->layers[i];
    run->cost[i] = 0;
    if (run->delta) {
        runner->unset[i] = !layer->in_place;
        if (has_loss(layer)) clear_delta(runner, i);
    }
    dn_status status = layer->type->forward(layer, run);
    return status == DN_OK ? DN_OK : layer_context(status, runner->network, layer);
}

dn_status dn_runner_backward_layer(dn_runner *runner, int i) {
    dn_run *run = &runner->run;
    const dn_layer *layer = &run->layers[i];
    if (!layer->type->backward || layer->only_forward) return DN_OK;
    prepare_deltas(runner, layer);
    dn_status status = layer->type->backward(layer, run);
    return status == DN_OK ? DN_OK : layer_context(status, runner->network, layer);
}

dn_status dn_runner_forward(dn_runner *runner) {
    dn_run *run = &runner->run;
    const float *truth = run->truth;
    size_t truths = run->truths;
    dn_status status = DN_OK;
    for (int i = 0; status == DN_OK && i < run->count; ++i) {
        const dn_layer *layer = &run->layers[i];
        status = dn_runner_forward_layer(runner, i);
        if (layer->truth) {
            run->truth = run->output[i];
            run->truths = layer->outputs;
        }
    }
    run->truth = truth;
    run->truths = truths;
    return status == DN_OK ? run->ops->synchronize(run->device) : status;
}

/* The key stopbackward: 1 for good, more for the first so many updates. */
static bool stops_before(const dn_run *run, const dn_layer *layer) {
    return layer->stop_backward == 1 || run->updates < (uint64_t)layer->stop_backward;
}

int dn_runner_first_learner(const dn_runner *runner) {
    int i = runner->run.count;
    while (i > 0 && !stops_before(&runner->run, &runner->run.layers[i - 1])) --i;
    return i;
}

dn_status dn_runner_backward(dn_runner *runner, int from) {
    dn_run *run = &runner->run;
    if (run->input_delta)
        run->ops->fill(run->device, run->input_delta, 0, (size_t)run->batch * runner->network->net.inputs);
    int first = dn_runner_first_learner(runner);
    for (int i = from; i >= first; --i) DN_TRY(dn_runner_backward_layer(runner, i));
    for (int i = 0; i < run->count; ++i) /* nothing has come there */
        if (runner->unset[i]) clear_delta(runner, i);
    return run->ops->synchronize(run->device);
}

float dn_runner_cost(const dn_runner *runner) {
    double sum = 0;
    int count = 0;
    for (int i = 0; i < runner->run.count; ++i)
        if (runner->run.layers[i].has_cost) {
            sum += runner->run.cost[i];
            ++count;
        }
    return count ? (float)(sum / count) : 0;
}
