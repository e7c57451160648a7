/* crnn.c - [crnn]: as rnn, with convolutions that keep the map's size. compat.md 6.24. */
#include "elman.h"

static const dn_key keys[] = {
    {"output_filters", NULL, "channels of the output; default `output`"},
    {"output", "1", "the fork's name of output_filters"},
    {"hidden_filters", NULL, "channels of the state; default `hidden`"},
    {"hidden", "1", "the fork's name of hidden_filters"},
    {"size", "3", "side of all kernels, odd: every map keeps its size"},
    {"stride", "1", "must be 1"},
    {"dilation", "1", "distance between the kernels' taps"},
    {"pad", "1", "must be 1 unless size=1"},
    {"padding", "0", "read, without effect"},
    {"groups", "1", "of all convolutions"},
    {"activation", "logistic", "activation function of all three convolutions"},
    {"batch_normalize", "0", "normalise in all three convolutions, each time step by itself"},
    {"binary", "0", "binary weights in all three convolutions"},
    {"xnor", "0", "binary weights and inputs in all three convolutions"},
    {"shortcut", "0", "the new state also adds the old one"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    dn_elman *s = layer->settings;
    dn_convolution choice;
    int output, hidden, w = layer->in_w, h = layer->in_h;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&output, section, "output", 1, 1 << 24));
    DN_TRY(dn_option_int_or(&output, section, "output_filters", output, 1, 1 << 24));
    DN_TRY(dn_option_int(&hidden, section, "hidden", 1, 1 << 24));
    DN_TRY(dn_option_int_or(&hidden, section, "hidden_filters", hidden, 1, 1 << 24));
    DN_TRY(dn_option_flag(&s->shortcut, section, "shortcut"));
    DN_TRY(dn_inner_read_convolution(&choice, section));
    s->forgets = true;
    DN_TRY(dn_layer_set_output(layer, section, w, h, output));
    choice.filters = hidden;
    DN_TRY(dn_inner_convolutional(&s->inner[DN_ELMAN_INPUT], layer, section, graph, "input", w, h,
                                  layer->in_c, &choice));
    DN_TRY(dn_inner_convolutional(&s->inner[DN_ELMAN_SELF], layer, section, graph, "self", w, h, hidden,
                                  &choice));
    choice.filters = output;
    DN_TRY(dn_inner_convolutional(&s->inner[DN_ELMAN_OUTPUT], layer, section, graph, "output", w, h, hidden,
                                  &choice));
    dn_elman_finish(layer);
    return DN_OK;
}

const dn_layer_type dn_type_crnn = {
    .name = "crnn",
    .summary = "simple recurrent layer made of three convolutions",
    .keys = keys,
    .settings_size = sizeof(dn_elman),
    .configure = configure,
    .release = dn_elman_release,
    .scratch = dn_elman_scratch,
    .forward = dn_elman_forward,
    .backward = dn_elman_backward,
};
