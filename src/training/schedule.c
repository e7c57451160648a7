/* schedule.c - the learning rate as a function of the update number. Signed arithmetic, as the fork: the
 * reference's unsigned one lets a negative step never pass. */
#include "schedule.h"

#include <math.h>

static double cosine_rate(const dn_net_settings *net, int64_t n) {
    double start = 0, cycle = net->cycle;
    if (net->cycle_multiplier == 1) start = cycle * fmax(0, ceil((double)n / cycle) - 1); /* n may be huge */
    while (start + cycle < (double)n && net->cycle_multiplier > 1) {
        start += cycle;
        cycle *= net->cycle_multiplier;
    }
    double low = net->learning_rate_min;
    return low +
           .5 * (net->learning_rate - low) * (1 + cos(((double)n - start) * 3.14159265358979323846 / cycle));
}

static double steps_rate(const dn_net_settings *net, int64_t n) {
    double rate = net->learning_rate;
    for (int i = 0; i < net->steps_count && net->steps[i] <= n; ++i) rate *= net->scales[i];
    return rate;
}

float dn_schedule_rate(const dn_net_settings *net, int64_t n, uint64_t seed) {
    double rate = net->learning_rate;
    if (n < net->burn_in) return (float)(rate * pow((double)n / net->burn_in, net->power));
    switch (net->policy) {
    case DN_POLICY_CONSTANT:
        break;
    case DN_POLICY_STEP:
        rate *= pow(net->scale, (double)(n / net->step));
        break;
    case DN_POLICY_STEPS:
        rate = steps_rate(net, n);
        break;
    case DN_POLICY_EXP:
        rate *= pow(net->gamma, (double)n);
        break;
    case DN_POLICY_POLY:
        rate *= pow(1 - (double)n / dn_max_int(1, net->max_batches), net->power);
        break;
    case DN_POLICY_SIGMOID:
        rate /= 1 + exp(net->gamma * ((double)n - net->step));
        break;
    case DN_POLICY_RANDOM: {
        dn_random random = dn_random_keyed(seed, 0, (uint64_t)n);
        rate *= pow(dn_random_unit(&random), net->power);
        break;
    }
    case DN_POLICY_SGDR:
        rate = cosine_rate(net, n);
        break;
    }
    return (float)rate;
}
