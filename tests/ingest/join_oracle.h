// The join by brute force, written from the rules alone: it keeps every event for ever and looks
// through all of them each time. Slow and plain on purpose; shares nothing with ingest/join*.c.
#ifndef FRESHET_TESTS_INGEST_JOIN_ORACLE_H
#define FRESHET_TESTS_INGEST_JOIN_ORACLE_H

#include "join_fixture.h"

#define ORACLE_MAX 600

enum fate { WAITS, PENDING, USED, DROPPED };

struct oracle_impression {
    char key[8];
    int64_t t, accepted;
    uint64_t number;
    bool replaced;
    uint32_t set, left; // tasks with a label; tasks whose label has left
    bool waited[3];     // the wait has passed
    int learnt[3];      // 0 = not before the close; 1 = once; 2 = as a negative, then as a positive
    float values[3];
};
struct oracle_feedback {
    char key[8];
    int64_t t, accepted;
    uint32_t input, mask, set; // set: tasks of `on` whose label this one set
    float value;
    enum fate fate;
    size_t on; // impression
};
struct oracle {
    const struct fixture *f;
    struct oracle_impression impressions[ORACLE_MAX];
    size_t impression_count;
    struct oracle_feedback feedback[ORACLE_MAX];
    size_t feedback_count;
    int64_t newest[INPUTS];
    bool idle[INPUTS];
    int64_t watermark, sent;
    uint64_t used[INPUTS], dropped[INPUTS][EVENT_DROPS];
    struct output out[ORACLE_MAX * 9];
    size_t out_count;
};

static int oracle_given(const struct oracle *o, int task) {
    for (int i = 0; i < (int)o->f->spec.tasks.count; i++)
        if (strcmp(o->f->tasks[i].name, o->f->tasks[task].given) == 0)
            return i;
    return -1;
}

static int64_t oracle_decided(const struct oracle *o, int task) {
    int64_t own = o->f->tasks[task].window_ms;
    int given = oracle_given(o, task);
    int64_t other = given < 0 ? 0 : oracle_decided(o, given);
    return own > other ? own : other;
}

static int64_t oracle_longest(const struct oracle *o) {
    int64_t longest = 0;
    for (int i = 0; i < (int)o->f->spec.tasks.count; i++)
        longest = oracle_decided(o, i) > longest ? oracle_decided(o, i) : longest;
    return longest;
}

static bool oracle_positive(const struct oracle *o, const struct oracle_impression *i, int task) {
    int given = oracle_given(o, task);
    return (i->set >> task & 1) && i->values[task] > 0 &&
           (given < 0 || oracle_positive(o, i, given));
}

// The impression that this key stands for now, or -1.
static int oracle_find(const struct oracle *o, const char *key) {
    for (int i = (int)o->impression_count - 1; i >= 0; i--) {
        const struct oracle_impression *at = &o->impressions[i];
        if (strcmp(at->key, key) == 0 && !at->replaced &&
            at->t + 2 * oracle_longest(o) >= o->watermark)
            return i;
    }
    return -1;
}

static void oracle_send(struct oracle *o, const struct oracle_impression *i, uint32_t kind,
                        uint32_t mask, int64_t instant) {
    struct output *out = &o->out[o->out_count++];
    o->sent = instant > o->sent ? instant : o->sent;
    memset(out, 0, sizeof(*out));
    out->kind = kind;
    out->mask = mask;
    out->impression = i->number;
    out->user = (uint64_t)i->t + 5;
    out->event_time_ms = i->t;
    out->timestamp_ms = o->sent;
    out->accepted_ms = i->accepted;
    out->id = (uint64_t)i->t * 7 + 1;
    out->number = (float)i->t / 2;
    for (int task = 0; task < 3; task++)
        if ((mask >> task & 1) && (i->set >> task & 1))
            out->labels[task] = i->values[task];
}

static void oracle_drop(struct oracle *o, struct oracle_feedback *fb, enum event_drop why) {
    fb->fate = DROPPED;
    o->dropped[fb->input][why]++;
}

static void oracle_apply(struct oracle *o, struct oracle_feedback *fb, size_t on) {
    struct oracle_impression *i = &o->impressions[on];
    bool duplicate = false, late = false, plain = false;
    for (int task = 0; task < (int)o->f->spec.tasks.count; task++) {
        int64_t window = o->f->tasks[task].window_ms;
        if (!(fb->mask >> task & 1))
            continue;
        if (i->set >> task & 1) {
            duplicate = true;
        } else if ((i->left >> task & 1) || fb->t - i->t > window || o->watermark > i->t + window) {
            late = true;
        } else if (i->t - fb->t <= o->f->settings.lateness_ms) {
            i->set |= 1u << task;
            i->values[task] = fb->value;
            fb->set |= 1u << task;
            plain = plain || oracle_given(o, task) < 0;
        }
    }
    fb->on = on;
    if (fb->set != 0 && fb->accepted > i->accepted)
        i->accepted = fb->accepted;
    if (plain) {
        fb->fate = USED;
        o->used[fb->input]++;
    } else if (fb->set != 0) {
        fb->fate = PENDING;
    } else {
        oracle_drop(o, fb, duplicate ? EVENT_DUPLICATE : late ? EVENT_LATE : EVENT_ORPHAN);
    }
}

