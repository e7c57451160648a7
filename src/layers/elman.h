/* elman.h - the simple recurrent network that [rnn] and [crnn] share: state = input(x) + self(state before),
 * y = output(state). Elman, Finding structure in time (1990); compat.md 6.21, 6.24. */
#ifndef DN_ELMAN_H
#define DN_ELMAN_H

#include "inner.h"

enum { DN_ELMAN_INPUT, DN_ELMAN_SELF, DN_ELMAN_OUTPUT, DN_ELMAN_INNERS };

/* First in the settings of the layers that are one. */
typedef struct dn_elman {
    dn_inner inner[DN_ELMAN_INNERS]; /* added to the layer in this order */
    size_t hidden;                   /* floats of the state */
    bool shortcut;                   /* the new state also adds the old one */
    bool forgets;                    /* every training pass starts from zero */
} dn_elman;

/* After the inner layers are configured: the layer's output, state and memory. */
void dn_elman_finish(dn_layer *layer);
void dn_elman_release(dn_layer *layer);
size_t dn_elman_scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train);
dn_status dn_elman_forward(const dn_layer *layer, dn_run *run);
dn_status dn_elman_backward(const dn_layer *layer, dn_run *run);

#endif
