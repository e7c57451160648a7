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

/* Steps that run together take their time, do their operations and move their maps in the last of them. */
static void joined_step(dn_plan_step *out, const dn_plan *plan, const dn_plan_op *op) {
    const dn_network *network = plan->network;
    if (op->joined) {
        out->flops = out->activation_bytes = 0;
        return;
    }
    for (; op > plan->ops && op[-1].joined; --op) {
        const double input = (double)outputs_of(network, op[-1].input),
                     between = (double)outputs_of(network, op[-1].layer);
        out->flops += network->layers[op[-1].layer].flops;
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
        joined_step(out, plan, op);
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
