/* cpu_normalize.c - batch normalisation (compat.md 6.2). A channel belongs to one thread. Vectors run along
 * the pixels, or, where there is one pixel (connected layers), along a block of channels. */
#include "cpu.h"

#include <math.h>

enum {
    CHANNELS = 64 /* per block */,
    CHUNK = 2048 /* pixels whose values stay in the first cache from one step to the next */
};

typedef struct batchnorm {
    const dn_kernels *kernels;
    const float *x;
    float *y; /* or delta */
    const float *scale, *bias;
    const float *mean, *variance;
    float *new_mean, *new_variance, *rolling_mean,
        *rolling_variance; /* training: mean and variance, to write */
    float *scale_gradient, *bias_gradient;
    dn_activation activation;
    const float *activated; /* backward: y */
    size_t batch, c, s;
    bool pjreddie_cpu;
} batchnorm;

static double deviation(const batchnorm *op, size_t channel) {
    double variance = (double)op->variance[channel];
    return op->pjreddie_cpu ? sqrt(variance) + 1e-6 : sqrt(variance + 1e-5);
}

static void normalize_channel(const batchnorm *op, size_t channel) {
    float factor = (float)((double)op->scale[channel] / deviation(op, channel));
    for (size_t b = 0; b < op->batch; ++b) {
        size_t at = (b * op->c + channel) * op->s, end = at + op->s;
        for (; at < end; at += CHUNK) {
            const size_t count = dn_min_size(CHUNK, end - at);
            op->kernels->normalize(op->x + at, op->y + at, op->mean[channel], factor, op->bias[channel],
                                   count);
            if (op->activation != DN_ACTIVATION_LINEAR)
                op->kernels->activate(op->activation, op->y + at, count);
        }
    }
}

/* ---- one pixel: `count` channels from `first` ---- */

static void normalize_block(const batchnorm *op, size_t first, size_t count) {
    const float *mean = op->mean + first, *shift = op->bias + first;
    float factor[CHANNELS];
    for (size_t i = 0; i < count; ++i)
        factor[i] = (float)((double)op->scale[first + i] / deviation(op, first + i));
    for (size_t b = 0; b < op->batch; ++b) {
        const float *x = op->x + b * op->c + first;
        float *y = op->y + b * op->c + first;
        for (size_t i = 0; i < count; ++i) y[i] = (x[i] - mean[i]) * factor[i] + shift[i];
        if (op->activation != DN_ACTIVATION_LINEAR) op->kernels->activate(op->activation, y, count);
    }
}

/* ---- inference ---- */

static void infer_task(void *context, int part, int parts) {
    const batchnorm *op = context;
    size_t begin, end;
    dn_pool_slice(op->c, op->s == 1 ? CHANNELS : 1, part, parts, &begin, &end);
    if (op->s == 1)
        for (size_t f = begin; f < end; f += CHANNELS) normalize_block(op, f, dn_min_size(CHANNELS, end - f));
    else
        for (size_t f = begin; f < end; ++f) normalize_channel(op, f);
}

void dn_cpu_batchnorm_infer(dn_device *device, float *x, const float *mean, const float *variance,
                            const float *scale, const float *bias, int batch, int c, size_t s,
                            bool pjreddie_cpu) {
    batchnorm op = {.kernels = device->kernels,
                    .x = x,
                    .y = x,
                    .scale = scale,
                    .bias = bias,
                    .mean = mean,
                    .variance = variance,
                    .activation = DN_ACTIVATION_LINEAR,
                    .batch = (size_t)batch,
                    .c = (size_t)c,
                    .s = s,
                    .pjreddie_cpu = pjreddie_cpu};
    dn_cpu_parallel(device, op.batch * op.c * s, infer_task, &op);
}

/* ---- training, forward ---- */

static void keep_statistics(const batchnorm *op, size_t channel, double mean, double variance) {
    op->new_mean[channel] = (float)mean;
    op->new_variance[channel] = (float)variance;
    op->rolling_mean[channel] = .99f * op->rolling_mean[channel] + .01f * op->new_mean[channel];
    op->rolling_variance[channel] = .99f * op->rolling_variance[channel] + .01f * op->new_variance[channel];
}

/* What the sum of squares is divided by: N - 1, as the reference does, and 1 for a single value. */
static double freedom(const batchnorm *op) {
    size_t n = op->batch * op->s;
    return n > 1 ? (double)(n - 1) : 1;
}

