/* Compiles what follows for LEVEL_TARGET, whatever flags the file is compiled with. Not guarded: once per level. */
#if defined(LEVEL_TARGET)
#if defined(__clang__)
#define DN_PRAGMA(text)          _Pragma(#text)
#define DN_PUSH_TARGET(features) DN_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
DN_PUSH_TARGET(LEVEL_TARGET)
#else
#pragma GCC push_options
#pragma GCC target(LEVEL_TARGET)
#endif
#endif
