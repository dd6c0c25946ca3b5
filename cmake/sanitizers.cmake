# What the presets asan and tsan add. Included at the end, when all targets are there.
#
# Instrumented code compiles slowly (gcc: two to three times as long), most of it being the same templates of the same
# large headers in file after file. So what the sanitized tests are made of is compiled many files at a time, which
# takes a quarter of the time. Other targets (the program itself, the reader's rooms, the tests) are compiled as ever.
set(sanitized daybook_core daybook_kafka daybook_postgres daybook_sql daybook_producer daybook_publishing daybook_fold
  daybook_loop daybook_worker daybook_recompute daybook_ops)
set(sanitized_tests unit_tests ops_tests store_tests simulation simulation_defects http_tests reader_tests
  reader_api_tests reader_rows_tests sanitizer_teeth)
set_target_properties(${sanitized} test_support simulation_world PROPERTIES
  UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
# These have names in an unnamed namespace that others of their target have, too.
set_source_files_properties(worker/intake/kafka_source.cpp TARGET_DIRECTORY daybook_worker
  PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
set_source_files_properties(producer/user_context_traffic.cpp TARGET_DIRECTORY daybook_publishing
  PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
set_source_files_properties(verify/report.cpp TARGET_DIRECTORY daybook_recompute
  PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
# simulation_defects has a batch.cpp of its own, which takes the place of this one.
set_source_files_properties(worker/fold/batch.cpp TARGET_DIRECTORY daybook_fold
  PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)

# What `scripts/sanitize` runs.
add_custom_target(sanitized_tests DEPENDS ${sanitized_tests})

# ThreadSanitizer: tests/sanitizers/c11_threads.cpp says why.
if(DAYBOOK_SANITIZE MATCHES "thread")
  target_sources(unit_tests PRIVATE ${PROJECT_SOURCE_DIR}/tests/sanitizers/c11_threads.cpp)
  target_sources(store_tests PRIVATE ${PROJECT_SOURCE_DIR}/tests/sanitizers/c11_threads.cpp)
  target_sources(reader_rows_tests PRIVATE ${PROJECT_SOURCE_DIR}/tests/sanitizers/c11_threads.cpp)
endif()

# That they find what they are for.
add_executable(sanitizer_teeth ${PROJECT_SOURCE_DIR}/tests/sanitizers/teeth.cpp)
target_link_libraries(sanitizer_teeth PRIVATE daybook_options Threads::Threads)
target_compile_options(sanitizer_teeth PRIVATE -O0 -Wno-use-after-free)
if(DAYBOOK_SANITIZE MATCHES "thread")
  set(teeth "race=ThreadSanitizer: data race")
else()
  set(teeth "use-after-free=AddressSanitizer: heap-use-after-free" "overflow=signed integer overflow"
    "leak=LeakSanitizer: detected memory leaks")
endif()
foreach(tooth ${teeth})
  string(REPLACE "=" ";" tooth "${tooth}")
  list(GET tooth 0 defect)
  list(GET tooth 1 report)
  add_test(NAME sanitizer_finds_${defect} COMMAND sanitizer_teeth ${defect})
  set_tests_properties(sanitizer_finds_${defect} PROPERTIES LABELS unit PASS_REGULAR_EXPRESSION "${report}")
endforeach()
