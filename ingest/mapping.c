// Turns what a walk finds into events.
#include "ingest/mapping_inside.h"

#include <math.h>
#include <string.h>

#include "ingest/convert.h"

enum status mapping_new(const struct ingest_settings *settings, const struct spec *spec,
                        uint32_t input, struct mapping **ret_mapping, struct error *err) {
    struct mapping *mapping = memory_new(1, sizeof(*mapping));
    struct error reason = {0};
    enum status status;
    if (mapping == NULL)
        return error_no_memory(err, sizeof(*mapping), "a mapping");
    arena_init(&mapping->arena, 16384);
    buffer_init(&mapping->list_bytes);
    buffer_init(&mapping->key);
    mapping->input = ingest_input_at(settings, input);
    mapping->index = input;
    mapping->spec = spec;
    mapping->impression = mapping->input->role == INGEST_IMPRESSION;
    mapping->domain = mapping->user = NO_SLOT;
    mapping->has_each = mapping->input->each[0] != '\0';
    status = mapping->has_each
                 ? path_parse(mapping->input->each, &mapping->arena, &mapping->each, &reason)
                 : STATUS_OK;
    if (status == STATUS_OK)
        status = mapping_wants_make(mapping, &reason);
    if (status != STATUS_OK) {
        status = error_set(err, status, "input `%s`: %s", mapping->input->name, reason.message);
        mapping_free(mapping);
        return status;
    }
    *ret_mapping = mapping;
    return STATUS_OK;
}

void mapping_free(struct mapping *mapping) {
    if (mapping == NULL)
        return;
    for (size_t i = 0; mapping->histories != NULL && i < mapping->spec->features.count; i++)
        history_deinit(&mapping->histories[i]);
    buffer_deinit(&mapping->list_bytes);
    buffer_deinit(&mapping->key);
    arena_deinit(&mapping->arena);
    memory_free(mapping);
}

const struct path *mapping_each(const struct mapping *mapping) {
    return mapping->has_each ? &mapping->each : NULL;
}

const struct plan_want *mapping_wants(const struct mapping *mapping, size_t *ret_count) {
    *ret_count = mapping->count;
    return mapping->wants;
}

const struct plan_want *mapping_time_want(const struct mapping *mapping) {
    return &mapping->wants[mapping->time];
}

struct decoder_counts mapping_counts(const struct mapping *mapping) {
    return mapping->counts;
}

// Null is an item, or a time, that is missing: the other half may still come.
static void history_append(struct mapping *mapping, size_t at, bool time,
                           const struct plan_value *value) {
    const struct spec_feature *feature = spec_feature_at(mapping->spec, at);
    struct history *history = &mapping->histories[at];
    struct convert_text text;
    int64_t ms = 0;
    enum event_drop drop =
        time ? convert_to_time(value, (enum ingest_time_unit)mapping->input->time_unit, &ms)
             : convert_to_text(value, &text);
    if (drop != EVENT_USED && drop != EVENT_MISSING_FIELD) {
        history->drop = history->drop == EVENT_USED ? drop : history->drop;
        return;
    }
    if (time)
        history_add_time(history, drop == EVENT_USED, ms);
    else
        history_add_id(
            history, drop == EVENT_USED ? spec_id(feature->vocabulary, text.text, text.length) : 0);
}

static void list_append(void *self, size_t want, const struct plan_value *value) {
    struct mapping *mapping = self;
    size_t at = mapping->uses[want].item;
    const struct spec_feature *feature = spec_feature_at(mapping->spec, at);
    if (feature->kind == SPEC_SEQUENCE) {
        history_append(mapping, at, mapping->uses[want].purpose == FOR_TIMES, value);
        return;
    }
    struct list *list = &mapping->lists[at];
    struct convert_text text;
    enum event_drop drop = convert_to_text(value, &text);
    if (drop == EVENT_MISSING_FIELD)
        return;
    if (drop != EVENT_USED) {
        list->drop = list->drop == EVENT_USED ? drop : list->drop;
        return;
    }
    if (list->count == (size_t)feature->length_max) {
        mapping->counts.values_cut++;
        return;
    }
    uint64_t id = spec_id(feature->vocabulary, text.text, text.length);
    for (int i = 0; i < 8; i++)
        list->ids[list->count * 8 + (size_t)i] = (unsigned char)(id >> (8 * i));
    list->count++;
}

static void lists_begin(void *self, bool outer) {
    struct mapping *mapping = self;
    for (size_t i = 0; mapping->impression && i < mapping->spec->features.count; i++) {
        if (mapping->has_each && mapping->wants[mapping->features[i]].path.outer != outer)
            continue;
        mapping->lists[i].count = 0, mapping->lists[i].drop = EVENT_USED;
        history_reset(&mapping->histories[i]);
    }
}