/* In one pass: means and squares of chunks, joined (Chan, Golub and LeVeque, "Updating formulae and a
 * pairwise algorithm for computing sample variances", 1979). */
static void channel_statistics(const batchnorm *op, size_t channel) {
    double mean = 0, squares = 0, n = 0;
    for (size_t b = 0; b < op->batch; ++b)
        for (size_t first = 0; first < op->s; first += CHUNK) {
            const float *x = op->x + (b * op->c + channel) * op->s + first;
            const size_t count = dn_min_size(CHUNK, op->s - first);
            const double added = (double)count, own_mean = op->kernels->sum(x, count) / added;
            /* own_mean as the kernel takes it: what its rounding adds to the squares is taken off again */
            const double off = own_mean - (double)(float)own_mean, apart = own_mean - mean;
            squares += op->kernels->sum_squared_difference(x, (float)own_mean, count) - added * off * off +
                       apart * apart * n * added / (n + added);
            n += added;
            mean += apart * added / n;
        }
    keep_statistics(op, channel, mean, squares / freedom(op));
}

static void block_statistics(const batchnorm *op, size_t first, size_t count) {
    double mean[CHANNELS] = {0}, squares[CHANNELS] = {0};
    for (size_t b = 0; b < op->batch; ++b)
        for (size_t i = 0; i < count; ++i) mean[i] += (double)op->x[b * op->c + first + i];
    for (size_t i = 0; i < count; ++i) mean[i] /= (double)op->batch;
    for (size_t b = 0; b < op->batch; ++b)
        for (size_t i = 0; i < count; ++i) {
            double difference = (double)op->x[b * op->c + first + i] - mean[i];
            squares[i] += difference * difference;
        }
    for (size_t i = 0; i < count; ++i) keep_statistics(op, first + i, mean[i], squares[i] / freedom(op));
}

static void forward_task(void *context, int part, int parts) {
    const batchnorm *op = context;
    size_t begin, end;
    dn_pool_slice(op->c, op->s == 1 ? CHANNELS : 1, part, parts, &begin, &end);
    if (op->s == 1)
        for (size_t f = begin; f < end; f += CHANNELS) {
            size_t count = dn_min_size(CHANNELS, end - f);
            block_statistics(op, f, count);
            normalize_block(op, f, count);
        }
    else
        for (size_t f = begin; f < end; ++f) {
            channel_statistics(op, f);
            normalize_channel(op, f);
        }
}

void dn_cpu_batchnorm_forward(dn_device *device, const float *x, float *y, float *mean, float *variance,
                              float *rolling_mean, float *rolling_variance, const float *scale,
                              const float *bias, dn_activation kind, int batch, int c, size_t s,
                              bool pjreddie_cpu) {
    batchnorm op = {.kernels = device->kernels,
                    .x = x,
                    .y = y,
                    .activation = kind,
                    .scale = scale,
                    .bias = bias,
                    .mean = mean,
                    .variance = variance,
                    .new_mean = mean,
                    .new_variance = variance,
                    .rolling_mean = rolling_mean,
                    .rolling_variance = rolling_variance,
                    .batch = (size_t)batch,
                    .c = (size_t)c,
                    .s = s,
                    .pjreddie_cpu = pjreddie_cpu};
    dn_cpu_parallel(device, op.batch * op.c * s, forward_task, &op);
}

/* ---- training, backward ---- */

/* The five steps, as delta = delta * slope + (x - mean) * centred + constant. */
typedef struct backward_terms {
    double slope, centred, constant;
} backward_terms;

/* sum: of delta; product: of delta (x - mean), both before scaling. Also adds to the gradients of scale and
 * bias. */
static backward_terms backward_step(const batchnorm *op, size_t channel, double sum, double product) {
    op->scale_gradient[channel] += (float)(product / deviation(op, channel));
    if (op->bias_gradient) op->bias_gradient[channel] += (float)sum;
    double n = (double)(op->batch * op->s), scale = (double)op->scale[channel];
    double variance = (double)op->variance[channel], root = sqrt(variance + 1e-5);
    double mean_delta = -scale * sum / root;
    double variance_delta = -0.5 * scale * product / (root * root * root);
    return (backward_terms){scale / root, variance_delta * 2 / n, mean_delta / n};
}

