/* machine.h - the lines that every benchmark begins with: processor, date, kernel level and command. */
#ifndef DN_BENCHMARK_MACHINE_H
#define DN_BENCHMARK_MACHINE_H

#include "../src/kernels/kernels.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static inline void print_machine(int count, char **arguments) {
    char line[256], model[256] = "unknown processor\n";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) strcpy(model, strchr(line, ':') + 2);
    if (file) fclose(file);
    const time_t today = time(NULL);
    char date[64];
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime(&today));
    printf("# %s# %s, level %s\n# command:", model, date, dn_kernels_get()->level);
    for (int i = 0; i < count; ++i) printf(" %s", arguments[i]);
    printf("\n");
}

#endif