// Learning before the close, at an instant when the watermark is `now`; `set`: labels just set.
static void oracle_early(struct oracle *o, size_t on, uint32_t set, int64_t instant, int64_t now) {
    struct oracle_impression *i = &o->impressions[on];
    uint32_t first = 0, late = 0;
    for (int task = 0; task < (int)o->f->spec.tasks.count; task++) {
        const struct spec_task *rule = &o->f->tasks[task];
        int given = oracle_given(o, task);
        if (rule->labels == SPEC_WAIT || (i->left >> task & 1))
            continue;
        bool due = rule->label_wait_ms == 0 || i->t + rule->label_wait_ms < now;
        if (i->learnt[task] == 0 && due && (given < 0 || oracle_positive(o, i, given))) {
            first |= 1u << task;
            i->learnt[task] = 1;
        } else if (i->learnt[task] == 1 && (set >> task & 1) && oracle_positive(o, i, task)) {
            late |= 1u << task;
            i->learnt[task] = 2;
        }
    }
    if (first != 0)
        oracle_send(o, i, EXAMPLE_LEARN, first, instant);
    if (late != 0)
        oracle_send(o, i, EXAMPLE_LEARN | EXAMPLE_REPEAT, late, instant);
}

// Tasks that leave together, by what becomes of them at the close.
static uint32_t oracle_part(const struct oracle *o, const struct oracle_impression *i,
                            uint32_t mask, uint32_t kind) {
    uint32_t part = 0;
    for (int task = 0; task < (int)o->f->spec.tasks.count; task++) {
        uint32_t learn = i->learnt[task] == 0                     ? EXAMPLE_LEARN
                         : i->learnt[task] == 2                   ? EXAMPLE_LATE
                         : o->f->tasks[task].labels == SPEC_DEFER ? EXAMPLE_LEARN | EXAMPLE_REPEAT
                                                                  : 0;
        if ((mask >> task & 1) && (learn | EXAMPLE_FINAL) == kind)
            part |= 1u << task;
    }
    return part;
}

// All tasks of one impression that are decided at one instant.
static void oracle_close(struct oracle *o, size_t on, int64_t after) {
    struct oracle_impression *i = &o->impressions[on];
    uint32_t tasks = 0, mask = 0, all = (1u << o->f->spec.tasks.count) - 1;
    for (int task = 0; task < (int)o->f->spec.tasks.count; task++) {
        int given = oracle_given(o, task);
        if (oracle_decided(o, task) != after)
            continue;
        tasks |= 1u << task;
        bool unlabelled = o->f->tasks[task].input[0] == '\0' && o->f->tasks[task].path[0] != '\0' &&
                          !(i->set >> task & 1);
        if (!unlabelled && (given < 0 || oracle_positive(o, i, given)))
            mask |= 1u << task;
    }
    i->left |= tasks;
    bool last = i->left == all;
    for (size_t k = 0; k < o->feedback_count; k++) {
        struct oracle_feedback *fb = &o->feedback[k];
        if (fb->fate != PENDING || fb->on != on)
            continue;
        if (fb->set & mask) {
            fb->fate = USED;
            o->used[fb->input]++;
        } else if ((fb->set & ~i->left) == 0) {
            oracle_drop(o, fb, EVENT_WITHOUT_CLICK);
        }
    }
    static const uint32_t kinds[] = {EXAMPLE_LEARN | EXAMPLE_FINAL,
                                     EXAMPLE_LEARN | EXAMPLE_FINAL | EXAMPLE_REPEAT,
                                     EXAMPLE_FINAL | EXAMPLE_LATE, EXAMPLE_FINAL};
    uint32_t rest = mask;
    for (int k = 0; k < 4; k++) {
        uint32_t part = oracle_part(o, i, mask, kinds[k]);
        rest &= ~part;
        if (part != 0)
            oracle_send(o, i, kinds[k] | (last && rest == 0 ? EXAMPLE_LAST : 0u), part,
                        i->t + after);
    }
    if (mask == 0 && last)
        oracle_send(o, i, EXAMPLE_FINAL | EXAMPLE_LAST, 0, i->t + after);
    if (last)
        o->used[IMPRESSIONS]++;
}