static void backward_channel(const batchnorm *op, size_t channel) {
    const dn_kernels *kernels = op->kernels;
    const float mean = op->mean[channel];
    double sum = 0, product = 0;
    for (size_t b = 0; b < op->batch; ++b) {
        size_t at = (b * op->c + channel) * op->s, end = at + op->s;
        for (; at < end; at += CHUNK) {
            const size_t count = dn_min_size(CHUNK, end - at);
            double sums[2];
            if (op->activation != DN_ACTIVATION_LINEAR)
                kernels->activate_gradient(op->activation, op->activated + at, NULL, op->y + at, count);
            kernels->normalize_sums(op->x + at, op->y + at, mean, count, sums);
            sum += sums[0];
            product += sums[1];
        }
    }
    const backward_terms terms = backward_step(op, channel, sum, product);
    for (size_t b = 0; b < op->batch; ++b) {
        const size_t at = (b * op->c + channel) * op->s;
        kernels->normalize_gradient(op->x + at, op->y + at, mean, (float)terms.slope, (float)terms.centred,
                                    (float)terms.constant, op->s);
    }
}

/* A few samples per channel, as connected layers have, cancel almost entirely: what is left is rounding, so
 * this rounds where the reference does. */
static void backward_block(const batchnorm *op, size_t first, size_t count) {
    const float *mean = op->mean + first, *scale = op->scale + first, *variance = op->variance + first;
    float sum[CHANNELS] = {0}, mean_delta[CHANNELS] = {0}, variance_delta[CHANNELS] = {0};
    double product[CHANNELS] = {0};
    for (size_t b = 0; b < op->batch; ++b) {
        const float *x = op->x + b * op->c + first;
        float *delta = op->y + b * op->c + first;
        if (op->activation != DN_ACTIVATION_LINEAR)
            op->kernels->activate_gradient(op->activation, op->activated + b * op->c + first, NULL, delta,
                                           count);
        for (size_t i = 0; i < count; ++i) {
            sum[i] += delta[i];
            product[i] += (double)(delta[i] * (x[i] - mean[i]));
            delta[i] *= scale[i];
            mean_delta[i] += delta[i];
            variance_delta[i] += delta[i] * (x[i] - mean[i]);
        }
    }
    float n = (float)op->batch;
    for (size_t i = 0; i < count; ++i) {
        op->scale_gradient[first + i] += (float)(product[i] / deviation(op, first + i));
        if (op->bias_gradient) op->bias_gradient[first + i] += sum[i];
        double root = sqrt((double)(variance[i] + 1e-5f));
        mean_delta[i] = (float)(mean_delta[i] * (-1 / root));
        variance_delta[i] = (float)(variance_delta[i] * (-0.5 / (root * root * root)));
    }
    for (size_t b = 0; b < op->batch; ++b) {
        const float *x = op->x + b * op->c + first;
        float *delta = op->y + b * op->c + first;
        for (size_t i = 0; i < count; ++i)
            delta[i] =
                (float)(delta[i] / sqrt((double)(variance[i] + 1e-5f)) +
                        variance_delta[i] * 2.0 * (double)(x[i] - mean[i]) / n + (double)(mean_delta[i] / n));
    }
}

static void backward_task(void *context, int part, int parts) {
    const batchnorm *op = context;
    size_t begin, end;
    dn_pool_slice(op->c, op->s == 1 ? CHANNELS : 1, part, parts, &begin, &end);
    if (op->s == 1)
        for (size_t f = begin; f < end; f += CHANNELS) backward_block(op, f, dn_min_size(CHANNELS, end - f));
    else
        for (size_t f = begin; f < end; ++f) backward_channel(op, f);
}

void dn_cpu_batchnorm_backward(dn_device *device, const float *x, const float *y, const float *mean,
                               const float *variance, const float *scale, dn_activation kind, float *delta,
                               float *scale_gradient, float *bias_gradient, int batch, int c, size_t s,
                               bool pjreddie_cpu) {
    batchnorm op = {.kernels = device->kernels,
                    .x = x,
                    .y = delta,
                    .activation = kind,
                    .activated = y,
                    .scale = scale,
                    .mean = mean,
                    .variance = variance,
                    .scale_gradient = scale_gradient,
                    .bias_gradient = bias_gradient,
                    .batch = (size_t)batch,
                    .c = (size_t)c,
                    .s = s,
                    .pjreddie_cpu = pjreddie_cpu};
    dn_cpu_parallel(device, op.batch * op.c * s, backward_task, &op);
}