static enum event_drop blame(struct mapping *mapping, size_t slot, enum event_drop drop) {
    const char *item;
    const char *name = mapping_use_name(mapping, &mapping->uses[slot], &item);
    snprintf(mapping->message, sizeof(mapping->message), "%s%s%.64s at `%.100s`: %s", name,
             item[0] != '\0' ? " " : "", item, mapping->wants[slot].path.text,
             event_drop_names[drop]);
    return drop;
}

static enum event_drop key_make(struct mapping *mapping) {
    buffer_reset(&mapping->key);
    for (size_t i = 0; i < mapping->input->key.count; i++) {
        struct convert_text text;
        enum event_drop drop = convert_to_text(&mapping->values[i], &text);
        if (drop == EVENT_USED && text.length > MAPPING_KEY_MAX)
            drop = EVENT_WRONG_TYPE;
        if (drop != EVENT_USED)
            return blame(mapping, i, drop);
        wire_put_bytes(&mapping->key, text.text, text.length);
    }
    return EVENT_USED;
}

static void put_little(unsigned char *into, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        into[i] = (unsigned char)(value >> (8 * i));
}

static enum event_drop feature_make(struct mapping *mapping, size_t at, unsigned char **ids,
                                    unsigned char **numbers) {
    const struct spec_feature *feature = spec_feature_at(mapping->spec, at);
    const struct plan_value *value = &mapping->values[mapping->features[at]];
    enum event_drop drop;
    if (feature->kind == SPEC_MULTI) {
        unsigned char count[4];
        const struct list *list = &mapping->lists[at];
        put_little(count, list->count, sizeof(count));
        buffer_append(&mapping->list_bytes, count, sizeof(count));
        buffer_append(&mapping->list_bytes, list->ids, list->count * 8);
        return list->drop;
    }
    if (feature->kind == SPEC_SEQUENCE)
        return EVENT_USED; // behind the lists
    if (feature->kind == SPEC_NUMERIC) {
        float number = NAN;
        uint32_t bits;
        drop = convert_to_number(value, &number);
        memcpy(&bits, &number, sizeof(bits));
        put_little(*numbers, bits, 4);
        *numbers += 4;
    } else {
        struct convert_text text;
        drop = convert_to_text(value, &text);
        put_little(
            *ids, drop == EVENT_USED ? spec_id(feature->vocabulary, text.text, text.length) : 0, 8);
        *ids += 8;
    }
    return drop == EVENT_MISSING_FIELD ? EVENT_USED : drop;
}

static enum event_drop columns_make(struct mapping *mapping, struct event *event,
                                    struct convert_text *domain) {
    unsigned char *ids = mapping->ids;
    unsigned char *numbers = mapping->numbers;
    struct convert_text user;
    enum event_drop drop;
    buffer_reset(&mapping->list_bytes);
    for (size_t i = 0; i < mapping->spec->features.count; i++) {
        drop = feature_make(mapping, i, &ids, &numbers);
        if (drop != EVENT_USED)
            return blame(mapping, mapping->features[i], drop);
    }
    for (size_t i = 0; i < mapping->spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(mapping->spec, i);
        if (feature->kind != SPEC_SEQUENCE)
            continue;
        drop = history_finish(&mapping->histories[i], feature, event->event_time_ms,
                              &mapping->counts, &mapping->list_bytes);
        if (drop != EVENT_USED)
            return blame(mapping, mapping->features[i], drop);
    }
    drop = mapping->user == NO_SLOT ? EVENT_MISSING_FIELD
                                    : convert_to_text(&mapping->values[mapping->user], &user);
    if (drop != EVENT_USED && drop != EVENT_MISSING_FIELD)
        return blame(mapping, mapping->user, drop);
    event->columns.user = drop == EVENT_USED ? spec_id("user", user.text, user.length) : 0;
    drop = mapping->domain == NO_SLOT ? EVENT_MISSING_FIELD
                                      : convert_to_text(&mapping->values[mapping->domain], domain);
    if (drop == EVENT_USED &&
        (domain->length > MAPPING_DOMAIN_MAX || !convert_is_utf8(domain->text, domain->length)))
        drop = EVENT_WRONG_TYPE;
    if (drop != EVENT_USED && drop != EVENT_MISSING_FIELD)
        return blame(mapping, mapping->domain, drop);
    event->columns.domain = drop == EVENT_USED ? domain->text : "";
    event->columns.domain_length = drop == EVENT_USED ? domain->length : 0;
    event->columns.ids = mapping->ids;
    event->columns.numbers = mapping->numbers;
    event->columns.lists = mapping->list_bytes.data;
    event->columns.lists_length = mapping->list_bytes.length;
    return EVENT_USED;
}

