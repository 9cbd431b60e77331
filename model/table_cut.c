// Bits of changed and waiting rows, and the copying between them.
#include "model/table_cut.h"

#include <string.h>

#define WORD_BITS 64u
#define WORDS_MIN 16u

void table_cut_init(struct table_cut *cut) {
    *cut = (struct table_cut){.complete = true};
    buffer_init(&cut->early);
}

void table_cut_deinit(struct table_cut *cut) {
    memory_free(cut->changed);
    memory_free(cut->waiting);
    buffer_deinit(&cut->early);
    *cut = (struct table_cut){0};
}

void table_cut_reset(struct table_cut *cut, bool complete) {
    if (cut->words > 0) {
        memset(cut->changed, 0, cut->words * sizeof *cut->changed);
        memset(cut->waiting, 0, cut->words * sizeof *cut->waiting);
    }
    cut->left = cut->next = 0;
    cut->complete = complete;
    buffer_reset(&cut->early);
}

enum status table_cut_reserve(struct table_cut *cut, const struct table *table, struct error *err) {
    size_t needed = table->slots / WORD_BITS + 1, words = cut->words ? cut->words : WORDS_MIN;
    if (needed <= cut->words)
        return STATUS_OK;
    while (words < needed)
        words *= 2;
    uint64_t *changed = memory_resize(cut->changed, cut->words, words, sizeof *changed);
    if (!changed)
        return error_no_memory(err, words * sizeof *changed, "marks of changed rows");
    cut->changed = changed;
    uint64_t *waiting = memory_resize(cut->waiting, cut->words, words, sizeof *waiting);
    if (!waiting)
        return error_no_memory(err, words * sizeof *waiting, "marks of changed rows");
    cut->waiting = waiting;
    cut->words = words;
    return STATUS_OK;
}

static void record_append(const struct table *table, uint32_t slot, struct buffer *into) {
    size_t values = table->width * sizeof(real), state = table->state_width * sizeof(real);
    size_t bytes = table_record_bytes(table);
    unsigned char *at = buffer_reserve(into, bytes);
    if (!at)
        return;
    uint64_t id = table_id(table, slot);
    memcpy(at, &id, sizeof id);
    memcpy(at + sizeof id, &slot, sizeof slot);
    at += sizeof id + sizeof slot;
    memcpy(at, table_values(table, slot), values);
    if (state > 0)
        memcpy(at + values, table_state(table, slot), state);
    into->length += bytes;
}

bool table_record_put(struct table *table, const unsigned char *record) {
    size_t values = table->width * sizeof(real), state = table->state_width * sizeof(real);
    uint64_t id;
    uint32_t slot;
    memcpy(&id, record, sizeof id);
    memcpy(&slot, record + sizeof id, sizeof slot);
    if (slot >= table->slots)
        return false;
    record += sizeof id + sizeof slot;
    table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS] = id;
    memcpy(table_values(table, slot), record, values);
    if (state > 0)
        memcpy(table_state(table, slot), record + values, state);
    return true;
}

void table_cut_change(struct table_cut *cut, const struct table *table, uint32_t slot) {
    uint64_t bit = (uint64_t)1 << slot % WORD_BITS;
    size_t word = slot / WORD_BITS;
    if (cut->waiting[word] & bit) {
        cut->waiting[word] &= ~bit;
        cut->left--;
        record_append(table, slot, &cut->early);
    }
    cut->changed[word] |= bit;
}

static size_t bits_count(const uint64_t *bits, size_t words) {
    size_t count = 0;
    for (size_t i = 0; i < words; i++)
        count += (size_t)__builtin_popcountll(bits[i]);
    return count;
}

size_t table_cut_changed(const struct table_cut *cut, const struct table *table) {
    return cut->complete ? table->slots : bits_count(cut->changed, cut->words);
}

void table_cut_begin(struct table_cut *cut, const struct table *table, bool whole) {
    REQUIRE(table_cut_left(cut) == 0 && table->slots / WORD_BITS < cut->words);
    uint64_t *empty = cut->waiting;
    cut->waiting = cut->changed;
    cut->changed = empty;
    if (whole || cut->complete) {
        size_t full = table->slots / WORD_BITS;
        memset(cut->waiting, 0xff, full * sizeof *cut->waiting);
        cut->waiting[full] |= ((uint64_t)1 << table->slots % WORD_BITS) - 1;
    }
    cut->left = bits_count(cut->waiting, cut->words);
    cut->slots = table->slots;
    cut->next = 0;
    cut->complete = false;
}

size_t table_cut_left(const struct table_cut *cut) {
    return cut->left + (cut->early.length > 0);
}

size_t table_cut_copy(struct table_cut *cut, const struct table *table, size_t rows_max,
                      struct buffer *into) {
    size_t bytes = table_record_bytes(table), count = 0;
    into->failed |= cut->early.failed;
    // Early records are taken from the end, so that what is left needs no moving.
    size_t early = cut->early.length / bytes;
    count = early < rows_max ? early : rows_max;
    buffer_append(into, cut->early.data + (early - count) * bytes, count * bytes);
    cut->early.length -= count * bytes;
    for (; cut->left > 0 && count < rows_max; cut->next++) {
        uint64_t *word = &cut->waiting[cut->next];
        while (*word != 0 && count < rows_max) {
            unsigned bit = (unsigned)__builtin_ctzll(*word);
            record_append(table, (uint32_t)(cut->next * WORD_BITS + bit), into);
            *word &= *word - 1;
            cut->left--;
            count++;
        }
        if (*word != 0)
            break;
    }
    if (cut->left == 0 && cut->early.length == 0) { // it may have grown to the size of the table
        buffer_deinit(&cut->early);
        buffer_init(&cut->early);
    }
    return count;
}
