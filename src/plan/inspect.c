/* inspect.c - what a session tells about itself: memory, the steps of its plan, their times. Before the first
 * predict the plan is described only, which packs nothing. */
#include "session.h"

#include <stdio.h>

static const double MIB = 1024 * 1024;

/* The plan of the present parameters, or its description; borrowed until the session's next call. */
static dn_status look(dn_session *session, const dn_plan **out) {
    const uint64_t version = atomic_load(&session->network->version);
    *out = session->plan;
    if (session->plan && session->plan_version == version) return DN_OK;
    if (!session->described || session->described_version != version) {
        dn_plan_release(session->described);
        session->described = NULL;
        DN_TRY(dn_plan_describe(&session->described, session->network, session->threads));
        session->described_version = version;
    }
    *out = session->described;
    return DN_OK;
}

/* ---- memory ---- */

void dn_session_memory(const dn_session *session, size_t *own, size_t *shared) {
    size_t floats = 0;
    if (session->plan)
        floats += dn_session_arenas(session->plan, session->images) +
                  dn_session_scratch(session, session->plan, session->images);
    for (int k = 0; k < session->network->output_count; ++k)
        floats += (size_t)session->capacity * session->network->layers[session->network->outputs[k]].outputs;
    floats += session->states.floats;
    if (own) *own = floats * sizeof(float) + session->runner.bytes;
    if (shared) *shared = session->plan ? session->plan->packed_bytes : 0;
}

/* Of a mapped file the pages of packed weights are given back; memory of our own stays. */
static size_t kept_floats(const dn_network *network, const dn_plan *plan) {
    if (!dn_network_is_mapped(network)) return network->param_count;
    return network->param_count - dn_min_size(plan->plain_floats, network->param_count);
}

dn_status dn_session_footprint(dn_footprint *out, dn_session *session, int batch) {
    if (!out || !session) return dn_fail(DN_ERROR_ARGUMENT, "dn_session_footprint needs a session");
    if (out->struct_size != sizeof *out) return dn_fail(DN_ERROR_ARGUMENT, "struct_size was not set");
    if (batch < 1) return dn_fail(DN_ERROR_ARGUMENT, "batch: must be 1 or more, not %d", batch);
    const dn_network *network = session->network;
    const dn_plan *plan;
    DN_TRY(look(session, &plan));
    const int images = dn_session_images(session, plan, batch);
    size_t outputs = 0, state = 0;
    for (int k = 0; k < network->output_count; ++k) outputs += network->layers[network->outputs[k]].outputs;
    for (int i = 0; i < network->count; ++i) state += network->layers[i].state_per_stream;
    state *= (size_t)dn_max_int(1, batch / network->net.time_steps);
    *out = (dn_footprint){.struct_size = sizeof *out,
                          .weights = kept_floats(network, plan) * sizeof(float),
                          .packed = plan->packed_bytes,
                          .plain = plan->plain_floats * sizeof(float),
                          .activations = (dn_session_arenas(plan, images) + state) * sizeof(float),
                          .scratch = dn_session_scratch(session, plan, images) * sizeof(float),
                          .packing = plan->working_floats * sizeof(float)};
    if (!dn_mul(&out->outputs, (size_t)batch, outputs * sizeof(float)))
        return dn_fail(DN_ERROR_NO_MEMORY, "outputs of %d images are too large", batch);
    out->peak = out->weights + out->packed +
                dn_max_size(out->packing, out->activations + out->scratch + out->outputs);
    return DN_OK;
}

/* ---- steps ---- */

