/* error.c - how much of what convolutions round arrives at a network's outputs. Errors are taken for noise
 * that is carried on as differences between random signals are (Schoenholz et al., "Deep information
 * propagation", 2017): a convolution whose sums have mean 0 and variance 1, as batch normalisation leaves
 * them, makes of errors what it makes of signals, but its activation takes more from signals, whose mean and
 * tails it cuts. Additions dilute errors, for signals add up, too; joins average. All are relative to ranges,
 * ten standard deviations. */
#include "plan.h"

/* Of a standard normal variable's activation: variance, that of small differences, and the range. */
typedef struct spread {
    double variance, differences, range;
} spread;

static spread spread_of(dn_activation activation) {
    switch (activation) {
    case DN_ACTIVATION_LINEAR:
        return (spread){1, 1, 10};
    case DN_ACTIVATION_RELU:
        return (spread){0.341, 0.5, 5.8};
    case DN_ACTIVATION_MISH:
        return (spread){0.395, 0.479, 6.3};
    case DN_ACTIVATION_SWISH:
        return (spread){0.313, 0.379, 5.6};
    case DN_ACTIVATION_LOGISTIC: /* as in heads, of sums with deviation 2.5, for lack of normalisation */
        return (spread){0.12, 0.166, 1};
    default: /* leaky, and what resembles it */
        return (spread){0.376, 0.505, 6.1};
    }
}

/* The k-th layer that a layer reads; -1: the network's input. */
static int source_of(const dn_layer *layer, int k) {
    if (layer->reads_previous && k-- == 0) return layer->index - 1;
    return layer->sources[k];
}

static int sources_of(const dn_layer *layer) {
    return layer->source_count + (layer->reads_previous ? 1 : 0);
}

/* What a layer takes of a source's signal: all, or as much of a joined map as the source is. */
static double part_of(const dn_network *network, const dn_lowered *lowered, const dn_layer *layer,
                      int source) {
    if (lowered->kind != DN_LOWERED_CONCAT) return 1;
    return (double)network->layers[source].outputs / (double)layer->outputs;
}

static void make_signal(const dn_network *network, const dn_lowered *lowered, int i,
                        dn_plan_signal *signals) {
    const dn_layer *layer = &network->layers[i];
    dn_plan_signal *signal = &signals[i];
    if (lowered[i].kind == DN_LOWERED_CONV) {
        const spread made = spread_of(lowered[i].activation);
        *signal = (dn_plan_signal){made.variance, made.range * made.range, 0};
        return;
    }
    *signal = (dn_plan_signal){0};
    for (int k = 0; k < sources_of(layer); ++k) {
        const int source = source_of(layer, k);
        const double part = part_of(network, &lowered[i], layer, source);
        signal->variance += part * (source < 0 ? 1 : signals[source].variance);
        signal->range += part * (source < 0 ? 100 : signals[source].range);
    }
}

static void pass_back(const dn_network *network, const dn_lowered *lowered, int i, dn_plan_signal *signals) {
    const dn_layer *layer = &network->layers[i];
    for (int k = 0; k < sources_of(layer); ++k) {
        const int source = source_of(layer, k);
        if (source < 0 || signals[source].variance <= 0) continue;
        const double grows = lowered[i].kind == DN_LOWERED_CONV
                                 ? spread_of(lowered[i].activation).differences / signals[source].variance
                                 : part_of(network, &lowered[i], layer, source);
        signals[source].arrives += grows * signals[i].arrives;
    }
}

void dn_plan_find_signals(const dn_network *network, const dn_lowered *lowered, dn_plan_signal *signals) {
    for (int i = 0; i < network->count; ++i) make_signal(network, lowered, i, signals);
    for (int k = 0; k < network->output_count; ++k) {
        dn_plan_signal *output = &signals[network->outputs[k]];
        if (output->range > 0) output->arrives += 1 / output->range;
    }
    for (int i = network->count - 1; i >= 0; --i) pass_back(network, lowered, i, signals);
}
