/* lstm.c - [lstm]: long short-term memory of eight connected layers, w* on the state and u* on the input.
 * compat.md 6.23. */
#include "lstm_cell.h"

static const dn_key keys[] = {
    {"output", "1", "size of the state, which is the output"},
    {"batch_normalize", "0", "normalise in all eight inner layers, each time step by itself"},
    {NULL, NULL, NULL},
};

static const char *const names[2 * DN_GATES] = {"wf", "wi", "wg", "wo", "uf", "ui", "ug", "uo"};
/* compat.md 11.2. */
static const int reference_order[DN_GATES] = {DN_GATE_I, DN_GATE_F, DN_GATE_O, DN_GATE_G};
static const int fork_order[DN_GATES] = {DN_GATE_F, DN_GATE_I, DN_GATE_G, DN_GATE_O};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    dn_lstm_cell *s = layer->settings;
    const int *order = graph->dialect == DN_DIALECT_ALEXEYAB ? fork_order : reference_order;
    int output;
    bool normalize;
    DN_TRY(dn_option_int(&output, section, "output", 1, 1 << 28));
    DN_TRY(dn_option_flag(&normalize, section, "batch_normalize"));
    s->plain = true;
    s->squash = DN_ACTIVATION_TANH;
    s->time_normalizer = 1;
    for (int k = 0; k < 2 * DN_GATES; ++k) {
        bool on_state = k < DN_GATES;
        int which = order[k % DN_GATES] + (on_state ? DN_LSTM_W : DN_LSTM_U);
        DN_TRY(dn_inner_connected(&s->inner[which], layer, section, graph, names[which],
                                  on_state ? (size_t)output : layer->inputs, output, DN_ACTIVATION_LINEAR,
                                  normalize));
    }
    dn_lstm_finish(layer);
    return DN_OK;
}

const dn_layer_type dn_type_lstm = {
    .name = "lstm",
    .summary = "long short-term memory",
    .keys = keys,
    .settings_size = sizeof(dn_lstm_cell),
    .configure = configure,
    .release = dn_lstm_release,
    .scratch = dn_lstm_scratch,
    .forward = dn_lstm_forward,
    .backward = dn_lstm_backward,
};
