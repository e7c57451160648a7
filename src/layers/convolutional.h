/* convolutional.h - [convolutional] configured by another layer that contains one. */
#ifndef DN_CONVOLUTIONAL_H
#define DN_CONVOLUTIONAL_H

#include "layer.h"

extern const dn_layer_type dn_type_convolutional;

/* Everything of a plain convolution that its input does not say. */
typedef struct dn_convolution {
    int filters, size, stride, padding, dilation, groups;
    dn_activation activation;
    bool batch_normalize, binary, xnor;
} dn_convolution;

/* layer: cleared but for settings, in_w, in_h, in_c, inputs and line; section: what messages name. */
dn_status dn_convolutional_configure(dn_layer *layer, dn_section *section, const dn_convolution *choice);

#endif
