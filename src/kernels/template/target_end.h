/* Closes target_begin.h. */
#if defined(LEVEL_TARGET)
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
