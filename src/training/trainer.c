/* trainer.c - forward, backward, update (compat.md section 10). The gradients double as momentum, as in the
 * reference. */
#include "trainer.h"
#include "schedule.h"

#include "../base/platform.h"

#include <math.h>
#include <string.h>

void dn_trainer_options_init(dn_trainer_options *options) {
    *options = (dn_trainer_options){.struct_size = sizeof *options};
}

/* Gradients and, for Adam, moments. */
static dn_status allocate(dn_trainer *trainer) {
    const dn_network *network = trainer->network;
    DN_TRY(dn_new_floats(&trainer->gradients, network->param_count, "gradients"));
    if (network->net.adam) {
        size_t floats;
        if (!dn_mul(&floats, network->param_count, 2))
            return dn_fail(DN_ERROR_NO_MEMORY, "moments are too large");
        DN_TRY(dn_new_floats(&trainer->moments, floats, "moments"));
    }
    return DN_OK;
}

static dn_status prepare_runner(dn_trainer *trainer) {
    const dn_net_settings *net = &trainer->network->net;
    dn_runner_free(&trainer->runner);
    trainer->ran = false;
    dn_states_free(&trainer->states); /* of another input size, when the network was resized */
    DN_TRY(
        dn_states_reserve(&trainer->states, trainer->network, trainer->device, net->batch / net->time_steps));
    DN_TRY(dn_runner_init(&trainer->runner, trainer->network, trainer->device, trainer->network->net.batch,
                          true, trainer->options.input_delta != 0));
    trainer->runner.run.gradients = trainer->gradients;
    trainer->runner.run.state = trainer->states.layers;
    dn_status status = dn_new(&trainer->runner.run.head_lines, (size_t)trainer->network->count,
                              sizeof *trainer->runner.run.head_lines, "log lines");
    if (status != DN_OK) dn_runner_free(&trainer->runner);
    return status;
}

static void free_runner(dn_trainer *trainer) {
    dn_free(trainer->runner.run.head_lines);
    trainer->runner.run.head_lines = NULL;
    dn_runner_free(&trainer->runner);
}

dn_status dn_trainer_create(dn_trainer **out, dn_network *network, const dn_trainer_options *options) {
    dn_trainer *trainer;
    dn_trainer_options defaults;
    dn_status status;
    if (!out || !network) return dn_fail(DN_ERROR_ARGUMENT, "dn_trainer_create needs a network");
    *out = NULL;
    dn_trainer_options_init(&defaults);
    if (options && options->struct_size != sizeof *options)
        return dn_fail(DN_ERROR_ARGUMENT, "options were not set by dn_trainer_options_init");
    pthread_mutex_lock(&network->mutex);
    bool taken = network->trained;
    network->trained = network->written = true;
    pthread_mutex_unlock(&network->mutex);
    if (taken) return dn_fail(DN_ERROR_STATE, "the network has a trainer already");
    status = dn_new(&trainer, 1, sizeof *trainer, "trainer");
    if (status != DN_OK) {
        pthread_mutex_lock(&network->mutex);
        network->trained = false;
        pthread_mutex_unlock(&network->mutex);
        return status;
    }
    trainer->network = network;
    trainer->options = options ? *options : defaults;
    int threads = trainer->options.threads > 0 ? trainer->options.threads : network->options.threads;
    DN_TRY_GOTO(network->ops->open(&trainer->device, threads));
    DN_TRY_GOTO(allocate(trainer));
    DN_TRY_GOTO(prepare_runner(trainer));
    *out = trainer;
    return DN_OK;
fail:
    dn_trainer_free(trainer);
    return status;
}

void dn_trainer_free(dn_trainer *trainer) {
    if (!trainer) return;
    free_runner(trainer);
    dn_states_free(&trainer->states);
    if (trainer->device) trainer->network->ops->close(trainer->device);
    dn_free(trainer->gradients);
    dn_free(trainer->moments);
    dn_free(trainer->note);
    dn_free(trainer->marked);
    pthread_mutex_lock(&trainer->network->mutex);
    trainer->network->trained = false;
    pthread_mutex_unlock(&trainer->network->mutex);
    if (trainer->owns_network) dn_network_free(trainer->network);
    dn_free(trainer);
}

