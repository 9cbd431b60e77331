// Blocks of labels, marks of versions that passed, and the judgement; see gate.h.
#include "trainer/gate.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "trainer/json.h"

enum { BLOCKS = 5, PARTS = 4, MARKS = 16, CLASS_MIN = 50, REASON_MAX = 256 };
static const double errors_allowed = 3;

// What a version that passed was like.
struct mark {
    uint64_t labels; // met by then
    double auc, auc_error, normalised_entropy;
};

struct task_gate {
    const struct gate_bounds *bounds; // NULL = the task has none
    const char *name;
    uint64_t labels;             // met in all
    struct tally blocks[BLOCKS]; // ring; the newest at (labels - 1) / quarter
    struct mark marks[MARKS];    // ring
    uint64_t marked;
    bool closed;
    char reason[REASON_MAX];
};

struct gate {
    uint64_t quarter; // labels a block
    struct task_gate tasks[SPEC_TASKS_MAX];
    size_t task_count;
    struct tally sum; // scratch
};

enum status gate_new(const struct gate_settings *settings, const struct spec *spec,
                     struct gate **ret_gate, struct error *err) {
    struct gate *gate = memory_new(1, sizeof *gate);
    if (!gate)
        return error_no_memory(err, sizeof *gate, "the gate");
    const struct gate_bounds *bounds = settings->bounds.items;
    gate->quarter = (uint64_t)settings->labels / PARTS;
    gate->task_count = spec->tasks.count;
    for (size_t task = 0; task < gate->task_count; task++) {
        gate->tasks[task].name = spec_task_at(spec, task)->name;
        for (size_t i = 0; i < settings->bounds.count; i++)
            if (strcmp(bounds[i].task, gate->tasks[task].name) == 0)
                gate->tasks[task].bounds = &bounds[i];
    }
    *ret_gate = gate;
    return STATUS_OK;
}

void gate_free(struct gate *gate) {
    if (!gate)
        return;
    for (size_t task = 0; task < gate->task_count; task++)
        for (size_t i = 0; i < BLOCKS; i++)
            tally_deinit(&gate->tasks[task].blocks[i]);
    tally_deinit(&gate->sum);
    memory_free(gate);
}

bool gate_is_set(const struct gate *gate) {
    for (size_t task = 0; task < gate->task_count; task++)
        if (gate->tasks[task].bounds)
            return true;
    return false;
}

enum status gate_add(struct gate *gate, size_t task, double logit, double label, double weight,
                     struct error *err) {
    struct task_gate *at = &gate->tasks[task];
    if (!at->bounds)
        return STATUS_OK;
    struct tally *block = &at->blocks[at->labels / gate->quarter % BLOCKS];
    if (at->labels % gate->quarter == 0)
        tally_clear(block);
    at->labels++;
    struct tally_label of = tally_label_of(logit, label, weight);
    return tally_add(block, &of, err);
}

// Of the newest labels; 1 to 1.25 times as many as are wanted.
static enum status measure(struct gate *gate, const struct task_gate *at,
                           struct evaluate_measures *ret_measures, struct error *err) {
    enum status status = tally_reserve(&gate->sum, err);
    if (status != STATUS_OK)
        return status;
    tally_clear(&gate->sum);
    for (size_t i = 0; i < BLOCKS; i++)
        if (at->blocks[i].count > 0)
            tally_merge(&gate->sum, &at->blocks[i]);
    *ret_measures = tally_measures(&gate->sum);
    return STATUS_OK;
}

// The newest version that passed and shares no label with those of now; NULL = none is known.
static const struct mark *reference(const struct gate *gate, const struct task_gate *at) {
    uint64_t first = at->marked > MARKS ? at->marked - MARKS : 0;
    for (uint64_t i = at->marked; i-- > first;) {
        const struct mark *mark = &at->marks[i % MARKS];
        if (mark->labels + BLOCKS * gate->quarter <= at->labels)
            return mark;
    }
    return NULL;
}

