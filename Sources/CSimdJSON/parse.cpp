#include "include/CSimdJSON.h"

#include <new>
#include <simdjson.h>

struct parley_json_parser {
    simdjson::dom::parser parser;
    size_t max_depth;
};

extern "C" parley_json_parser *parley_json_create(size_t max_depth) {
    auto *created = new (std::nothrow) parley_json_parser;
    if (created) created->max_depth = max_depth;
    return created;
}

extern "C" void parley_json_destroy(parley_json_parser *parser) { delete parser; }

extern "C" int parley_json_parse(parley_json_parser *parser, const uint8_t *bytes, size_t length) {
    using namespace simdjson;
    if (parser->parser.capacity() < length || parser->parser.max_depth() != parser->max_depth) {
        if (parser->parser.allocate(length < 4096 ? 4096 : length, parser->max_depth)) return PARLEY_JSON_NO_MEMORY;
    }
    error_code error = parser->parser.parse(bytes, length, true).error();
    switch (error) {
    case SUCCESS: return PARLEY_JSON_OK;
    case DEPTH_ERROR: return PARLEY_JSON_TOO_DEEP;
    case UTF8_ERROR: return PARLEY_JSON_BAD_UTF8;
    case STRING_ERROR: return PARLEY_JSON_BAD_STRING;
    case NUMBER_ERROR: return PARLEY_JSON_BAD_NUMBER;
    case MEMALLOC: return PARLEY_JSON_NO_MEMORY;
    default: return PARLEY_JSON_MALFORMED;
    }
}

extern "C" const uint64_t *parley_json_tape(const parley_json_parser *parser) { return parser->parser.doc.tape.get(); }
extern "C" const uint8_t *parley_json_strings(const parley_json_parser *parser) { return parser->parser.doc.string_buf.get(); }
extern "C" size_t parley_json_capacity(const parley_json_parser *parser) { return parser->parser.capacity(); }
