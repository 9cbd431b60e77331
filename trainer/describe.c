// What a version says of itself: the model's shape, and its online measures.
#include "model/spec_text.h"
#include "trainer/json.h"
#include "trainer/state.h"

enum status trainer_describe(const struct trainer *trainer, struct buffer *into,
                             struct error *err) {
    struct buffer text;
    buffer_init(&text);
    spec_text_write(&trainer->shape, &text);
    buffer_append_text(into, "{\"model\":");
    json_put_string(into, (const char *)text.data, text.length);
    into->failed |= text.failed;
    buffer_deinit(&text);
    buffer_append_text(into, ",\"spec\":");
    enum status status = spec_to_json(trainer->setup.spec, into, err);
    buffer_append_text(into, ",\"domains\":");
    domains_json(trainer->domains, into);
    buffer_append_byte(into, '}');
    return status;
}

enum status describe_measures(struct trainer *trainer, struct buffer *into, struct error *err) {
    struct report report = trainer_report(trainer);
    report_json(&report, into);
    if (!gate_is_set(trainer->gate))
        return STATUS_OK;
    into->length--; // the closing brace
    buffer_append_text(into, ",\"gate\":");
    enum status status = gate_judge(trainer->gate, into, err);
    buffer_append_byte(into, '}');
    return status;
}
