// The header through jansson, the data through one buffer.
#include "exchange/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/disk.h"

#define HEADER_MAX ((uint64_t)64 << 20)

static const size_t type_bytes[] = {4, 8};
static const char *const type_names[] = {"F32", "U64"};

static uint64_t little_endian(const unsigned char *bytes) {
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

// ---- writing ------------------------------------------------------------------------------------

struct safetensors_writer {
    json_t *header;
    struct buffer data;
};

enum status safetensors_writer_new(struct safetensors_writer **ret_writer, struct error *err) {
    struct safetensors_writer *writer = memory_new(1, sizeof *writer);
    if (!writer)
        return error_no_memory(err, sizeof *writer, "a file of tensors");
    buffer_init(&writer->data);
    writer->header = json_object();
    if (!writer->header) {
        safetensors_writer_free(writer);
        return error_no_memory(err, 0, "a file of tensors");
    }
    *ret_writer = writer;
    return STATUS_OK;
}

void safetensors_writer_free(struct safetensors_writer *writer) {
    if (!writer)
        return;
    json_decref(writer->header);
    buffer_deinit(&writer->data);
    memory_free(writer);
}

enum status safetensors_add(struct safetensors_writer *writer, const struct safetensor *tensor,
                            struct error *err) {
    size_t begin = writer->data.length;
    size_t bytes = tensor->rows * tensor->columns * type_bytes[tensor->type];
    buffer_append(&writer->data, tensor->data, bytes);
    json_t *shape = tensor->dimensions == 1 ? json_pack("[I]", (json_int_t)tensor->rows)
                                            : json_pack("[I, I]", (json_int_t)tensor->rows,
                                                        (json_int_t)tensor->columns);
    json_t *entry =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_names[tensor->type], "shape", shape,
                  "data_offsets", (json_int_t)begin, (json_int_t)(begin + bytes));
    if (writer->data.failed || !entry ||
        json_object_set_new(writer->header, tensor->name, entry) != 0)
        return error_no_memory(err, bytes, "a file of tensors");
    return STATUS_OK;
}

enum status safetensors_note(struct safetensors_writer *writer, const char *key, const char *text,
                             size_t length, struct error *err) {
    json_t *notes = json_object_get(writer->header, "__metadata__");
    if (!notes) {
        notes = json_object();
        if (!notes || json_object_set_new(writer->header, "__metadata__", notes) != 0)
            return error_no_memory(err, length, "a file of tensors");
    }
    if (json_object_set_new(notes, key, json_stringn(text, length)) != 0)
        return error_set(err, STATUS_INVALID,
                         "could not note `%s`: memory is out, or it is not "
                         "UTF-8",
                         key);
    return STATUS_OK;
}

enum status safetensors_write(struct safetensors_writer *writer, const char *path,
                              struct error *err) {
    struct buffer file;
    buffer_init(&file);
    char *header = json_dumps(writer->header, JSON_COMPACT);
    size_t length = header ? strlen(header) : 0, padding = (8 - length % 8) % 8;
    for (size_t i = 0; i < 8; i++)
        buffer_append_byte(&file, (unsigned char)((uint64_t)(length + padding) >> (8 * i)));
    buffer_append(&file, header, length);
    for (size_t i = 0; i < padding; i++)
        buffer_append_byte(&file, ' ');
    buffer_append(&file, writer->data.data, writer->data.length);
    enum status status = !header || file.failed
                             ? error_no_memory(err, writer->data.length, "a file of tensors")
                             : disk_replace_all(path, file.data, file.length, err);
    free(header);
    buffer_deinit(&file);
    return status;
}

// ---- reading ------------------------------------------------------------------------------------

struct safetensors {
    struct buffer bytes;
    json_t *header;
    struct safetensor *tensors;
    size_t *begins; // [count] of each tensor's data
    size_t count;
};

void safetensors_close(struct safetensors *file) {
    if (!file)
        return;
    json_decref(file->header);
    buffer_deinit(&file->bytes);
    memory_free(file->tensors);
    memory_free(file->begins);
    memory_free(file);
}

// A whole number that fits a size; false when it is none.
static bool size_of(const json_t *value, size_t *ret_size) {
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret_size = (size_t)json_integer_value(value);
    return true;
}

