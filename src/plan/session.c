/* session.c - runs a network for one caller: planned inference, the unfused oracle, and boxes from the heads.
 * Owns every buffer; after the first call of a kind and batch size nothing is allocated. */
#include "session.h"

#include "../base/platform.h"

#include <string.h>

/* ---- life ---- */

static void free_plan_buffers(dn_session *session) {
    dn_free(session->arenas);
    dn_free(session->scratch);
    dn_free(session->pointers);
    dn_free(session->cost);
    dn_free(session->row_state);
    dn_free(session->seconds);
    dn_session_free_kept(session);
    session->row_state = NULL;
    session->seconds = NULL;
    session->arenas = session->scratch = session->cost = NULL;
    session->images = 0;
    session->pointers = NULL;
    dn_plan_release(session->plan);
    dn_plan_release(session->described);
    session->plan = session->described = NULL;
}

static void free_outputs(dn_session *session) {
    for (int k = 0; session->outputs && k < session->network->output_count; ++k) dn_free(session->outputs[k]);
    dn_free(session->outputs);
    session->outputs = NULL;
    session->capacity = 0;
}

dn_status dn_session_create(dn_session **out, dn_network *network, int threads) {
    dn_session *session;
    if (!out || !network) return dn_fail(DN_ERROR_ARGUMENT, "dn_session_create needs a network");
    *out = NULL;
    DN_TRY(dn_new(&session, 1, sizeof *session, "session"));
    session->network = network;
    session->threads = threads > 0 ? threads : network->options.threads;
    dn_status status = network->ops->open(&session->device, session->threads);
    if (status != DN_OK) {
        dn_free(session);
        return status;
    }
    pthread_mutex_lock(&network->mutex);
    network->sessions++;
    pthread_mutex_unlock(&network->mutex);
    *out = session;
    return DN_OK;
}

void dn_session_free(dn_session *session) {
    if (!session) return;
    free_outputs(session);
    free_plan_buffers(session);
    dn_runner_free(&session->runner);
    dn_states_free(&session->states);
    session->network->ops->close(session->device);
    pthread_mutex_lock(&session->network->mutex);
    session->network->sessions--;
    pthread_mutex_unlock(&session->network->mutex);
    dn_free(session);
}

/* Results whose sizes the layers no longer have, because the network was resized, can't be read any more. */
static bool is_current(const dn_session *session) {
    return session->resizes == session->network->resizes;
}

static void forget_old_sizes(dn_session *session) {
    if (is_current(session)) return;
    session->batch = session->last_activated = 0;
    dn_states_free(&session->states);
    session->resizes = session->network->resizes;
}

/* ---- planned path ---- */

int dn_session_images(const dn_session *session, const dn_plan *plan, int batch) {
    enum { MOST = 8, MOST_FLOATS = 1 << 26 }; /* of their arenas: 256 MiB */
    const dn_network *network = session->network;
    if (!plan->together || network->recurrent || network->options.memory == DN_MEMORY_LEAN) return 1;
    if (session->keeps) return 1;
    const size_t fit = MOST_FLOATS / dn_max_size(plan->kept_arena, 1);
    return dn_min_int(batch, dn_max_int(1, (int)dn_min_size(fit, MOST)));
}

size_t dn_session_arenas(const dn_plan *plan, int images) {
    return plan->arena + (images > 1 ? (size_t)images * plan->kept_arena : 0);
}

size_t dn_session_scratch(const dn_session *session, const dn_plan *plan, int images) {
    const dn_ops *ops = session->network->ops;
    size_t most = 0;
    for (int k = 0; k < plan->op_count; ++k) {
        const dn_plan_op *op = &plan->ops[k];
        const dn_layer *layer = &session->network->layers[op->layer];
        const int count = op->together ? images : 1;
        if (op->joined) {
            const dn_conv_prepared *convs[DN_PLAN_JOINED];
            const int joined = dn_plan_joined(plan, k, convs);
            most = dn_max_size(most, ops->conv_joined_scratch(convs, joined, session->threads));
            k += joined - 1;
        } else if (op->kind == DN_PLAN_CONV)
            most = dn_max_size(most, ops->conv_prepared_scratch(op->conv, session->threads, count));
        else if (op->kind == DN_PLAN_FORWARD && layer->type->scratch)
            most = dn_max_size(most, layer->type->scratch(layer, ops, session->device, 1, false));
    }
    return most;
}

