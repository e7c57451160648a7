/* cpu_backend.c - the processor's row in the table of backends: opening, memory (host memory is device memory
 * here) and which function fills which slot. */
#include "cpu.h"

#include <string.h>

/* Waking workers costs some microseconds, in which one thread passes over about this many floats. */
enum { PARALLEL_WORK = 16384 };

/* Floats of a piece, or half the multiply-adds, at least: about 20 us. And how many pieces a thread's share
 * is cut into. */
enum { PIECE_WORK = 1 << 19, PIECES = 4 };

static dn_status cpu_open(dn_device **out, int threads) {
    *out = NULL;
    const dn_kernels *kernels = dn_kernels_get();
    if (!kernels) return DN_ERROR_ARGUMENT; /* the message is set */
    dn_device *device;
    DN_TRY(dn_new(&device, 1, sizeof *device, "processor state"));
    device->kernels = kernels;
    dn_status status = dn_pool_create(&device->pool, threads);
    if (status != DN_OK) {
        dn_free(device);
        return status;
    }
    *out = device;
    return DN_OK;
}

static void cpu_close(dn_device *device) {
    if (!device) return;
    dn_pool_free(device->pool);
    dn_free(device);
}

static dn_status cpu_synchronize(dn_device *device) {
    (void)device;
    return DN_OK;
}

static float *cpu_allocate(dn_device *device, size_t count) {
    (void)device;
    return dn_alloc_zero(count, sizeof(float));
}

static void cpu_release(dn_device *device, float *buffer) {
    (void)device;
    dn_free(buffer);
}

static void cpu_transfer(dn_device *device, float *to, const float *from, size_t count) {
    (void)device;
    if (count) memcpy(to, from, count * sizeof *to);
}

bool dn_cpu_is_small(size_t work) {
    return work < PARALLEL_WORK;
}

int dn_cpu_pieces(size_t work, int threads) {
    return threads == 1 ? 1 : (int)dn_max_size(1, dn_min_size(work / (size_t)threads / PIECE_WORK, PIECES));
}

typedef struct piece_job {
    dn_task task;
    void *context;
} piece_job;

static void run_pieces(void *context, int part, dn_ranges *pieces) {
    const piece_job *job = context;
    for (int piece; dn_range_claim(pieces, part, &piece);) job->task(job->context, piece, pieces->pieces);
}

void dn_cpu_parallel(dn_device *device, size_t work, dn_task task, void *context) {
    if (dn_cpu_is_small(work))
        task(context, 0, 1);
    else
        dn_cpu_share(device, work, run_pieces, &(piece_job){task, context});
}

void dn_cpu_share(dn_device *device, size_t work, dn_shared_task task, void *context) {
    const int threads = dn_pool_threads(device->pool);
    if (dn_cpu_is_small(work))
        dn_share_alone(1, task, context);
    else
        dn_pool_share(device->pool, threads * dn_cpu_pieces(work, threads), task, context);
}

const dn_ops dn_ops_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .synchronize = cpu_synchronize,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .upload = cpu_transfer,
    .download = cpu_transfer,
    .conv_scratch = dn_cpu_conv_scratch,
    .conv_forward = dn_cpu_conv_forward,
    .conv_data_gradient = dn_cpu_conv_data_gradient,
    .conv_weight_gradient = dn_cpu_conv_weight_gradient,
    .conv_choices = dn_cpu_conv_choices,
    .conv_prepare = dn_cpu_conv_prepare,
    .conv_pool = dn_cpu_conv_pool,
    .conv_prepared_free = dn_cpu_conv_prepared_free,
    .conv_prepared_bytes = dn_cpu_conv_prepared_bytes,
    .conv_place = dn_cpu_conv_place,
    .conv_pack_step = dn_cpu_conv_pack_step,
    .conv_pack = dn_cpu_conv_pack,
    .conv_prepared_algorithm = dn_cpu_conv_prepared_algorithm,
    .conv_prepared_scratch = dn_cpu_conv_prepared_scratch,
    .conv_run = dn_cpu_conv_run,
    .conv_joins = dn_cpu_conv_joins,
    .conv_joined_scratch = dn_cpu_conv_joined_scratch,
    .conv_joined_run = dn_cpu_conv_joined_run,
    .matmul_scratch = dn_cpu_matmul_scratch,
    .matmul = dn_cpu_matmul,
    .matmul_batch = dn_cpu_matmul_batch,
    .patches_gather = dn_cpu_patches_gather,
    .patches_scatter = dn_cpu_patches_scatter,
    .fill = dn_cpu_fill,
    .copy = dn_cpu_copy,
    .axpy = dn_cpu_axpy,
    .scale = dn_cpu_scale,
    .copy_rows = dn_cpu_copy_rows,
    .bias_add = dn_cpu_bias_add,
    .bias_gradient = dn_cpu_bias_gradient,
    .activate = dn_cpu_activate,
    .activate_gradient = dn_cpu_activate_gradient,
    .batchnorm_infer = dn_cpu_batchnorm_infer,
    .batchnorm_forward = dn_cpu_batchnorm_forward,
    .batchnorm_backward = dn_cpu_batchnorm_backward,
    .l2norm = dn_cpu_l2norm,
    .lrn = dn_cpu_lrn,
    .maxpool_forward = dn_cpu_maxpool_forward,
    .maxpool_backward = dn_cpu_maxpool_backward,
    .maxpool_depth_forward = dn_cpu_maxpool_depth_forward,
    .maxpool_depth_backward = dn_cpu_maxpool_depth_backward,
    .avgpool_forward = dn_cpu_avgpool_forward,
    .avgpool_backward = dn_cpu_avgpool_backward,
    .mean_forward = dn_cpu_mean_forward,
    .mean_backward = dn_cpu_mean_backward,
    .expand = dn_cpu_expand,
    .reduce = dn_cpu_reduce,
    .reorg = dn_cpu_reorg,
    .crop = dn_cpu_crop,
    .transpose = dn_cpu_transpose,
    .shortcut_forward = dn_cpu_shortcut_forward,
    .shortcut_backward = dn_cpu_shortcut_backward,
    .scale_channels_forward = dn_cpu_scale_channels_forward,
    .scale_channels_backward = dn_cpu_scale_channels_backward,
    .softmax = dn_cpu_softmax,
    .dropout = dn_cpu_dropout,
    .multiply = dn_cpu_multiply,
    .multiply_add = dn_cpu_multiply_add,
    .binarize_rows = dn_cpu_binarize_rows,
    .sign = dn_cpu_sign,
    .sign_gradient = dn_cpu_sign_gradient,
    .sgd = dn_cpu_sgd,
    .adam = dn_cpu_adam,
    .clamp = dn_cpu_clamp,
};
