// A C face for simdjson's DOM parser (https://github.com/simdjson/simdjson): parse once, then read the tape directly.
// The tape's layout is documented upstream in doc/tape.md; `Events/JSON/JSONDocument.swift` walks it.
#ifndef PARLEY_CSIMDJSON_H
#define PARLEY_CSIMDJSON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct parley_json_parser parley_json_parser;

enum parley_json_status {
    PARLEY_JSON_OK = 0,
    PARLEY_JSON_MALFORMED = 1,
    PARLEY_JSON_TOO_DEEP = 2,
    PARLEY_JSON_BAD_UTF8 = 3,
    PARLEY_JSON_BAD_STRING = 4,
    PARLEY_JSON_BAD_NUMBER = 5,
    PARLEY_JSON_NO_MEMORY = 6,
};

/// A parser that refuses documents nested deeper than `max_depth`; NULL when memory is out.
parley_json_parser *parley_json_create(size_t max_depth);
void parley_json_destroy(parley_json_parser *parser);

/// Parses `length` bytes (copied into the parser's own padded buffer). The tape is valid until the next parse.
int parley_json_parse(parley_json_parser *parser, const uint8_t *bytes, size_t length);

const uint64_t *parley_json_tape(const parley_json_parser *parser);
const uint8_t *parley_json_strings(const parley_json_parser *parser);

/// Bytes the parser's buffers were sized for; a pool lets go of parsers that once saw something big.
size_t parley_json_capacity(const parley_json_parser *parser);

#ifdef __cplusplus
}
#endif
#endif
