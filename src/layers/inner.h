/* inner.h - layers inside a layer. The recurrent types are made of connected or convolutional layers: their
 * parameters are the outer layer's, named with a prefix ("self_weights"), in the order they were added. */
#ifndef DN_INNER_H
#define DN_INNER_H

#include "connected.h"
#include "convolutional.h"

typedef struct dn_inner {
    dn_layer layer;
    int first_param; /* in the outer layer's list */
} dn_inner;

/* Add an inner layer's parameters and flops (one row's) to the outer layer; saved memory too, for all steps.
 */
dn_status dn_inner_connected(dn_inner *inner, dn_layer *outer, dn_section *section, const dn_graph *graph,
                             const char *prefix, size_t inputs, int outputs, dn_activation activation,
                             bool batch_normalize);
/* The input has `channels` channels of the outer layer's input size. */
dn_status dn_inner_convolutional(dn_inner *inner, dn_layer *outer, dn_section *section, const dn_graph *graph,
                                 const char *prefix, int w, int h, int channels,
                                 const dn_convolution *choice);
/* The keys size, stride, dilation, pad, padding, groups, activation, batch_normalize, binary and xnor of a
 * convolution that keeps the map's size; filters stay 0. */
dn_status dn_inner_read_convolution(dn_convolution *choice, dn_section *section);
/* After the last one: parameters lie in the outer layer's list from now on. */
void dn_inner_link(dn_inner *inners, int count, const dn_layer *outer);
void dn_inner_release(dn_inner *inners, int count);

/* Floats of scratch for one pass over all rows. */
size_t dn_inner_scratch(const dn_inner *inners, int count, const dn_ops *ops, dn_device *device, int rows,
                        bool train);
/* Floats that one inner layer keeps in training, for all steps of `rows` rows. */
size_t dn_inner_saved(const dn_inner *inner, int rows, int steps);

/* One time step: the rows of its streams. step: 0 .. run->steps - 1. saved: the inner layer's memory of all
 * steps, NULL outside training. scratch: dn_inner_scratch floats. */
dn_status dn_inner_forward(const dn_inner *inner, const dn_run *run, int step, const float *input,
                           float *output, float *saved, float *scratch);
/* delta becomes that of the sums before activation and normalisation; input_delta adds, and may be NULL. */
dn_status dn_inner_backward(const dn_inner *inner, const dn_run *run, int step, const float *input,
                            float *output, float *delta, float *saved, float *input_delta, float *scratch);

/* All steps, [steps][streams] rows: one product, unless batch normalisation takes the statistics of a step.
 */
dn_status dn_inner_forward_all(const dn_inner *inner, const dn_run *run, const float *input, float *output,
                               float *saved, float *scratch);
dn_status dn_inner_backward_all(const dn_inner *inner, const dn_run *run, const float *input, float *output,
                                float *delta, float *saved, float *input_delta, float *scratch);

#endif
