#include "worker/evidence.h"

#include <algorithm>

namespace daybook {

void Evidence::add(const TopicPartition& partition, const Record& record, std::uint64_t number) {
  Copy copy;
  copy.number = number;
  copy.topic = record.topic;
  copy.timestamp_ms = record.timestamp_ms;
  copy.bytes = sizeof copy + 64;  // and what the map needs for it
  if (record.key) copy.bytes += copy.key.emplace(*record.key).size();
  if (record.value) copy.bytes += copy.value.emplace(*record.value).size();
  std::vector<Header> headers;
  record.headers(headers);
  for (const Header& header : headers) {
    copy.headers.emplace_back(header.name, header.value);
    copy.bytes += sizeof copy.headers.back() + header.name.size() + header.value.size();
  }
  bytes_ += copy.bytes;
  copies_[partition].emplace(record.offset, std::move(copy));
}

void Evidence::add_dropped(const Fingerprint& copy) {
  if (!copies_.empty()) dropped_.push_back(copy);  // else no event is here that could be the guilty one
}

std::optional<Evidence::Found> Evidence::find(const TopicPartition& partition, std::int64_t offset) const {
  const auto records = copies_.find(partition);
  if (records == copies_.end()) return std::nullopt;
  const auto found = records->second.find(offset);
  if (found == records->second.end()) return std::nullopt;
  Record record;
  record.topic = found->second.topic;
  record.partition = partition.partition;
  record.offset = offset;
  record.timestamp_ms = found->second.timestamp_ms;
  if (found->second.key) record.key = *found->second.key;
  if (found->second.value) record.value = *found->second.value;
  record.header_reader = this;
  record.native = &found->second;
  return Found{record, found->second.number};
}

bool Evidence::was_copy_dropped(const Fingerprint& event) const {
  return std::any_of(dropped_.begin(), dropped_.end(),
                     [&event](const Fingerprint& copy) { return copy.same_identity(event); });
}

void Evidence::forget_below(const TopicPartition& partition, std::int64_t offset) {
  if (const auto records = copies_.find(partition); records != copies_.end()) {
    const auto end = records->second.lower_bound(offset);
    for (auto copy = records->second.begin(); copy != end; ++copy) bytes_ -= copy->second.bytes;
    records->second.erase(records->second.begin(), end);
    if (records->second.empty()) copies_.erase(records);
  }
  if (copies_.empty()) dropped_.clear();  // whose copies they are is committed
}

void Evidence::clear() {
  copies_.clear();
  dropped_.clear();
  bytes_ = 0;
}

void Evidence::read(const void* native, std::vector<Header>& out) const {
  for (const auto& [name, value] : static_cast<const Copy*>(native)->headers) out.push_back({name, value});
}

}  // namespace daybook