// Labels that came with the impression, or the tasks that this feedback counts for.
static enum event_drop labels_make(struct mapping *mapping, struct event *event) {
    for (size_t i = 0; i < mapping->spec->tasks.count; i++) {
        const struct spec_task *task = spec_task_at(mapping->spec, i);
        struct convert_text text;
        float value = 1;
        if (!mapping->brought[i])
            continue;
        if (mapping->when[i] != NO_SLOT) {
            enum event_drop drop = convert_to_text(&mapping->values[mapping->when[i]], &text);
            if (drop != EVENT_USED && drop != EVENT_MISSING_FIELD)
                return blame(mapping, mapping->when[i], drop);
            if (drop == EVENT_MISSING_FIELD || text.length != strlen(task->when_equals) ||
                memcmp(text.text, task->when_equals, text.length) != 0)
                continue;
        }
        if (mapping->label[i] != NO_SLOT) {
            enum event_drop drop = convert_to_number(&mapping->values[mapping->label[i]], &value);
            if (drop == EVENT_MISSING_FIELD)
                continue;
            if (drop != EVENT_USED)
                return blame(mapping, mapping->label[i], drop);
        }
        event->mask |= UINT32_C(1) << i;
        event->values[i] = value;
    }
    return event->mask == 0 && !mapping->impression ? EVENT_NOT_WANTED : EVENT_USED;
}

static enum event_drop event_make(struct mapping *mapping, struct event *event,
                                  struct convert_text *domain) {
    const struct plan_value *time = &mapping->values[mapping->time];
    int64_t ms;
    enum event_drop drop =
        convert_to_time(time, (enum ingest_time_unit)mapping->input->time_unit, &ms);
    if (drop == EVENT_USED && mapping_time(mapping, time, mapping->timestamp_ms) < 0)
        drop = EVENT_INVALID_TIME;
    if (drop != EVENT_USED)
        return blame(mapping, mapping->time, drop);
    event->event_time_ms = ms;
    event->accepted_ms = mapping->timestamp_ms >= 0 ? mapping->timestamp_ms : ms;
    drop = key_make(mapping);
    if (drop == EVENT_USED && mapping->impression)
        drop = columns_make(mapping, event, domain);
    if (drop == EVENT_USED)
        drop = labels_make(mapping, event);
    event->key = mapping->key.data;
    event->key_length = mapping->key.length;
    event->columns.event_time_ms = ms;
    event->columns.accepted_ms = event->accepted_ms;
    return drop;
}

static bool event_emit(void *self) {
    struct mapping *mapping = self;
    struct convert_text domain;
    struct event event = {.input = mapping->index, .impression = mapping->impression};
    enum event_drop drop = event_make(mapping, &event, &domain);
    if (mapping->key.failed || mapping->list_bytes.failed) {
        mapping->status = error_no_memory(mapping->err, mapping->key.length, "an event");
        return false;
    }
    if (drop == EVENT_USED) {
        mapping->status = mapping->emit(mapping->emit_self, &event, mapping->err);
        return mapping->status == STATUS_OK;
    }
    mapping->result->dropped[drop]++;
    if (event_drop_is_letter(drop) && mapping->result->letter == EVENT_USED) {
        mapping->result->letter = drop;
        memcpy(mapping->letter_message, mapping->message, sizeof(mapping->message));
        mapping->result->message = mapping->letter_message;
    }
    return true;
}

enum status mapping_decode(struct mapping *mapping, const struct plan *plan, const void *bytes,
                           size_t length, int64_t timestamp_ms,
                           enum status (*each)(void *self, const struct event *event,
                                               struct error *err),
                           void *self, struct decoder_result *result, struct error *err) {
    struct plan_sink sink = {.values = mapping->values,
                             .listed = list_append,
                             .begin = lists_begin,
                             .event = event_emit,
                             .self = mapping};
    mapping->timestamp_ms = timestamp_ms;
    mapping->emit = each;
    mapping->emit_self = self;
    mapping->result = result;
    mapping->status = STATUS_OK;
    mapping->err = err;
    if (!plan_walk(plan, bytes, length, &sink)) {
        result->dropped[EVENT_UNDECODABLE]++;
        if (result->letter == EVENT_USED) {
            result->letter = EVENT_UNDECODABLE;
            result->message = "the bytes are truncated or malformed, or not of this schema";
        }
    }
    return mapping->status;
}
