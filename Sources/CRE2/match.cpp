#include "include/CRE2.h"

#include <cstring>
#include <new>
#include <re2/re2.h>
#include <re2/stringpiece.h>

struct parley_re2 {
    re2::RE2 pattern;
    parley_re2(re2::StringPiece text, const re2::RE2::Options &options) : pattern(text, options) {}
};

static re2::StringPiece piece(const uint8_t *bytes, size_t length) {
    return re2::StringPiece(reinterpret_cast<const char *>(bytes), length);
}

extern "C" parley_re2 *parley_re2_create(
    const uint8_t *pattern, size_t length, int64_t max_memory, char *fault, size_t fault_size) {
    re2::RE2::Options options;
    options.set_max_mem(max_memory);
    options.set_log_errors(false);
    auto *created = new (std::nothrow) parley_re2(piece(pattern, length), options);
    if (created && created->pattern.ok()) return created;
    const char *words = created ? created->pattern.error().c_str() : "out of memory";
    if (fault_size > 0) {
        std::strncpy(fault, words, fault_size - 1);
        fault[fault_size - 1] = 0;
    }
    delete created;
    return nullptr;
}

extern "C" void parley_re2_destroy(parley_re2 *pattern) { delete pattern; }

extern "C" int parley_re2_program_size(const parley_re2 *pattern) { return pattern->pattern.ProgramSize(); }

extern "C" bool parley_re2_occurs(const parley_re2 *pattern, const uint8_t *text, size_t length) {
    return pattern->pattern.Match(piece(text, length), 0, length, re2::RE2::UNANCHORED, nullptr, 0);
}

extern "C" bool parley_re2_find(
    const parley_re2 *pattern, const uint8_t *text, size_t length, size_t from, size_t to, size_t *start, size_t *end) {
    re2::StringPiece found;
    if (!pattern->pattern.Match(piece(text, length), from, to, re2::RE2::UNANCHORED, &found, 1)) return false;
    *start = static_cast<size_t>(found.data() - reinterpret_cast<const char *>(text));
    *end = *start + found.size();
    return true;
}
