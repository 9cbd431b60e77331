# How everything is compiled, the same warnings in every preset.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(FRESHET_SANITIZE "" CACHE STRING "address,undefined | thread | empty")
option(FRESHET_COVERAGE "measure test coverage" OFF)

add_library(freshet_compile INTERFACE)
target_include_directories(freshet_compile INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(freshet_compile INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE
  FRESHET_VERSION="${PROJECT_VERSION}")
target_compile_options(freshet_compile INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wformat=2 -Wundef -Wcast-qual -Werror -fstack-protector-strong -ffp-contract=off
  # gcc's warnings are the ones that are kept at none; clang (preset fuzz) has others under these names.
  $<$<C_COMPILER_ID:Clang>:-Wno-error>
  $<$<CONFIG:Release>:-O3>)
if(FRESHET_SANITIZE)
  target_compile_options(freshet_compile INTERFACE -fsanitize=${FRESHET_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(freshet_compile INTERFACE -fsanitize=${FRESHET_SANITIZE})
else()
  target_compile_definitions(freshet_compile INTERFACE $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
endif()
if(FRESHET_COVERAGE)
  target_compile_options(freshet_compile INTERFACE --coverage)
  target_link_options(freshet_compile INTERFACE --coverage)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_link_options(-Wl,-z,relro,-z,now)

# A folder's sources as one static library. Vendor headers are private to the folder.
function(freshet_library folder)
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.c)
  if(NOT sources)
    add_library(freshet_${folder} INTERFACE)
    target_link_libraries(freshet_${folder} INTERFACE ${arg_LINK})
    return()
  endif()
  add_library(freshet_${folder} STATIC ${sources})
  target_link_libraries(freshet_${folder} PRIVATE freshet_compile PUBLIC ${arg_LINK})
endfunction()

# freshet_test(FOLDER/NOUN SOURCE LINK libraries... [TIMEOUT seconds] [LABELS ...])
function(freshet_test name source)
  cmake_parse_arguments(arg "" "TIMEOUT" "LINK;LABELS" ${ARGN})
  string(REPLACE "/" "_" target test_${name})
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE ${arg_LINK} freshet::cmocka freshet_compile)
  add_test(NAME ${name} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()