static void overstep(struct task_gate *at, const char *what, double value, const char *relation,
                     double limit) {
    if (!at->closed)
        snprintf(at->reason, sizeof at->reason, "%s of %.80s is %.4g, %s %.4g", what, at->name,
                 value, relation, limit);
    at->closed = true;
}

static void judge_absolute(struct task_gate *at, const struct evaluate_measures *of) {
    const struct gate_bounds *bounds = at->bounds;
    double spread = errors_allowed * of->calibration / sqrt((double)of->positives);
    if (of->auc + errors_allowed * of->auc_error < bounds->auc_min)
        overstep(at, "AUC", of->auc, "below", bounds->auc_min);
    if (of->normalised_entropy > bounds->normalised_entropy_max)
        overstep(at, "normalised entropy", of->normalised_entropy, "above",
                 bounds->normalised_entropy_max);
    if (of->calibration + spread < bounds->calibration_min)
        overstep(at, "calibration", of->calibration, "below", bounds->calibration_min);
    if (of->calibration - spread > bounds->calibration_max)
        overstep(at, "calibration", of->calibration, "above", bounds->calibration_max);
}

static void judge_relative(struct task_gate *at, const struct evaluate_measures *of,
                           const struct mark *mark) {
    const struct gate_bounds *bounds = at->bounds;
    double noise = errors_allowed * hypot(of->auc_error, mark->auc_error);
    if (mark->auc - of->auc - noise > bounds->auc_drop_max)
        overstep(at, "AUC", of->auc,
                 "below what the reference asks for:", mark->auc - bounds->auc_drop_max);
    if (of->normalised_entropy - mark->normalised_entropy > bounds->normalised_entropy_rise_max)
        overstep(at, "normalised entropy", of->normalised_entropy,
                 "above what the reference allows:",
                 mark->normalised_entropy + bounds->normalised_entropy_rise_max);
}

static void judge(const struct gate *gate, struct task_gate *at,
                  const struct evaluate_measures *of) {
    uint64_t negatives = of->count - of->positives;
    if (at->labels < PARTS * gate->quarter || of->positives < CLASS_MIN || negatives < CLASS_MIN)
        return; // it keeps the verdict that it had
    const struct mark *mark = reference(gate, at);
    at->closed = false;
    at->reason[0] = '\0';
    judge_absolute(at, of);
    if (mark)
        judge_relative(at, of, mark);
}

// A mark a block at most, so that they reach back far enough.
static void mark_put(const struct gate *gate, struct task_gate *at,
                     const struct evaluate_measures *of) {
    const struct mark *last = &at->marks[(at->marked + MARKS - 1) % MARKS];
    if (at->labels < PARTS * gate->quarter ||
        (at->marked > 0 && at->labels - last->labels < gate->quarter))
        return;
    at->marks[at->marked++ % MARKS] =
        (struct mark){at->labels, of->auc, of->auc_error, of->normalised_entropy};
}

static void put_task(const struct task_gate *at, const struct evaluate_measures *of,
                     const char *comma, struct buffer *into) {
    const struct {
        const char *name;
        double value;
    } values[] = {{"auc", of->auc},
                  {"auc_error", of->auc_error},
                  {"normalised_entropy", of->normalised_entropy},
                  {"calibration", of->calibration}};
    buffer_append_text(into, "%s{\"task\":", comma);
    json_put_string(into, at->name, strlen(at->name));
    buffer_append_text(into, ",\"closed\":%s,\"labels\":%" PRIu64, at->closed ? "true" : "false",
                       of->count);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        buffer_append_text(into, ",\"%s\":", values[i].name);
        json_put_number(into, values[i].value);
    }
    buffer_append_byte(into, '}');
}

