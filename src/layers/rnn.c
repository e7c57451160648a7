/* rnn.c - [rnn]: three connected layers; state = f(W_input x + b) + f(W_self state' + b), y = f(W_output
 * state + b). compat.md 6.21. */
#include "elman.h"

static const dn_key keys[] = {
    {"output", "1", "number of outputs"},
    {"hidden", NULL, "size of the state with dialect alexeyab; default and otherwise `output`"},
    {"activation", "logistic", "activation function of all three inner layers"},
    {"batch_normalize", "0", "normalise in all three inner layers, each time step by itself"},
    {"shortcut", "0", "the new state also adds the old one"},
    {"logistic", "0", "read, without effect"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    dn_elman *s = layer->settings;
    int output, hidden;
    dn_activation activation;
    bool normalize;
    DN_TRY(dn_option_int(&output, section, "output", 1, 1 << 28));
    DN_TRY(dn_option_int_or(&hidden, section, "hidden", output, 1, 1 << 28));
    DN_TRY(dn_layer_activation(&activation, section, "activation"));
    DN_TRY(dn_option_flag(&normalize, section, "batch_normalize"));
    DN_TRY(dn_option_flag(&s->shortcut, section, "shortcut"));
    (void)dn_option_text(section, "logistic");
    if (graph->dialect != DN_DIALECT_ALEXEYAB) hidden = output;
    DN_TRY(dn_inner_connected(&s->inner[DN_ELMAN_INPUT], layer, section, graph, "input", layer->inputs,
                              hidden, activation, normalize));
    DN_TRY(dn_inner_connected(&s->inner[DN_ELMAN_SELF], layer, section, graph, "self", (size_t)hidden, hidden,
                              activation, normalize));
    DN_TRY(dn_inner_connected(&s->inner[DN_ELMAN_OUTPUT], layer, section, graph, "output", (size_t)hidden,
                              output, activation, normalize));
    dn_elman_finish(layer);
    return DN_OK;
}

const dn_layer_type dn_type_rnn = {
    .name = "rnn",
    .summary = "simple recurrent layer: two connected layers make the state, a third the output",
    .keys = keys,
    .settings_size = sizeof(dn_elman),
    .configure = configure,
    .release = dn_elman_release,
    .scratch = dn_elman_scratch,
    .forward = dn_elman_forward,
    .backward = dn_elman_backward,
};
