// Files of tensors: what is written is read; whatever is not such a file is refused whole.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "exchange/safetensors.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

static char path[128];

static int path_make(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/freshet-safetensors-%ld", (long)getpid());
    return 0;
}

static int path_remove(void **state) {
    (void)state;
    OK(disk_remove(path, NULL));
    return 0;
}

static void what_is_written_is_read(void **state) {
    (void)state;
    static const float values[6] = {1, -2, 3.5F, 0, 1e-30F, 7};
    static const uint64_t ids[3] = {1, UINT64_MAX, 42};
    struct safetensors_writer *writer;
    struct safetensors *file;
    OK(safetensors_writer_new(&writer, NULL));
    struct safetensor one = {.name = "a \"weight\"",
                             .type = SAFETENSORS_F32,
                             .dimensions = 2,
                             .rows = 2,
                             .columns = 3,
                             .data = (const unsigned char *)values};
    struct safetensor two = {.name = "ids",
                             .type = SAFETENSORS_U64,
                             .dimensions = 1,
                             .rows = 3,
                             .columns = 1,
                             .data = (const unsigned char *)ids};
    struct safetensor none = {
        .name = "empty", .type = SAFETENSORS_F32, .dimensions = 2, .rows = 0, .columns = 5};
    OK(safetensors_add(writer, &one, NULL));
    OK(safetensors_add(writer, &none, NULL));
    OK(safetensors_add(writer, &two, NULL));
    OK(safetensors_note(writer, "freshet", "{\"x\": 1}", 8, NULL));
    OK(safetensors_write(writer, path, NULL));
    safetensors_writer_free(writer);
    OK(safetensors_open(path, &file, NULL));
    assert_int_equal(safetensors_count(file), 3);
    assert_string_equal(safetensors_noted(file, "freshet"), "{\"x\": 1}");
    assert_null(safetensors_noted(file, "other"));
    const struct safetensor *read = safetensors_find(file, "a \"weight\"");
    assert_non_null(read);
    assert_int_equal(read->rows, 2);
    assert_int_equal(read->columns, 3);
    assert_memory_equal(read->data, values, sizeof values);
    read = safetensors_find(file, "ids");
    assert_int_equal(read->type, SAFETENSORS_U64);
    assert_memory_equal(read->data, ids, sizeof ids);
    assert_null(safetensors_find(file, "missing"));
    safetensors_close(file);
}

// A file of this header and so many bytes of data; `length` is what the file says of the header.
static void put(const char *header, uint64_t length, size_t data) {
    struct buffer bytes;
    buffer_init(&bytes);
    for (size_t i = 0; i < 8; i++)
        buffer_append_byte(&bytes, (unsigned char)(length >> (8 * i)));
    buffer_append(&bytes, header, strlen(header));
    for (size_t i = 0; i < data; i++)
        buffer_append_byte(&bytes, 0);
    OK(disk_replace_all(path, bytes.data, bytes.length, NULL));
    buffer_deinit(&bytes);
}

static void refused(const char *header, uint64_t length, size_t data, const char *reason) {
    struct safetensors *file;
    struct error err;
    put(header, length, data);
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_INVALID);
    if (!strstr(err.message, reason))
        fail_msg("%s: expected '%s' in: %s", header, reason, err.message);
}

#define TENSOR(name, dtype, shape, offsets)                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
static void refuse(const char *header, size_t data, const char *reason) {
    refused(header, strlen(header), data, reason);
}

static void hostile_files_are_refused_whole(void **state) {
    (void)state;
    const char *good = "{" TENSOR("a", "F32", "[2,2]", "[0,16]") "}";
    struct safetensors *file;
    put(good, strlen(good), 16);
    OK(safetensors_open(path, &file, NULL));
    safetensors_close(file);
    refuse(good, 15, "outside the file");
    refuse(good, 17, "at its end");
    refused(good, UINT64_MAX, 16, "longer than the file");
    refused(good, (uint64_t)1 << 40, 16, "longer than the file");
    refused(good, 0, 16, "longer than the file");
    refused("", 0, 0, "longer than the file");
    refused(good, strlen(good) - 1, 17, "no JSON object");
    refuse("[1]", 0, "no JSON object");
    refuse("{" TENSOR("a", "F32", "[2,2]", "[0,16]") "," TENSOR("a", "F32", "[1]", "[16,20]") "}",
           20, "no JSON object"); // a key twice
    refuse("{" TENSOR("a", "F64", "[2]", "[0,16]") "}", 16, "dtype");
    refuse("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype");
    refuse("{\"a\":7}", 0, "dtype");
    refuse("{" TENSOR("a", "F32", "[]", "[0,4]") "}", 4, "dimensions");
    refuse("{" TENSOR("a", "F32", "[1,1,1]", "[0,4]") "}", 4, "dimensions");
    refuse("{" TENSOR("a", "F32", "[-1]", "[0,4]") "}", 4, "dimensions");
    refuse("{" TENSOR("a", "F32", "[1.5]", "[0,6]") "}", 6, "dimensions");
    refuse("{" TENSOR("a", "F32", "[1]", "[4,0]") "}", 4, "outside the file");
    refuse("{" TENSOR("a", "F32", "[1]", "[0,-4]") "}", 4, "whole numbers");
    refuse("{" TENSOR("a", "F32", "[1]", "[0]") "}", 4, "whole numbers");
    refuse("{" TENSOR("a", "F32", "[3]", "[0,16]") "}", 16, "do not fit");
    refuse("{" TENSOR("a", "F32", "[4611686018427387904,4]", "[0,0]") "}", 0, "do not fit");
    refuse("{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("b", "F32", "[1]", "[8,12]") "}", 12,
           "gap");
    refuse("{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("b", "F32", "[1]", "[4,8]") "}", 8,
           "overlaps");
    refuse("{\"__metadata__\":[]}", 0, "__metadata__");
    refuse("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__");
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    const char *good = "{" TENSOR("a", "F32", "[2,2]", "[0,16]") "}";
    struct buffer whole;
    struct safetensors *file;
    struct error err;
    put(good, strlen(good), 16);
    buffer_init(&whole);
    OK(disk_read_all(path, &whole, NULL));
    for (size_t length = 0; length < whole.length; length++) {
        OK(disk_replace_all(path, whole.data, length, NULL));
        assert_int_equal(safetensors_open(path, &file, &err), STATUS_INVALID);
    }
    buffer_deinit(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(hostile_files_are_refused_whole),
        cmocka_unit_test(every_truncation_is_refused),
    };
    return cmocka_run_group_tests(tests, path_make, path_remove);
}