enum status gate_judge(struct gate *gate, struct buffer *into, struct error *err) {
    struct evaluate_measures measures[SPEC_TASKS_MAX];
    const char *reason = NULL, *comma = "";
    for (size_t task = 0; task < gate->task_count; task++) {
        struct task_gate *at = &gate->tasks[task];
        if (!at->bounds)
            continue;
        enum status status = measure(gate, at, &measures[task], err);
        if (status != STATUS_OK)
            return status;
        judge(gate, at, &measures[task]);
        if (at->closed && !reason)
            reason = at->reason;
    }
    buffer_append_text(into, "{\"verdict\":\"%s\",\"reason\":", reason ? "hold" : "pass");
    json_put_string(into, reason ? reason : "", reason ? strlen(reason) : 0);
    buffer_append_text(into, ",\"tasks\":[");
    for (size_t task = 0; task < gate->task_count; task++) {
        struct task_gate *at = &gate->tasks[task];
        if (!at->bounds)
            continue;
        if (!reason)
            mark_put(gate, at, &measures[task]);
        put_task(at, &measures[task], comma, into);
        comma = ",";
    }
    buffer_append_text(into, "]}");
    return STATUS_OK;
}

bool gate_closed(const struct gate *gate, size_t task, const char **ret_reason) {
    *ret_reason = gate->tasks[task].reason;
    return gate->tasks[task].closed;
}

// Which tasks have bounds, and how many labels: what a saved gate must share.
static uint64_t shape_of(const struct gate *gate) {
    uint64_t bounded = 0;
    for (size_t task = 0; task < gate->task_count; task++)
        bounded |= (uint64_t)(gate->tasks[task].bounds != NULL) << task;
    return bounded;
}

void gate_save(const struct gate *gate, struct buffer *into) {
    wire_put_fixed64(into, shape_of(gate));
    wire_put_fixed64(into, gate->quarter);
    for (size_t task = 0; task < gate->task_count; task++) {
        const struct task_gate *at = &gate->tasks[task];
        if (!at->bounds)
            continue;
        wire_put_long(into, (int64_t)at->labels);
        wire_put_long(into, (int64_t)at->marked);
        buffer_append_byte(into, at->closed ? 1 : 0);
        wire_put_string(into, at->reason);
        for (size_t i = 0; i < BLOCKS; i++)
            tally_save(&at->blocks[i], into);
        for (size_t i = 0; i < MARKS; i++) {
            wire_put_long(into, (int64_t)at->marks[i].labels);
            wire_put_double(into, at->marks[i].auc);
            wire_put_double(into, at->marks[i].auc_error);
            wire_put_double(into, at->marks[i].normalised_entropy);
        }
    }
}

static enum status task_load(struct task_gate *at, struct wire *in, struct error *err) {
    size_t length;
    at->labels = (uint64_t)wire_get_long(in);
    at->marked = (uint64_t)wire_get_long(in);
    at->closed = wire_get_bool(in);
    const unsigned char *reason = wire_get_bytes(in, &length);
    in->bad |= length >= sizeof at->reason;
    if (!in->bad)
        snprintf(at->reason, sizeof at->reason, "%.*s", (int)length, (const char *)reason);
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < BLOCKS; i++)
        status = tally_load(&at->blocks[i], in, err);
    for (size_t i = 0; i < MARKS; i++) {
        at->marks[i].labels = (uint64_t)wire_get_long(in);
        at->marks[i].auc = wire_get_double(in);
        at->marks[i].auc_error = wire_get_double(in);
        at->marks[i].normalised_entropy = wire_get_double(in);
    }
    return status;
}

enum status gate_load(struct gate *gate, struct wire *in, struct error *err) {
    uint64_t shape = wire_get_fixed64(in), quarter = wire_get_fixed64(in);
    enum status status = STATUS_OK;
    if (!in->bad && (shape != shape_of(gate) || quarter != gate->quarter))
        return STATUS_OK;
    for (size_t task = 0; status == STATUS_OK && task < gate->task_count; task++)
        if (gate->tasks[task].bounds)
            status = task_load(&gate->tasks[task], in, err);
    if (status == STATUS_OK && (in->bad || in->at != in->end))
        status = error_set(err, STATUS_CORRUPT, "could not read the gate's state: malformed");
    return status;
}