dn_status dn_session_new_times(dn_session *session) {
    dn_free(session->seconds);
    session->seconds = NULL;
    if (!session->profiled) return DN_OK;
    return dn_new(&session->seconds, (size_t)session->plan->op_count, sizeof *session->seconds, "times");
}

/* Buffers for so many images: arenas, where their layers' outputs are in them, scratch. Several images have
 * the arena of one, which they pass through in turn, and each a smaller one. */
static dn_status reserve_images(dn_session *session, int images) {
    const dn_network *network = session->network;
    const dn_plan *plan = session->plan;
    if (session->images >= images) return DN_OK;
    const size_t count = (size_t)images, scratch = dn_session_scratch(session, plan, images);
    session->images = 0;
    dn_free(session->arenas);
    dn_free(session->scratch);
    dn_free(session->pointers);
    session->arenas = session->scratch = NULL;
    session->pointers = NULL;
    if (scratch > network->options.memory_limit / sizeof(float))
        return dn_fail(DN_ERROR_NO_MEMORY,
                       "%s: a layer needs %zu bytes of memory for intermediate results, more "
                       "than the limit of %llu",
                       network->config->file, scratch * sizeof(float),
                       (unsigned long long)network->options.memory_limit);
    DN_TRY(dn_new_floats(&session->arenas, dn_session_arenas(plan, images), "activations"));
    DN_TRY(dn_new_floats(&session->scratch, scratch, "scratch"));
    DN_TRY(dn_new(&session->pointers, count * (size_t)network->count, sizeof *session->pointers, "session"));
    for (size_t k = 0; k < count * (size_t)network->count; ++k) {
        const dn_plan_value *value = &plan->values[k % (size_t)network->count];
        if (value->root < 0) continue;
        session->pointers[k] = session->arenas + value->offset;
        if (images > 1 && !value->passing)
            session->pointers[k] = session->arenas + plan->arena +
                                   k / (size_t)network->count * plan->kept_arena + value->kept_offset;
    }
    session->run.scratch = session->scratch;
    session->images = images;
    return DN_OK;
}

dn_status dn_session_prepare(dn_session *session, int batch) {
    dn_network *network = session->network;
    if (session->plan && session->plan_version == atomic_load(&network->version))
        return reserve_images(session, dn_session_images(session, session->plan, batch));
    free_plan_buffers(session);
    free_outputs(session); /* a resized network has other counts */
    DN_TRY(dn_plan_acquire(&session->plan, network, session->threads, &session->plan_version));
    dn_status status;
    session->run = (dn_run){.ops = network->ops,
                            .device = session->device,
                            .layers = network->layers,
                            .count = network->count,
                            .batch = 1,
                            .steps = 1,
                            .pjreddie_cpu = network->options.numerics == DN_NUMERICS_PJREDDIE_CPU,
                            .params = network->params};
    DN_TRY_GOTO(reserve_images(session, dn_session_images(session, session->plan, batch)));
    DN_TRY_GOTO(dn_new_floats(&session->cost, (size_t)network->count, "session"));
    DN_TRY_GOTO(dn_new(&session->row_state, (size_t)network->count, sizeof *session->row_state, "session"));
    DN_TRY_GOTO(dn_session_new_times(session));
    DN_TRY_GOTO(dn_session_new_kept(session));
    session->run.cost = session->cost;
    session->run.state = session->row_state;
    return DN_OK;
fail:
    free_plan_buffers(session);
    return status;
}

static dn_status reserve_outputs(dn_session *session, int batch) {
    const dn_network *network = session->network;
    if (session->capacity >= batch) return DN_OK;
    free_outputs(session);
    DN_TRY(dn_new(&session->outputs, (size_t)network->output_count, sizeof *session->outputs, "outputs"));
    for (int k = 0; k < network->output_count; ++k) {
        size_t count;
        if (!dn_mul(&count, (size_t)batch, network->layers[network->outputs[k]].outputs))
            return dn_fail(DN_ERROR_NO_MEMORY, "outputs of %d images are too large", batch);
        DN_TRY(dn_new_floats(&session->outputs[k], count, "outputs"));
    }
    session->capacity = batch;
    return DN_OK;
}

/* What a step reads and writes of one image. */
static float *value_of(const dn_session *session, int image, int layer) {
    return session->pointers[(size_t)image * (size_t)session->network->count + (size_t)layer];
}