dn_status dn_trainer_bytes(dn_network *network, int images, int threads, uint64_t *fixed, uint64_t *pass) {
    dn_device *device;
    if (!network || !fixed || !pass || images < 1)
        return dn_fail(DN_ERROR_ARGUMENT, "needs a network, one image or more, and room for the result");
    DN_TRY(network->ops->open(&device, threads > 0 ? threads : network->options.threads));
    dn_status status = dn_runner_bytes(network, device, images, true, pass);
    network->ops->close(device);
    *fixed = (uint64_t)network->param_count * (network->net.adam ? 3 : 1) * sizeof(float);
    return status;
}

/* ---- passes ---- */

static dn_status check_costs(const dn_trainer *trainer) {
    for (int i = 0; i < trainer->network->count; ++i)
        if (!isfinite(trainer->runner.run.cost[i]))
            return dn_fail(DN_ERROR_NUMERIC,
                           "the loss of layer %d [%s] is %s at update %llu: training has diverged; go "
                           "back to the last checkpoint with a lower learning_rate or a longer burn_in",
                           i, trainer->network->layers[i].type->name,
                           isnan(trainer->runner.run.cost[i]) ? "nan" : "infinite",
                           (unsigned long long)dn_trainer_iteration(trainer));
    return DN_OK;
}

dn_status dn_trainer_forward(dn_trainer *trainer, const float *input, const float *truth, size_t truths,
                             float *cost) {
    if (!trainer || !input) return dn_fail(DN_ERROR_ARGUMENT, "needs a trainer and an input");
    dn_run *run = &trainer->runner.run;
    if (!trainer->runner.buffers) DN_TRY(prepare_runner(trainer)); /* memory ran out in resize */
    run->input = input;
    run->truth = truth;
    run->truths = truth ? truths : 0;
    run->seen = trainer->network->seen;
    run->seed = trainer->options.seed;
    run->step = trainer->passes++;
    trainer->ran = true;
    DN_TRY(dn_runner_forward(&trainer->runner));
    atomic_fetch_add(&trainer->network->version, 1); /* running statistics have moved */
    if (cost) *cost = dn_runner_cost(&trainer->runner);
    return check_costs(trainer);
}

dn_status dn_trainer_backward(dn_trainer *trainer, const float *input, const float *truth, size_t truths,
                              float *cost) {
    if (!trainer || !input) return dn_fail(DN_ERROR_ARGUMENT, "needs a trainer and an input");
    if (!trainer->runner.buffers) DN_TRY(prepare_runner(trainer)); /* or these images do not count */
    trainer->runner.run.updates = dn_trainer_iteration(trainer);
    trainer->network->seen += (uint64_t)trainer->network->net.batch;
    DN_TRY(dn_trainer_forward(trainer, input, truth, truths, cost));
    return dn_runner_backward(&trainer->runner, trainer->network->count - 1);
}

dn_status dn_trainer_backward_from(dn_trainer *trainer, int layer, const float *delta) {
    if (!trainer || !delta) return dn_fail(DN_ERROR_ARGUMENT, "needs a trainer and a delta");
    dn_run *run = &trainer->runner.run;
    if (!trainer->ran) return dn_fail(DN_ERROR_STATE, "there was no forward pass yet");
    if (layer < 0 || layer >= trainer->network->count)
        return dn_fail(DN_ERROR_ARGUMENT, "layer: must be 0 to %d, not %d", trainer->network->count - 1,
                       layer);
    for (int i = 0; i < run->count; ++i) {
        run->ops->fill(run->device, run->delta[i], 0, (size_t)run->batch * run->layers[i].outputs);
        trainer->runner.unset[i] = false;
    }
    run->ops->upload(run->device, run->delta[layer], delta, (size_t)run->batch * run->layers[layer].outputs);
    return dn_runner_backward(&trainer->runner, layer);
}