static void oracle_settle(struct oracle *o, int64_t watermark) {
    for (;;) { // the next deadline, in order of (deadline, number)
        int64_t best = INT64_MAX, best_after = 0;
        size_t best_on = 0;
        for (size_t on = 0; on < o->impression_count; on++) {
            const struct oracle_impression *i = &o->impressions[on];
            for (int task = 0; task < (int)o->f->spec.tasks.count; task++) {
                int64_t after = oracle_decided(o, task), wait = o->f->tasks[task].label_wait_ms;
                if (!(i->left >> task & 1) && i->t + after < best) {
                    best = i->t + after;
                    best_after = after;
                    best_on = on;
                }
                if (wait > 0 && !(i->left >> task & 1) && !i->waited[task] && i->t + wait < best) {
                    best = i->t + wait;
                    best_after = wait;
                    best_on = on;
                }
            }
        }
        if (best >= watermark)
            break;
        bool wait = false;
        for (int task = 0; task < (int)o->f->spec.tasks.count; task++)
            if (o->f->tasks[task].label_wait_ms == best_after && best_after > 0)
                wait = o->impressions[best_on].waited[task] = true;
        if (wait)
            oracle_early(o, best_on, 0, best, watermark);
        oracle_close(o, best_on, best_after);
    }
    for (size_t k = 0; k < o->feedback_count; k++) {
        struct oracle_feedback *fb = &o->feedback[k];
        if (fb->fate == WAITS && fb->t + o->f->settings.early_wait_ms < watermark)
            oracle_drop(o, fb, EVENT_ORPHAN);
    }
}

static void oracle_move_watermark(struct oracle *o) {
    int64_t most = INT64_MIN, least = INT64_MAX;
    for (int i = 0; i < INPUTS; i++) {
        most = o->newest[i] > most ? o->newest[i] : most;
        if (!o->idle[i])
            least = o->newest[i] < least ? o->newest[i] : least;
    }
    int64_t at = o->f->settings.runner.order == RUNNER_EVENT_TIME ? most : least;
    if (at != INT64_MIN && at != INT64_MAX && at - o->f->settings.lateness_ms > o->watermark)
        o->watermark = at - o->f->settings.lateness_ms;
    oracle_settle(o, o->watermark);
}

static void oracle_impression(struct oracle *o, const char *key, int64_t t, int64_t accepted,
                              uint32_t mask, float value) {
    int found = oracle_find(o, key);
    int64_t longest = oracle_longest(o);
    if (found >= 0) {
        const struct oracle_impression *old = &o->impressions[found];
        bool over = old->t + longest < o->watermark && t > old->t + longest;
        if (!over) {
            o->dropped[IMPRESSIONS][EVENT_DUPLICATE]++;
            return;
        }
    }
    if (t + longest < o->watermark) {
        o->dropped[IMPRESSIONS][EVENT_LATE]++;
        return;
    }
    if (found >= 0)
        o->impressions[found].replaced = true;
    struct oracle_impression *i = &o->impressions[o->impression_count];
    memset(i, 0, sizeof(*i));
    (void)snprintf(i->key, sizeof(i->key), "%s", key);
    i->t = t;
    i->accepted = accepted;
    i->number = o->impression_count++;
    for (int task = 0; task < (int)o->f->spec.tasks.count; task++) {
        if (o->f->tasks[task].input[0] == '\0' && (mask >> task & 1)) {
            i->set |= 1u << task;
            i->values[task] = value;
        }
    }
    oracle_send(o, i, EXAMPLE_SCORE, 0, t);
    for (size_t k = 0; k < o->feedback_count; k++)
        if (o->feedback[k].fate == WAITS && strcmp(o->feedback[k].key, key) == 0)
            oracle_apply(o, &o->feedback[k], (size_t)i->number);
    oracle_early(o, (size_t)i->number, 0, t, o->watermark);
}

static void oracle_event(struct oracle *o, uint32_t input, const char *key, int64_t t,
                         int64_t accepted, uint32_t mask, float value) {
    if (input == IMPRESSIONS) {
        oracle_impression(o, key, t, accepted, mask, value);
    } else {
        struct oracle_feedback *fb = &o->feedback[o->feedback_count++];
        *fb = (struct oracle_feedback){
            .t = t, .accepted = accepted, .input = input, .mask = mask, .value = value};
        (void)snprintf(fb->key, sizeof(fb->key), "%s", key);
        int found = oracle_find(o, key);
        if (found >= 0) {
            oracle_apply(o, fb, (size_t)found);
            if (fb->set != 0)
                oracle_early(o, (size_t)found, fb->set, t, o->watermark);
        }
    }
    if (t > o->newest[input]) {
        o->newest[input] = t;
        oracle_move_watermark(o);
    } else {
        oracle_settle(o, o->watermark);
    }
}

static void oracle_init(struct oracle *o, const struct fixture *f) {
    memset(o, 0, sizeof(*o));
    o->f = f;
    o->watermark = INT64_MIN;
    o->sent = INT64_MIN;
    for (int i = 0; i < INPUTS; i++)
        o->newest[i] = INT64_MIN;
}

#endif
