/* test_normalize.c - batch normalisation, with the activation that runs with it, and normalisation across
 * channels, against plain loops; and that thread counts change no bit. */
#include "targets.h"

/* ---- batch normalisation ---- */

typedef struct bn_sums {
    double mean, variance, delta, product;
} bn_sums;

static bn_sums bn_channel(const float *x, const float *delta, size_t batch, size_t c, size_t s, size_t k) {
    bn_sums sums = {0};
    size_t n = batch * s;
    for (size_t b = 0; b < batch; ++b)
        for (size_t i = 0; i < s; ++i) sums.mean += (double)x[(b * c + k) * s + i] / (double)n;
    for (size_t b = 0; b < batch; ++b)
        for (size_t i = 0; i < s; ++i) {
            double centred = (double)x[(b * c + k) * s + i] - sums.mean,
                   d = (double)delta[(b * c + k) * s + i];
            sums.variance += centred * centred / (double)(n > 1 ? n - 1 : 1);
            sums.delta += d;
            sums.product += d * centred;
        }
    return sums;
}

static void test_batchnorm(size_t batch, size_t c, size_t s, dn_activation kind, bool pjreddie_cpu) {
    size_t n = batch * c * s;
    double count = (double)(batch * s);
    float *x = numbers(n, 1), *scale = numbers(c, 1), *bias = numbers(c, 1);
    for (size_t i = 0; i < n; ++i) x[i] += (float)(i / s % c % 7);
    target y = target_new("batchnorm_forward", n, 1), mean = target_new("mean", c, 1);
    target variance = target_new("variance", c, 1), rolling_mean = target_new("rolling mean", c, 1);
    target rolling_variance = target_new("rolling variance", c, 1),
           delta = target_new("batchnorm_backward", n, 1);
    target scale_gradient = target_new("scale gradient", c, 1),
           bias_gradient = target_new("bias gradient", c, 1);
    target infer = target_new("batchnorm_infer", n, 1);
    float *through = copied(delta.start, n); /* the activation */
    for (size_t k = 0; k < c; ++k) {
        const bn_sums sums = bn_channel(x, delta.start, batch, c, s, k);
        const double d = pjreddie_cpu ? sqrt(sums.variance) + 1e-6 : sqrt(sums.variance + 1e-5);
        for (size_t b = 0; b < batch; ++b)
            for (size_t i = (b * c + k) * s; i < (b * c + k + 1) * s; ++i) {
                const double normal = ((double)x[i] - sums.mean) / d * (double)scale[k] + (double)bias[k];
                y.want[i] = (float)activated(kind, normal);
                through[i] *= (float)gradient(kind, (double)y.want[i]);
            }
    }
    for (size_t k = 0; k < c; ++k) {
        bn_sums sums = bn_channel(x, through, batch, c, s, k);
        double v = sums.variance, factor = (double)scale[k], root = sqrt(v + 1e-5);
        double d = pjreddie_cpu ? sqrt(v) + 1e-6 : root, divisor = pjreddie_cpu ? sqrt(v) + 1e-5 : root;
        mean.want[k] = (float)sums.mean;
        variance.want[k] = (float)v;
        rolling_mean.want[k] = .99f * rolling_mean.want[k] + .01f * mean.want[k];
        rolling_variance.want[k] = .99f * rolling_variance.want[k] + .01f * variance.want[k];
        scale_gradient.want[k] += (float)(sums.product / d);
        bias_gradient.want[k] += (float)sums.delta;
        double mean_delta = -factor * sums.delta / root;
        double variance_delta = -.5 * pow(v + 1e-5, -1.5) * factor * sums.product;
        for (size_t b = 0; b < batch; ++b)
            for (size_t i = (b * c + k) * s; i < (b * c + k + 1) * s; ++i) {
                double centred = (double)x[i] - sums.mean;
                infer.want[i] = (float)(((double)infer.start[i] - sums.mean) / d * factor + (double)bias[k]);
                delta.want[i] = (float)((double)through[i] * factor / divisor +
                                        variance_delta * 2 * centred / count + mean_delta / count);
            }
    }
    ON_EVERY_DEVICE(t) {
        ops->batchnorm_forward(devices[t], x, y.got[t], mean.got[t], variance.got[t], rolling_mean.got[t],
                               rolling_variance.got[t], scale, bias, kind, (int)batch, (int)c, s,
                               pjreddie_cpu);
        ops->batchnorm_backward(devices[t], x, y.got[t], mean.got[t], variance.got[t], scale, kind,
                                delta.got[t], scale_gradient.got[t], bias_gradient.got[t], (int)batch, (int)c,
                                s, pjreddie_cpu);
        ops->batchnorm_infer(devices[t], infer.got[t], mean.want, variance.want, scale, bias, (int)batch,
                             (int)c, s, pjreddie_cpu);
    }
    target *all[] = {&y,     &mean,           &variance,      &rolling_mean, &rolling_variance,
                     &delta, &scale_gradient, &bias_gradient, &infer};
    /* Few values per channel may lie close together: the inverse root of the variance is large, and rounding
     * is, too. */
    for (size_t i = 0; i < DN_COUNT(all); ++i) target_check(all[i], batch * s < 10 ? 1e5 : 20);
    dn_free(x), dn_free(scale), dn_free(bias), dn_free(through);
}