void dn_trainer_reset(dn_trainer *trainer, int stream) {
    dn_states *states = &trainer->states;
    for (int s = 0; s < states->streams; ++s)
        if (stream < 0 || s == stream) dn_states_clear(states, s);
}

/* ---- update ---- */

static void update_param(dn_trainer *trainer, const dn_layer *layer, const dn_param *param, float rate) {
    const dn_net_settings *net = &trainer->network->net;
    const dn_ops *ops = trainer->network->ops;
    float *w = trainer->network->params + param->offset, *g = trainer->gradients + param->offset;
    float images = (float)net->batch * (float)net->subdivisions;
    rate *= layer->learning_rate;
    if (net->adam) {
        float *m = trainer->moments + param->offset, *v = m + trainer->network->param_count;
        double t = (double)trainer->updates;
        ops->adam(trainer->device, w, g, m, v, param->count, rate, net->b1, net->b2, net->eps,
                  net->decay * images, (float)(1 - pow(net->b1, t)), (float)(1 - pow(net->b2, t)));
    } else {
        float decay = param->role == DN_PARAM_WEIGHT ? net->decay * images : 0;
        ops->sgd(trainer->device, w, g, param->count, rate / images, net->momentum, decay);
    }
    if (param->role != DN_PARAM_WEIGHT) return;
    float limit = layer->clip > 0  ? layer->clip
                  : param->dims[3] ? net->clip
                                   : 0; /* [net]: convolutions only */
    if (limit > 0) ops->clamp(trainer->device, w, limit, param->count);
}

/* Whether the cfg says that a parameter stays as it is in this update. Where the backward pass does not come,
 * decay alone would move it (and Adam would make large steps of that). */
static bool is_frozen(const dn_trainer *trainer, const dn_layer *layer, const dn_param *param) {
    if (layer - trainer->network->layers < dn_runner_first_learner(&trainer->runner)) return true;
    uint64_t wait = (uint64_t)layer->burnin_update * (uint64_t)trainer->network->net.burn_in;
    return layer->dont_update || dn_trainer_iteration(trainer) < wait ||
           (layer->train_only_bn && param->role == DN_PARAM_WEIGHT);
}

dn_status dn_trainer_update(dn_trainer *trainer) {
    if (!trainer) return dn_fail(DN_ERROR_ARGUMENT, "no trainer");
    float rate = dn_trainer_rate(trainer);
    trainer->updates++;
    trainer->since_update = 0;
    for (int i = 0; i < trainer->network->count; ++i) {
        const dn_layer *layer = &trainer->network->layers[i];
        for (int p = 0; p < layer->param_count; ++p) {
            const dn_param *param = &layer->params[p];
            if (param->role == DN_PARAM_MEAN || param->role == DN_PARAM_VARIANCE) continue;
            if (is_frozen(trainer, layer, param)) /* what has added up is not to count later */
                trainer->network->ops->fill(trainer->device, trainer->gradients + param->offset, 0,
                                            param->count);
            else
                update_param(trainer, layer, param, rate);
        }
    }
    atomic_fetch_add(&trainer->network->version, 1);
    return trainer->network->ops->synchronize(trainer->device);
}

/* Whether an infinity or a NaN is among them: then the exponent's bits are all set. */
static bool any_not_finite(const float *values, size_t count) {
    const uint32_t exponent = 0x7f800000;
    uint32_t found = 0;
    for (size_t i = 0; i < count; ++i) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        found |= (bits & exponent) == exponent;
    }
    return found != 0;
}

