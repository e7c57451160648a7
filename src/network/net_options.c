/* net_options.c - the [net] section: input size, batch, optimiser, learning-rate policy. compat.md section 3.
 */
#include "network.h"

#include <limits.h>
#include <string.h>

const dn_key dn_net_keys[] = {
    {"batch", "1", "images per weight update, all subdivisions together"},
    {"subdivisions", "1", "forward and backward passes per update"},
    {"time_steps", "1", "unrolled steps of recurrent layers"},
    {"width", "0", "of the input"},
    {"height", "0", "of the input"},
    {"channels", "0", "of the input"},
    {"inputs", NULL, "values per input, for networks fed with vectors; default height * width * channels"},
    {"learning_rate", "0.001", "base rate"},
    {"momentum", "0.9", "of SGD"},
    {"decay", "0.0001", "L2 weight decay"},
    {"adam", "0", "Adam instead of SGD"},
    {"B1", "0.9", "Adam"},
    {"B2", "0.999", "Adam"},
    {"eps", "0.0000001", "Adam"},
    {"clip", "0", "weights of convolutions are kept within this, after each update; 0: not"},
    {"policy", "constant", "constant, step, steps, exp, poly, sigmoid, random or sgdr"},
    {"burn_in", "0", "updates during which the rate rises from 0"},
    {"power", "4", "exponent of burn-in and of the poly and random policies"},
    {"step", "1", "step, sigmoid: updates"},
    {"scale", "1", "step: factor"},
    {"steps", NULL, "steps: updates after which the rate changes"},
    {"scales", NULL, "steps: factors"},
    {"gamma", "1", "exp, sigmoid"},
    {"max_batches", "0", "updates to train"},
    {"seq_scales", NULL, "factors of the length of sequences, no effect"},
    {"sgdr_cycle", NULL, "sgdr: updates of the first cycle; default max_batches"},
    {"sgdr_mult", "2", "sgdr: growth of cycles"},
    {"learning_rate_min", "0.00001", "sgdr: lowest rate"},
    {"angle", "0", "classifier augmentation: rotation, degrees"},
    {"aspect", "1", "classifier augmentation: aspect ratio"},
    {"saturation", "1", "augmentation"},
    {"exposure", "1", "augmentation"},
    {"hue", "0", "augmentation"},
    {"flip", "1", "augmentation: mirror half of the images"},
    {"min_crop", NULL, "classifier augmentation: shorter side, least; default width"},
    {"max_crop", NULL, "classifier augmentation: shorter side, most; default 2 * width"},
    {"min_ratio", NULL, "classifier augmentation: min_crop / width"},
    {"max_ratio", NULL, "classifier augmentation: max_crop / width"},
    {"center", "0", "classifier: centre crops instead of augmentation"},
    {"random", "0", "classifier: resize the network while training"},
    {"letter_box", NULL, "detection: 1 letterboxes images, 0 stretches them"},
    {"notruth", "0", "no effect"},
    {"seen", NULL, "no effect"},
    {"max_epochs", NULL, "no effect, as in the fork, whose files have it"},
    {"mosaic", "0", "1: half of the training pictures are windows of four"},
    {"mixup", "0", "1: half of the training pictures are blended with another"},
    {"cutmix", "0", "1: half of a classifier's training pictures have a window of another"},
    {"mosaic_bound", "0", "1: boxes of a mosaic end where their window does"},
    {"blur", "0", "augmentation of the fork, no effect yet"},
    {"gaussian_noise", "0", "augmentation of the fork, no effect yet"},
    {"resize_step", "32", "multi-scale training: sizes are multiples of this"},
    {"ema_alpha", "0", "no effect"},
    {"label_smooth_eps", "0",
     "part of the truth that all classes of a classifier share; the loss sums -log p of all"},
    {"dynamic_minibatch", "0", "no effect"},
    {"optimized_memory", "0", "no effect"},
    {"workspace_size_limit_MB", "1024", "no effect"},
    {"try_fix_nan", "0", "no effect"},
    {"loss_scale", "1", "no effect"},
    {"max_chart_loss", "20", "no effect"},
    {"show_receptive_field", "0", "no effect"},
    {"track", "0", "no effect"},
    {"augment_speed", "2", "no effect"},
    {"sequential_subdivisions", "1", "no effect"},
    {"use_cuda_graph", "0", "no effect"},
    {"weights_reject_freq", "0", "no effect"},
    {"equidistant_point", "0", "no effect"},
    {"badlabels_rejection_percentage", "0", "no effect"},
    {"num_sigmas_reject_badlabels", "0", "no effect"},
    {"adversarial_lr", "0", "no effect"},
    {"attention", "0", "no effect"},
    {"contrastive", "0", "no effect"},
    {"contrastive_jit_flip", "0", "no effect"},
    {"contrastive_color", "0", "no effect"},
    {"unsupervised", "0", "no effect"},
    {NULL, NULL, NULL},
};