/* Of images first .. first + count - 1 of those that have an arena. */
static void run_conv(dn_session *session, const dn_plan_op *op, const float *input, int first, int count) {
    const dn_network *network = session->network;
    dn_conv_images images = {.count = count, .y_apart = session->plan->kept_arena};
    if (op->input < 0) {
        images.x = input + (size_t)first * network->net.inputs;
        images.x_apart = network->net.inputs;
    } else {
        images.x = value_of(session, first, op->input);
        images.x_apart = session->plan->kept_arena;
    }
    if (op->residual >= 0) images.residual = value_of(session, first, op->residual);
    images.y = value_of(session, first, op->layer);
    network->ops->conv_run(session->device, op->conv, &images, session->scratch);
}

static dn_status run_op(dn_session *session, const dn_plan_op *op, const float *input, int image) {
    const dn_network *network = session->network;
    const dn_layer *layer = &network->layers[op->layer];
    switch (op->kind) {
    case DN_PLAN_CONV:
        run_conv(session, op, input, image, 1);
        break;
    case DN_PLAN_FORWARD:
        session->run.input = input + (size_t)image * network->net.inputs;
        session->run.output = session->pointers + (size_t)image * (size_t)network->count;
        return layer->type->forward(layer, &session->run);
    case DN_PLAN_COPY:
        network->ops->copy(session->device, value_of(session, image, op->layer) + op->offset,
                           value_of(session, image, op->input), network->layers[op->input].outputs);
        break;
    case DN_PLAN_CLEAR:
        network->ops->fill(session->device, value_of(session, image, op->layer), 0, layer->outputs);
        break;
    }
    return DN_OK;
}

/* Steps that run together, from this one on. Returns how many. */
static int run_joined(dn_session *session, int step, const float *input, int image) {
    const dn_network *network = session->network;
    const dn_conv_prepared *convs[DN_PLAN_JOINED];
    const int count = dn_plan_joined(session->plan, step, convs);
    const dn_plan_op *first = &session->plan->ops[step], *last = first + count - 1;
    const float *x = first->input < 0 ? input + (size_t)image * network->net.inputs
                                      : value_of(session, image, first->input);
    network->ops->conv_joined_run(session->device, convs, count, x,
                                  last->residual >= 0 ? value_of(session, image, last->residual) : NULL,
                                  value_of(session, image, last->layer), session->scratch);
    return count;
}

static void keep_output(dn_session *session, int image, int step) {
    const dn_network *network = session->network;
    const int layer = session->plan->ops[step].layer;
    session->kept_any = true;
    network->ops->download(session->device, session->kept[step], value_of(session, image, layer),
                           network->layers[layer].outputs);
}

/* The steps first .. last - 1 of one image. */
static dn_status run_steps(dn_session *session, const float *input, int image, int first, int last) {
    for (int k = first; k < last; ++k) {
        const double begin = session->seconds ? dn_platform_seconds() : 0;
        const dn_plan_op *op = &session->plan->ops[k];
        if (op->joined) {
            k += run_joined(session, k, input, image) - 1;
        } else {
            DN_TRY(run_op(session, op, input, image));
        }
        if (session->seconds) session->seconds[k] += dn_platform_seconds() - begin;
        if (session->kept && session->kept[k]) keep_output(session, image, k);
    }
    return DN_OK;
}

/* Steps whose weights are large read them once for all images; those between, whose activations are large,
 * go from one to the next while they are in caches. */
static dn_status run_plan(dn_session *session, const float *input, int images) {
    const dn_plan *plan = session->plan;
    for (int k = 0, last; k < plan->op_count; k = last) {
        for (last = k; last < plan->op_count && (images == 1 || !plan->ops[last].together);) ++last;
        for (int image = 0; image < images; ++image) DN_TRY(run_steps(session, input, image, k, last));
        if (last == plan->op_count) break;
        const double begin = session->seconds ? dn_platform_seconds() : 0;
        run_conv(session, &plan->ops[last], input, 0, images);
        if (session->seconds) session->seconds[last] += dn_platform_seconds() - begin;
        ++last;
    }
    return DN_OK;
}

/* Rows of recurrent networks go through the plan one after the other, steps outermost, so each finds the
 * state its stream left. */
static void choose_stream(dn_session *session, int row) {
    const dn_states *states = &session->states;
    if (!states->values) return;
    size_t stream = (size_t)(row % states->streams);
    for (int i = 0; i < session->network->count; ++i)
        session->row_state[i] = states->layers[i] + stream * session->network->layers[i].state_per_stream;
}

static void download_outputs(dn_session *session, int image, int row) {
    const dn_network *network = session->network;
    for (int k = 0; k < network->output_count; ++k) {
        const size_t count = network->layers[network->outputs[k]].outputs;
        network->ops->download(session->device, session->outputs[k] + (size_t)row * count,
                               value_of(session, image, network->outputs[k]), count);
    }
}

