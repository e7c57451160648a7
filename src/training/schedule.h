/* schedule.h - learning-rate policies (compat.md 3.2). */
#ifndef DN_SCHEDULE_H
#define DN_SCHEDULE_H

#include "../layers/layer.h"

/* Rate at update n; seed keys the random policy, which draws once per update. */
float dn_schedule_rate(const dn_net_settings *net, int64_t n, uint64_t seed);

#endif