static dn_status read_input(dn_net_settings *net, dn_section *section, const dn_network_options *options) {
    int inputs;
    enum { MOST_SIDE = 1 << 20 };
    DN_TRY(dn_option_int(&net->w, section, "width", 0, MOST_SIDE));
    DN_TRY(dn_option_int(&net->h, section, "height", 0, MOST_SIDE));
    DN_TRY(dn_option_int(&net->c, section, "channels", 0, MOST_SIDE));
    if (options->width) net->w = options->width;
    if (options->height) net->h = options->height;
    if (net->w < 0 || net->h < 0 || net->w > MOST_SIDE || net->h > MOST_SIDE)
        return dn_fail(DN_ERROR_ARGUMENT, "an input of %d x %d is impossible", net->w, net->h);
    size_t pixels = (size_t)net->w * (size_t)net->h, values;
    if (!dn_mul(&values, pixels, (size_t)net->c) || values > INT_MAX)
        return dn_option_error(section, NULL, "an input of %d x %d x %d is too large", net->w, net->h,
                               net->c);
    DN_TRY(dn_option_int_or(&inputs, section, "inputs", (int)values, 0, INT_MAX));
    if (values == 0) {
        net->w = net->h = net->c = 0; /* a plain vector */
        if (inputs == 0)
            return dn_option_error(section, NULL, "no input size: set width, height and channels, or inputs");
    } else if ((size_t)inputs != values) {
        return dn_option_error(section, "inputs", "is %d, but width * height * channels is %zu", inputs,
                               values);
    }
    net->inputs = (size_t)inputs;
    return DN_OK;
}

static dn_status read_batch(dn_net_settings *net, dn_section *section, const dn_network_options *options) {
    enum { MOST = 1 << 20 };
    int batch;
    DN_TRY(dn_option_int(&batch, section, "batch", 1, MOST));
    DN_TRY(dn_option_int(&net->subdivisions, section, "subdivisions", 1, MOST));
    DN_TRY(dn_option_int(&net->time_steps, section, "time_steps", 1, MOST));
    if (options->time_steps) net->time_steps = options->time_steps;
    net->batch = options->batch ? options->batch : batch / net->subdivisions;
    if (net->batch < 1 && !options->batch) {
        dn_log(DN_LOG_WARNING,
               "%s:%d: [net] subdivisions: %d is more than the batch of %d; one image per pass",
               section->file, section->line, net->subdivisions, batch);
        net->batch = 1;
    }
    if (net->batch < 1 || net->batch > MOST)
        return dn_fail(DN_ERROR_ARGUMENT, "batch: must be 1 to %d, not %d", MOST, net->batch);
    if ((int64_t)net->batch * net->time_steps > MOST)
        return dn_option_error(section, "time_steps", "times the batch is more than %d", MOST);
    net->batch *= net->time_steps;
    return DN_OK;
}

