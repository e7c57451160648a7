/* conv_lstm.c - [conv_lstm]: long short-term memory of convolutions that keep the map's size. The fork's
 * layer, compat.md 20.8; Shi et al., Convolutional LSTM network (2015). */
#include "lstm_cell.h"

static const dn_key keys[] = {
    {"output", "1", "channels of the state, which is the output"},
    {"size", "3", "side of all kernels, odd: every map keeps its size"},
    {"stride", "1", "must be 1"},
    {"dilation", "1", "distance between the kernels' taps"},
    {"pad", "1", "must be 1 unless size=1"},
    {"padding", "0", "read, without effect"},
    {"groups", "1", "of all convolutions"},
    {"activation", "linear", "of all convolutions, before they are added"},
    {"lstm_activation", "tanh", "of g and of c"},
    {"batch_normalize", "0", "normalise in all convolutions, each time step by itself"},
    {"peephole", "0", "the gates f, i and o also see the cell, through convolutions of their own"},
    {"bottleneck", "0", "must be 0"},
    {"shortcut", "0", "must be 0"},
    {"binary", "0", "binary weights in all convolutions"},
    {"xnor", "0", "binary weights and inputs in all convolutions"},
    {"time_normalizer", "1", "factor of the gradient that goes to the time step before"},
    {"state_constrain", NULL, "the cell is kept within this; default 32 * time_steps"},
    {NULL, NULL, NULL},
};

static const char *const names[DN_LSTM_INNERS] = {"wf", "wi", "wg", "wo", "uf", "ui",
                                                  "ug", "uo", "vf", "vi", "",   "vo"};

static dn_status read_cell(dn_lstm_cell *s, dn_section *section, const dn_graph *graph) {
    bool bottleneck, shortcut;
    float constrain = 32 * (float)graph->net->time_steps;
    DN_TRY(dn_layer_activation(&s->squash, section, "lstm_activation"));
    if (dn_activation_needs_pre(s->squash) || dn_activation_across_channels(s->squash))
        return dn_option_error(section, "lstm_activation", "'%s' can't be used here; tanh is usual",
                               dn_option_text(section, "lstm_activation"));
    DN_TRY(dn_option_flag(&s->peephole, section, "peephole"));
    DN_TRY(dn_option_flag(&bottleneck, section, "bottleneck"));
    DN_TRY(dn_option_flag(&shortcut, section, "shortcut"));
    if (bottleneck || shortcut)
        return dn_option_error(section, bottleneck ? "bottleneck" : "shortcut",
                               "must be 0: only the fork's GPU build knows what else it means");
    DN_TRY(dn_option_float(&s->time_normalizer, section, "time_normalizer", -1e6f, 1e6f));
    if (dn_option_text(section, "state_constrain"))
        DN_TRY(dn_option_float(&constrain, section, "state_constrain", 0, 1e30f));
    s->constrain = constrain;
    return DN_OK;
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    /* In the fork's file order. */
    static const int families[] = {DN_LSTM_V, DN_LSTM_W, DN_LSTM_U};
    dn_lstm_cell *s = layer->settings;
    dn_convolution choice;
    int w = layer->in_w, h = layer->in_h;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(read_cell(s, section, graph));
    DN_TRY(dn_inner_read_convolution(&choice, section));
    DN_TRY(dn_option_int(&choice.filters, section, "output", 1, 1 << 24));
    s->plain = choice.activation == DN_ACTIVATION_LINEAR;
    DN_TRY(dn_layer_set_output(layer, section, w, h, choice.filters));
    for (size_t f = 0; f < DN_COUNT(families); ++f)
        for (int gate = 0; gate < DN_GATES; ++gate) {
            int k = families[f] + gate, channels = families[f] == DN_LSTM_U ? layer->in_c : choice.filters;
            if (families[f] == DN_LSTM_V && (!s->peephole || gate == DN_GATE_G)) continue;
            DN_TRY(dn_inner_convolutional(&s->inner[k], layer, section, graph, names[k], w, h, channels,
                                          &choice));
        }
    dn_lstm_finish(layer);
    return DN_OK;
}

const dn_layer_type dn_type_conv_lstm = {
    .name = "conv_lstm",
    .summary = "long short-term memory made of convolutions",
    .keys = keys,
    .settings_size = sizeof(dn_lstm_cell),
    .configure = configure,
    .release = dn_lstm_release,
    .scratch = dn_lstm_scratch,
    .forward = dn_lstm_forward,
    .backward = dn_lstm_backward,
};
