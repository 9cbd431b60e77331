// What the decoder's tests share: settings from YAML, schemas in files, events collected.
#ifndef FRESHET_TESTS_INGEST_DECODE_FIXTURE_H
#define FRESHET_TESTS_INGEST_DECODE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/wire.h"
#include "ingest/decoder.h"
#include "tests/ingest/decode_root.h"

#define EVENTS_MAX 64
struct seen { // a copy of an event
    struct event event;
    unsigned char key[256], ids[512], numbers[256], lists[1024];
    char domain[64];
};
struct decode_fixture {
    struct arena arena;
    struct decode_root root;
    struct decoder *decoder;
    struct error err;
    struct seen seen[EVENTS_MAX];
    size_t count;
    struct decoder_result result;
    char directory[64];
};

// Makes the decoder; the status is returned so that refusals can be tested.
static inline enum status decode_start(struct decode_fixture *f, const char *yaml) {
    f->decoder = NULL;
    arena_init(&f->arena, 4096);
    enum status status = decode_root_parse("test.yaml", yaml, &f->arena, &f->root, &f->err);
    if (status == STATUS_OK)
        status = decoder_new(&f->root.ingest, &f->root.data, &clock_system, &f->decoder, &f->err);
    return status;
}

static inline void decode_stop(struct decode_fixture *f) {
    decoder_free(f->decoder);
    arena_deinit(&f->arena);
}

static inline void decode_copy(const void *from, size_t length, void *into, size_t most) {
    assert_true(length <= most);
    if (length > 0)
        memcpy(into, from, length);
}

static inline enum status decode_see(void *self, const struct event *event, struct error *err) {
    struct decode_fixture *f = self;
    struct seen *seen = &f->seen[f->count % EVENTS_MAX];
    const struct spec *spec = &f->root.data;
    (void)err;
    f->count++;
    seen->event = *event;
    decode_copy(event->key, event->key_length, seen->key, sizeof(seen->key));
    if (event->impression) {
        const struct example *columns = &event->columns;
        decode_copy(columns->ids, 8 * spec_kind_count(spec, SPEC_CATEGORICAL), seen->ids,
                    sizeof(seen->ids));
        decode_copy(columns->numbers, 4 * spec_kind_count(spec, SPEC_NUMERIC), seen->numbers,
                    sizeof(seen->numbers));
        decode_copy(columns->lists, columns->lists_length, seen->lists, sizeof(seen->lists));
        decode_copy(columns->domain, columns->domain_length, seen->domain, sizeof(seen->domain));
    }
    return STATUS_OK;
}

// Decodes one record of `input`; what came of it is in seen, count and result.
static inline enum status decode_give(struct decode_fixture *f, uint32_t input, const void *bytes,
                                      size_t length, int64_t timestamp_ms) {
    // A copy of its own size, so that the sanitizer sees any read past its end.
    unsigned char *copy = memory_new(length + (length == 0), 1);
    assert_non_null(copy);
    if (length > 0)
        memcpy(copy, bytes, length);
    struct log_record record = {.timestamp_ms = timestamp_ms,
                                .sequence = LOG_NO_SEQUENCE,
                                .value = bytes == NULL ? NULL : copy,
                                .value_length = length};
    f->count = 0;
    memset(&f->result, 0, sizeof(f->result));
    enum status status =
        decoder_decode(f->decoder, input, &record, decode_see, f, &f->result, &f->err);
    memory_free(copy);
    return status;
}

static inline enum event_drop decode_drop(struct decode_fixture *f, uint32_t input,
                                          const struct buffer *bytes, int64_t timestamp_ms) {
    assert_false(bytes->failed);
    assert_int_equal(decode_give(f, input, bytes->data, bytes->length, timestamp_ms), STATUS_OK);
    uint64_t drops = 0;
    enum event_drop drop = EVENT_USED;
    for (int i = 0; i < EVENT_DROPS; i++) {
        drops += f->result.dropped[i];
        if (f->result.dropped[i] > 0)
            drop = (enum event_drop)i;
    }
    assert_int_equal(drops + f->count, 1);
    assert_int_equal(f->result.letter, event_drop_is_letter(drop) ? drop : EVENT_USED);
    return drop;
}

static inline uint64_t seen_id(const struct seen *seen, size_t at) {
    uint64_t id = 0;
    for (size_t i = 8; i > 0; i--)
        id = id << 8 | seen->ids[8 * at + i - 1];
    return id;
}

static inline float seen_number(const struct seen *seen, size_t at) {
    float number;
    memcpy(&number, seen->numbers + 4 * at, sizeof(number));
    return number;
}

// A folder of its own for schema files.
static inline void decode_folder(struct decode_fixture *f) {
    snprintf(f->directory, sizeof(f->directory), "/tmp/freshet-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
}

static inline void decode_write(struct decode_fixture *f, const char *name, const char *text,
                                char path[128]) {
    snprintf(path, 128, "%s/%s", f->directory, name);
    assert_int_equal(disk_replace_all(path, text, strlen(text), &f->err), STATUS_OK);
}

#endif
