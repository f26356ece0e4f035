// libFuzzer as a library (llvm.org/docs/LibFuzzer.html, "Using libFuzzer as a library"): the program keeps its own main.
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*one)(const uint8_t *data, size_t size));