const char *dn_session_plan_line(dn_session *session, int step) {
    static const char *const kinds[] = {"conv", "layer", "copy", "clear"};
    const dn_plan *plan;
    if (look(session, &plan) != DN_OK || step < 0 || step >= plan->op_count) return NULL;
    const dn_plan_op *op = &plan->ops[step];
    const dn_layer *layer = &session->network->layers[op->layer];
    const char *how = op->kind == DN_PLAN_CONV ? session->network->ops->conv_prepared_algorithm(op->conv)
                                               : layer->type->name;
    char place[32] = "with the next";
    dn_plan_step cost = {0};
    char shape[96] = "", weights[64] = "";
    if (op->kind == DN_PLAN_CONV)
        snprintf(shape, sizeof shape, "%dx%d/%d g%d %dx%dx%d -> %dx%dx%d%s", op->shape.size, op->shape.size,
                 op->shape.stride_x, op->shape.groups, op->shape.in_c, op->shape.in_h, op->shape.in_w,
                 op->shape.out_c, op->shape.out_h, op->shape.out_w,
                 op->pooled          ? " +maxpool"
                 : op->residual >= 0 ? " +residual"
                                     : "");
    else if (layer->out_c)
        snprintf(shape, sizeof shape, "-> %dx%dx%d", layer->out_c, layer->out_h, layer->out_w);
    else
        snprintf(shape, sizeof shape, "-> %zu", layer->outputs);
    dn_plan_step_cost(&cost, plan, step);
    if (op->kind == DN_PLAN_CONV)
        snprintf(weights, sizeof weights, ", weights %.2f MiB, x %.2f", cost.weight_bytes / MIB,
                 cost.weight_bytes / cost.plain_bytes);
    if (!op->joined)
        snprintf(place, sizeof place, "at %zu",
                 (plan->values[op->layer].offset + op->offset) * sizeof(float));
    snprintf(session->line, sizeof session->line, "%4d  layer %3d  %-5s %-12s %-48s %s%s", step, op->layer,
             kinds[op->kind], how, shape, place, weights);
    return session->line;
}

dn_status dn_session_profile(dn_session *session, int on) {
    if (!session) return dn_fail(DN_ERROR_ARGUMENT, "no session");
    DN_TRY(dn_session_prepare(session, 1));
    session->profiled = on != 0;
    return dn_session_new_times(session);
}

dn_status dn_session_plan_step(dn_plan_step *out, dn_session *session, int step) {
    if (!out || !session) return dn_fail(DN_ERROR_ARGUMENT, "dn_session_plan_step needs a session");
    if (out->struct_size != sizeof *out) return dn_fail(DN_ERROR_ARGUMENT, "struct_size was not set");
    const dn_plan *plan;
    DN_TRY(look(session, &plan));
    *out = (dn_plan_step){.struct_size = sizeof *out, .layer = -1, .conv = -1};
    if (step < 0 || step >= plan->op_count) return DN_OK;
    dn_plan_step_cost(out, plan, step);
    if (session->seconds && plan == session->plan) out->seconds = session->seconds[step];
    return DN_OK;
}

/* ---- what steps give ---- */

void dn_session_free_kept(dn_session *session) {
    for (int k = 0; session->kept && k < session->plan->op_count; ++k) dn_free(session->kept[k]);
    dn_free(session->kept);
    session->kept = NULL;
    session->kept_any = false;
}

dn_status dn_session_new_kept(dn_session *session) {
    const dn_plan *plan = session->plan;
    dn_session_free_kept(session);
    if (!session->keeps) return DN_OK;
    DN_TRY(dn_new(&session->kept, (size_t)plan->op_count + 1, sizeof *session->kept, "outputs of steps"));
    for (int k = 0; k < plan->op_count; ++k) {
        const dn_plan_op *op = &plan->ops[k];
        if ((op->kind == DN_PLAN_CONV && !op->joined) || op->kind == DN_PLAN_FORWARD)
            DN_TRY(dn_new_floats(&session->kept[k], session->network->layers[op->layer].outputs,
                                 "outputs of steps"));
    }
    return DN_OK;
}

dn_status dn_session_keep_steps(dn_session *session, int on) {
    if (!session) return dn_fail(DN_ERROR_ARGUMENT, "no session");
    DN_TRY(dn_session_prepare(session, 1));
    session->keeps = on != 0;
    return dn_session_new_kept(session);
}

const float *dn_session_step_output(const dn_session *session, int step, size_t *count) {
    const bool there = session->kept && session->kept_any && step >= 0 && step < session->plan->op_count &&
                       session->resizes == session->network->resizes && session->kept[step];
    if (count) *count = there ? session->network->layers[session->plan->ops[step].layer].outputs : 0;
    return there ? session->kept[step] : NULL;
}
