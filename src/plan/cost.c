/* cost.c - what the steps of a plan do: operations, and bytes read and written. */
#include "plan.h"

static double param_bytes(const dn_layer *layer) {
    size_t floats = 0;
    for (int p = 0; p < layer->param_count + layer->shared_count; ++p) floats += layer->params[p].count;
    return (double)(floats * sizeof(float));
}

/* With a bias for every filter, as they are packed. */
static double plain_bytes(const dn_conv_shape *shape) {
    const double weights = (double)(shape->in_c / shape->groups) * shape->size * shape->size;
    return (weights + 1) * shape->out_c * (double)sizeof(float);
}

static size_t outputs_of(const dn_network *network, int layer) {
    return layer < 0 ? network->net.inputs : network->layers[layer].outputs;
}

static void conv_step(dn_plan_step *out, const dn_plan *plan, const dn_plan_op *op) {
    const dn_network *network = plan->network;
    size_t floats = outputs_of(network, op->input) + outputs_of(network, op->layer);
    if (op->residual >= 0) floats += outputs_of(network, op->residual);
    out->conv = op->input + 1;
    out->algorithm = network->ops->conv_prepared_algorithm(op->conv);
    for (int i = out->conv; i <= op->layer; ++i) out->flops += network->layers[i].flops;
    out->weight_bytes = (double)network->ops->conv_prepared_bytes(op->conv);
    out->plain_bytes = plain_bytes(&op->shape);
    out->activation_bytes = (double)(floats * sizeof(float));
}

/* A pair takes its time, does its operations and moves its maps in the second step. */
static void pair_step(dn_plan_step *out, const dn_plan *plan, const dn_plan_op *op) {
    const dn_network *network = plan->network;
    const dn_plan_op *before = op - 1;
    if (op->paired) {
        out->flops = out->activation_bytes = 0;
    } else if (op > plan->ops && before->paired) {
        const double input = (double)outputs_of(network, before->input),
                     between = (double)outputs_of(network, before->layer);
        out->flops += network->layers[before->layer].flops;
        out->activation_bytes += (input - between) * (double)sizeof(float);
    }
}

static void layer_step(dn_plan_step *out, const dn_network *network, const dn_layer *layer) {
    size_t floats = layer->outputs + (layer->reads_previous ? layer->inputs : 0);
    for (int s = 0; s < layer->source_count; ++s) floats += network->layers[layer->sources[s]].outputs;
    out->algorithm = layer->type->name;
    out->flops = layer->flops;
    out->weight_bytes = out->plain_bytes = param_bytes(layer);
    out->activation_bytes = (double)(floats * sizeof(float));
}

void dn_plan_step_cost(dn_plan_step *out, const dn_plan *plan, int step) {
    const dn_plan_op *op = &plan->ops[step];
    const dn_layer *layer = &plan->network->layers[op->layer];
    out->layer = op->layer;
    switch (op->kind) {
    case DN_PLAN_CONV:
        conv_step(out, plan, op);
        pair_step(out, plan, op);
        break;
    case DN_PLAN_FORWARD:
        layer_step(out, plan->network, layer);
        break;
    case DN_PLAN_COPY:
        out->algorithm = "copy";
        out->activation_bytes = (double)(2 * outputs_of(plan->network, op->input) * sizeof(float));
        break;
    case DN_PLAN_CLEAR:
        out->algorithm = "clear";
        out->activation_bytes = (double)(layer->outputs * sizeof(float));
        break;
    }
}
