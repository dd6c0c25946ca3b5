// The two sketches of a summary, as integers only, so that a sketch is the same whatever order and parts it was made
// in. sql/templates/sketches.sql merges and reads them in PostgreSQL; docs/views.md states their errors. Pure.
//
// Quantile: a DDSketch whose buckets are the integers up to 127, and from there 64 to each power of two (linear
// interpolation between the powers), mirrored below zero. A bucket's middle is within 1/128 = 0.8 % of each value in
// it. One entry of the stored array: bucket << 40 | count, in the order of the buckets.
//
// Distinct: HyperLogLog with 4,096 registers, standard error 1.6 %. One entry: register << 8 | rank, in their order;
// a register that nothing fell into has no entry.
#pragma once

#include <bit>
#include <cstdint>

namespace daybook::sketch {

inline constexpr int count_bits = 40;
inline constexpr int rank_bits = 8;
inline constexpr int register_bits = 12;
inline constexpr int max_rank = 36;  // of 2^36 values that fall into one register; more fit nowhere

// `value` is not the smallest 64-bit integer, which has no opposite.
constexpr std::int64_t bucket_of(std::int64_t value) {
  const bool negative = value < 0;
  const auto magnitude = static_cast<std::uint64_t>(negative ? -value : value);
  const int shift = magnitude < 128 ? 0 : std::bit_width(magnitude) - 7;
  const auto bucket = static_cast<std::int64_t>(shift) * 64 + static_cast<std::int64_t>(magnitude >> shift);
  return negative ? -bucket : bucket;
}

// The entry that a value with this 64-bit hash makes.
constexpr std::int64_t register_entry(std::uint64_t hash) {
  const std::uint64_t index = hash >> (64 - register_bits);
  const std::uint64_t rest = hash << register_bits;
  const int rank = rest == 0 ? max_rank : std::countl_zero(rest) + 1;
  return static_cast<std::int64_t>(index << rank_bits | static_cast<std::uint64_t>(rank < max_rank ? rank : max_rank));
}

// The key of SipHash-2-4 for distinct values. Fixed: the same events give the same sketch in each generation.
inline constexpr unsigned char distinct_key[16] = {'d', 'a', 'y', 'b', 'o', 'o', 'k', ' ',
                                                   'd', 'i', 's', 't', 'i', 'n', 'c', 't'};

}  // namespace daybook::sketch