/* ---- normalisation across channels ---- */

static void test_across(size_t batch, size_t c, size_t s) {
    const dn_lrn options = {.alpha = .01f, .beta = .75f, .kappa = 1.5f, .size = 5};
    size_t n = batch * c * s;
    float *x = numbers(n, 1);
    for (size_t k = 0; k < c; ++k) x[k * s] = 0; /* a pixel without a direction */
    target unit = target_new("l2norm", n, 1), lrn = target_new("lrn", n, 1),
           factor = target_new("lrn factor", n, 1);
    ON_EVERY_DEVICE(t) {
        ops->l2norm(devices[t], x, unit.got[t], (int)batch, (int)c, s);
        ops->lrn(devices[t], &options, x, lrn.got[t], factor.got[t], (int)batch, (int)c, s);
    }
    for (size_t b = 0; b < batch; ++b) {
        dn_kernels_get()->lrn(&options, (int)c, s, s, x + b * c * s, lrn.want + b * c * s,
                              factor.want + b * c * s);
        for (size_t i = 0; i < s; ++i) {
            double squares = 0;
            for (size_t k = 0; k < c; ++k) squares += pow((double)x[(b * c + k) * s + i], 2);
            for (size_t k = 0; k < c; ++k)
                unit.want[(b * c + k) * s + i] =
                    squares == 0 ? 0 : (float)((double)x[(b * c + k) * s + i] / sqrt(squares));
        }
    }
    target_check(&unit, 1);
    target_check(&lrn, 1);
    target_check(&factor, 1);
    dn_free(x);
}

int main(void) {
    source = dn_random_keyed(1, 2, 3);
    if (!open_devices()) return 1;
    const struct {
        size_t batch, c, s;
    } shapes[] = {{1, 1, 1}, {3, 5, 1}, {2, 3, 7}, {64, 700, 1}, {3, 37, 400}, {3, 2, 5000}};
    for (size_t i = 0; i < DN_COUNT(shapes); ++i) {
        const size_t batch = shapes[i].batch, c = shapes[i].c, s = shapes[i].s;
        test_batchnorm(batch, c, s, DN_ACTIVATION_LINEAR, false);
        test_batchnorm(batch, c, s, DN_ACTIVATION_LEAKY, false);
        test_batchnorm(batch, c, s, DN_ACTIVATION_LOGISTIC, false);
        if (batch * s > 1) test_batchnorm(batch, c, s, DN_ACTIVATION_LINEAR, true);
        test_across(batch, c, s);
    }
    done("normalisation", 0);
    close_devices();
    return failures != 0;
}
