#include "twin/dialect.h"

namespace cairn::twin {
namespace {

Dialect aws() {
  Dialect d;
  d.race_loser_status = 409;
  return d;
}

Dialect ceph16() {
  Dialect d;
  d.complete = d.remove = Conditions::ignored;
  d.quoted_if_match = false;
  d.race_loser_status = 500;
  d.checksums = false;
  d.any_region = true;
  d.plus_for_space = false;
  return d;
}

Dialect ceph20() {
  Dialect d;
  d.race_loser_status = 409;
  d.any_region = true;
  d.plus_for_space = false;
  return d;
}

Dialect swift230() {
  Dialect d;
  d.put_create_only = d.put_if_match = Conditions::refused;
  d.checksums = false;
  d.delete_objects_needs_md5 = true;
  d.max_part_number = 1000;
  d.plus_for_space = false;
  return d;
}

Dialect swift238() {
  Dialect d;
  d.put_if_match = Conditions::refused;
  d.atomic_conditions = false;
  d.max_part_number = 1000;
  d.plus_for_space = false;
  return d;
}

Dialect r2() {
  Dialect d;
  d.equal_parts = true;
  d.md5_etags = false;
  d.any_region = true;
  return d;
}

Dialect minio() {
  Dialect d;
  d.complete_again = false;
  d.any_region = true;
  return d;
}

Dialect b2() {
  Dialect d;
  d.put_create_only = d.put_if_match = d.complete = d.remove = Conditions::refused;
  d.checksums = false;
  return d;
}

Dialect nothing() {
  Dialect d;
  d.put_create_only = d.put_if_match = d.complete = d.remove = Conditions::ignored;
  d.checksums = d.md5_etags = d.copy_part = d.start_after = d.delete_objects = false;
  d.complete_again = false;
  d.any_region = true;
  return d;
}

}  // namespace

std::optional<Dialect> dialect_named(std::string_view name) {
  struct Preset {
    std::string_view name;
    Dialect (*make)();
  };
  static constexpr Preset kPresets[] = {{"aws", aws},           {"ceph16", ceph16},     {"ceph20", ceph20},
                                        {"swift230", swift230}, {"swift238", swift238}, {"r2", r2},
                                        {"minio", minio},       {"b2", b2},             {"nothing", nothing}};
  for (const Preset& preset : kPresets) {
    if (preset.name != name) continue;
    Dialect dialect = preset.make();
    dialect.name = name;
    return dialect;
  }
  return std::nullopt;
}

}  // namespace cairn::twin
