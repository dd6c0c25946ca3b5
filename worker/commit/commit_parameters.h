// A batch as the parameters of its view's commit function (sql/templates/commit.sql), in binary format.
#pragma once

#include <string>
#include <vector>

#include "core/definition.h"
#include "worker/ports.h"

namespace daybook {

std::vector<std::string> commit_parameters(const ViewDefinition& view, const Batch& batch, const OwnedPositions& owned,
                                           std::int64_t known_seq);

// Fingerprints as stored: 16 bytes each, 12 of identity and 4 of content, in memory order.
std::string fingerprint_bytes(const std::vector<Fingerprint>& fingerprints);
// `stride` bytes each: 16, or 12 for identities without content. Throws StopError for a remainder.
std::vector<Fingerprint> fingerprints_from(std::string_view bytes, std::size_t stride);

}  // namespace daybook
