/* text.c - numbers from text as C's atoi and atof read them, but never by the locale. */
#include "base.h"

#include <limits.h>
#include <math.h>

static const char *skip_space(const char *text) {
    while (*text == ' ' || (*text >= '\t' && *text <= '\r')) ++text;
    return text;
}

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

long dn_parse_int(const char *text, const char **end) {
    const char *p = skip_space(text);
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') ++p;
    const char *first = p;
    long value = 0;
    for (; digit(*p); ++p)
        value = value > (LONG_MAX - 9) / 10 ? LONG_MAX : value * 10 + (*p - '0'); /* saturates */
    if (end) *end = p == first ? text : p;
    return negative ? -value : value;
}

double dn_parse_float(const char *text, const char **end) {
    const char *p = skip_space(text);
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') ++p;
    /* 19 digits fit 64 bits; further ones only move the exponent. */
    uint64_t mantissa = 0;
    int kept = 0, exponent = 0;
    bool any = false, fraction = false;
    for (; digit(*p) || (*p == '.' && !fraction); ++p) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        any = true;
        if (kept < 19) {
            mantissa = mantissa * 10 + (uint64_t)(*p - '0');
            if (mantissa) ++kept;
            if (fraction) --exponent;
        } else if (!fraction)
            ++exponent;
    }
    if (!any) {
        if (end) *end = text;
        return 0;
    }
    if (*p == 'e' || *p == 'E') {
        const char *q = p + 1;
        bool minus = *q == '-';
        if (*q == '-' || *q == '+') ++q;
        if (digit(*q)) {
            int power = 0;
            for (; digit(*q); ++q) power = power > 9999 ? power : power * 10 + (*q - '0');
            exponent += minus ? -power : power;
            p = q;
        }
    }
    if (end) *end = p;
    /* Division by an exact power of ten rounds once where a product with 10^-n would round twice. */
    double value = (double)mantissa;
    if (mantissa == 0) exponent = 0; /* 0 times infinity would be no number */
    if (exponent < 0)
        value =
            exponent >= -300 ? value / pow(10, -exponent) : value / pow(10, 300) / pow(10, -exponent - 300);
    else if (exponent > 0)
        value *= pow(10, exponent);
    return negative ? -value : value;
}
