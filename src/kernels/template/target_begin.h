/* Compiles what follows for LEVEL_TARGET, whatever flags the file is compiled with. Not guarded: once per
 * level. */
#if defined(LEVEL_TARGET)
#define DN_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define DN_PUSH_TARGET(features)                                                                             \
    DN_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#else
#pragma GCC push_options
#define DN_PUSH_TARGET(features) DN_PRAGMA(GCC target(features))
#endif
DN_PUSH_TARGET(LEVEL_TARGET)
#endif
