/* contrastive.c - [contrastive]: the fork's loss on embeddings, for tracking objects. It has no part in
 * inference, where it is skipped. Training it needs pairs of views of the same objects, which only the fork's
 * own loader makes, so training is refused. compat.md 20.8. */
#include "layer.h"

static const dn_key keys[] = {
    {"classes", NULL, "no effect at inference"},    {"temperature", "1", "no effect at inference"},
    {"yolo_layer", NULL, "no effect at inference"}, {"cls_normalizer", "1", "no effect at inference"},
    {"max_delta", NULL, "no effect at inference"},  {"contrastive_neg_max", "3", "no effect at inference"},
    {"steps", "1", "no effect at inference"},       {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    for (const dn_key *key = keys; key->name; ++key) (void)dn_option_text(section, key->name);
    layer->outputs = layer->inputs;
    return DN_OK;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    if (run->train)
        return dn_fail(DN_ERROR_UNSUPPORTED,
                       "layer %d [contrastive]: this loss on embeddings can't be trained here; without this "
                       "section, and the embedding layers that only it reads, the detector trains",
                       layer->index);
    run->ops->fill(run->device, run->output[layer->index], 0, (size_t)run->batch * layer->outputs);
    return DN_OK;
}

static void lower(const dn_layer *layer, dn_lowered *out) {
    (void)layer;
    *out = (dn_lowered){.kind = DN_LOWERED_NOTHING};
}

const dn_layer_type dn_type_contrastive = {
    .name = "contrastive",
    .summary = "loss on embeddings for tracking; skipped at inference, not trained",
    .keys = keys,
    .configure = configure,
    .forward = forward,
    .lower = lower,
};