dn_status dn_session_predict(dn_session *session, const float *input, int batch) {
    if (!session) return dn_fail(DN_ERROR_ARGUMENT, "no session");
    DN_TRY(dn_check_input(input, batch));
    session->batch = 0;
    DN_TRY(dn_session_prepare(session, batch));
    forget_old_sizes(session);
    DN_TRY(reserve_outputs(session, batch));
    const dn_network *network = session->network;
    DN_TRY(dn_check_steps(network, batch));
    DN_TRY(dn_states_reserve(&session->states, network, session->device, batch / network->net.time_steps));
    session->states.carried = true;
    for (int b = 0, images; b < batch; b += images) {
        images = dn_min_int(dn_session_images(session, session->plan, batch), batch - b);
        choose_stream(session, b);
        DN_TRY(run_plan(session, input + (size_t)b * network->net.inputs, images));
        for (int i = 0; i < images; ++i) download_outputs(session, i, b + i);
    }
    DN_TRY(network->ops->synchronize(session->device));
    session->batch = batch;
    return DN_OK;
}

const float *dn_session_output(const dn_session *session, int k, size_t *count) {
    const dn_network *network = session->network;
    bool there = k >= 0 && k < network->output_count && session->batch > 0 && is_current(session);
    if (count) *count = there ? network->layers[network->outputs[k]].outputs : 0;
    return there ? session->outputs[k] : NULL;
}

/* ---- unfused path ---- */

dn_status dn_session_activate(dn_session *session, const float *input, int batch, const float *truth,
                              size_t truths) {
    if (!session) return dn_fail(DN_ERROR_ARGUMENT, "no session");
    DN_TRY(dn_check_input(input, batch));
    dn_runner *runner = &session->runner;
    uint64_t version = atomic_load(&session->network->version);
    session->last_activated = 0;
    forget_old_sizes(session);
    if (runner->capacity != batch || session->runner_version != version) {
        dn_runner_free(runner);
        DN_TRY(dn_runner_init(runner, session->network, session->device, batch, false, false));
        session->runner_version = version;
    }
    const dn_network *network = session->network;
    DN_TRY(dn_states_reserve(&session->states, network, session->device, batch / network->net.time_steps));
    session->states.carried = true;
    runner->run.state = session->states.layers;
    runner->run.input = input;
    runner->run.truth = truth;
    runner->run.truths = truth ? truths : 0;
    DN_TRY(dn_runner_forward(runner));
    session->last_activated = batch;
    return DN_OK;
}

const float *dn_session_layer_output(const dn_session *session, int layer, size_t *count) {
    bool there = session->last_activated > 0 && layer >= 0 && layer < session->network->count;
    there = there && is_current(session);
    if (count) *count = there ? session->network->layers[layer].outputs : 0;
    return there ? session->runner.run.output[layer] : NULL;
}

float dn_session_layer_cost(const dn_session *session, int layer) {
    bool there = session->last_activated > 0 && layer >= 0 && layer < session->network->count;
    return there ? session->runner.run.cost[layer] : 0;
}

void dn_session_reset(dn_session *session) {
    dn_states_reset(&session->states);
}

/* ---- boxes ---- */

void dn_detect_options_init(dn_detect_options *options) {
    *options = (dn_detect_options){
        .struct_size = sizeof *options, .thresh = .5f, .hier = .5f, .nms = .45f, .nms_kind = DN_NMS_SORT};
}

/* Most classes of any head, which are those of a map where a tree is mapped; and the suppression its cfg asks
 * for. */
static dn_head_info heads_info(const dn_network *network, const dn_detect_options *options) {
    dn_head_info all = {0};
    for (int k = 0; k < network->output_count; ++k) {
        const dn_layer *layer = &network->layers[network->outputs[k]];
        dn_head_info info = {0};
        if (!layer->type->head_info) continue;
        layer->type->head_info(layer, &info);
        bool mapped = options->map && layer->type->tree && layer->type->tree(layer);
        all.classes = dn_max_int(all.classes, mapped ? options->map_count : info.classes);
        if (info.nms_kind) {
            all.nms_kind = info.nms_kind;
            all.beta_nms = info.beta_nms;
        }
    }
    return all;
}

