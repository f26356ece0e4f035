// A C face for RE2 (https://github.com/google/re2), whose matching takes time linear in the text, whatever the pattern.
#ifndef PARLEY_CRE2_H
#define PARLEY_CRE2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct parley_re2 parley_re2;

/// Compiles a pattern, whose program and tables may take `max_memory` bytes together. NULL where it is none; RE2's own words are
/// then in `fault`, ended by NUL and cut to `fault_size`.
parley_re2 *parley_re2_create(const uint8_t *pattern, size_t length, int64_t max_memory, char *fault, size_t fault_size);
void parley_re2_destroy(parley_re2 *pattern);

/// How many instructions its program has.
int parley_re2_program_size(const parley_re2 *pattern);

/// Whether it occurs anywhere in the text. Any number of threads may ask at once.
bool parley_re2_occurs(const parley_re2 *pattern, const uint8_t *text, size_t length);

/// The leftmost match that lies between `from` and `to`; what is around them is looked at by `^`, `$` and `\b` only.
bool parley_re2_find(
    const parley_re2 *pattern, const uint8_t *text, size_t length, size_t from, size_t to, size_t *start, size_t *end);

#ifdef __cplusplus
}
#endif
#endif
