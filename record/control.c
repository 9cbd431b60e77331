// The control log's records on the wire: the Avro record of schemas/control.avsc.
#include "record/control.h"

#include "base/wire.h"

void control_encode(const struct control *control, struct buffer *into) {
    REQUIRE(control->kind >= 0 && control->kind < CONTROL_KINDS);
    wire_put_long(into, control->time_ms);
    wire_put_bytes(into, control->author, control->author_length);
    wire_put_bytes(into, control->note, control->note_length);
    wire_put_long(into, control->kind); // the union's branch
    if (control->kind == CONTROL_PIN) {
        wire_put_fixed64(into, control->lineage);
        wire_put_fixed64(into, control->version);
    }
}

enum status control_decode(const void *bytes, size_t length, struct control *ret_control,
                           struct error *err) {
    struct wire in = wire_over(bytes, length);
    struct control control = {.time_ms = wire_get_long(&in)};
    control.author = (const char *)wire_get_bytes(&in, &control.author_length);
    control.note = (const char *)wire_get_bytes(&in, &control.note_length);
    int64_t kind = wire_get_long(&in);
    if (!in.bad && (kind < 0 || kind >= CONTROL_KINDS))
        return error_set(err, STATUS_INVALID,
                         "could not follow a control record of kind %lld: this build knows %d "
                         "kinds, a newer one wrote it",
                         (long long)kind, CONTROL_KINDS);
    control.kind = (int)kind;
    if (kind == CONTROL_PIN) {
        control.lineage = wire_get_fixed64(&in);
        control.version = wire_get_fixed64(&in);
        in.bad |= control.version == 0;
    }
    if (in.bad || in.at != in.end)
        return error_set(err, STATUS_INVALID,
                         "could not read a control record of %zu bytes: it is %s", length,
                         in.bad ? "malformed" : "followed by other bytes");
    *ret_control = control;
    return STATUS_OK;
}
