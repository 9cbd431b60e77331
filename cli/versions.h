// The versions in the weights log beside which one is out and which is pinned: what `freshet
// versions`, rollback and pin look at.
#ifndef FRESHET_CLI_VERSIONS_H
#define FRESHET_CLI_VERSIONS_H

#include "cli/settings.h"
#include "publisher/catalogue.h"

struct versions {
    struct catalogue catalogue;
    struct steer steer;                // of the control log; nothing pinned where none is set
    bool out_known;                    // Redis answered; else `trouble` says why not
    uint64_t out_lineage, out_version; // version 0 = none is out
    struct error trouble;
};
// Reads both logs whole, and asks Redis.
CHECKED enum status versions_read(struct versions *versions, const struct settings *settings,
                                  struct log *log, bool with_measures, struct error *err);
void versions_deinit(struct versions *versions); // zeroes are fine
bool versions_is_out(const struct versions *versions, const struct catalogue_version *version);
bool versions_is_pinned(const struct versions *versions, const struct catalogue_version *version);
// Whether Redis can be taken back to it by what the log retains.
bool versions_can_return(const struct versions *versions, const struct catalogue_version *version);

#endif
