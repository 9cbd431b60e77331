// Avro's binary primitives on buffers and cursors; owns nothing, allocates only through the buffer.
//
// Source: Apache Avro 1.11 specification, "Binary encoding". Bytes are assembled by shifts, so the
// machine's own byte order never shows.
#include "base/wire.h"

#include <limits.h>
#include <string.h>

enum { VARINT_BYTES_MAX = 10 };

void wire_put_long(struct buffer *out, int64_t value) {
    unsigned char bytes[VARINT_BYTES_MAX];
    size_t length = 0;
    uint64_t zigzag = ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
    while (zigzag >= 0x80) {
        bytes[length++] = (unsigned char)(zigzag | 0x80);
        zigzag >>= 7;
    }
    bytes[length++] = (unsigned char)zigzag;
    buffer_append(out, bytes, length);
}

static void put_little_endian(struct buffer *out, uint64_t bits, size_t length) {
    unsigned char bytes[8];
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (unsigned char)(bits >> (8 * i));
    }
    buffer_append(out, bytes, length);
}

void wire_put_float(struct buffer *out, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_little_endian(out, bits, sizeof bits);
}

void wire_put_double(struct buffer *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_little_endian(out, bits, sizeof bits);
}

void wire_put_bytes(struct buffer *out, const void *bytes, size_t length) {
    if (length > (size_t)INT64_MAX) {
        out->failed = true;
        return;
    }
    wire_put_long(out, (int64_t)length);
    buffer_append(out, bytes, length);
}

void wire_put_string(struct buffer *out, const char *text) {
    wire_put_bytes(out, text, strlen(text));
}

void wire_put_fixed64(struct buffer *out, uint64_t value) {
    put_little_endian(out, value, sizeof value);
}

struct wire wire_over(const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    return (struct wire){.at = at, .end = at ? at + length : at, .bad = !at && length > 0};
}

// The next `length` bytes, or NULL and the cursor bad.
static const unsigned char *wire_take(struct wire *in, size_t length) {
    if (in->bad || (size_t)(in->end - in->at) < length) {
        in->bad = true;
        return NULL;
    }
    const unsigned char *bytes = in->at;
    in->at += length;
    return bytes;
}

int64_t wire_get_long(struct wire *in) {
    uint64_t zigzag = 0;
    for (unsigned shift = 0; shift < 64 && !in->bad && in->at < in->end; shift += 7) {
        unsigned char byte = *in->at++;
        if (shift == 63 && byte > 1) {
            break; // an eleventh byte, or bits beyond the 64th
        }
        zigzag |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            uint64_t sign = zigzag & 1 ? UINT64_MAX : 0;
            uint64_t bits = (zigzag >> 1) ^ sign;
            int64_t value;
            memcpy(&value, &bits, sizeof value);
            return value;
        }
    }
    in->bad = true;
    return 0;
}

int32_t wire_get_int(struct wire *in) {
    int64_t value = wire_get_long(in);
    if (value < INT32_MIN || value > INT32_MAX) {
        in->bad = true;
        return 0;
    }
    return (int32_t)value;
}

bool wire_get_bool(struct wire *in) {
    const unsigned char *byte = wire_take(in, 1);
    if (byte && *byte > 1) {
        in->bad = true;
    }
    return byte && *byte == 1;
}

static uint64_t get_little_endian(struct wire *in, size_t length) {
    const unsigned char *bytes = wire_take(in, length);
    uint64_t bits = 0;
    for (size_t i = 0; bytes && i < length; i++) {
        bits |= (uint64_t)bytes[i] << (8 * i);
    }
    return bits;
}

float wire_get_float(struct wire *in) {
    uint32_t bits = (uint32_t)get_little_endian(in, sizeof bits);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double wire_get_double(struct wire *in) {
    uint64_t bits = get_little_endian(in, sizeof bits);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint64_t wire_get_fixed64(struct wire *in) {
    return get_little_endian(in, sizeof(uint64_t));
}

const unsigned char *wire_get_bytes(struct wire *in, size_t *ret_length) {
    int64_t length = wire_get_long(in);
    if (length < 0) {
        in->bad = true;
    }
    const unsigned char *bytes = in->bad ? NULL : wire_take(in, (size_t)length);
    *ret_length = bytes ? (size_t)length : 0;
    return bytes;
}

void wire_skip(struct wire *in, size_t length) {
    (void)wire_take(in, length);
}
