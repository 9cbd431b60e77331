// Files of named tensors in the safetensors format, written and read with care.
//
// The format (version 0.3 of its description): 8 bytes, the length N of the header, little-endian;
// N bytes of JSON, {"NAME": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin,
// end]}, ..., "__metadata__": {"KEY": "text"}}; the data, to the file's end. A reader of ours
// refuses a file whole when anything is not as it should be: a header that is longer than the file
// or than 64 MiB, JSON with duplicate keys, offsets that overlap, leave gaps, do not fit dtype and
// shape, or point beyond the end, more than two dimensions, dtypes other than F32 and U64.
#ifndef FRESHET_EXCHANGE_SAFETENSORS_H
#define FRESHET_EXCHANGE_SAFETENSORS_H

#include "base/memory.h"

enum safetensors_type { SAFETENSORS_F32, SAFETENSORS_U64 };

struct safetensor {
    const char *name;
    enum safetensors_type type;
    size_t dimensions;         // 1 or 2
    size_t rows, columns;      // columns 1 where there is one dimension
    const unsigned char *data; // little-endian, may be unaligned
};

// Writing: tensors are named first to last, their data borrowed until safetensors_write.
struct safetensors_writer;
CHECKED enum status safetensors_writer_new(struct safetensors_writer **ret_writer,
                                           struct error *err);
void safetensors_writer_free(struct safetensors_writer *writer); // NULL is fine
CHECKED enum status safetensors_add(struct safetensors_writer *writer,
                                    const struct safetensor *tensor, struct error *err);
// Text of a key of __metadata__.
CHECKED enum status safetensors_note(struct safetensors_writer *writer, const char *key,
                                     const char *text, size_t length, struct error *err);
CHECKED enum status safetensors_write(struct safetensors_writer *writer, const char *path,
                                      struct error *err);

// Reading: everything is in memory and checked when open returns. STATUS_INVALID: not such a file,
// with the reason; errors of disk_read_all.
struct safetensors;
CHECKED enum status safetensors_open(const char *path, struct safetensors **ret_file,
                                     struct error *err);
void safetensors_close(struct safetensors *file); // NULL is fine
size_t safetensors_count(const struct safetensors *file);
const struct safetensor *safetensors_at(const struct safetensors *file, size_t i); // by offset
const struct safetensor *safetensors_find(const struct safetensors *file, const char *name);
// Borrowed, NUL-terminated; NULL when there is no such key.
const char *safetensors_noted(const struct safetensors *file, const char *key);

#endif