/* From the last layer to the first, as they were computed: the first one found is where it began. */
static dn_status check_gradients(const dn_trainer *trainer) {
    for (int i = trainer->network->count - 1; i >= 0; --i) {
        const dn_layer *layer = &trainer->network->layers[i];
        for (int p = 0; p < layer->param_count; ++p)
            if (any_not_finite(trainer->gradients + layer->params[p].offset, layer->params[p].count))
                return dn_fail(
                    DN_ERROR_NUMERIC,
                    "the gradient of the %s of layer %d [%s] is not finite at update %llu: nothing "
                    "was updated; go back to the last checkpoint with a lower learning_rate or a "
                    "longer burn_in",
                    layer->params[p].name, i, layer->type->name,
                    (unsigned long long)dn_trainer_iteration(trainer));
    }
    return DN_OK;
}

dn_status dn_trainer_step(dn_trainer *trainer, const float *input, const float *truth, size_t truths,
                          float *cost, int *updated) {
    if (updated) *updated = 0;
    DN_TRY(dn_trainer_backward(trainer, input, truth, truths, cost));
    if (++trainer->since_update < trainer->network->net.subdivisions) return DN_OK;
    DN_TRY(check_gradients(trainer));
    if (updated) *updated = 1;
    return dn_trainer_update(trainer);
}

dn_status dn_trainer_resize(dn_trainer *trainer, int width, int height) {
    if (!trainer) return dn_fail(DN_ERROR_ARGUMENT, "no trainer");
    if (trainer->network->net.w == width && trainer->network->net.h == height) return DN_OK;
    DN_TRY(dn_network_resize(trainer->network, width, height));
    free_runner(trainer);
    return prepare_runner(trainer);
}

/* ---- looking inside ---- */

uint64_t dn_trainer_iteration(const dn_trainer *trainer) {
    const dn_net_settings *net = &trainer->network->net;
    return trainer->network->seen / ((uint64_t)net->batch * (uint64_t)net->subdivisions);
}

float dn_trainer_rate_at(const dn_trainer *trainer, int64_t iteration) {
    return dn_schedule_rate(&trainer->network->net, iteration, trainer->options.seed);
}

float dn_trainer_rate(const dn_trainer *trainer) {
    return dn_trainer_rate_at(trainer, (int64_t)dn_trainer_iteration(trainer));
}

static bool layer_exists(const dn_trainer *trainer, int layer) {
    return trainer->ran && layer >= -1 && layer < trainer->network->count;
}

const float *dn_trainer_output(const dn_trainer *trainer, int layer, size_t *count) {
    const dn_run *run = &trainer->runner.run;
    bool there = layer_exists(trainer, layer) && layer >= 0;
    if (count) *count = there ? run->layers[layer].outputs : 0;
    return there ? run->output[layer] : NULL;
}

const float *dn_trainer_delta(const dn_trainer *trainer, int layer, size_t *count) {
    const dn_run *run = &trainer->runner.run;
    bool there = layer_exists(trainer, layer) && (layer >= 0 || run->input_delta);
    if (count) *count = !there ? 0 : layer < 0 ? trainer->network->net.inputs : run->layers[layer].outputs;
    return !there ? NULL : layer < 0 ? run->input_delta : run->delta[layer];
}

float dn_trainer_layer_cost(const dn_trainer *trainer, int layer) {
    return layer_exists(trainer, layer) && layer >= 0 ? trainer->runner.run.cost[layer] : 0;
}

const float *dn_trainer_gradient(const dn_trainer *trainer, int layer, int param, size_t *count) {
    const dn_network *network = trainer->network;
    bool there =
        layer >= 0 && layer < network->count && param >= 0 && param < network->layers[layer].param_count;
    if (count) *count = there ? network->layers[layer].params[param].count : 0;
    return there ? trainer->gradients + network->layers[layer].params[param].offset : NULL;
}

float *dn_trainer_gradients(dn_trainer *trainer, size_t *count) {
    if (count) *count = trainer->network->param_count;
    return trainer->gradients;
}

dn_network *dn_trainer_network(const dn_trainer *trainer) {
    return trainer->network;
}

const char *dn_trainer_head_line(const dn_trainer *trainer, int layer) {
    return layer_exists(trainer, layer) && layer >= 0 ? trainer->runner.run.head_lines[layer] : "";
}
