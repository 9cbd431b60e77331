// The Avro binary encoding's primitives: zigzag varints, little-endian floats, length-prefixed
// bytes.
//
// Source: Apache Avro 1.11 specification, "Binary encoding". Writing appends to a buffer; reading
// moves a cursor that never passes its end: after a malformed or truncated value `bad` stays true
// and every further read gives 0, so that a record is read straight through and checked once.
#ifndef FRESHET_BASE_WIRE_H
#define FRESHET_BASE_WIRE_H

#include "base/memory.h"

void wire_put_long(struct buffer *out, int64_t value); // Avro int, long, enum index, union index
void wire_put_float(struct buffer *out, float value);
void wire_put_double(struct buffer *out, double value);
void wire_put_bytes(struct buffer *out, const void *bytes, size_t length); // bytes, string
void wire_put_string(struct buffer *out, const char *text);
void wire_put_fixed64(struct buffer *out,
                      uint64_t value); // Avro fixed(8), little-endian by our use

struct wire {
    const unsigned char *at;
    const unsigned char *end;
    bool bad;
};
struct wire wire_over(const void *bytes, size_t length);
int64_t wire_get_long(struct wire *in); // bad when longer than 10 bytes or beyond 64 bits
int32_t wire_get_int(struct wire *in);  // bad when outside 32 bits
bool wire_get_bool(struct wire *in);    // bad when neither 0 nor 1
float wire_get_float(struct wire *in);
double wire_get_double(struct wire *in);
uint64_t wire_get_fixed64(struct wire *in);
// Borrowed bytes inside the input; *ret_length 0 and NULL when bad.
const unsigned char *wire_get_bytes(struct wire *in, size_t *ret_length);
void wire_skip(struct wire *in, size_t length);

#endif
