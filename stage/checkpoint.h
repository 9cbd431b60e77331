// Checkpoints: a folder per generation, of named sections, each with its length and checksum in a
// manifest that is written last and renamed into place with the folder.
//
//   DIRECTORY/checkpoints/00000000000000000042/{manifest, SECTION...}
//
// A generation whose manifest or any checksum does not hold is passed over for the one before, with a
// warning that says so. A stage may also place files of its own (RocksDB's hard links) in the folder
// given by checkpoint_writer_path; it names them by checkpoint_add_file so that they are checked too.
#ifndef FRESHET_STAGE_CHECKPOINT_H
#define FRESHET_STAGE_CHECKPOINT_H

#include "base/stream.h"
#include "base/disk.h"

struct checkpoint_writer;
struct checkpoint_reader;

// Opens a section (one at a time); bytes written to *ret_sink go into it until the next section.
CHECKED enum status checkpoint_section(struct checkpoint_writer *writer, const char *name,
                                       struct sink *ret_sink, struct error *err);
const char *checkpoint_writer_path(const struct checkpoint_writer *writer); // the folder being made
// A file or a folder tree that the stage itself put below the writer's path, relative to it.
CHECKED enum status checkpoint_add_file(struct checkpoint_writer *writer, const char *relative,
                                        struct error *err);

// STATUS_NOT_FOUND when the checkpoint has no such section. Reads from its beginning.
CHECKED enum status checkpoint_open_section(struct checkpoint_reader *reader, const char *name,
                                            struct source *ret_source, uint64_t *ret_length,
                                            struct error *err);
const char *checkpoint_reader_path(const struct checkpoint_reader *reader);

#endif
