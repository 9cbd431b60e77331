// The group's text and its rules; see group.h.
#include "publisher/group.h"

#include <inttypes.h>
#include <string.h>

// Why rows as these settings want them cannot stand beside those that are there.
static enum status differs(const char *setting, const char *wanted, const char *there,
                           struct error *err) {
    return error_set(err, STATUS_INVALID,
                     "could not publish with publisher.%s %s: the model in Redis was published "
                     "with %s; set it back, publish under another name, or delete the model's keys",
                     setting, wanted, there);
}

enum status group_read(struct group *group, const char *text, unsigned bucket_bits,
                       enum redis_row_type row_type, struct error *err) {
    *group = (struct group){.offset = -1, .bucket_bits = bucket_bits, .row_type = row_type};
    if (text[0] == '\0')
        return STATUS_OK;
    char chunks[24], cover[8], type[8] = "", rest;
    unsigned bits;
    int found = sscanf(text, "%" SCNx64 " %" SCNu64 " %23s %" SCNd64 " %" SCNu64 " %7s %u %7s%c",
                       &group->lineage, &group->version, chunks, &group->offset, &group->since,
                       cover, &bits, type, &rest);
    if (found == 7)
        return error_set(err, STATUS_INVALID,
                         "could not publish over a model of layout 1, which an older Freshet left "
                         "in Redis: publish under another name, or delete the model's keys");
    if (found != 8 || strlen(text) >= GROUP_TEXT_MAX)
        goto corrupt;
    char *end = chunks;
    group->done = strcmp(chunks, "done") == 0;
    group->chunks = group->done ? 0 : strtoull(chunks, &end, 10);
    group->clean = strcmp(cover, "clean") == 0;
    if ((!group->done && *end != '\0') || (!group->clean && strcmp(cover, "stale") != 0) ||
        group->offset < 0)
        goto corrupt;
    if (bits != bucket_bits) {
        char wanted[16], there[16];
        snprintf(wanted, sizeof wanted, "%u", bucket_bits);
        snprintf(there, sizeof there, "%u", bits);
        return differs("bucket_bits", wanted, there, err);
    }
    if (strcmp(type, redis_row_type_name(row_type)) != 0)
        return differs("row_type", redis_row_type_name(row_type), type, err);
    snprintf(group->text, sizeof group->text, "%s", text);
    return STATUS_OK;
corrupt:
    return error_set(err, STATUS_CORRUPT,
                     "could not read a group's state '%.100s' in Redis: delete the model's keys to "
                     "publish it anew",
                     text);
}

void group_print(const struct group *group, char text[GROUP_TEXT_MAX]) {
    char chunks[24] = "done";
    if (!group->done)
        snprintf(chunks, sizeof chunks, "%" PRIu64, group->chunks);
    snprintf(text, GROUP_TEXT_MAX, "%016" PRIx64 " %" PRIu64 " %s %" PRId64 " %" PRIu64 " %s %u %s",
             group->lineage, group->version, chunks, group->offset, group->since,
             group->clean ? "clean" : "stale", group->bucket_bits,
             redis_row_type_name(group->row_type));
}

void group_open(struct group *group, uint64_t lineage, uint64_t version, int64_t offset) {
    group->met = 0;
    group->active = group->offset <= offset;
    if (!group->active)
        return; // applied already
    bool same = group->offset == offset && !group->done && group->text[0] != '\0';
    if (same)
        return; // goes on in the middle of this version
    bool first = group->text[0] == '\0' || group->offset < 0;
    // A gap in versions or another lineage: rows of before may linger until each slice came by.
    bool follows = group->done && group->lineage == lineage && group->version + 1 == version;
    if (first || !follows) {
        group->since = version;
        group->clean = group->text[0] == '\0' && version == 1;
    }
    group->lineage = lineage;
    group->version = version;
    group->chunks = 0;
    group->done = false;
    group->offset = offset;
}

bool group_covers(const struct group *group, uint64_t slice_count) {
    return group->clean || group->version - group->since + 1 >= slice_count;
}