// What is wrong with an entry; NULL = nothing.
static const char *entry_read(const json_t *entry, size_t data_bytes, struct safetensor *tensor,
                              size_t *ret_begin, size_t *ret_end) {
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t elements, bytes;
    if (!type || (strcmp(type, "F32") != 0 && strcmp(type, "U64") != 0))
        return "its dtype is neither F32 nor U64";
    tensor->type = strcmp(type, "F32") == 0 ? SAFETENSORS_F32 : SAFETENSORS_U64;
    tensor->dimensions = json_array_size(shape);
    tensor->columns = 1;
    if (tensor->dimensions < 1 || tensor->dimensions > 2 ||
        !size_of(json_array_get(shape, 0), &tensor->rows) ||
        (tensor->dimensions == 2 && !size_of(json_array_get(shape, 1), &tensor->columns)))
        return "its shape is not of one or two dimensions";
    if (json_array_size(offsets) != 2 || !size_of(json_array_get(offsets, 0), ret_begin) ||
        !size_of(json_array_get(offsets, 1), ret_end))
        return "its data_offsets are not two whole numbers";
    if (*ret_begin > *ret_end || *ret_end > data_bytes)
        return "its data_offsets lie outside the file";
    if (__builtin_mul_overflow(tensor->rows, tensor->columns, &elements) ||
        __builtin_mul_overflow(elements, type_bytes[tensor->type], &bytes) ||
        bytes != *ret_end - *ret_begin)
        return "its data_offsets do not fit its shape";
    return NULL;
}

// Inserts by offset, so that gaps and overlaps show.
static void tensor_insert(struct safetensors *file, const struct safetensor *tensor, size_t begin) {
    size_t at = file->count++;
    for (; at > 0 && file->begins[at - 1] > begin; at--) {
        file->tensors[at] = file->tensors[at - 1];
        file->begins[at] = file->begins[at - 1];
    }
    file->tensors[at] = *tensor;
    file->begins[at] = begin;
}

static enum status entries_read(struct safetensors *file, const unsigned char *data,
                                size_t data_bytes, struct error *err) {
    const char *name;
    json_t *entry;
    size_t room = json_object_size(file->header) + 1;
    file->tensors = memory_new(room, sizeof *file->tensors);
    file->begins = memory_new(room, sizeof *file->begins);
    if (!file->tensors || !file->begins)
        return error_no_memory(err, room * sizeof *file->tensors, "names of tensors");
    json_object_foreach(file->header, name, entry) {
        struct safetensor tensor = {.name = name};
        size_t begin = 0, end = 0;
        if (strcmp(name, "__metadata__") == 0)
            continue;
        const char *mistake = entry_read(entry, data_bytes, &tensor, &begin, &end);
        if (mistake)
            return error_set(err, STATUS_INVALID, "tensor `%s`: %s", name, mistake);
        tensor.data = data + begin;
        tensor_insert(file, &tensor, begin);
    }
    size_t at = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct safetensor *tensor = &file->tensors[i];
        if (file->begins[i] != at)
            return error_set(err, STATUS_INVALID,
                             "tensor `%s`: its data overlaps another's, or "
                             "there is a gap before it",
                             tensor->name);
        at += tensor->rows * tensor->columns * type_bytes[tensor->type];
    }
    return at == data_bytes ? STATUS_OK
                            : error_set(err, STATUS_INVALID, "bytes of no tensor stand at its end");
}

static enum status file_read(struct safetensors *file, struct error *err) {
    const unsigned char *bytes = file->bytes.data;
    size_t length = file->bytes.length;
    uint64_t header = length >= 8 ? little_endian(bytes) : 0;
    json_error_t reason;
    if (length < 8 || header < 2 || header > HEADER_MAX || header > length - 8)
        return error_set(err, STATUS_INVALID,
                         "its header is longer than the file, or than 64 MiB: "
                         "truncated, or no safetensors file");
    file->header =
        json_loadb((const char *)bytes + 8, (size_t)header, JSON_REJECT_DUPLICATES, &reason);
    if (!json_is_object(file->header))
        return error_set(err, STATUS_INVALID, "its header is no JSON object: %s", reason.text);
    const json_t *notes = json_object_get(file->header, "__metadata__");
    const char *key;
    json_t *value;
    if (notes && !json_is_object(notes))
        return error_set(err, STATUS_INVALID, "its __metadata__ is no object");
    json_object_foreach(json_object_get(file->header, "__metadata__"), key, value) {
        if (!json_is_string(value))
            return error_set(err, STATUS_INVALID, "its __metadata__ holds what is no text: `%s`",
                             key);
    }
    size_t data = 8 + (size_t)header;
    return entries_read(file, bytes + data, length - data, err);
}

enum status safetensors_open(const char *path, struct safetensors **ret_file, struct error *err) {
    struct safetensors *file = memory_new(1, sizeof *file);
    if (!file)
        return error_no_memory(err, sizeof *file, "a file of tensors");
    buffer_init(&file->bytes);
    enum status status = disk_read_all(path, &file->bytes, err);
    if (status == STATUS_OK) {
        status = file_read(file, err);
        if (status != STATUS_OK)
            error_prefix(err, "could not read %s", path);
    }
    if (status == STATUS_OK)
        *ret_file = file;
    else
        safetensors_close(file);
    return status;
}

size_t safetensors_count(const struct safetensors *file) {
    return file->count;
}

const struct safetensor *safetensors_at(const struct safetensors *file, size_t i) {
    REQUIRE(i < file->count);
    return &file->tensors[i];
}

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name) {
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *safetensors_noted(const struct safetensors *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}
