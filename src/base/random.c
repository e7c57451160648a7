/* random.c - counter-based random numbers (Philox 4x32-10) and the distributions the reference draws from. */
#include "base.h"

#include <math.h>

static void philox_block(dn_random *random) {
    uint32_t c[4], k0 = random->key[0], k1 = random->key[1];
    for (int i = 0; i < 4; ++i) c[i] = random->counter[i];
    for (int round = 0; round < 10; ++round) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)p1;
        c[3] = (uint32_t)p0;
        c[0] = n0;
        c[2] = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; ++i) random->block[i] = c[i];
    random->counter[0]++;
    random->used = 0;
}

/* The stream and step share the counter's upper words; the low word counts blocks, so a stream has 2^34
 * numbers. */
dn_random dn_random_keyed(uint64_t seed, uint64_t stream, uint64_t step) {
    dn_random random = {.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                        .counter = {0, (uint32_t)stream, (uint32_t)step,
                                    (uint32_t)(step >> 32) ^ ((uint32_t)(stream >> 32) * 0x9E3779B9u)},
                        .used = 4};
    return random;
}

uint32_t dn_random_bits(dn_random *random) {
    if (random->used == 4) philox_block(random);
    return random->block[random->used++];
}

float dn_random_unit(dn_random *random) {
    return (float)(dn_random_bits(random) >> 8) * 0x1p-24f;
}

float dn_random_uniform(dn_random *random, float low, float high) {
    if (high < low) {
        float swap = low;
        low = high;
        high = swap;
    }
    return low + (high - low) * dn_random_unit(random);
}

int dn_random_int(dn_random *random, int low, int high) {
    if (high < low) {
        int swap = low;
        low = high;
        high = swap;
    }
    uint64_t span = (uint64_t)((int64_t)high - low) + 1;
    return (int)(low + (int64_t)((dn_random_bits(random) * span) >> 32));
}

float dn_random_normal(dn_random *random) {
    if (random->has_spare) {
        random->has_spare = false;
        return random->spare;
    }
    float u = 1.0f - dn_random_unit(random), v = dn_random_unit(random); /* u in (0, 1] */
    float radius = sqrtf(-2.0f * logf(u)), angle = 6.28318530718f * v;
    random->spare = radius * sinf(angle);
    random->has_spare = true;
    return radius * cosf(angle);
}

float dn_random_scale(dn_random *random, float most) {
    float u = dn_random_uniform(random, 1, most);
    return dn_random_bits(random) & 1 ? u : 1 / u;
}