/* Boxes of the mean of an image's output and its mirror image's, which follows it. */
static dn_status detect_mirrored(const dn_layer *layer, const float *output, const dn_head_options *head,
                                 dn_detection_list *list) {
    float *mean;
    if (!layer->type->mirror)
        return dn_fail(DN_ERROR_UNSUPPORTED, "layer %d [%s]: mirrored detection is not known for this type",
                       layer->index, layer->type->name);
    DN_TRY(dn_new_floats(&mean, layer->outputs, "mirrored outputs"));
    dn_status status = layer->type->mirror(layer, mean, output + layer->outputs);
    for (size_t i = 0; i < layer->outputs; ++i) mean[i] = (mean[i] + output[i]) / 2;
    if (status == DN_OK) status = layer->type->detect(layer, mean, head, list);
    dn_free(mean);
    return status;
}

static dn_status collect(dn_session *session, const dn_detect_options *options, dn_detection_list *list) {
    const dn_network *network = session->network;
    dn_head_options head = {options->thresh, options->hier,      options->hier_paper != 0,
                            options->map,    options->map_count, network->net.w,
                            network->net.h};
    bool any = false;
    for (int k = 0; k < network->output_count; ++k) {
        const dn_layer *layer = &network->layers[network->outputs[k]];
        if (!layer->type->detect) continue;
        any = true;
        const float *output = session->outputs[k] + (size_t)options->image * layer->outputs;
        if (options->mirrored)
            DN_TRY(detect_mirrored(layer, output, &head, list));
        else
            DN_TRY(layer->type->detect(layer, output, &head, list));
    }
    if (!any)
        return dn_fail(DN_ERROR_STATE, "%s: the network has no detection head; classify or predict instead",
                       network->config->file);
    return DN_OK;
}

static void to_image(const dn_session *session, const dn_detect_options *options, dn_detection_list *list) {
    const dn_net_settings *net = &session->network->net;
    int w = options->image_width > 0 ? options->image_width : net->w;
    int h = options->image_height > 0 ? options->image_height : net->h;
    if (options->letterbox) {
        dn_boxes_correct(list->boxes, list->count, w, h, net->w, net->h, options->relative);
        return;
    }
    if (options->relative) return;
    for (int i = 0; i < list->count; ++i)
        for (int e = 0; e < 4; ++e) list->boxes[4 * i + e] *= (float)(e % 2 ? h : w);
}

dn_status dn_session_detect(dn_detections **out, dn_session *session, const dn_detect_options *options) {
    dn_detect_options defaults;
    dn_detection_list *list;
    if (!out || !session) return dn_fail(DN_ERROR_ARGUMENT, "dn_session_detect needs a session");
    *out = NULL;
    dn_detect_options_init(&defaults);
    if (!options) options = &defaults;
    if (options->struct_size != sizeof *options)
        return dn_fail(DN_ERROR_ARGUMENT, "options were not set by dn_detect_options_init");
    if (!is_current(session))
        return dn_fail(DN_ERROR_STATE, "the network was resized after the last predict");
    if (session->batch == 0)
        return dn_fail(DN_ERROR_STATE, "there was no predict yet: boxes come from its outputs");
    if (options->image < 0 || options->image >= session->batch)
        return dn_fail(DN_ERROR_ARGUMENT, "image: the last predict had images 0 to %d, not %d",
                       session->batch - 1, options->image);
    if (options->mirrored && options->image + 1 >= session->batch)
        return dn_fail(DN_ERROR_ARGUMENT,
                       "mirrored: image %d must be followed by its mirror image, but the "
                       "last predict had %d images",
                       options->image, session->batch);
    dn_head_info info = heads_info(session->network, options);
    DN_TRY(dn_detections_create(&list, info.classes));
    dn_status status = collect(session, options, list);
    if (status != DN_OK) {
        dn_detections_free(list);
        return status;
    }
    to_image(session, options, list);
    /* nms_kind is the fork's key: the reference suppresses by IoU whatever it says. */
    dn_suppression measure = DN_SUPPRESS_IOU;
    if (session->network->options.dialect != DN_DIALECT_ALEXEYAB) info.nms_kind = NULL;
    if (info.nms_kind && strcmp(info.nms_kind, "greedynms") == 0) measure = DN_SUPPRESS_DIOU;
    if (info.nms_kind && strcmp(info.nms_kind, "diounms") == 0) measure = DN_SUPPRESS_DIOU_BETA;
    if (options->nms_kind != DN_NMS_NONE && options->nms > 0)
        dn_detection_list_nms(list, options->nms, options->nms_kind, measure, info.beta_nms);
    *out = list;
    return DN_OK;
}
