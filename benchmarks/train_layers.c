/* train_layers.c - a training step layer by layer: the time of each layer's forward and backward pass, and of
 * each convolution's three products, with their rates; and, as the yardstick, the same three products as
 * im2col and triple loops on the same shapes and the same number of threads. With one thread, times are
 * processor time, so that what else the machine does counts little.
 *
 * make build/release/benchmarks/train_layers
 * build/release/benchmarks/train_layers [CFG [threads [batch [repetitions [naive: 0 or 1]]]]] */
#include "machine.h"

#include "../src/backends/cpu/cpu.h"
#include "../src/training/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FORWARD, WEIGHTS, DATA, PRODUCTS };

static const char *const product_names[] = {"forward", "weights", "data"};

/* Seconds, the least of all repetitions. */
typedef struct layer_times {
    double forward, backward, product[PRODUCTS], naive[PRODUCTS];
} layer_times;

static clockid_t timer = CLOCK_MONOTONIC;

static double now(void) {
    struct timespec t;
    clock_gettime(timer, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void randomize(float *x, size_t count, uint64_t stream, float range) {
    dn_random random = dn_random_keyed(1, stream, 0);
    for (size_t i = 0; i < count; ++i) x[i] = dn_random_uniform(&random, -range, range);
}

/* ---- the yardstick: one image, im2col, then C += A B as it is written down ---- */

typedef struct naive_job {
    const dn_conv_shape *shape;
    const float *x, *weights, *dy;
    float *y, *dx, *dw, *columns;
} naive_job;

/* columns[channel][ky][kx][oy][ox] from x, or added to x if `back`. */
static void naive_columns(const dn_conv_shape *s, float *x, float *columns, bool back, int begin, int end) {
    const int taps = s->size * s->size, pixels = s->out_h * s->out_w;
    for (int row = begin * taps; row < end * taps; ++row) {
        const int ky = row % taps / s->size, kx = row % s->size;
        float *plane = x + (ptrdiff_t)(row / taps) * s->in_h * s->in_w;
        for (int pixel = 0; pixel < pixels; ++pixel) {
            const int iy = pixel / s->out_w * s->stride_y + ky * s->dilation - s->pad;
            const int ix = pixel % s->out_w * s->stride_x + kx * s->dilation - s->pad;
            const bool inside = iy >= 0 && iy < s->in_h && ix >= 0 && ix < s->in_w;
            float *column = columns + (ptrdiff_t)row * pixels + pixel;
            if (!back) *column = inside ? plane[iy * s->in_w + ix] : 0;
            if (back && inside) plane[iy * s->in_w + ix] += *column;
        }
    }
}

static void naive_im2col(void *context, int part, int parts) {
    const naive_job *job = context;
    const int c = job->shape->in_c;
    naive_columns(job->shape, (float *)(uintptr_t)job->x, job->columns, false, c * part / parts,
                  c * (part + 1) / parts);
}

static void naive_col2im(void *context, int part, int parts) {
    const naive_job *job = context;
    const int c = job->shape->in_c;
    naive_columns(job->shape, job->dx, job->columns, true, c * part / parts, c * (part + 1) / parts);
}

static void naive_forward(void *context, int part, int parts) {
    const naive_job *job = context;
    const dn_conv_shape *s = job->shape;
    const ptrdiff_t depth = (ptrdiff_t)s->in_c * s->size * s->size, pixels = (ptrdiff_t)s->out_h * s->out_w;
    for (ptrdiff_t i = s->out_c * part / parts; i < s->out_c * (part + 1) / parts; ++i)
        for (ptrdiff_t k = 0; k < depth; ++k)
            for (ptrdiff_t j = 0; j < pixels; ++j)
                job->y[i * pixels + j] += job->weights[i * depth + k] * job->columns[k * pixels + j];
}

static void naive_weights(void *context, int part, int parts) {
    const naive_job *job = context;
    const dn_conv_shape *s = job->shape;
    const ptrdiff_t depth = (ptrdiff_t)s->in_c * s->size * s->size, pixels = (ptrdiff_t)s->out_h * s->out_w;
    for (ptrdiff_t i = s->out_c * part / parts; i < s->out_c * (part + 1) / parts; ++i)
        for (ptrdiff_t k = 0; k < depth; ++k) {
            float sum = 0;
            for (ptrdiff_t j = 0; j < pixels; ++j)
                sum += job->dy[i * pixels + j] * job->columns[k * pixels + j];
            job->dw[i * depth + k] += sum;
        }
}

static void naive_data(void *context, int part, int parts) {
    const naive_job *job = context;
    const dn_conv_shape *s = job->shape;
    const ptrdiff_t depth = (ptrdiff_t)s->in_c * s->size * s->size, pixels = (ptrdiff_t)s->out_h * s->out_w;
    for (ptrdiff_t k = depth * part / parts; k < depth * (part + 1) / parts; ++k) {
        memset(job->columns + k * pixels, 0, (size_t)pixels * sizeof(float));
        for (ptrdiff_t i = 0; i < s->out_c; ++i)
            for (ptrdiff_t j = 0; j < pixels; ++j)
                job->columns[k * pixels + j] += job->weights[i * depth + k] * job->dy[i * pixels + j];
    }
}

static bool time_naive(dn_pool *pool, const dn_conv_shape *s, layer_times *times) {
    const size_t x = (size_t)s->in_c * (size_t)s->in_h * (size_t)s->in_w;
    const size_t pixels = (size_t)s->out_h * (size_t)s->out_w, y = (size_t)s->out_c * pixels;
    const size_t depth = (size_t)s->in_c * (size_t)(s->size * s->size), w = (size_t)s->out_c * depth;
    float *all = dn_alloc_zero(2 * (x + y + w) + depth * pixels, sizeof *all);
    if (!all) return false;
    randomize(all, x + y + w, 1, 1);
    naive_job job = {.shape = s, .x = all, .weights = all + x, .dy = all + x + w};
    job.dx = all + x + w + y;
    job.y = job.dx + x;
    job.dw = job.y + y;
    job.columns = job.dw + w;
    const double start = now();
    dn_pool_run(pool, naive_im2col, &job);
    const double gathered = now();
    dn_pool_run(pool, naive_forward, &job);
    const double forward = now();
    dn_pool_run(pool, naive_weights, &job);
    const double weights = now();
    dn_pool_run(pool, naive_data, &job);
    dn_pool_run(pool, naive_col2im, &job);
    times->naive[FORWARD] = forward - start;
    times->naive[WEIGHTS] = weights - forward + (gathered - start); /* the reference gathers again */
    times->naive[DATA] = now() - weights;
    dn_free(all);
    return true;
}

/* ---- the layers as they are trained ---- */

static void keep_least(double *least, double seconds) {
    if (*least == 0 || seconds < *least) *least = seconds;
}

static bool conv_of(const dn_layer *layer, dn_lowered *lowered) {
    *lowered = (dn_lowered){.kind = DN_LOWERED_FORWARD};
    if (layer->type->lower) layer->type->lower(layer, lowered);
    return lowered->kind == DN_LOWERED_CONV;
}

/* One pass over all layers. Without truth heads have no loss, so their deltas are made up. */
static bool time_pass(dn_trainer *trainer, layer_times *times) {
    dn_runner *runner = &trainer->runner;
    dn_run *run = &runner->run;
    for (int i = 0; i < run->count; ++i) {
        const double start = now();
        if (dn_runner_forward_layer(runner, i) != DN_OK) return false;
        keep_least(&times[i].forward, now() - start);
        if (run->layers[i].has_cost || i + 1 == run->count) {
            randomize(run->delta[i], (size_t)run->batch * run->layers[i].outputs, 3, .01f);
            runner->unset[i] = false;
        }
    }
    for (int i = run->count - 1; i >= 0; --i) {
        const double start = now();
        if (dn_runner_backward_layer(runner, i) != DN_OK) return false;
        keep_least(&times[i].backward, now() - start);
    }
    return true;
}

static void time_products(dn_trainer *trainer, const dn_layer *layer, const dn_lowered *lowered,
                          layer_times *times) {
    dn_run *run = &trainer->runner.run;
    const dn_conv_shape *shape = &lowered->conv;
    const float *x = dn_run_input(run, layer), *weights = dn_run_param(run, layer, lowered->weights);
    float *dx = dn_run_input_delta(run, layer), *y = run->output[layer->index];
    const double start = now();
    run->ops->conv_forward(run->device, shape, run->batch, x, weights, y, run->scratch);
    const double forward = now();
    run->ops->conv_weight_gradient(run->device, shape, run->batch, x, run->delta[layer->index],
                                   dn_run_gradient(run, layer, lowered->weights), run->scratch);
    const double gradient = now();
    keep_least(&times->product[FORWARD], forward - start);
    keep_least(&times->product[WEIGHTS], gradient - forward);
    if (!dx) return;
    run->ops->conv_data_gradient(run->device, shape, run->batch, weights, run->delta[layer->index], dx, false,
                                 run->scratch);
    keep_least(&times->product[DATA], now() - gradient);
}

static double time_update(dn_trainer *trainer, int repetitions) {
    double least = 0;
    memset(trainer->gradients, 0, trainer->network->param_count * sizeof *trainer->gradients);
    for (int i = 0; i < repetitions; ++i) {
        const double start = now();
        if (dn_trainer_update(trainer) != DN_OK) return 0;
        keep_least(&least, now() - start);
    }
    return least;
}

/* ---- the table ---- */

static void print_layer(const dn_layer *layer, const dn_lowered *lowered, const layer_times *t, int batch) {
    printf("%3d %-13s %4d x%4d x%4d  forward %8.2f ms  backward %8.2f ms", layer->index, layer->type->name,
           layer->out_c, layer->out_h, layer->out_w, t->forward * 1e3, t->backward * 1e3);
    if (lowered->kind == DN_LOWERED_CONV) printf("  %dx%d", lowered->conv.size, lowered->conv.size);
    printf("\n");
    for (int p = 0; p < PRODUCTS && lowered->kind == DN_LOWERED_CONV; ++p) {
        if (t->product[p] == 0) continue;
        const double rate = layer->flops * batch / t->product[p] * 1e-9;
        printf("      %-8s %9.2f ms %8.1f GFLOP/s", product_names[p], t->product[p] * 1e3, rate);
        if (t->naive[p] > 0) {
            const double naive = layer->flops / t->naive[p] * 1e-9;
            printf("   triple loop %6.1f GFLOP/s   ratio %5.1f", naive, rate / naive);
        }
        printf("\n");
    }
}

static void print_totals(const dn_trainer *trainer, const layer_times *times, double update) {
    const dn_network *network = trainer->network;
    double forward = 0, backward = 0, products[PRODUCTS] = {0}, naive[PRODUCTS] = {0}, flops = 0;
    for (int i = 0; i < network->count; ++i) {
        forward += times[i].forward;
        backward += times[i].backward;
        if (times[i].product[FORWARD] > 0) flops += network->layers[i].flops;
        for (int p = 0; p < PRODUCTS; ++p) {
            products[p] += times[i].product[p];
            if (times[i].product[p] > 0) naive[p] += times[i].naive[p];
        }
    }
    const int batch = trainer->runner.run.batch;
    printf("all layers: forward %.1f ms, backward %.1f ms, update %.1f ms: %.2f images/s\n", forward * 1e3,
           backward * 1e3, update * 1e3, batch / (forward + backward + update));
    for (int p = 0; p < PRODUCTS; ++p) {
        printf("all convolutions, %-8s %8.1f ms %8.1f GFLOP/s", product_names[p], products[p] * 1e3,
               flops * batch / products[p] * 1e-9);
        if (naive[p] > 0) printf("   triple loop %.1f times as long", naive[p] * batch / products[p]);
        printf("\n");
    }
    printf("memory: buffers %.1f MiB, parameters and gradients %.1f MiB\n",
           (double)trainer->runner.bytes / 1048576.0,
           2.0 * (double)network->param_count * sizeof(float) / 1048576.0);
}

int main(int count, char **arguments) {
    const char *cfg = count > 1 ? arguments[1] : "cfg/yolov3-tiny.cfg";
    const int repetitions = count > 4 ? atoi(arguments[4]) : 3;
    const bool naive = count > 5 && atoi(arguments[5]);
    dn_network_options options;
    dn_network *network;
    dn_trainer *trainer;
    dn_network_options_init(&options);
    options.threads = count > 2 ? atoi(arguments[2]) : 2;
    options.batch = count > 3 ? atoi(arguments[3]) : 8;
    if (dn_network_load(&network, cfg, &options) != DN_OK ||
        dn_trainer_create(&trainer, network, NULL) != DN_OK) {
        fprintf(stderr, "%s\n", dn_error_message());
        return 2;
    }
    print_machine(count, arguments);
    if (dn_network_threads(network) == 1) timer = CLOCK_PROCESS_CPUTIME_ID;
    const size_t floats = (size_t)network->net.batch * network->net.inputs;
    float *input = dn_alloc(floats * sizeof *input);
    layer_times *times = dn_alloc_zero((size_t)network->count, sizeof *times);
    if (!input || !times) return 2;
    randomize(input, floats, 2, 1);
    trainer->runner.run.input = input;
    for (int r = 0; r < repetitions; ++r) {
        if (!time_pass(trainer, times)) return 2;
        for (int i = 0; i < network->count; ++i) {
            dn_lowered lowered;
            if (conv_of(&network->layers[i], &lowered))
                time_products(trainer, &network->layers[i], &lowered, &times[i]);
        }
    }
    for (int i = 0; i < network->count; ++i) {
        dn_lowered lowered;
        if (conv_of(&network->layers[i], &lowered) && naive && lowered.conv.groups == 1 &&
            !time_naive(trainer->device->pool, &lowered.conv, &times[i]))
            return 2;
        print_layer(&network->layers[i], &lowered, &times[i], network->net.batch);
    }
    print_totals(trainer, times, time_update(trainer, repetitions));
    dn_free(input);
    dn_free(times);
    dn_trainer_free(trainer);
    dn_network_free(network);
    return 0;
}