static dn_status read_steps(dn_net_settings *net, dn_section *section) {
    int scales_count;
    DN_TRY(dn_option_ints(&net->steps, &net->steps_count, section, "steps"));
    DN_TRY(dn_option_floats(&net->scales, &scales_count, section, "scales"));
    if (net->policy != DN_POLICY_STEPS) {
        net->steps_count = dn_min_int(net->steps_count, scales_count);
        return DN_OK;
    }
    if (net->steps_count == 0) return dn_option_error(section, "steps", "is required by policy=steps");
    if (scales_count < net->steps_count)
        return dn_option_error(section, "scales", "has %d values for %d steps", scales_count,
                               net->steps_count);
    return DN_OK;
}

static dn_status read_schedule(dn_net_settings *net, dn_section *section) {
    static const char *const names[] = {[DN_POLICY_CONSTANT] = "constant", [DN_POLICY_STEP] = "step",
                                        [DN_POLICY_EXP] = "exp",           [DN_POLICY_POLY] = "poly",
                                        [DN_POLICY_STEPS] = "steps",       [DN_POLICY_SIGMOID] = "sigmoid",
                                        [DN_POLICY_RANDOM] = "random",     [DN_POLICY_SGDR] = "sgdr"};
    const char *policy = dn_option_text(section, "policy");
    size_t i = 0;
    while (i < DN_COUNT(names) && strcmp(names[i], policy) != 0) ++i;
    if (i == DN_COUNT(names))
        dn_log(DN_LOG_WARNING,
               "%s:%d: [net] policy: '%s' is unknown; constant is used, as the reference does", section->file,
               section->line, policy);
    net->policy = i == DN_COUNT(names) ? DN_POLICY_CONSTANT : (dn_policy)i;
    DN_TRY(dn_option_int(&net->burn_in, section, "burn_in", 0, INT_MAX));
    DN_TRY(dn_option_int(&net->max_batches, section, "max_batches", 0, INT_MAX));
    DN_TRY(dn_option_float(&net->power, section, "power", -1e6f, 1e6f));
    DN_TRY(dn_option_int(&net->step, section, "step", 1, INT_MAX));
    DN_TRY(dn_option_float(&net->scale, section, "scale", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&net->gamma, section, "gamma", -1e6f, 1e6f));
    DN_TRY(dn_option_int_or(&net->cycle, section, "sgdr_cycle", dn_max_int(1, net->max_batches), 1, INT_MAX));
    DN_TRY(dn_option_float(&net->cycle_multiplier, section, "sgdr_mult", 1, 1e6f));
    DN_TRY(dn_option_float(&net->learning_rate_min, section, "learning_rate_min", 0, 1e6f));
    return read_steps(net, section);
}

dn_status dn_net_settings_read(dn_net_settings *net, dn_section *section, const dn_network_options *options) {
    section->keys = dn_net_keys;
    DN_TRY(read_input(net, section, options));
    DN_TRY(read_batch(net, section, options));
    DN_TRY(dn_option_float(&net->learning_rate, section, "learning_rate", 0, 1e6f));
    DN_TRY(dn_option_float(&net->momentum, section, "momentum", 0, 1e6f));
    DN_TRY(dn_option_float(&net->decay, section, "decay", 0, 1e6f));
    DN_TRY(dn_option_flag(&net->adam, section, "adam"));
    DN_TRY(dn_option_float(&net->b1, section, "B1", 0, 1));
    DN_TRY(dn_option_float(&net->b2, section, "B2", 0, 1));
    DN_TRY(dn_option_float(&net->eps, section, "eps", 0, 1));
    DN_TRY(dn_option_float(&net->clip, section, "clip", 0, 1e30f));
    DN_TRY(read_schedule(net, section));
    for (const dn_key *key = dn_net_keys; key->name; ++key) (void)dn_option_text(section, key->name);
    return dn_section_check_unused(section, options->strict);
}

void dn_net_settings_free(dn_net_settings *net) {
    dn_free(net->steps);
    dn_free(net->scales);
    memset(net, 0, sizeof *net);
}
