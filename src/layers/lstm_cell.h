/* lstm_cell.h - long short-term memory, shared by [lstm] (connected inner layers) and [conv_lstm]
 * (convolutions):
 *   f, i, o = logistic(w h + u x [+ v c]), g = squash(wg h + ug x), c' = f c + i g, h' = o squash(c')
 * The optional peepholes v are those of Gers & Schmidhuber (2000): vf and vi see the old c, vo the new one.
 * compat.md 6.23, 20.8. */
#ifndef DN_LSTM_CELL_H
#define DN_LSTM_CELL_H

#include "inner.h"

enum { DN_GATE_F, DN_GATE_I, DN_GATE_G, DN_GATE_O, DN_GATES };
enum { DN_LSTM_W, DN_LSTM_U = DN_GATES, DN_LSTM_V = 2 * DN_GATES, DN_LSTM_INNERS = 3 * DN_GATES };

/* First in the settings of the layers that are one. */
typedef struct dn_lstm_cell {
    dn_inner inner[DN_LSTM_INNERS]; /* family + gate; without peepholes, and for g, there are no v */
    bool peephole;
    bool plain;            /* the inner layers have no activation, so their outputs need not be kept */
    dn_activation squash;  /* tanh */
    float constrain;       /* c is kept within this; 0: free */
    float time_normalizer; /* factor of the gradient that goes to the step before */
} dn_lstm_cell;

/* After the inner layers are configured: the layer's output, state and memory. */
void dn_lstm_finish(dn_layer *layer);
void dn_lstm_release(dn_layer *layer);
size_t dn_lstm_scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train);
dn_status dn_lstm_forward(const dn_layer *layer, dn_run *run);
dn_status dn_lstm_backward(const dn_layer *layer, dn_run *run);

#endif
