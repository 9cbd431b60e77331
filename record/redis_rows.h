// How a row's floats lie in Redis: as they are, as binary16, or as bytes with a scale a row.
//
// Rounding is to nearest, ties to even, so a row has one encoding; a value of fp16 or int8 that is
// written again after it was read comes out the same. What rounding costs in quality is measured in
// docs/redis-layout.md.
#ifndef FRESHET_RECORD_REDIS_ROWS_H
#define FRESHET_RECORD_REDIS_ROWS_H

#include <stdbool.h>
#include <stddef.h>

enum redis_row_type {
    REDIS_ROW_FP32, // binary32, 4 bytes a value
    REDIS_ROW_FP16, // binary16, 2 bytes a value; beyond 65,504 that value with its sign
    REDIS_ROW_INT8, // a scale (binary32), then a signed byte a value: value = scale * byte
    REDIS_ROW_TYPES
};

const char *redis_row_type_name(enum redis_row_type type);                 // "fp32", "fp16", "int8"
bool redis_row_type_find(const char *name, enum redis_row_type *ret_type); // false: no such

size_t redis_row_bytes(enum redis_row_type type, size_t count); // of a row of `count` values
// floats: [count] little-endian binary32, may be unaligned; row: [redis_row_bytes]. Values that are
// not finite are 0 in int8.
void redis_row_write(enum redis_row_type type, const void *floats, size_t count,
                     unsigned char *row);
void redis_row_read(enum redis_row_type type, const void *row, size_t count, float *values);

#endif
