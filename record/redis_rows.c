// The row types; see redis_rows.h.
#include "record/redis_rows.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static const char *const names[REDIS_ROW_TYPES] = {"fp32", "fp16", "int8"};

enum { INT8_LARGEST = 127 };
#define FP16_LARGEST 65504.0F

const char *redis_row_type_name(enum redis_row_type type) {
    return names[type];
}

bool redis_row_type_find(const char *name, enum redis_row_type *ret_type) {
    for (size_t i = 0; i < REDIS_ROW_TYPES; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_type = (enum redis_row_type)i;
            return true;
        }
    }
    return false;
}

size_t redis_row_bytes(enum redis_row_type type, size_t count) {
    switch (type) {
    case REDIS_ROW_FP16:
        return count * sizeof(uint16_t);
    case REDIS_ROW_INT8:
        return sizeof(float) + count;
    default:
        return count * sizeof(float);
    }
}

// IEEE 754 binary16: sign, 5 bits of exponent with bias 15, 10 of fraction. In units of the last
// place the value is an integer, which nearbyintf rounds as wanted.
static uint16_t half_from(float value) {
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    float size = fabsf(value);
    if (isnan(value))
        return (uint16_t)(sign | 0x7e00);
    if (size > FP16_LARGEST)
        size = FP16_LARGEST;
    int exponent;
    (void)frexpf(size, &exponent); // size < 2^exponent
    int place = exponent - 11 < -24 ? -24 : exponent - 11;
    uint32_t units = (uint32_t)nearbyintf(ldexpf(size, -place)); // at most 2^11
    // Subnormals have place -24 and fewer than 2^10 units; a carry into the next exponent adds up.
    uint32_t bits = units < 1024 ? units : (uint32_t)(place + 24) * 1024 + units;
    return (uint16_t)(sign | bits);
}

static float half_to(uint16_t half) {
    uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                 : exponent     ? ldexpf((float)(1024 + fraction), (int)exponent - 25)
                                : ldexpf((float)fraction, -24);
    return half & 0x8000 ? -size : size;
}

static void write_fp16(const unsigned char *floats, size_t count, unsigned char *row) {
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, floats + i * sizeof value, sizeof value);
        uint16_t half = half_from(value);
        memcpy(row + i * sizeof half, &half, sizeof half);
    }
}

static void write_int8(const unsigned char *floats, size_t count, unsigned char *row) {
    float largest = 0;
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, floats + i * sizeof value, sizeof value);
        if (isfinite(value) && fabsf(value) > largest)
            largest = fabsf(value);
    }
    float scale = largest / INT8_LARGEST;
    memcpy(row, &scale, sizeof scale);
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, floats + i * sizeof value, sizeof value);
        // A scale that underflowed to 0 or near leaves quotients beyond the range.
        float quotient = isfinite(value) && scale > 0 ? nearbyintf(value / scale) : 0;
        quotient = fminf(fmaxf(quotient, -INT8_LARGEST), INT8_LARGEST);
        row[sizeof scale + i] = (unsigned char)(signed char)quotient;
    }
}

void redis_row_write(enum redis_row_type type, const void *floats, size_t count,
                     unsigned char *row) {
    if (type == REDIS_ROW_FP16)
        write_fp16(floats, count, row);
    else if (type == REDIS_ROW_INT8)
        write_int8(floats, count, row);
    else
        memcpy(row, floats, count * sizeof(float));
}

void redis_row_read(enum redis_row_type type, const void *row, size_t count, float *values) {
    const unsigned char *bytes = row;
    if (type == REDIS_ROW_FP32) {
        memcpy(values, row, count * sizeof *values);
    } else if (type == REDIS_ROW_FP16) {
        for (size_t i = 0; i < count; i++) {
            uint16_t half;
            memcpy(&half, bytes + i * sizeof half, sizeof half);
            values[i] = half_to(half);
        }
    } else {
        float scale;
        memcpy(&scale, bytes, sizeof scale);
        for (size_t i = 0; i < count; i++)
            values[i] = scale * (float)(signed char)bytes[sizeof scale + i];
    }
}
